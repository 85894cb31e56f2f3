"""Weights as safetensors: tensors by the names the Rust side reads, the configuration as metadata."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from .config import Config
from .network import Network

METADATA_KEY = "band_gru"


def save(network: Network, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """PyTorch numbers a GRU's layers; ours have one, so the number goes."""
    tensors = {
        stored_name(name): value.detach().to("cpu", dtype).contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(tensors, path, metadata={METADATA_KEY: network.config.to_json()})


def load(path: Path) -> Network:
    """The network in single precision."""
    with safe_open(path, "pt") as file:
        network = Network(Config.from_json(file.metadata()[METADATA_KEY]))
        state = {name: file.get_tensor(stored_name(name)).float() for name in network.state_dict()}
    network.load_state_dict(state)
    return network.eval()


def stored_name(name: str) -> str:
    return name.replace("_l0", "")
