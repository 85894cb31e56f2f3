"""Everything that is neither drums, bass nor voice, one to three layers of it."""

import re
from pathlib import Path

import numpy as np

from . import samples, synth
from .dsp import RATE_HZ, Rng, amplifier, chance, compress, equalise, saturate, space, stereo
from .score import Note, Score, part
from .soundfont import SoundFont

# General MIDI without basses, timpani, voices and sound effects.
GM_PROGRAMS = [p for p in range(96) if not (32 <= p < 40 or p in (47, 52, 53, 54, 85, 91))]
GM_GUITARS = range(24, 32)
ORGAN_STOPS = ("all_all_all", "clarinet", "flutes", "trompette", "violin", "tremolo", "trombone")
BERKLEE_TONES = (
    r"synth|guitar|pad|piano|string|violin|theremin_\d|organ|sitar|arp|bell|brass|kalimba|FM"
)
KEYBOARDS = (
    "splendid-piano/Samples",
    "e-pianos/CP80/Samples",
    "e-pianos/Pianet T/Samples",
    "synth-strings-1/samples",
    "synth-brass-1/samples",
    "new-age/samples",
)
VOICES = r"voc|vox|voice|choir"
SONIC_PI_TONES = r"ambi_(?!choir)|guit_|elec_b|elec_p|loop_electric|loop_drone|loop_garzul"


class Other:
    def __init__(self, sources: Path, font: SoundFont, rng: Rng):
        self.font = font
        shiny = (sources / "shinyguitar/Samples/electric").glob("*_vl*.wav")
        self.guitars = [
            samples.bank((sources / "emilyguitar/notes").glob("*.wav"), rng, 80),
            samples.bank(shiny, rng, 80),
        ]
        self.keyboards = [
            samples.bank((sources / folder).glob("*.[wf]*"), rng, 50) for folder in KEYBOARDS
        ]
        self.sax = samples.bank((sources / "weresax/Samples").rglob("*.wav"), rng, 80)
        self.bowed = samples.bank((sources / "meatbass/Samples/arco").glob("*.wav"), rng, 40)
        organ = sources / "caveman-cosmonaut/Samples"
        self.organ = [samples.bank(organ.glob(f"{stop}*.wav"), rng, 30) for stop in ORGAN_STOPS]
        self.organ = [stop for stop in self.organ if stop]
        berklee = sorted((sources / "berklee/berklee").glob("*.mp3"))
        tones = [
            path
            for path in berklee
            if re.search(BERKLEE_TONES, path.name, re.I) and not re.search(VOICES, path.name, re.I)
        ]
        sonic_pi = sorted((sources / "sonic-pi/etc/samples").glob("*.flac"))
        tones += [path for path in sonic_pi if re.match(SONIC_PI_TONES, path.name)]
        self.tones = samples.read_all(tones[::2], 5.0)

    def render(self, score: Score, rng: Rng) -> np.ndarray:
        mix = np.zeros((int(score.seconds * RATE_HZ), 2))
        for _ in range(int(rng.choice([1, 2, 3], p=[0.35, 0.4, 0.25]))):
            layer = self.layer(score, rng)
            level = np.sqrt((layer**2).mean()) + 1e-9
            mix += layer * (10 ** (rng.uniform(-12.0, 0.0) / 20.0) / level)
        return compress(mix, rng) if chance(rng, 0.3) else mix

    def layer(self, score: Score, rng: Rng) -> np.ndarray:
        low = int(rng.integers(45, 64))
        style = str(rng.choice(["pad", "chords", "arpeggio", "lead"], p=[0.2, 0.3, 0.22, 0.28]))
        notes = part(score, rng, style, low, low + int(rng.integers(12, 22)))
        pan = rng.uniform(-0.8, 0.8) if chance(rng, 0.6) else 0.0
        kind = rng.random()
        if kind < 0.28:
            mix = stereo(self.general_midi(notes, rng, score.seconds), pan)
        elif kind < 0.38:
            keyboard = self.keyboards[rng.integers(len(self.keyboards))]
            mix = stereo(samples.play(notes, keyboard, rng, score.seconds), pan)
        elif kind < 0.54:
            mix = self.electric_guitar(score, rng)
        elif kind < 0.60:
            lead = part(score, rng, "lead", 50, 74)
            mix = stereo(samples.play(lead, self.sax, rng, score.seconds, 0.02), 0.5 * pan)
        elif kind < 0.66:
            stop = self.organ[rng.integers(len(self.organ))]
            mix = stereo(samples.play(notes, stop, rng, score.seconds), pan)
        elif kind < 0.69:
            mix = stereo(samples.play(notes, self.bowed, rng, score.seconds, 0.02), pan)
        elif kind < 0.95:
            mix = stereo(synth.play(notes, rng, score.seconds, bass=False), pan)
        else:
            mix = self.effects(score, rng, pan)
        if chance(rng, 0.3):
            mix = equalise(mix, rng, 8.0)
        return space(mix, rng, 0.4, 3.0)

    def general_midi(self, notes: list[Note], rng: Rng, seconds: float) -> np.ndarray:
        program = int(rng.choice(GM_PROGRAMS))
        mix = self.font.play(notes, program, seconds)
        if program in GM_GUITARS and chance(rng, 0.5):
            mix = amplifier(mix, rng)
        return saturate(mix, rng.uniform(1.0, 4.0)) if chance(rng, 0.1) else mix

    def electric_guitar(self, score: Score, rng: Rng) -> np.ndarray:
        """Riffs and power chords, clean or through an amplifier, often doubled on both sides."""
        low = int(rng.choice([40, 45, 50, 55]))
        if chance(rng, 0.35):
            roots = part(score, rng, "bass", 38, 52)
            notes = [note._replace(key=note.key + up) for note in roots for up in (0, 7)]
        else:
            style = str(rng.choice(["chords", "lead", "arpeggio"]))
            notes = part(score, rng, style, low, low + 17)
        guitar = self.guitars[rng.integers(len(self.guitars))]
        take = samples.play(notes, guitar, rng, score.seconds, 0.02)
        if not chance(rng, 0.65):
            return take
        left = amplifier(take, rng)
        if not chance(rng, 0.5):
            return left
        right = amplifier(samples.play(notes, guitar, rng, score.seconds, 0.04), rng)
        late = int(rng.uniform(0.005, 0.02) * RATE_HZ)
        return np.stack([left[:, 0], np.roll(right[:, 1], late)], 1)

    def effects(self, score: Score, rng: Rng, pan: float) -> np.ndarray:
        mix = np.zeros((int(score.seconds * RATE_HZ), 2))
        at = 0.0
        while at < score.seconds:
            sound = self.tones[rng.integers(len(self.tones))]
            samples.place(mix, sound, at, 2 ** rng.uniform(-0.6, 0.4), None, 0.3, pan)
            at += rng.uniform(0.3, 3.0)
        return mix
