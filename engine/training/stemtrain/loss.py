"""The training loss."""

import torch

from .config import STEMS
from .mixing import Batch

WHITENING = 0.3
SILENCE = 0.05


def loss(masks: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Squared error of the masked magnitude, each stem relative to its own energy.

    Whitening keeps the bass from drowning everything. A stem's energy counts as at least SILENCE of
    the mix's: what should be silent costs, and much, without weighing without bound.
    """
    usual = batch.magnitude.mean(1, keepdim=True)
    weight = (usual + 1e-3).pow(-WHITENING)
    error = ((masks * batch.magnitude - batch.targets) * weight).square().sum((1, 2, 4))
    energy = (batch.targets * weight).square().sum((1, 2, 4))
    mix = (batch.magnitude * weight).square().sum((1, 2, 4))
    # Of a band only the voice's error is known. It is the band's as well, since masks add up to one.
    voice = STEMS.index("vocals")
    band = torch.arange(len(STEMS), device=error.device) != voice
    bands = batch.bands[:, None]
    error = torch.where(bands, error[:, voice, None], error)
    whole = (energy * band).sum(1, keepdim=True)
    energy = torch.where(bands & band, whole, energy)
    return (error / (energy + SILENCE * mix + 1e-3)).mean()
