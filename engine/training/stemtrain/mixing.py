"""Training examples: crops of the pools, augmented and mixed, random stems beside coherent songs.

A pool is a folder of aligned files, one per stem: int16 [samples, 2]. Crops are cut and bent in the
time domain on the CPU; equalisers, levels, drop-outs and the glue of the mix are gains on the spectra,
on the device that trains, so that one batch of spectra serves several mixes.
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from . import transform
from .config import SAMPLE_RATE_HZ, STEMS, Config

# How often a class is taken from recorded songs where both kinds are there. Voices most often: they
# are what synthesis imitates worst.
REAL_SHARE = {"drums": 0.2, "bass": 0.15, "other": 0.2, "vocals": 0.4}
REAL_PREFIX = "eif_"
COHERENT_SHARE = 0.35
DROP_OUT = {"drums": 0.15, "bass": 0.17, "other": 0.12, "vocals": 0.25}
BASE_DB = {"drums": 0.0, "bass": -1.0, "other": -2.0, "vocals": 0.0}
DOUBLING = {"drums": 0.08, "bass": 0.0, "other": 0.35, "vocals": 0.2}
MIXES_PER_BATCH = 4
# Root mean square of a crop after cutting.
LEVEL = 0.1

Pool = dict[str, np.ndarray]


@dataclasses.dataclass
class Batch:
    """Inputs and targets; the last axis is mid and side."""

    features: torch.Tensor  # [batch, frames, grid bins, 4]
    magnitude: torch.Tensor  # of the mix, [batch, frames, grid bins, 1, 2]
    targets: (
        torch.Tensor
    )  # part of the magnitude each stem explains, [batch, frames, grid bins, 4, 2]


def open_pools(folder: Path) -> dict[str, Pool]:
    pools = {}
    for path in sorted(p for p in folder.iterdir() if not p.name.startswith(".")):
        files = {stem: path / f"{stem}.npy" for stem in STEMS}
        pools[path.name] = {s: np.load(f, mmap_mode="r") for s, f in files.items() if f.exists()}
    return pools


def minutes(pools: dict[str, Pool]) -> dict[str, float]:
    return {
        stem: sum(len(p[stem]) for p in pools.values() if stem in p) / SAMPLE_RATE_HZ / 60.0
        for stem in STEMS
    }


def at_speed(x: np.ndarray, ratio: float, samples: int) -> np.ndarray:
    """Cubic interpolation; pitch and tempo change together."""
    if ratio == 1.0:
        return x[:samples]
    position = np.arange(samples) * ratio + 1.0
    whole = position.astype(np.int64)
    t = (position - whole).astype(np.float32)[:, None]
    a, b, c, d = x[whole - 1], x[whole], x[whole + 1], x[whole + 2]
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


class Mixer:
    def __init__(
        self, folder: Path, config: Config, rng: np.random.Generator, device: torch.device
    ):
        self.folder = folder
        self.config = config
        self.rng = rng
        self.device = device
        self.waiting: list[tuple[torch.Tensor, torch.Tensor, int]] = []
        self.reload()
        hz = torch.arange(config.bins) * config.sample_rate_hz / config.n_fft
        self.hz = hz.numpy()
        self.octave = np.log2(np.maximum(self.hz, 20.0))

    def reload(self) -> None:
        """Takes in pools that were rendered meanwhile."""
        self.pools = open_pools(self.folder)

    def choose(self, stem: str) -> Pool:
        named = {name: pool for name, pool in self.pools.items() if stem in pool}
        real = [name for name in named if name.startswith(REAL_PREFIX)]
        made = [name for name in named if name not in real]
        take_real = real and (not made or self.rng.random() < REAL_SHARE[stem])
        names = real if take_real else made
        return named[names[self.rng.integers(len(names))]]

    def cut(self, audio: np.ndarray, start: int, ratio: float, samples: int) -> np.ndarray:
        until = start + int(samples * ratio) + 8
        return at_speed(audio[start:until].astype(np.float32) / 32_768.0, ratio, samples)

    def crop(self, stem: str, samples: int) -> np.ndarray:
        """A crop of any song, at LEVEL."""
        rng = self.rng
        ratio = float(2 ** rng.uniform(-0.3, 0.3)) if rng.random() < 0.5 else 1.0
        audio = self.choose(stem)[stem]
        for _ in range(4):
            start = int(rng.integers(0, len(audio) - int(samples * ratio) - 16))
            x = self.cut(audio, start, ratio, samples)
            if np.square(x).mean() > 1e-5:
                break
        level = np.sqrt(np.square(x).mean())
        # Nearly silent crops stay nearly silent.
        return self.bend(x * np.float32(LEVEL / max(level, 0.003)), stem)

    def bend(self, x: np.ndarray, stem: str) -> np.ndarray:
        """Width, pan, polarity, sides, saturation."""
        rng = self.rng
        if rng.random() < 0.12:
            drive = np.float32(rng.uniform(2.0, 8.0))
            x = np.tanh(x * drive) / drive
        widths = (0.0, 0.3, 1.0) if stem == "bass" else (0.0, 0.5, 1.0, 1.0, 1.5)
        middle = x.mean(1, keepdims=True)
        x = middle + (x - middle) * np.float32(rng.choice(widths))
        if stem in ("other", "vocals") and rng.random() < 0.3:
            angle = (rng.uniform(-0.7, 0.7) + 1.0) * np.pi / 4.0
            x = x * np.array([np.cos(angle), np.sin(angle)], np.float32) * np.float32(2**0.5)
        if rng.random() < 0.5:
            x = x[:, ::-1]
        return x * np.float32(rng.choice([-1.0, 1.0]))

    def unrelated(self, samples: int) -> np.ndarray:
        """Stems of different songs, [stems, samples, 2]."""
        rng = self.rng
        stems = np.zeros((len(STEMS), samples, 2), np.float32)
        for index, stem in enumerate(STEMS):
            stems[index] = self.crop(stem, samples)
            if rng.random() < DOUBLING[stem]:
                stems[index] += self.crop(stem, samples) * np.float32(
                    10 ** (rng.uniform(-12, 0) / 20)
                )
        return stems

    def coherent(self, samples: int) -> np.ndarray:
        """One moment of one song."""
        rng = self.rng
        names = list(self.pools)
        real = [name for name in names if name.startswith(REAL_PREFIX)]
        name = str(rng.choice(real if real and rng.random() < 0.35 else names))
        pool = self.pools[name]
        length = min(len(audio) for audio in pool.values())
        ratio = float(2 ** rng.uniform(-0.2, 0.2)) if rng.random() < 0.5 else 1.0
        stems = np.zeros((len(STEMS), samples, 2), np.float32)
        for _ in range(4):
            start = int(rng.integers(0, length - int(samples * ratio) - 16))
            for index, stem in enumerate(STEMS):
                if stem in pool:
                    stems[index] = self.cut(pool[stem], start, ratio, samples)
            if np.square(stems).mean() > 1e-5:
                break
        if rng.random() < 0.5:
            stems = stems[:, :, ::-1]
        loudest = np.sqrt(np.square(stems).mean((1, 2)).max())
        return stems * np.float32(LEVEL / max(loudest, 0.003))

    def spectra(self, clips: int, samples: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Mid and side spectra as real and imaginary parts [clips, stems, 2, bins, frames], and how
        many clips, the first ones, are coherent."""
        coherent = int(self.rng.binomial(clips, COHERENT_SHARE))
        stems = [self.coherent(samples) for _ in range(coherent)]
        stems += [self.unrelated(samples) for _ in range(clips - coherent)]
        audio = torch.from_numpy(np.stack(stems)).to(self.device).transpose(-1, -2)
        spectrum = transform.stft(transform.mid_side(audio), self.config)
        return spectrum.real.contiguous(), spectrum.imag.contiguous(), coherent

    def gains(self, coherent: bool) -> np.ndarray:
        """Of one mix: gains [stems, bins] from levels, equalisers, drop-outs and a codec's edge."""
        rng = self.rng
        curves = np.zeros((len(STEMS), self.config.bins), np.float32)
        edge_hz = rng.uniform(9_000, 17_000) if rng.random() < 0.2 else None
        silent = rng.random() < 0.02
        keep = [rng.random() >= DROP_OUT[stem] for stem in STEMS]
        if not any(keep):
            keep[rng.integers(len(STEMS))] = True
        for index, stem in enumerate(STEMS):
            if silent or not keep[index]:
                continue
            spread = 6.0 if coherent else 9.0
            level_db = BASE_DB[stem] + rng.uniform(-spread, 5.0)
            if rng.random() < 0.12:
                level_db -= rng.uniform(4.0, 12.0)
            curve = np.full(self.config.bins, level_db)
            for _ in range(int(rng.integers(0, 4))):
                centre, width = rng.uniform(5.5, 14.0), rng.uniform(0.4, 2.0)
                curve += rng.uniform(-8, 8) * np.exp(-0.5 * ((self.octave - centre) / width) ** 2)
            if edge_hz is not None:
                curve -= 10.0 * np.log10(1.0 + (self.hz / edge_hz) ** 40)
            curves[index] = 10 ** (curve / 20.0)
        return curves

    def glue(self, power: torch.Tensor) -> torch.Tensor:
        """The gain per frame of a bus compressor or limiter, [clips, frames]; the same for all stems,
        so that they still sum to the mix."""
        level = power.mean((1, 2)).sqrt() + 1e-5
        reference = level.mean(1, keepdim=True)
        clips = len(power)
        amount = np.where(self.rng.random(clips) < 0.5, self.rng.uniform(0.1, 0.7, clips), 0.0)
        amount = torch.from_numpy(amount).float().to(power.device)[:, None]
        return (torch.maximum(level, 0.2 * reference) / reference) ** -amount

    def scale(self, power: torch.Tensor) -> torch.Tensor:
        """Gain per frame to a random level, [clips, frames]: from -9 to -34 dBFS, the level of
        masters more often. The network hears songs at their own level, so it must know them all."""
        clips = len(power)
        hot = self.rng.random(clips) < 0.6
        level_db = np.where(
            hot, self.rng.uniform(-20, -9, clips), self.rng.uniform(-34, -14, clips)
        )
        window_power = self.config.n_fft * 0.375
        rms = (power.mean((1, 2, 3)) / window_power).sqrt()
        gain = torch.from_numpy(10 ** (level_db / 20)).float().to(self.device) / (rms + 1e-4)
        return gain[:, None] * self.glue(power)

    def batch(self, clips: int, samples: int) -> Batch:
        if not self.waiting:
            self.waiting = [self.spectra(clips, samples)] * MIXES_PER_BATCH
        all_real, all_imag, coherent = self.waiting.pop()
        gains = np.stack([self.gains(clip < coherent) for clip in range(clips)])
        gains = torch.from_numpy(gains).to(self.device)[:, :, None, :, None]
        real, imag = [], []
        for stem in range(len(STEMS)):
            # Unrelated stems are dealt anew to the clips.
            order = np.arange(clips)
            order[coherent:] = self.rng.permutation(order[coherent:])
            real.append(all_real[torch.from_numpy(order), stem].mul_(gains[:, stem]))
            imag.append(all_imag[torch.from_numpy(order), stem].mul_(gains[:, stem]))
        mix_real, mix_imag = sum(real), sum(imag)
        scale = self.scale(mix_real.square() + mix_imag.square())[:, None, None]
        mix_real, mix_imag = mix_real * scale, mix_imag * scale
        values, powers = transform.features(torch.complex(mix_real, mix_imag), self.config)
        magnitude = powers.sqrt()
        targets = torch.stack(
            [
                transform.pool((mix_real * re).addcmul_(mix_imag, im), self.config)
                for re, im in zip(real, imag)
            ],
            1,
        )
        targets = targets * scale[:, None] / (magnitude[:, None] + 1e-5)
        return Batch(
            values,
            magnitude.permute(0, 3, 2, 1)[:, :, :, None].contiguous(),
            targets.permute(0, 4, 3, 1, 2).contiguous(),
        )
