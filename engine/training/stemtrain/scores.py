"""Signal-to-distortion ratios, as engine/src/eval.rs takes them."""

import numpy as np

from .config import SAMPLE_RATE_HZ

# A one-second frame in which a stem has less mean power than this (summed over channels) is silent.
SILENT_POWER = 1e-6


def ratio_db(signal: float, error: float) -> float:
    return float(10.0 * np.log10(max(signal, 1e-30) / max(error, 1e-30)))


def distortion(stem: np.ndarray, estimate: np.ndarray) -> tuple[float, float]:
    """Of [2, samples]: over the whole song, and the median over seconds in which the stem sounds."""
    signal = np.square(stem, dtype=float).sum(0)
    error = np.square(stem.astype(float) - estimate).sum(0)
    frames = len(signal) // SAMPLE_RATE_HZ
    whole = frames * SAMPLE_RATE_HZ
    signals = signal[:whole].reshape(frames, -1).sum(1)
    errors = error[:whole].reshape(frames, -1).sum(1)
    sounding = signals > SILENT_POWER * SAMPLE_RATE_HZ
    per_frame = [ratio_db(s, e) for s, e in zip(signals[sounding], errors[sounding])]
    median = float(np.median(per_frame)) if per_frame else float("nan")
    return ratio_db(signal.sum(), error.sum()), median


def leakage(mixture: np.ndarray, estimate: np.ndarray) -> float:
    """Energy of what should be silent, relative to the mixture's, in decibels."""
    return ratio_db(np.square(estimate, dtype=float).sum(), np.square(mixture, dtype=float).sum())
