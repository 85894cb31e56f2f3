"""The network: bands of the spectrum, GRUs over time and over bands, one mask head per band."""

import torch
from torch import nn
from torch.nn import functional

from .config import Config

CHANNELS = 4  # left, right, mid, side
NORM_EPS = 1e-6


def bi_gru(inputs: int, hidden: int) -> nn.GRU:
    return nn.GRU(inputs, hidden, batch_first=True, bidirectional=True)


class TimeMixer(nn.Module):
    """A bidirectional GRU along time, the same weights for every band.

    It runs in windows of `window` frames that lie where the song's frames lie, whatever part of the
    song it is given, and begins each from nothing: so what it says about a frame depends on some
    seconds around it only, and a song cut in pieces comes out as in one piece. Windows of one block
    begin in the middle of those of the next, as the windows of a Swin transformer do.
    """

    def __init__(self, width: int, hidden: int, window: int, shift: int):
        super().__init__()
        self.window = window
        self.shift = shift
        self.norm = nn.Parameter(torch.ones(width))
        self.gru = bi_gru(width, hidden)
        self.out = nn.Linear(2 * hidden, width)

    def forward(self, x: torch.Tensor, first: int) -> torch.Tensor:
        """[batch, bands, frames, width], residual included; `first` is the song's frame that the
        first one is."""
        batch, bands, frames, width = x.shape
        y = functional.rms_norm(x, (width,), self.norm, NORM_EPS).flatten(0, 1)
        head = min((self.shift - first) % self.window, frames)
        whole = (frames - head) // self.window
        tail = head + whole * self.window
        parts = []
        if head:
            parts.append(self.gru(y[:, :head])[0])
        if whole:
            windows = y[:, head:tail].reshape(batch * bands * whole, self.window, width)
            parts.append(self.gru(windows)[0].reshape(batch * bands, tail - head, -1))
        if tail < frames:
            parts.append(self.gru(y[:, tail:])[0])
        return x + self.out(torch.cat(parts, 1)).view_as(x)


class BandGru(nn.Module):
    """A bidirectional GRU along bands, the same weights for every frame."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.norm = nn.Parameter(torch.ones(width))
        self.gru = bi_gru(width, hidden)
        self.out = nn.Linear(2 * hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, bands, frames, width = x.shape
        y = functional.rms_norm(x, (width,), self.norm, NORM_EPS)
        y, _ = self.gru(y.transpose(1, 2).reshape(batch * frames, bands, width))
        y = self.out(y).view(batch, frames, bands, width).transpose(1, 2)
        return x + y


class BandMlp(nn.Module):
    """A perceptron across bands, the same weights for every frame and feature."""

    def __init__(self, width: int, bands: int):
        super().__init__()
        self.norm = nn.Parameter(torch.ones(width))
        self.expand = nn.Linear(bands, 2 * bands)
        self.reduce = nn.Linear(2 * bands, bands)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.rms_norm(x, (x.shape[-1],), self.norm, NORM_EPS)
        y = self.reduce(functional.relu(self.expand(y.transpose(1, 3))))
        return x + y.transpose(1, 3)


class Block(nn.Module):
    def __init__(self, config: Config, index: int):
        super().__init__()
        shift = (config.blocks - index) % 2 * (config.window // 2)
        self.time = TimeMixer(config.width, config.time_hidden, config.window, shift)
        if config.mixer == "gru":
            self.bands = BandGru(config.width, config.band_hidden)
        else:
            self.bands = BandMlp(config.width, len(config.bands))

    def forward(self, x: torch.Tensor, first: int) -> torch.Tensor:
        return self.bands(self.time(x, first))


class Head(nn.Module):
    """Logits of one band's masks."""

    def __init__(self, width: int, hidden: int, outputs: int):
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(functional.relu(self.hidden(x)))


class Network(nn.Module):
    """Features [batch, frames, grid bins, 4] to masks [batch, frames, grid bins, stems, 2]; the
    last axis is mid and side, the masks of all stems sum to one. `first` is the song's frame that the
    first one is."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        grid_bins = config.grid_bins
        self.widths = [high - low for low, high in config.bands]
        assert sum(self.widths) == grid_bins
        self.shift = nn.Parameter(torch.zeros(grid_bins, CHANNELS))
        self.scale = nn.Parameter(torch.ones(grid_bins, CHANNELS))
        self.split = nn.ModuleList(nn.Linear(CHANNELS * w, config.width) for w in self.widths)
        self.blocks = nn.ModuleList(Block(config, i) for i in range(config.blocks))
        outputs = 2 * len(config.stems)
        self.head = nn.ModuleList(
            Head(config.width, config.head_hidden, w * outputs) for w in self.widths
        )

    def forward(self, features: torch.Tensor, first: int = 0) -> torch.Tensor:
        config = self.config
        batch, frames, grid_bins, _ = features.shape
        x = (features - self.shift) * self.scale
        x = [split(band.flatten(2)) for split, band in zip(self.split, x.split(self.widths, 2))]
        x = torch.stack(x, 1)  # [batch, bands, frames, width]
        for block in self.blocks:
            x = block(x, first)
        logits = torch.cat([head(band) for head, band in zip(self.head, x.unbind(1))], 2)
        logits = logits.view(batch, frames, grid_bins, len(config.stems), 2)
        return (logits * config.mask_exponent).softmax(3)


def parameter_count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def macs_per_second(config: Config) -> float:
    """Multiply-accumulates per second of audio, STFT not counted."""
    bands, n, h, hb = len(config.bands), config.width, config.time_hidden, config.band_hidden
    time = bands * (2 * 3 * h * (n + h) + 2 * h * n)
    if config.mixer == "gru":
        mix = bands * (2 * 3 * hb * (n + hb) + 2 * hb * n)
    else:
        mix = n * 4 * bands**2
    grid_bins, m = config.grid_bins, config.head_hidden
    ends = CHANNELS * grid_bins * n + bands * n * m + m * grid_bins * 2 * len(config.stems)
    return (config.blocks * (time + mix) + ends) * config.sample_rate_hz / config.hop
