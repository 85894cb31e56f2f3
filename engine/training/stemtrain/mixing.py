"""Training examples: crops of the pools, augmented and mixed, random stems beside coherent songs.

A pool is a folder of aligned files, one per stem: int16 [samples, 2]. A file "band" is everything but
voices in one: it stands in for the stems it holds, and only its sum counts. Pools lie where the network
trains: in a GPU's memory, or mapped from disk on a CPU. Crops are cut, bent in time and coloured as
waves; equalisers, levels, drop-outs, side-chains and the glue of the mix are gains on the spectra, so
that one batch of spectra serves several mixes. Everything is done for all crops at once.
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from . import transform
from .config import SAMPLE_RATE_HZ, STEMS, Config

# Pools of recordings, by the beginning of their names; the others are rendered.
REAL_PREFIXES = ("eif_", "real_")
# How often a class is taken from recordings where both kinds are there. Voices most often: they
# are what synthesis imitates worst.
REAL_SHARE = {"drums": 0.25, "bass": 0.2, "other": 0.25, "vocals": 0.5}
COHERENT_SHARE = 0.35
COHERENT_REAL_SHARE = 0.35
DROP_OUT = {"drums": 0.15, "bass": 0.17, "other": 0.12, "vocals": 0.25}
SILENCE_SHARE = 0.02
BASE_DB = {"drums": 0.0, "bass": -1.0, "other": -2.0, "vocals": 0.0}
DOUBLING = {"drums": 0.08, "bass": 0.0, "other": 0.4, "vocals": 0.25}
SIDE_CHAIN_SHARE = 0.15
SIDE_CHAINED = ("bass", "other")
MIXES_PER_BATCH = 4
# Root mean square of a crop after cutting, and the least that is raised to it.
LEVEL = 0.1
QUIETEST = 0.003
# Clips that are a band, with a voice from elsewhere.
BAND_SHARE = 0.12
BAND = "band"
# Mean square of 16-bit audio, in units of full scale, that counts as sounding.
SOUNDING = 1e-5
LARGEST_SPEED = 2**0.3


class Pool:
    """One folder: audio by stem, and for each the half seconds in which it sounds."""

    def __init__(self, folder: Path, device: torch.device):
        self.name = folder.name
        self.real = folder.name.startswith(REAL_PREFIXES)
        self.audio: dict[str, torch.Tensor] = {}
        self.sounding: dict[str, np.ndarray] = {}
        block = SAMPLE_RATE_HZ // 2
        for stem in (*STEMS, BAND):
            path = folder / f"{stem}.npy"
            if not path.exists():
                continue
            # Copy on write, since PyTorch wants memory that may be written.
            mapped = np.load(path, mmap_mode="c")
            audio = torch.from_numpy(mapped).to(device)
            blocks = len(audio) // block
            power = [
                (part.view(-1, block * 2).float() / 32_768.0).square().mean(1).cpu().numpy()
                for part in audio[: blocks * block].split(200 * block)
            ]
            self.audio[stem] = audio
            self.sounding[stem] = np.flatnonzero(np.concatenate(power) > SOUNDING) * block

    @property
    def minutes(self) -> dict[str, float]:
        return {s: len(x) / SAMPLE_RATE_HZ / 60.0 for s, x in self.audio.items()}


@dataclasses.dataclass
class Batch:
    """Inputs and targets; the last axis is mid and side."""

    features: torch.Tensor  # [batch, frames, grid bins, 4]
    magnitude: torch.Tensor  # of the mix, [batch, frames, grid bins, 1, 2]
    # Part of the magnitude each stem explains, [batch, frames, grid bins, 4, 2].
    targets: torch.Tensor
    bands: torch.Tensor  # clips in which `other` holds drums and bass as well, [batch]


@dataclasses.dataclass
class Spectra:
    """Real and imaginary parts of mid and side, [clips, stems, 2, bins, frames]; clips from 0 to
    `coherent` are moments of one song, those from `bands` on have bands."""

    real: torch.Tensor
    imag: torch.Tensor
    coherent: int
    bands: int


def at_speed(x: torch.Tensor, ratios: torch.Tensor, samples: int) -> torch.Tensor:
    """Cubic interpolation of [n, longer, 2] to [n, samples, 2]; pitch and tempo change together."""
    position = torch.arange(samples, device=x.device, dtype=torch.float64) * ratios[:, None] + 1.0
    whole = position.long()
    t = (position - whole).float()[..., None]
    a, b, c, d = (x.gather(1, (whole + k)[..., None].expand(-1, -1, 2)) for k in (-1, 0, 1, 2))
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


class Mixer:
    def __init__(
        self, folder: Path, config: Config, rng: np.random.Generator, device: torch.device
    ):
        self.folder = folder
        self.config = config
        self.rng = rng
        self.device = device
        self.pools: list[Pool] = []
        self.waiting: list[Spectra] = []
        self.reload()
        hz = torch.arange(config.bins, device=device) * config.sample_rate_hz / config.n_fft
        self.hz = hz
        self.octave = torch.log2(hz.clamp(min=20.0))

    def reload(self) -> None:
        """Takes in pools that were rendered meanwhile."""
        known = {pool.name for pool in self.pools}
        for path in sorted(self.folder.iterdir()):
            if not path.name.startswith(".") and path.name not in known:
                self.pools.append(Pool(path, self.device))

    def minutes(self) -> dict[str, tuple[float, float]]:
        """Of each stem: all of it and what of it was recorded."""
        return {
            stem: tuple(
                round(sum(p.minutes.get(stem, 0.0) for p in self.pools if p.real >= real))
                for real in (False, True)
            )
            for stem in (*STEMS, BAND)
        }

    def on_device(self, values: np.ndarray) -> torch.Tensor:
        """In single precision."""
        return torch.from_numpy(np.asarray(values, np.float32)).to(self.device)

    def choose(self, stem: str) -> Pool:
        """A pool that has the stem, longer ones more often."""
        having = [p for p in self.pools if stem in p.audio and len(p.sounding[stem])]
        real = [p for p in having if p.real]
        made = [p for p in having if not p.real]
        take_real = real and (not made or self.rng.random() < REAL_SHARE[stem])
        return self.longer(real if take_real else made, stem)

    def longer(self, pools: list[Pool], stem: str) -> Pool:
        weights = np.array([len(pool.sounding[stem]) for pool in pools], float)
        return pools[self.rng.choice(len(pools), p=weights / weights.sum())]

    def speeds(self, count: int, octaves: float) -> np.ndarray:
        """Half of them 1."""
        moved = self.rng.random(count) < 0.5
        return 2 ** (moved * self.rng.uniform(-octaves, octaves, count))

    def cut(
        self, places: list[tuple[torch.Tensor, int]], ratios: np.ndarray, samples: int
    ) -> torch.Tensor:
        """Crops [n, samples, 2] of (audio, start); what lies beyond its ends is silent."""
        longest = int(samples * LARGEST_SPEED) + 8
        raw = torch.zeros((len(places), longest, 2), dtype=torch.int16, device=self.device)
        for row, (audio, start) in zip(raw, places):
            before = max(0, -start)
            part = audio[start + before : start + longest]
            row[before : before + len(part)] = part
        ratios = torch.from_numpy(ratios).to(self.device)
        return at_speed(raw.float() / 32_768.0, ratios, samples)

    def crops(self, stem: str, count: int, samples: int) -> torch.Tensor:
        """Crops of any songs at LEVEL, [count, samples, 2]. They begin up to a clip before a moment
        that sounds."""
        places = []
        for _ in range(count):
            pool = self.choose(stem)
            moment = int(self.rng.choice(pool.sounding[stem]))
            start = moment - int(self.rng.integers(0, samples * 3 // 4))
            places.append((pool.audio[stem], start))
        x = self.cut(places, self.speeds(count, 0.3), samples)
        level = x.square().mean((1, 2), keepdim=True).sqrt()
        # Nearly silent crops stay nearly silent.
        return self.bend(x * (LEVEL / level.clamp(min=QUIETEST)), stem)

    def bend(self, x: torch.Tensor, stem: str) -> torch.Tensor:
        """Saturation, width, pan, sides, polarity."""
        rng, count = self.rng, len(x)
        drive = self.on_device(rng.uniform(2.0, 8.0, count))[:, None, None]
        driven = torch.from_numpy(rng.random(count) < 0.12).to(self.device)[:, None, None]
        x = torch.where(driven, torch.tanh(x * drive) / drive, x)
        widths = (0.0, 0.3, 1.0) if stem == "bass" else (0.0, 0.5, 1.0, 1.0, 1.5)
        middle = x.mean(2, keepdim=True)
        x = middle + (x - middle) * self.on_device(rng.choice(widths, count))[:, None, None]
        if stem in ("other", "vocals"):
            angle = np.where(rng.random(count) < 0.3, rng.uniform(-0.7, 0.7, count), 0.0)
            angle = (angle + 1.0) * np.pi / 4.0
            x = x * self.on_device(np.stack((np.cos(angle), np.sin(angle)), 1) * 2**0.5)[:, None]
        swapped = torch.from_numpy(rng.random(count) < 0.5).to(self.device)[:, None, None]
        x = torch.where(swapped, x.flip(2), x)
        return x * self.on_device(rng.choice([-1.0, 1.0], count))[:, None, None]

    def unrelated(self, count: int, samples: int) -> torch.Tensor:
        """Stems of different songs, [count, stems, samples, 2]."""
        stems = []
        for stem in STEMS:
            x = self.crops(stem, count, samples)
            second = np.flatnonzero(self.rng.random(count) < DOUBLING[stem])
            if len(second):
                gain = self.on_device(10 ** (self.rng.uniform(-12, 0, len(second)) / 20))
                more = self.crops(stem, len(second), samples) * gain[:, None, None]
                x[torch.from_numpy(second).to(self.device)] += more
            stems.append(x)
        return torch.stack(stems, 1)

    def coherent(self, count: int, samples: int) -> torch.Tensor:
        """Moments of songs, [count, stems, samples, 2]."""
        rng = self.rng
        songs = [p for p in self.pools if len(p.audio) > 1 and any(map(len, p.sounding.values()))]
        real = [pool for pool in songs if pool.real]
        nothing = torch.zeros((0, 2), dtype=torch.int16, device=self.device)
        places = []
        for _ in range(count):
            group = real if real and rng.random() < COHERENT_REAL_SHARE else songs
            pool = group[rng.integers(len(group))]
            shown = str(rng.choice([s for s in STEMS if len(pool.sounding.get(s, ()))]))
            moment = int(rng.choice(pool.sounding[shown]))
            start = moment - int(rng.integers(0, samples * 3 // 4))
            places += [(pool.audio.get(stem, nothing), start) for stem in STEMS]
        ratios = np.repeat(self.speeds(count, 0.2), len(STEMS))
        stems = self.cut(places, ratios, samples).unflatten(0, (count, len(STEMS)))
        swapped = torch.from_numpy(rng.random(count) < 0.5).to(self.device)[:, None, None, None]
        stems = torch.where(swapped, stems.flip(3), stems)
        loudest = stems.square().mean((2, 3)).amax(1).sqrt()
        return stems * (LEVEL / loudest.clamp(min=QUIETEST))[:, None, None, None]

    def banded(self, count: int, samples: int) -> torch.Tensor:
        """Bands as `other`, and voices, [count, stems, samples, 2]."""
        stems = torch.zeros((count, len(STEMS), samples, 2), device=self.device)
        stems[:, STEMS.index("other")] = self.crops(BAND, count, samples)
        stems[:, STEMS.index("vocals")] = self.crops("vocals", count, samples)
        return stems

    def spectra(self, clips: int, samples: int) -> Spectra:
        coherent = int(self.rng.binomial(clips, COHERENT_SHARE))
        bands = 0
        if any(BAND in pool.audio for pool in self.pools):
            bands = int(self.rng.binomial(clips - coherent, BAND_SHARE))
        counts = (coherent, clips - coherent - bands, bands)
        makers = (self.coherent, self.unrelated, self.banded)
        stems = [make(count, samples) for make, count in zip(makers, counts) if count]
        audio = torch.cat(stems).transpose(-1, -2)
        spectrum = transform.stft(transform.mid_side(audio), self.config)
        real, imag = spectrum.real.contiguous(), spectrum.imag.contiguous()
        return Spectra(real, imag, coherent, clips - bands)

    def gains(self, clips: int, coherent: int) -> torch.Tensor:
        """Of one mix each: gains [clips, stems, bins] from levels, equalisers, drop-outs and a
        codec's edge. The first clips, the coherent ones, keep their balance better."""
        rng, shape = self.rng, (clips, len(STEMS))
        keep = rng.random(shape) >= np.array([DROP_OUT[stem] for stem in STEMS])
        none = ~keep.any(1)
        keep[none, rng.integers(0, len(STEMS), clips)[none]] = True
        keep[rng.random(clips) < SILENCE_SHARE] = False
        spread = np.where(np.arange(clips) < coherent, 6.0, 9.0)[:, None]
        level_db = np.array([BASE_DB[stem] for stem in STEMS]) + rng.uniform(-spread, 5.0, shape)
        level_db -= np.where(rng.random(shape) < 0.12, rng.uniform(4.0, 12.0, shape), 0.0)
        curve_db = self.on_device(level_db)[..., None].repeat(1, 1, self.config.bins)
        bells = rng.integers(0, 4, shape)
        for bell in range(3):
            height = np.where(bell < bells, rng.uniform(-8.0, 8.0, shape), 0.0)
            centre = self.on_device(rng.uniform(5.5, 14.0, shape))[..., None]
            width = self.on_device(rng.uniform(0.4, 2.0, shape))[..., None]
            distance = (self.octave - centre) / width
            curve_db += self.on_device(height)[..., None] * torch.exp(-0.5 * distance.square())
        edge_hz = np.where(rng.random(clips) < 0.2, rng.uniform(9_000, 17_000, clips), 1e9)
        edge = (
            (self.hz / self.on_device(edge_hz)[:, None]).pow(8).square().square().add(1.0).log10()
        )
        curve_db -= 10.0 * edge[:, None]
        return 10 ** (curve_db / 20.0) * self.on_device(keep)[..., None]

    def side_chain(self, drums_power: torch.Tensor) -> torch.Tensor:
        """The gain per frame that the bass drum leaves others, [clips, frames]; for most mixes 1."""
        clips = len(drums_power)
        low = max(2, round(120.0 * self.config.n_fft / self.config.sample_rate_hz))
        level = drums_power[:, :, :low].sum((1, 2)).sqrt()
        level = level / (level.amax(1, keepdim=True) + 1e-6)
        for _ in range(4):  # frames of release
            level[:, 1:] = torch.maximum(level[:, 1:], 0.6 * level[:, :-1])
        chosen = self.rng.random(clips) < SIDE_CHAIN_SHARE
        depth = np.where(chosen, self.rng.uniform(0.3, 0.95, clips), 0.0)
        return 1.0 - self.on_device(depth)[:, None] * (2.0 * level).clamp(max=1.0)

    def glue(self, power: torch.Tensor) -> torch.Tensor:
        """The gain per frame of a bus compressor or limiter, [clips, frames]; the same for all stems,
        so that they still sum to the mix."""
        level = power.mean((1, 2)).sqrt() + 1e-5
        reference = level.mean(1, keepdim=True)
        clips = len(power)
        amount = np.where(self.rng.random(clips) < 0.5, self.rng.uniform(0.1, 0.7, clips), 0.0)
        return (torch.maximum(level, 0.2 * reference) / reference) ** -self.on_device(amount)[
            :, None
        ]

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
        gain = self.on_device(10 ** (level_db / 20)) / (rms + 1e-4)
        return gain[:, None] * self.glue(power)

    def batch(self, clips: int, samples: int) -> Batch:
        if not self.waiting:
            self.waiting = [self.spectra(clips, samples)] * MIXES_PER_BATCH
        spectra = self.waiting.pop()
        coherent, bands = spectra.coherent, spectra.bands
        gains = self.gains(clips, coherent)[:, :, None, :, None]
        real, imag = [], []
        for index, stem in enumerate(STEMS):
            # Unrelated stems are dealt anew to the clips, voices to bands too.
            order = np.arange(clips)
            until = clips if stem == "vocals" else bands
            order[coherent:until] = self.rng.permutation(order[coherent:until])
            order = torch.from_numpy(order).to(self.device)
            real.append(spectra.real[order, index].mul_(gains[:, index]))
            imag.append(spectra.imag[order, index].mul_(gains[:, index]))
        drums = STEMS.index("drums")
        ducked = self.side_chain(real[drums].square() + imag[drums].square())[:, None, None]
        for stem in SIDE_CHAINED:
            real[STEMS.index(stem)].mul_(ducked)
            imag[STEMS.index(stem)].mul_(ducked)
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
            torch.arange(clips, device=self.device) >= bands,
        )
