"""Scores that somebody wrote: windows of Standard MIDI Files, for any instruments to play."""

from pathlib import Path

import mido
import numpy as np

from .dsp import Rng, chance
from .drums import GM_KEYS
from .score import Note, Score

DRUM_CHANNEL = 9
BASSES = range(32, 40)
# Sound effects; what they play are no melodies.
NOISES = range(112, 128)
DRUM_VOICES = {key: voice for voice, keys in GM_KEYS.items() for key in keys}


class Song:
    """One file as notes by channel; times in seconds."""

    def __init__(self, path: Path):
        self.hits: list[tuple[float, str, float]] = []
        self.bass: list[Note] = []
        channels: dict[int, list[Note]] = {}
        programs, sounding, at = {}, {}, 0.0
        for message in mido.MidiFile(path, clip=True):
            at += message.time
            if message.type == "program_change":
                programs[message.channel] = message.program
            if message.type not in ("note_on", "note_off"):
                continue
            place = (message.channel, message.note)
            begun = sounding.pop(place, None)
            if begun is not None:
                start, velocity = begun
                note = Note(start, message.note, velocity, max(0.05, at - start))
                if programs.get(message.channel, 0) in BASSES:
                    self.bass.append(note)
                elif programs.get(message.channel, 0) not in NOISES:
                    channels.setdefault(message.channel, []).append(note)
            if message.type == "note_on" and message.velocity > 0:
                if message.channel == DRUM_CHANNEL:
                    voice = DRUM_VOICES.get(message.note, "perc")
                    self.hits.append((at, voice, message.velocity / 127.0))
                else:
                    sounding[place] = (at, message.velocity)
        self.seconds = at
        self.parts = [notes for notes in channels.values() if len(notes) > 20]


def songs(sources: Path) -> list[Song]:
    """Those with drums, a bass and something else."""
    found = []
    for folder in ("freedoom", "blasphemer", "free-music"):
        for path in sorted((sources / folder).rglob("*.mid")):
            try:
                song = Song(path)
            except (OSError, EOFError, ValueError, KeyError) as error:
                print(f"{path.name} is left out: {error!r}")
                continue
            if song.hits and song.bass and song.parts and song.seconds > 30.0:
                found.append(song)
    return found


class Arrangement(Score):
    """`seconds` of a song, in another key and tempo."""

    def __init__(self, rng: Rng, seconds: float, song: Song):
        super().__init__(rng, seconds)
        pace = float(2 ** rng.uniform(-0.25, 0.25))
        first = float(rng.uniform(0.0, max(0.0, song.seconds - seconds * pace)))
        key = int(rng.integers(-5, 7))

        def window(notes: list[Note]) -> list[Note]:
            moved = [
                Note((n.start_secs - first) / pace, n.key + key, n.velocity, n.length_secs / pace)
                for n in notes
            ]
            return [n for n in moved if 0.0 <= n.start_secs < seconds - 0.05]

        hits = [((at - first) / pace, voice, velocity) for at, voice, velocity in song.hits]
        self.hits = [hit for hit in hits if 0.0 <= hit[0] < seconds - 0.05]
        self.bass = window(song.bass)
        parts = [notes for notes in map(window, song.parts) if notes]
        self.parts = [parts[i] for i in rng.permutation(len(parts))]
        # One of the higher parts is sung, and played by nobody.
        self.voice = None
        if len(self.parts) > 1 and chance(rng, 0.7):
            heights = [np.median([note.key for note in notes]) for notes in self.parts]
            self.voice = self.parts.pop(int(np.argmax(heights)))
        self.turn = 0

    def written(self, rng: Rng, style: str) -> list[Note] | None:
        if style == "bass":
            return self.bass
        if style == "voice":
            return self.voice
        if not self.parts:
            return []
        self.turn += 1
        return self.parts[self.turn % len(self.parts)]

    def written_hits(self) -> list[tuple[float, str, float]]:
        return self.hits
