"""Renders pools of songs of our own.

    python -m stemtrain.render.pools WORK --seed 1 --minutes 20 [--pools 4 --processes 2]

writes WORK/pools/gen_<seed>/{drums,bass,other,vocals}.npy, each int16 [samples, 2]: pieces of
PIECE_SECS that share tempo, key and chords across the four files. The same seed gives the same pool.
With --pools so many, of the seeds from --seed on: samples are read once.
"""

import argparse
import multiprocessing
import time
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from scipy import signal

from ..config import STEMS
from .arrangement import Arrangement, songs
from .bass import Bass
from .drums import Drums
from .dsp import RATE_HZ, Rng, chance, normalise
from .other import Other
from .score import Score
from .soundfont import SoundFont
from .voice import Voices

PIECE_SECS = 20.0
# Pieces whose scores are parts of MIDI files; the others are made up.
WRITTEN_SHARE = 0.4


def pumped(x: np.ndarray, drums: np.ndarray, depth: float) -> np.ndarray:
    """Ducked by the drums' low end, as a side-chained compressor does."""
    low = signal.sosfilt(signal.butter(2, 120.0, fs=RATE_HZ, output="sos"), drums.mean(1))
    level = signal.lfilter([1e-3], [1.0, -(1.0 - 1e-3)], np.abs(low))
    peak = level.max() + 1e-9
    held = signal.filtfilt([3e-4], [1.0, -(1.0 - 3e-4)], np.minimum(level / peak * 2.0, 1.0))
    return x * (1.0 - depth * np.clip(held, 0.0, 1.0))[:, None]


def piece(players: dict, rng: Rng) -> dict[str, np.ndarray]:
    written = players["songs"]
    if written and chance(rng, WRITTEN_SHARE):
        score = Arrangement(rng, PIECE_SECS, written[rng.integers(len(written))])
    else:
        score = Score(rng, PIECE_SECS)
    stems = {stem: players[stem].render(score, rng) for stem in STEMS}
    if chance(rng, 0.2):
        depth = rng.uniform(0.3, 0.95)
        for stem in ("bass", "other"):
            stems[stem] = pumped(stems[stem], stems["drums"], depth)
    return stems


def players(work: Path, rng: Rng) -> dict:
    sources = work / "sources"
    font = SoundFont(sources / "fluid-soundfont-gm/usr/share/sounds/sf2/FluidR3_GM.sf2")
    return {
        "drums": Drums(sources, font),
        "bass": Bass(sources, font, rng),
        "other": Other(sources, font, rng),
        "vocals": Voices(work, rng),
        "songs": songs(sources),
    }


def render(playing: dict, rng: Rng, target: Path, minutes: float) -> None:
    count = int(minutes * 60.0 / PIECE_SECS)
    length = int(PIECE_SECS * RATE_HZ)
    unfinished = target.with_name(f".{target.name}")
    unfinished.mkdir(parents=True, exist_ok=True)
    files = {
        stem: open_memmap(unfinished / f"{stem}.npy", "w+", np.int16, (count * length, 2))
        for stem in STEMS
    }
    started = time.time()
    for index in range(count):
        for stem, audio in piece(playing, rng).items():
            at = index * length
            files[stem][at : at + length] = normalise(np.nan_to_num(audio[:length]))
    speed = count * PIECE_SECS / (time.time() - started)
    for file in files.values():
        file.flush()
    unfinished.rename(target)
    print(f"{target.name}: {minutes:g} minutes, {speed:.1f}x real time", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--pools", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    pools = options.work / "pools"
    missing = [
        seed
        for seed in range(options.seed, options.seed + options.pools)
        if not (pools / f"gen_{seed}").exists()
    ]
    if not missing:
        return
    # What is chosen of the samples is chosen by the first seed; processes share it.
    playing = players(options.work, np.random.default_rng(options.seed))
    context = multiprocessing.get_context("fork")

    def share(first: int) -> None:
        for seed in missing[first :: options.processes]:
            render(playing, np.random.default_rng(seed), pools / f"gen_{seed}", options.minutes)

    processes = [context.Process(target=share, args=(n,)) for n in range(options.processes)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode != 0:
            raise SystemExit(f"a process ended with {process.exitcode}")


if __name__ == "__main__":
    main()
