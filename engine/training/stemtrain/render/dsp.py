"""Filters and effects on stereo float arrays [samples, 2] at 44.1 kHz."""

import numpy as np
from scipy import signal

RATE_HZ = 44_100
Rng = np.random.Generator


def log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def chance(rng: Rng, probability: float) -> bool:
    return bool(rng.random() < probability)


def low_pass(x: np.ndarray, hz: float, order: int = 2) -> np.ndarray:
    sos = signal.butter(order, min(hz, 20_000.0), fs=RATE_HZ, output="sos")
    return signal.sosfilt(sos, x, axis=0)


def high_pass(x: np.ndarray, hz: float, order: int = 2) -> np.ndarray:
    return signal.sosfilt(signal.butter(order, hz, "high", fs=RATE_HZ, output="sos"), x, axis=0)


def band_pass(x: np.ndarray, low_hz: float, high_hz: float, order: int = 2) -> np.ndarray:
    sos = signal.butter(order, (low_hz, high_hz), "band", fs=RATE_HZ, output="sos")
    return signal.sosfilt(sos, x, axis=0)


def saturate(x: np.ndarray, drive: float) -> np.ndarray:
    peak = np.abs(x).max() + 1e-9
    return np.tanh(x / peak * drive) * (peak / np.tanh(drive))


def pan_gains(pan: float) -> np.ndarray:
    """Equal power, both 1 in the middle; pan from -1 to 1."""
    angle = (pan + 1.0) * np.pi / 4.0
    return np.sqrt(2.0) * np.array([np.cos(angle), np.sin(angle)])


def stereo(x: np.ndarray, pan: float = 0.0) -> np.ndarray:
    return x[:, None] * pan_gains(pan) if x.ndim == 1 else x * pan_gains(pan)


def widen(x: np.ndarray, by: float) -> np.ndarray:
    mid = x.mean(1, keepdims=True)
    return mid + (x - mid) * by


def reverb(x: np.ndarray, rng: Rng, wet: float, decay_secs: float) -> np.ndarray:
    """A room of decaying noise, darker as it decays."""
    length = int(decay_secs * RATE_HZ)
    decay = np.exp(-6.9 * np.arange(length) / length)[:, None]
    bright = rng.standard_normal((length, 2)) * decay
    dark = low_pass(bright, log_uniform(rng, 1_500, 6_000), 1)
    fade = np.linspace(1.0, 0.0, length)[:, None]
    response = bright * fade + dark * (1.0 - fade)
    response /= np.sqrt((response**2).sum() / 2.0) + 1e-9
    tail = signal.oaconvolve(x, response, axes=0)
    late = int(rng.uniform(0.0, 0.04) * RATE_HZ)
    y = x.copy()
    y[late:] += wet * tail[: len(x) - late]
    return y


def echo(x: np.ndarray, delay_secs: float, feedback: float, wet: float, crossed: bool):
    y = x.copy()
    step = int(delay_secs * RATE_HZ)
    gain, source = wet, x
    for repeat in range(1, 5):
        start = repeat * step
        if start >= len(x):
            break
        source = source[:, ::-1] if crossed else source
        y[start:] += gain * source[: len(x) - start]
        gain *= feedback
    return y


def chorus(x: np.ndarray, rng: Rng) -> np.ndarray:
    at = np.arange(len(x), dtype=float)
    sweep = np.sin(2 * np.pi * rng.uniform(0.2, 2.0) * at / RATE_HZ)
    y = x.copy()
    for channel, sign in ((0, 1.0), (1, -1.0)):
        delay = RATE_HZ * (0.006 + 0.003 * sign * sweep)
        y[:, channel] += 0.7 * np.interp(at - delay, at, x[:, channel])
    return y


def compress(x: np.ndarray, rng: Rng) -> np.ndarray:
    """Evens out the level of hundredths of a second by a random amount."""
    hop = 441
    frames = len(x) // hop + 1
    padded = np.zeros((frames * hop, 2))
    padded[: len(x)] = x
    level = np.sqrt((padded.reshape(frames, -1) ** 2).mean(1)) + 1e-6
    level = signal.filtfilt([0.2], [1.0, -0.8], level)
    reference = np.sqrt((level**2).mean()) + 1e-6
    gain = (np.maximum(level, 0.1 * reference) / reference) ** -rng.uniform(0.1, 0.6)
    return x * np.interp(np.arange(len(x)) / hop, np.arange(frames), gain)[:, None]


def amplifier(x: np.ndarray, rng: Rng) -> np.ndarray:
    """A guitar amplifier and its cabinet, clean to so heavy that notes do not seem to decay."""
    driven = high_pass(x / (np.abs(x).max() + 1e-9), 90.0)
    drive = log_uniform(rng, 1.5, 600.0)
    if chance(rng, 0.5):  # a pedal that leaves the lows out
        driven = driven + rng.uniform(1.0, 4.0) * high_pass(driven, rng.uniform(500.0, 900.0), 1)
    # Four times the rate, so that what folds back stays below the cabinet's noise.
    driven = signal.resample_poly(driven, 4, 1, axis=0)
    driven = np.tanh(driven * min(drive, 30.0) + rng.uniform(0.0, 0.3))
    if drive > 30.0:
        driven = np.tanh((driven - driven.mean(0)) * (drive / 30.0))
    driven = signal.resample_poly(driven, 1, 4, axis=0)[: len(x)]
    cabinet = low_pass(driven, rng.uniform(3_500, 7_000), int(rng.integers(3, 5)))
    cabinet = equalise(high_pass(cabinet, 70.0), rng, 6.0)
    return 0.3 * cabinet


def equalise(x: np.ndarray, rng: Rng, spread_db: float) -> np.ndarray:
    """Two to four broad random bells, by one pass through the spectrum."""
    spectrum = np.fft.rfft(x, axis=0)
    octave = np.log2(np.maximum(np.fft.rfftfreq(len(x), 1 / RATE_HZ), 20.0))
    gain_db = np.zeros(len(octave))
    for _ in range(int(rng.integers(2, 5))):
        centre, width = rng.uniform(5.5, 14.0), rng.uniform(0.4, 2.0)
        gain_db += rng.uniform(-spread_db, spread_db) * np.exp(
            -0.5 * ((octave - centre) / width) ** 2
        )
    return np.fft.irfft(spectrum * 10 ** (gain_db / 20.0)[:, None], len(x), axis=0)


def space(x: np.ndarray, rng: Rng, dry: float, longest_secs: float) -> np.ndarray:
    """Sometimes echo, chorus, room: what a stem gets before the mix."""
    if chance(rng, 0.2):
        x = echo(x, rng.uniform(0.12, 0.5), 0.5, rng.uniform(0.1, 0.5), chance(rng, 0.5))
    if chance(rng, 0.15):
        x = chorus(x, rng)
    if not chance(rng, dry):
        x = reverb(x, rng, rng.uniform(0.03, 0.45), rng.uniform(0.3, longest_secs))
    return x


def wash(x: np.ndarray, rng: Rng) -> np.ndarray:
    """Effects so heavy that little of the sound is as it was: filters, drive, gates, long echoes and
    rooms without what is in them."""
    kind = rng.random()
    if kind < 0.35:
        x = low_pass(x, log_uniform(rng, 500, 4_000), int(rng.integers(1, 4)))
    elif kind < 0.5:
        x = band_pass(x, log_uniform(rng, 200, 700), log_uniform(rng, 1_500, 5_000))
    elif kind < 0.6:
        x = high_pass(x, log_uniform(rng, 300, 1_500))
    if chance(rng, 0.25):
        x = saturate(x, log_uniform(rng, 3.0, 40.0))
    if chance(rng, 0.35):
        x = chorus(x, rng)
    if chance(rng, 0.15):
        hz = rng.uniform(2.0, 9.0)
        swing = np.sin(2 * np.pi * hz * np.arange(len(x)) / RATE_HZ)
        x = x * np.clip(0.5 + rng.uniform(0.5, 4.0) * swing, 0.0, 1.0)[:, None]
    backwards = chance(rng, 0.12)
    x = x[::-1] if backwards else x
    if chance(rng, 0.5):
        wet, feedback = rng.uniform(0.3, 1.0), rng.uniform(0.5, 0.85)
        x = echo(x, rng.uniform(0.15, 0.8), feedback, wet, chance(rng, 0.5))
    if chance(rng, 0.8):
        dry = 0.0 if chance(rng, 0.3) else rng.uniform(0.1, 1.0)
        x = x * dry + reverb(x, rng, 1.0, log_uniform(rng, 1.0, 7.0)) - x
    return x[::-1] if backwards and chance(rng, 0.7) else x


def normalise(x: np.ndarray) -> np.ndarray:
    """To -20 dBFS where it sounds, as 16-bit integers."""
    frames = x[: len(x) // 4410 * 4410].reshape(-1, 4410 * 2)
    level = np.sqrt((frames**2).mean(1))
    active = level[level > 0.1 * level.max()]
    if len(active) == 0 or level.max() < 1e-6:
        return np.zeros(x.shape, np.int16)
    y = x * (0.1 / np.sqrt((active**2).mean()))
    peak = np.abs(y).max()
    if peak > 0.99:
        y = np.where(
            np.abs(y) > 0.6, np.sign(y) * (0.6 + 0.39 * np.tanh((np.abs(y) - 0.6) / 0.39)), y
        )
    return np.round(y * 32767.0).astype(np.int16)
