"""Recorded notes: reading them, finding their pitch in their names, playing parts with them."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

from .dsp import RATE_HZ, Rng, pan_gains
from .score import Note

SEMITONES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
NOTE_NAME = re.compile(r"(?:^|[_ -])([a-g])(b|s|#)?(-?\d)(?:[_ .-]|$)")

Bank = dict[int, list[np.ndarray]]


def key_of(path: Path) -> int | None:
    """The MIDI key that a file name like gb4_pp_rr2.wav tells."""
    match = NOTE_NAME.search(path.name.lower())
    if match is None:
        return None
    sharp = {"b": -1, "s": 1, "#": 1, None: 0}[match[2]]
    return 12 * (int(match[3]) + 1) + SEMITONES[match[1]] + sharp


def read(path: Path, longest_secs: float = 6.0) -> np.ndarray | None:
    """Stereo [samples, 2], peak 1, without the silence before the sound."""
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        x = file.read(int(longest_secs * rate), dtype="float32", always_2d=True)
    x = x[:, :2] if x.shape[1] >= 2 else np.repeat(x, 2, 1)
    if rate != RATE_HZ:
        common = np.gcd(rate, RATE_HZ)
        x = signal.resample_poly(x, RATE_HZ // common, rate // common, axis=0)
    loud = np.abs(x).max(1)
    peak = loud.max(initial=0.0)
    if len(x) < 500 or peak < 1e-4:
        return None
    start = max(0, int(np.argmax(loud > 0.02 * peak)) - 60)
    return (x[start:] / peak).astype(np.float32)


def read_all(paths: Iterable[Path], longest_secs: float = 4.0) -> list[np.ndarray]:
    sounds = (read(path, longest_secs) for path in sorted(paths))
    return [sound for sound in sounds if sound is not None]


def bank(paths: Iterable[Path], rng: Rng, most: int = 60, longest_secs: float = 4.0) -> Bank:
    named = [path for path in sorted(paths) if key_of(path) is not None]
    chosen = [named[i] for i in rng.permutation(len(named))[:most]]
    notes: Bank = {}
    for path in chosen:
        sound = read(path, longest_secs)
        if sound is not None:
            notes.setdefault(key_of(path), []).append(sound)
    return notes


def place(
    buffer: np.ndarray,
    sound: np.ndarray,
    start_secs: float,
    ratio: float = 1.0,
    length_secs: float | None = None,
    gain: float = 1.0,
    pan: float = 0.0,
    release_secs: float = 0.03,
) -> None:
    """Adds a sound, `ratio` times faster, cut with a fade after `length_secs`."""
    start = int(start_secs * RATE_HZ)
    count = int((len(sound) - 1) / ratio)
    if length_secs is not None:
        count = min(count, int((length_secs + release_secs) * RATE_HZ))
    count = min(count, len(buffer) - start)
    as_it_is = abs(ratio - 1.0) < 1e-4
    if as_it_is:
        count = min(count, len(sound))
    if count < 50:
        return
    if as_it_is:
        y = sound[:count].astype(float)
    else:
        at = np.arange(count) * ratio
        whole = at.astype(int)
        part = (at - whole)[:, None]
        y = sound[whole] * (1.0 - part) + sound[np.minimum(whole + 1, len(sound) - 1)] * part
    fade = min(int(release_secs * RATE_HZ), count)
    y[count - fade :] *= np.linspace(1.0, 0.0, fade)[:, None]
    buffer[start : start + count] += y * (gain * pan_gains(pan))


def play(notes: list[Note], sounds: Bank, rng: Rng, seconds: float, detune: float = 0.0):
    """A part on a bank of samples, each key by its nearest sample."""
    buffer = np.zeros((int(seconds * RATE_HZ), 2))
    keys = np.array(sorted(sounds))
    for note in notes:
        nearest = int(keys[np.argmin(np.abs(keys - note.key))])
        takes = sounds[nearest]
        ratio = 2 ** ((note.key - nearest) / 12.0 + rng.normal(0.0, detune / 12.0))
        gain = 0.4 * (note.velocity / 110.0) ** 1.5
        take = takes[rng.integers(len(takes))]
        place(buffer, take, note.start_secs, ratio, note.length_secs, gain, 0.0, 0.06)
    return buffer
