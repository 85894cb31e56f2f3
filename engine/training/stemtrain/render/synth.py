"""Subtractive, FM and plucked-string synthesis."""

import numpy as np
from scipy import signal

from .dsp import RATE_HZ, Rng, chance, log_uniform, low_pass
from .score import Note

SHAPES = ("saw", "square", "triangle", "sine")


def frequency(key: float) -> float:
    return 440.0 * 2 ** ((key - 69) / 12.0)


def oscillator(hz: np.ndarray | float, length: int, shape: str, phase: float) -> np.ndarray:
    turns = np.cumsum(np.broadcast_to(hz, length)) / RATE_HZ + phase
    if shape == "sine":
        return np.sin(2 * np.pi * turns)
    saw = 2.0 * (turns % 1.0) - 1.0
    if shape == "saw":
        return saw
    return np.sign(saw) if shape == "square" else 2.0 * np.abs(saw) - 1.0


def string(hz: float, length: int, rng: Rng, brightness: float) -> np.ndarray:
    """Karplus and Strong's plucked string: noise through a comb whose loop loses its highs."""
    period = max(2, int(RATE_HZ / hz - 0.5))
    excitation = np.zeros(length)
    excitation[:period] = rng.uniform(-1.0, 1.0, period)[: min(period, length)]
    excitation = signal.lfilter([brightness], [1.0, brightness - 1.0], excitation)
    loop = np.zeros(period + 2)
    loop[0], loop[period], loop[period + 1] = 1.0, -0.498, -0.498
    return signal.lfilter([1.0], loop, excitation)


def play(notes: list[Note], rng: Rng, seconds: float, bass: bool) -> np.ndarray:
    """A part on one random patch."""
    kind = str(rng.choice(["subtractive", "fm", "string"], p=[0.6, 0.25, 0.15]))
    shape = str(rng.choice(SHAPES, p=[0.4, 0.25, 0.15, 0.2]))
    voices = 1 if bass and chance(rng, 0.7) else int(rng.integers(1, 6))
    attack = rng.uniform(0.002, 0.02) if bass or chance(rng, 0.6) else rng.uniform(0.02, 0.4)
    fall = log_uniform(rng, 0.06, 3.0)
    ratio, depth = float(rng.choice([0.5, 1, 1, 2, 3, 4, 7])), rng.uniform(0.3, 5.0)
    slide = rng.uniform(0.0, 1.0) if bass and chance(rng, 0.3) else 0.0
    vibrato = rng.uniform(0.0, 0.4) if chance(rng, 0.3) else 0.0
    vibrato_hz = rng.uniform(4.0, 7.0)
    brightness = rng.uniform(0.2, 0.9)
    spread = rng.uniform(0.0, 0.9)
    mix = np.zeros((int(seconds * RATE_HZ), 2))
    for note in notes:
        start = int(note.start_secs * RATE_HZ)
        length = min(int((note.length_secs + 0.15) * RATE_HZ), len(mix) - start)
        if length < 400:
            continue
        time = np.arange(length) / RATE_HZ
        hz = frequency(note.key)
        bend = 1.0 + slide * np.exp(-time * 60.0)
        bend = bend * 2 ** (vibrato / 12.0 * np.sin(2 * np.pi * vibrato_hz * time))
        y = np.zeros((length, 2))
        for _ in range(voices):
            detuned = hz * bend * 2 ** (rng.normal(0.0, 0.1 if voices > 1 else 0.0) / 12.0)
            if kind == "fm":
                index = depth * np.exp(-time / fall)
                modulator = index * oscillator(detuned * ratio, length, "sine", 0.0)
                wave = np.sin(2 * np.pi * np.cumsum(detuned) / RATE_HZ + modulator)
            elif kind == "string":
                wave = string(hz, length, rng, brightness)
            else:
                wave = oscillator(detuned, length, shape, rng.random())
            pan = rng.uniform(-spread, spread) if voices > 1 else 0.0
            y += wave[:, None] * np.array([1.0 - max(pan, 0.0), 1.0 + min(pan, 0.0)])
        envelope = np.minimum(1.0, time / attack) * np.exp(-time / fall)
        envelope *= np.clip((length / RATE_HZ - time) / 0.06, 0.0, 1.0)
        loudness = 0.2 * note.velocity / 110.0 / voices**0.5
        mix[start : start + length] += y * envelope[:, None] * loudness
    cutoff_hz = log_uniform(rng, 150, 3_000) if bass else log_uniform(rng, 500, 12_000)
    return filtered(mix, rng, cutoff_hz)


def filtered(x: np.ndarray, rng: Rng, cutoff_hz: float) -> np.ndarray:
    """A low-pass, now and then swept between two cutoffs."""
    order = int(rng.choice([2, 4]))
    closed = low_pass(x, cutoff_hz, order)
    if not chance(rng, 0.3):
        return closed
    sweep_hz = rng.uniform(0.05, 2.0)
    by = (0.5 - 0.5 * np.cos(2 * np.pi * sweep_hz * np.arange(len(x)) / RATE_HZ))[:, None]
    return closed * by + low_pass(x, cutoff_hz * 4.0, order) * (1.0 - by)
