"""Everything that is neither drums, bass nor voice, one to three layers of it."""

import re
from pathlib import Path

import numpy as np

from . import samples, synth
from .dsp import (
    RATE_HZ,
    Rng,
    amplifier,
    chance,
    compress,
    equalise,
    low_pass,
    saturate,
    space,
    stereo,
    wash,
)
from .score import Note, Score, into, part
from .soundfont import SoundFont

# General MIDI without basses, timpani, voices and sound effects.
GM_PROGRAMS = [p for p in range(96) if not (32 <= p < 40 or p in (47, 52, 53, 54, 85, 91))]
GM_GUITARS = range(24, 32)
GM_CLEAN_GUITARS = (25, 26, 27, 28, 29)
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


def riff(score: Score, rng: Rng, lowest: int) -> tuple[list[Note], list[Note]]:
    """Power chords, and strokes muted by the palm on the lowest string; a pattern of two bars on the
    score's chords, or on its bass line where somebody wrote one."""
    written = score.written(rng, "bass")
    if written:
        roots = [n._replace(key=into(n.key, lowest, lowest + 11)) for n in written]
        muted = [n for n in roots if n.length_secs < 0.16]
        held = [n for n in roots if n.length_secs >= 0.16]
        return [n._replace(key=n.key + up) for n in held for up in (0, 7, 12)], muted
    step_secs = score.beat_secs / float(rng.choice([2, 4], p=[0.55, 0.45]))
    steps = round(2.0 * score.bar_secs / step_secs)
    # What begins at each step: a chord, a muted stroke, nothing.
    shape = rng.dirichlet((1.5, 2.0, 1.0))
    pattern = rng.choice(3, steps, p=shape)
    pattern[0] = 0
    away = rng.choice([0, 0, 0, 1, 3, 5, -2], steps)
    chords: list[Note] = []
    muted: list[Note] = []
    for start in range(0, int(score.seconds / step_secs), steps):
        for step, kind in enumerate(pattern):
            at = (start + step) * step_secs
            if kind == 2 or at >= score.seconds - 0.1:
                continue
            key = into(score.chord(int(at / score.bar_secs))[0], lowest, lowest + 11)
            if kind == 1:
                muted.append(Note(at, key, int(rng.integers(90, 118)), min(0.12, 0.8 * step_secs)))
                continue
            rest = np.flatnonzero(pattern[step + 1 :] != 2)
            length = (int(rest[0]) + 1 if len(rest) else steps - step) * step_secs
            root = into(key + int(away[step]), lowest, lowest + 12)
            chords += [Note(at, root + up, 105, 0.97 * length) for up in (0, 7, 12)]
    return chords, muted


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
        if chance(rng, 0.15):
            mix = self.wall(score, rng)
            mix *= 10 ** (rng.uniform(-6.0, 3.0) / 20.0) / (np.sqrt((mix**2).mean()) + 1e-9)
            if chance(rng, 0.5):
                return mix
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
        if chance(rng, 0.08):
            return wash(mix, rng)
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

    def wall(self, score: Score, rng: Rng) -> np.ndarray:
        """Distorted rhythm guitars: a riff played twice or four times, left and right."""
        tuning = int(rng.integers(33, 42))
        chords, muted = riff(score, rng, tuning)
        guitar = self.guitars[rng.integers(len(self.guitars))]
        program = int(rng.choice(GM_CLEAN_GUITARS)) if chance(rng, 0.4) else None
        dull_hz = rng.uniform(500.0, 1_500.0)

        def take() -> np.ndarray:
            def play(notes: list[Note]) -> np.ndarray:
                late = [
                    n._replace(start_secs=max(0.0, n.start_secs + rng.normal(0.0, 0.01)))
                    for n in notes
                ]
                if program is not None:
                    return self.font.play(late, program, score.seconds)
                return samples.play(late, guitar, rng, score.seconds, 0.06)

            x = play(chords) + low_pass(play(muted), dull_hz)
            return x.mean(1, keepdims=True)

        width = min(1.0, rng.uniform(0.5, 1.5))
        mix = np.zeros((int(score.seconds * RATE_HZ), 2))
        for _ in range(int(rng.choice([1, 2], p=[0.7, 0.3]))):
            settings = int(rng.integers(2**31))
            for pan in (-width, width):
                played = amplifier(take(), np.random.default_rng(settings))
                mix += stereo(played[:, 0], pan)
        return space(mix, rng, 0.8, 1.0)

    def effects(self, score: Score, rng: Rng, pan: float) -> np.ndarray:
        mix = np.zeros((int(score.seconds * RATE_HZ), 2))
        at = 0.0
        while at < score.seconds:
            sound = self.tones[rng.integers(len(self.tones))]
            samples.place(mix, sound, at, 2 ** rng.uniform(-0.6, 0.4), None, 0.3, pan)
            at += rng.uniform(0.3, 3.0)
        return mix
