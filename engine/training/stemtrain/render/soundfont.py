"""Parts on the instruments of a General MIDI soundfont."""

from pathlib import Path

import numpy as np
import tinysoundfont

from .dsp import RATE_HZ
from .score import Note

DRUM_CHANNEL = 9


class SoundFont:
    def __init__(self, path: Path):
        self.synth = tinysoundfont.Synth(samplerate=RATE_HZ, gain=-8)
        self.font = self.synth.sfload(str(path))

    def play(self, notes: list[Note], program: int, seconds: float, drums: bool = False):
        """[samples, 2]; notes still sounding at the end are cut."""
        synth, channel = self.synth, DRUM_CHANNEL if drums else 0
        synth.program_select(channel, self.font, 128 if drums else 0, program, drums)
        total = int(seconds * RATE_HZ)
        switches = [(n.start_secs, True, n) for n in notes]
        switches += [(n.start_secs + n.length_secs, False, n) for n in notes]
        switches.sort(key=lambda switch: switch[:2])
        pieces, at = [], 0
        for secs, on, note in switches:
            until = min(int(secs * RATE_HZ), total)
            if until > at:
                pieces.append(self.generate(until - at))
                at = until
            if on:
                synth.noteon(channel, note.key, note.velocity)
            else:
                synth.noteoff(channel, note.key)
        if total > at:
            pieces.append(self.generate(total - at))
        synth.sounds_off()
        return np.concatenate(pieces)[:total]

    def generate(self, samples: int) -> np.ndarray:
        return (
            np.frombuffer(bytes(self.synth.generate(samples)), np.float32)
            .reshape(-1, 2)
            .astype(float)
        )
