#!/usr/bin/env python3
"""Makes the weight files beside it, by the libraries that make the real ones, and expected.json.

    pip install torch==2.7.0 demucs==4.0.1 omegaconf safetensors numpy
    python make.py

package.th            what Demucs's serialize_model and export tool put into a file, with every kind of tensor layout
package_protocol4.th  the same with a newer pickle, and fractions as Python before 3.11 wrote them
package.safetensors   the same as Demucs's authors publish it on Hugging Face
legacy.th             the format of PyTorch before 1.6
expected.json         shape and values of every tensor, as PyTorch reads them back
"""
import json
import pickle
import types
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from demucs.htdemucs import HTDemucs
from safetensors.torch import save_file

HERE = Path(__file__).parent
SOURCES = ["drums", "bass", "other", "vocals"]


class OldPickler(pickle.Pickler):
    def reducer_override(self, value):
        return (Fraction, (str(value),)) if isinstance(value, Fraction) else NotImplemented


def old_pickle() -> types.ModuleType:
    module = types.ModuleType("old_pickle")
    module.__dict__.update(pickle.__dict__)
    module.Pickler = OldPickler
    return module


def fraction(value):
    assert isinstance(value, Fraction)
    return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}


def main() -> None:
    random = torch.Generator().manual_seed(0)
    half = torch.randn(6, 4, 3, generator=random).half()
    single = torch.randn(5, 7, generator=random)
    shared = torch.randn(40, generator=random)
    extremes = torch.tensor([0.0, -0.0, 65504.0, 6e-8, 6.2e-5, 1 / 3, float("inf"), float("-inf")])
    state = {
        "encoder.0.conv.weight": half,
        "encoder.0.conv.bias": single,
        "bf16": torch.randn(9, generator=random).bfloat16(),
        "extremes.f16": extremes.half(),
        "extremes.f32": extremes,
        "transposed.f16": half.permute(2, 0, 1),
        "transposed.f32": single.t(),
        "middle": single[1:4, 2:6],
        "shared.first": shared[:20].view(4, 5),
        "shared.last": shared[20:].view(5, 4).t(),
        "steps": shared[3::7],
        "ones_between": half[:, :1, :].contiguous().transpose(0, 1),
        "repeated": torch.tensor([1.5, 2.5])[:, None].expand(2, 3),
        "number": torch.tensor(0.25),
        "empty": torch.zeros(0, 3),
    }
    kwargs = {
        "sources": SOURCES, "segment": Fraction(343980, 44100), "audio_channels": 2, "samplerate": 44100,
        "channels_time": None, "cac": True, "rewrite": False, "freq_emb": 0.2, "t_max_period": 10000.0,
        "multi_freqs": [], "t_cape_glob_loc_scale": [5000.0, 1.0, 1.4], "negative": -70000, "large": 2**40,
        "small": -(2**63), "nested": {"a": {"b": [1, "zwei"]}, "c": Fraction(-1, 3)}, "t_emb": "sin", "name": "großer Flügel"}
    package = {
        "klass": HTDemucs, "args": (), "kwargs": kwargs, "state": state,
        "training_args": {"dset": {"musdb": "/path", 7: [1, None]}, "lr": 3e-4},
        "metrics": ({"nsdr": np.float64(8.5), "best": True}, {"sdr": np.float32(2.5), "epoch": np.int64(7)}),
    }
    torch.save(package, HERE / "package.th")
    torch.save(package, HERE / "package_protocol4.th", pickle_module=old_pickle(), pickle_protocol=4)
    torch.save({"state": {"weight": single}}, HERE / "legacy.th", _use_new_zipfile_serialization=False)
    metadata = {"klass": f"{HTDemucs.__module__}.{HTDemucs.__qualname__}", "args": json.dumps(()),
                "kwargs": json.dumps(kwargs, default=fraction)}
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, HERE / "package.safetensors", metadata)

    read = torch.load(HERE / "package.th", weights_only=False)["state"]
    expected = {name: {"shape": list(tensor.shape), "bits": tensor.float().contiguous().view(-1).view(torch.int32).tolist()}
                for name, tensor in read.items()}
    (HERE / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main()
