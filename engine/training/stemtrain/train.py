"""Trains a network.

    torchrun --standalone --nproc-per-node 2 -m stemtrain.train WORK --name quick --steps 20000
    torchrun --standalone --nproc-per-node 1 -m stemtrain.train WORK --clips 64 --minutes 60

One process with one thread per core does best on a CPU; on a GPU it is one process, with many clips.
A run ends after so many steps, or so many minutes from the call. Checkpoints go to
WORK/checkpoints/<name>; a run with the same name goes on from the newest. New pools are taken in as
they appear. The learning rate warms up, stays, and falls to zero over the last part.
"""

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from . import weights
from .config import SAMPLE_RATE_HZ, Config, standard
from .loss import loss
from .mixing import Mixer
from .network import Network, macs_per_second, parameter_count

WARM_UP_STEPS = 150
EMA_DECAY = 0.999
GRADIENT_NORM = 1.0
REPORT_STEPS = 50
RELOAD_STEPS = 300
# Sizes of a new network, each an option by this name.
SIZES = (
    ("width", 64),
    ("time-hidden", 64),
    ("window", 144),
    ("blocks", 3),
    ("band-count", 48),
    ("band-hidden", 40),
    ("head-hidden", 64),
)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--name", default="quick")
    end = parser.add_mutually_exclusive_group(required=True)
    end.add_argument("--steps", type=int, help="in all, earlier runs included")
    end.add_argument("--minutes", type=float, help="of this call")
    parser.add_argument("--decay", type=float, default=0.5, help="the last part of it")
    parser.add_argument("--clips", type=int, default=2, help="per process and step")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a clip")
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--save-minutes", type=float, default=4.0)
    parser.add_argument("--keep-minutes", type=float, default=20.0, help="between kept weights")
    parser.add_argument("--seed", type=int, default=1)
    for field, default in SIZES:
        parser.add_argument(f"--{field}", type=int, default=default)
    parser.add_argument("--mixer", choices=("gru", "mlp"), default="gru")
    return parser.parse_args()


@dataclasses.dataclass
class Progress:
    step: int = 0
    seconds: float = 0.0
    audio_hours: float = 0.0


class Run:
    """Network, average, optimiser and how far they are."""

    def __init__(self, config: Config, device: torch.device):
        self.network = Network(config).to(device)
        self.average = Network(config).to(device).requires_grad_(False)
        self.average.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), betas=(0.9, 0.98), weight_decay=1e-3
        )
        self.progress = Progress()

    def save(self, path: Path) -> None:
        unfinished = path.with_suffix(".unfinished")
        torch.save(
            {
                "config": self.network.config.to_json(),
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "progress": dataclasses.asdict(self.progress),
            },
            unfinished,
        )
        unfinished.rename(path)

    @staticmethod
    def load(path: Path, device: torch.device) -> "Run":
        state = torch.load(path, map_location=device, weights_only=True)
        run = Run(Config.from_json(state["config"]), device)
        run.network.load_state_dict(state["network"])
        run.average.load_state_dict(state["average"])
        run.optimiser.load_state_dict(state["optimiser"])
        run.progress = Progress(**state["progress"])
        return run

    @torch.no_grad()
    def follow(self) -> None:
        """The moving average of the weights; it forgets the first steps quickly."""
        decay = min(EMA_DECAY, (1 + self.progress.step) / (10 + self.progress.step))
        slow, fast = list(self.average.parameters()), list(self.network.parameters())
        torch._foreach_lerp_(slow, fast, 1.0 - decay)


def part_done(step: int, started: float, given: argparse.Namespace) -> float:
    """From 0 to 1, the same for all processes."""
    if given.steps is not None:
        return step / given.steps
    done = (time.time() - started) / (60.0 * given.minutes)
    if distributed.get_world_size() == 1:
        return done
    agreed = [done]
    distributed.broadcast_object_list(agreed, 0)
    return agreed[0]


def learning_rate(step: int, done: float, given: argparse.Namespace) -> float:
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    left = min(1.0, max(0.0, 1.0 - done) / given.decay)
    return given.rate * warm * left


@torch.no_grad()
def whiten(run: Run, mixer: Mixer, clips: int, samples: int) -> None:
    """Sets shift and scale so that features start with mean 0 and deviation 1."""
    values = torch.cat([mixer.batch(clips, samples).features.flatten(0, 1) for _ in range(12)])
    shift, scale = values.mean(0), 1.0 / (values.std(0) + 0.02)
    world = distributed.get_world_size()
    for total in (shift, scale):
        distributed.all_reduce(total)
    for network in (run.network, run.average):
        network.shift.copy_(shift / world)
        network.scale.copy_(scale / world)


def main() -> None:
    given = options()
    cuda = torch.cuda.is_available()
    os.environ.setdefault("MASTER_ADDR", "localhost")
    os.environ.setdefault("MASTER_PORT", "29611")
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    distributed.init_process_group("nccl" if cuda else "gloo", rank=rank, world_size=world)
    device = torch.device("cuda", rank) if cuda else torch.device("cpu")
    if world > 1 and not cuda:
        torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    torch.set_float32_matmul_precision("high")
    folder = given.work / "checkpoints" / given.name
    newest = folder / "newest.pt"
    fresh = not newest.exists()
    if fresh:
        names = [name.replace("-", "_") for name, _ in SIZES]
        sizes = {name: getattr(given, name) for name in names}
        run = Run(standard(**sizes, mixer=given.mixer), device)
    else:
        run = Run.load(newest, device)
    config, progress = run.network.config, run.progress
    rng = np.random.default_rng((given.seed, rank, progress.step))
    mixer = Mixer(given.work / "pools", config, rng, device)
    samples = int(given.seconds * SAMPLE_RATE_HZ)
    if fresh:
        whiten(run, mixer, given.clips, samples)
    network = DistributedDataParallel(run.network)

    def tell(line: str) -> None:
        if rank == 0:
            print(line, flush=True)

    if rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
    tell(
        f"{parameter_count(run.network)} parameters, {macs_per_second(config) / 1e6:.0f} MMAC/s, "
        f"from step {progress.step}, pools in minutes " + json.dumps(mixer.minutes())
    )
    started = clock = saved = kept = reported = time.time()
    losses: list[torch.Tensor] = []
    done = 0.0
    while done < 1.0:
        rate = learning_rate(progress.step, done, given)
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        with torch.no_grad():
            batch = mixer.batch(given.clips, samples)
        # Clips begin anywhere in a song, so anywhere in the network's windows.
        first = int(rng.integers(config.window))
        # Gradients of recurrent units take a GPU half as long again in single precision.
        with torch.autocast(device.type, torch.bfloat16, enabled=cuda):
            masks = network(batch.features, first)
        value = loss(masks.float(), batch)
        run.optimiser.zero_grad()
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(run.network.parameters(), GRADIENT_NORM)
        run.optimiser.step()
        progress.step += 1
        progress.audio_hours += given.clips * world * given.seconds / 3_600.0
        run.follow()
        now = time.time()
        progress.seconds += now - clock
        clock = now
        done = part_done(progress.step, started, given)
        losses.append(value.detach())
        if progress.step % REPORT_STEPS == 0:
            speed = REPORT_STEPS * given.clips * world * given.seconds / (now - reported)
            tell(
                f"step {progress.step}, {progress.seconds / 60:.1f} min, "
                f"{progress.audio_hours:.2f} h of audio, loss {torch.stack(losses).mean():.4f}, "
                f"gradient {norm:.2f}, rate {rate:.1e}, {speed:.1f} audio s/s"
            )
            losses, reported = [], now
        if progress.step % RELOAD_STEPS == 0:
            mixer.reload()
            tell(json.dumps(mixer.minutes()))
        if rank == 0 and (now - saved > 60 * given.save_minutes or done >= 1.0):
            saved = now
            run.save(newest)
            weights.save(run.average, folder / "newest.safetensors")
            if now - kept > 60 * given.keep_minutes or done >= 1.0:
                kept = now
                weights.save(run.average, folder / f"step_{progress.step:06}.safetensors")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
