"""A short piece of music as tempo, key, chords and parts for instruments to play."""

from typing import NamedTuple

import numpy as np

from .dsp import Rng, chance

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
PROGRESSIONS = (
    (0, 4, 5, 3),
    (5, 3, 0, 4),
    (0, 3, 4, 0),
    (0, 5, 3, 4),
    (0, 0, 3, 4),
    (0, 6, 5, 6),
    (1, 4, 0, 0),
    (0, 2, 3, 4),
    (0, 0, 0, 0),
)


class Note(NamedTuple):
    start_secs: float
    key: int
    velocity: int
    length_secs: float


class Score:
    """`seconds` of music in four beats a bar."""

    def __init__(self, rng: Rng, seconds: float):
        self.seconds = seconds
        self.beat_secs = 60.0 / rng.uniform(65.0, 178.0)
        self.swing = float(rng.choice([0.0, 0.0, 0.0, 0.15, 0.33]))
        self.tonic = int(rng.integers(12))
        self.mode = MODES[str(rng.choice(list(MODES), p=[0.4, 0.4, 0.1, 0.1]))]
        if chance(rng, 0.8):
            self.chords = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
        else:
            self.chords = tuple(int(c) for c in rng.integers(0, 7, 4))
        self.sevenths = chance(rng, 0.3)

    @property
    def bar_secs(self) -> float:
        return 4.0 * self.beat_secs

    @property
    def bars(self) -> int:
        return int(self.seconds / self.bar_secs) + 1

    def degree(self, bar: int) -> int:
        return self.chords[bar % len(self.chords)]

    def scale_key(self, degree: int) -> int:
        """Semitones above the octave of C that the scale's degree lies."""
        return self.tonic + self.mode[degree % 7] + 12 * (degree // 7)

    def chord(self, bar: int) -> list[int]:
        steps = (0, 2, 4, 6) if self.sevenths else (0, 2, 4)
        return [self.scale_key(self.degree(bar) + step) for step in steps]

    def written(self, rng: Rng, style: str) -> list[Note] | None:
        """The notes of a part, where somebody wrote them."""
        return None

    def written_hits(self) -> list[tuple[float, str, float]] | None:
        """The drums' part, where somebody wrote it: (start in seconds, voice, velocity 0..1)."""
        return None

    def swung(self, sixteenth: int) -> float:
        """Seconds from the bar's start."""
        return (sixteenth + (self.swing if sixteenth % 2 else 0.0)) * self.beat_secs / 4.0


def into(key: int, low: int, high: int) -> int:
    """The key moved by octaves into [low, high], which must span an octave."""
    while key < low:
        key += 12
    while key > high:
        key -= 12
    return key


def within(notes: list[Note], low: int, high: int) -> list[Note]:
    """All notes moved by the same octaves, about the middle of [low, high]."""
    if not notes:
        return notes
    middle = float(np.median([note.key for note in notes]))
    up = 12 * round(((low + high) / 2 - middle) / 12)
    return [note._replace(key=int(np.clip(note.key + up, 12, 115))) for note in notes]


def rhythm(rng: Rng) -> list[tuple[float, float]]:
    """One bar as (start, length) in beats."""
    lengths = rng.choice([0.25, 0.5, 0.5, 0.5, 1.0, 1.0, 1.5, 2.0], 16)
    at, bar = 0.0, []
    for length in lengths:
        if at >= 4.0:
            break
        bar.append((at, float(min(length, 4.0 - at))))
        at += length
    return bar


def part(score: Score, rng: Rng, style: str, low: int, high: int) -> list[Note]:
    """`style` is "bass", "pad", "chords", "arpeggio", "lead" or "voice"."""
    written = score.written(rng, style)
    if written is not None:
        return within(written, low, high)
    rhythms = [rhythm(rng), rhythm(rng)]
    order = rng.integers(0, 5, 16)
    step = float(rng.choice([0.25, 0.5]))
    rest = float(rng.choice([0.0, 0.1, 0.3]))
    legato = rng.uniform(0.4, 1.0)
    beat = score.beat_secs
    scale = [k for k in range(low, high + 1) if (k - score.tonic) % 12 in score.mode]
    at_scale = len(scale) // 2
    notes: list[Note] = []

    def add(bar: int, at: float, key: int, length: float, softest: int = 60) -> None:
        start = bar * score.bar_secs + at * beat + rng.uniform(0.0, 0.008)
        velocity = int(rng.integers(softest, 118))
        if start < score.seconds - 0.05:
            notes.append(Note(start, key, velocity, length * beat))

    for bar in range(score.bars):
        chord = [into(key, low, high) for key in score.chord(bar)]
        shape = rhythms[(bar // 2) % 2]
        if style == "pad":
            for key in chord:
                add(bar, 0.0, key, 3.9)
        elif style == "arpeggio":
            count = int(4.0 / step)
            for i in range(count):
                index = int(order[i % 16])
                key = chord[index % len(chord)] + 12 * (index // len(chord))
                add(bar, i * step, into(key, low, high + 6), step * (0.5 + legato))
        else:
            for at, length in shape:
                if chance(rng, rest):
                    continue
                if style == "chords":
                    for key in chord:
                        add(bar, at, key, length * legato)
                elif style == "bass":
                    away = int(rng.choice([0, 0, 0, 0, 0, 0, 7, 12, 5, 10]))
                    add(bar, at, into(chord[0] + away, low, high), length * legato, 75)
                else:
                    move = int(rng.choice([-4, -2, -1, -1, 0, 1, 1, 2, 4]))
                    at_scale = int(np.clip(at_scale + move, 0, len(scale) - 1))
                    add(bar, at, scale[at_scale], length * (0.6 + 0.4 * legato), 70)
    return notes
