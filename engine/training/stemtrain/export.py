"""Writes the weights that ship.

    python -m stemtrain.export NEWEST OUT [--average-with EARLIER...] [--mask-exponent 0.8]

reads the averaged weights a training run left and writes them again, f16, with the mask exponent
chosen on validation songs. Earlier weights of the same run can be averaged in: means over a wider
stretch of a run generalise better (Izmailov et al. 2018).
"""

import argparse
import dataclasses
from pathlib import Path

import torch

from . import weights
from .network import macs_per_second, parameter_count

MOST_BYTES = 8_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("newest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--average-with", type=Path, nargs="*", default=[])
    parser.add_argument("--mask-exponent", type=float)
    options = parser.parse_args()
    network = weights.load(options.newest)
    states = [network.state_dict(), *(weights.load(p).state_dict() for p in options.average_with)]
    network.load_state_dict({k: torch.stack([s[k] for s in states]).mean(0) for k in states[0]})
    if options.mask_exponent is not None:
        network.config = dataclasses.replace(network.config, mask_exponent=options.mask_exponent)
    weights.save(network, options.out)
    size = options.out.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(
            f"{options.out} has {size} bytes, more than the {MOST_BYTES} that may ship"
        )
    print(
        f"{options.out}: {parameter_count(network)} parameters, {size} bytes, "
        f"{macs_per_second(network.config) / 1e6:.0f} MMAC per second of audio"
    )


if __name__ == "__main__":
    main()
