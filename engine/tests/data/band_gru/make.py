"""Makes the fixtures of the `band_gru` tests: tiny networks of random weights and what PyTorch makes
of a short song with them. Run where engine/training's requirements are installed:

    python engine/tests/data/band_gru/make.py

Per mixer `<mixer>.safetensors` (the network, f16) and `<mixer>_stems.safetensors`: `song` [2, n], the
network's `features` and `masks` of one frame, and `stems` [4, 2, n] in the order of the
configuration, all f32.
"""

import dataclasses
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "training"))

from stemtrain import config as sizes, transform, weights  # noqa: E402
from stemtrain.network import Network  # noqa: E402

SECONDS = 0.12
FRAME = 6


def tiny(mixer: str) -> sizes.Config:
    """Uneven bands and groups, a leftover bin, a mask exponent that is not one."""
    base = sizes.standard(
        n_fft=512,
        hop=128,
        band_count=7,
        width=8,
        time_hidden=6,
        window=10,
        blocks=2,
        mixer=mixer,
        band_hidden=5,
        head_hidden=10,
    )
    return dataclasses.replace(base, mask_exponent=0.75)


def song() -> torch.Tensor:
    """Two tones, a beat of noise and a little hiss, different on both sides."""
    samples = int(SECONDS * sizes.SAMPLE_RATE_HZ)
    time = torch.arange(samples) / sizes.SAMPLE_RATE_HZ
    noise = torch.randn(2, samples)
    beat = noise[0] * torch.exp(-((time * 20.0) % 1.0) * 6.0)
    low, high = torch.sin(time * 690.0), torch.sin(time * 5_500.0 + 3.0 * torch.sin(time * 90.0))
    left = 0.3 * low + 0.1 * high + 0.2 * beat
    right = 0.3 * low + 0.05 * high - 0.1 * beat
    return torch.stack((left, right)) + 0.003 * noise


def main() -> None:
    for seed, mixer in enumerate(("mlp", "gru")):
        torch.manual_seed(seed)
        network = Network(tiny(mixer)).eval()
        with torch.no_grad():
            for name, value in network.named_parameters():
                # Wide enough that masks are neither flat nor binary.
                spread = 0.1 if name in ("shift", "scale") or name.endswith("norm") else 0.25
                value.add_(torch.randn_like(value) * spread)
        path = HERE / f"{mixer}.safetensors"
        weights.save(network, path)
        network = weights.load(path)
        audio = song()
        spectrum = transform.stft(transform.mid_side(audio), network.config)
        values, _ = transform.features(spectrum[None], network.config)
        with torch.no_grad():
            masks = network(values)
        tensors = {
            "song": audio,
            "features": values[0, FRAME],
            "masks": masks[0, FRAME],
            "stems": transform.separate(network, audio),
        }
        print(mixer, "masks", masks.min().item(), masks.max().item(), masks.std().item())
        save_file(
            {name: value.contiguous() for name, value in tensors.items()},
            HERE / f"{mixer}_stems.safetensors",
            metadata={"frame": str(FRAME)},
        )


if __name__ == "__main__":
    main()
