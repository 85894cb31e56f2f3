"""From audio to features and from masks to stems."""

import torch

from .config import Config
from .network import Network

POWER_FLOOR = 1e-7


def mid_side(x: torch.Tensor) -> torch.Tensor:
    """Left and right [..., 2, n] to mid and side, or back: the matrix is its own inverse."""
    left, right = x[..., 0, :], x[..., 1, :]
    return torch.stack((left + right, left - right), -2) * 0.5**0.5


def stft(x: torch.Tensor, config: Config) -> torch.Tensor:
    """[..., n] to complex [..., bins, frames]; centred, reflected at both ends."""
    window = torch.hann_window(config.n_fft, device=x.device)
    flat = torch.stft(
        x.reshape(-1, x.shape[-1]),
        config.n_fft,
        config.hop,
        window=window,
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    return flat.view(*x.shape[:-1], *flat.shape[1:])


def istft(spectrum: torch.Tensor, samples: int, config: Config) -> torch.Tensor:
    window = torch.hann_window(config.n_fft, device=spectrum.device)
    flat = spectrum.reshape(-1, *spectrum.shape[-2:])
    audio = torch.istft(flat, config.n_fft, config.hop, window=window, length=samples)
    return audio.view(*spectrum.shape[:-2], samples)


def power(spectrum: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(spectrum).square().sum(-1)


def pool(values: torch.Tensor, config: Config) -> torch.Tensor:
    """Sums over the bins of each grid bin: [..., bins, frames] to [..., grid bins, frames]."""
    edges = config.grid_edges
    parts = []
    for low, high, width in zip(edges, edges[1:], config.grid_widths):
        segment = values[..., low:high, :]
        if width == 1:
            parts.append(segment)
            continue
        count = (high - low) // width
        whole = segment[..., : count * width, :]
        sums = whole.unflatten(-2, (count, width)).sum(-2)
        if count * width < high - low:
            sums[..., -1, :] += segment[..., count * width :, :].sum(-2)
        parts.append(sums)
    return torch.cat(parts, -2)


def features(spectrum: torch.Tensor, config: Config) -> tuple[torch.Tensor, torch.Tensor]:
    """Mid and side spectra [batch, 2, bins, frames] to the network's features
    [batch, frames, grid bins, 4] and the pooled power of mid and side [batch, 2, grid bins, frames].
    """
    mid, side = spectrum[:, 0], spectrum[:, 1]
    left, right = (mid + side) * 0.5**0.5, (mid - side) * 0.5**0.5
    pooled = pool(power(torch.stack((left, right, mid, side), 1)), config)
    compressed = (pooled + POWER_FLOOR).pow(config.feature_exponent)
    return compressed.permute(0, 3, 2, 1).contiguous(), pooled[:, 2:]


def bin_groups(config: Config) -> torch.Tensor:
    """The grid bin of each bin."""
    sizes = torch.tensor([high - low for low, high in config.grid_groups()])
    return torch.repeat_interleave(torch.arange(len(sizes)), sizes)


@torch.no_grad()
def separate(network: Network, audio: torch.Tensor) -> torch.Tensor:
    """A song [2, samples] to its stems [stems, 2, samples], in one piece."""
    config = network.config
    spectrum = stft(mid_side(audio), config)
    values, _ = features(spectrum[None], config)
    masks = network(values)[0].permute(2, 3, 1, 0)  # [stems, 2, grid bins, frames]
    masks = masks[:, :, bin_groups(config).to(masks.device)]
    return mid_side(istft(masks * spectrum, audio.shape[-1], config))
