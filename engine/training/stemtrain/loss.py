"""The training loss."""

import torch

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
    return (error / (energy + SILENCE * mix + 1e-3)).mean()
