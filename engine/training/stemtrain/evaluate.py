"""Scores networks on multitracks.

    python -m stemtrain.evaluate SONGS WEIGHTS... [--stemhive PROGRAM] [--only NAME...]

SONGS is a folder of songs, each with mixture.<ext> and a file per stem. Beside the networks stand the
mixture, a quarter of it, the ideal ratio mask and, with the program, its classical separator. A song
of two stems named guitar and rest is scored as other and the sum of drums, bass and vocals.
"""

import argparse
import dataclasses
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch

from . import scores, transform, weights
from .config import STEMS, standard

Stems = dict[str, np.ndarray]
# The stems of a two-stem song, by the classes they are made of.
PAIR = {"guitar": ("other",), "rest": ("drums", "bass", "vocals")}


@dataclasses.dataclass
class Song:
    name: str
    mixture_path: Path
    mixture: np.ndarray  # [2, samples]
    stems: Stems
    classes: dict[str, tuple[str, ...]]

    def silent(self) -> list[str]:
        return [] if "rest" in self.classes else [s for s in STEMS if s not in self.stems]


def read(path: Path) -> np.ndarray:
    audio, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(np.repeat(audio, 2, 1).T[:2] if audio.shape[1] == 1 else audio.T)


def songs(folder: Path, only: list[str]) -> list[Song]:
    found = []
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        files = {file.stem: file for file in path.iterdir() if file.suffix in (".flac", ".wav")}
        if "mixture" not in files or (only and path.name not in only):
            continue
        classes = PAIR if "rest" in files else {s: (s,) for s in STEMS if s in files}
        stems = {name: read(files[name]) for name in classes}
        found.append(Song(path.name, files["mixture"], read(files["mixture"]), stems, classes))
    return found


def network_estimates(song: Song, network) -> Stems:
    stems = transform.separate(network, torch.from_numpy(song.mixture)).numpy()
    return dict(zip(network.config.stems, stems))


def oracle(song: Song) -> Stems:
    """The ideal ratio mask of the stems the song has."""
    config = standard()
    mixture = transform.stft(torch.from_numpy(song.mixture), config)
    spectra = {name: transform.stft(torch.from_numpy(x), config) for name, x in song.stems.items()}
    total = sum(transform.power(x) for x in spectra.values()) + 1e-20
    samples = song.mixture.shape[1]
    return {
        name: transform.istft(mixture * (transform.power(x) / total), samples, config).numpy()
        for name, x in spectra.items()
    }


def classical(song: Song, program: Path) -> Stems:
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "separate", song.mixture_path, "--model", "spectral", "-o", folder]
        command += ["--format", "wav", "--bits", "32f", "--workers", "none"]
        command += ["--cache-dir", f"{folder}/cache"]
        subprocess.run(command, check=True, capture_output=True)
        files = {file.stem.lower(): file for file in Path(folder).rglob("*.wav")}
        return {stem: read(files[stem]) for stem in STEMS}


def joined(song: Song, estimates: Stems) -> Stems:
    """Estimates of the classes summed to the song's own stems."""
    if all(name in estimates for name in song.classes):
        return estimates
    return {name: sum(estimates[c] for c in parts) for name, parts in song.classes.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("songs", type=Path)
    parser.add_argument("weights", type=Path, nargs="*")
    parser.add_argument("--stemhive", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--exponents", type=float, nargs="*", default=[])
    parser.add_argument("--references", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    systems = {}
    for path in options.weights:
        network = weights.load(path)
        systems[path.stem] = lambda song, network=network: network_estimates(song, network)
        for exponent in options.exponents:
            soft = weights.load(path)
            soft.config = dataclasses.replace(soft.config, mask_exponent=exponent)
            name = f"{path.stem} ^{exponent}"
            systems[name] = lambda song, network=soft: network_estimates(song, network)
    if options.references:
        if options.stemhive is not None:
            systems["spectral"] = lambda song: classical(song, options.stemhive)
        systems["mixture"] = lambda song: dict.fromkeys(STEMS, song.mixture)
        systems["mixture / 4"] = lambda song: dict.fromkeys(STEMS, song.mixture / 4)
        systems["ideal ratio mask"] = oracle
    chosen = songs(options.songs, options.only)
    print(
        "| system | song | drums | bass | other | vocals | leakage |\n|---|---|---|---|---|---|---|"
    )
    for system, estimate in systems.items():
        everything: dict[str, list[tuple[float, float]]] = {}
        for song in chosen:
            estimates = estimate(song)
            silent = {
                stem: scores.leakage(song.mixture, estimates[stem])
                for stem in song.silent()
                if stem in estimates
            }
            own = joined(song, estimates)
            found = {n: scores.distortion(x, own[n]) for n, x in song.stems.items()}
            for name, pair in found.items():
                everything.setdefault(name, []).append(pair)
            cells = {name: f"{pair[0]:.1f}/{pair[1]:.1f}" for name, pair in found.items()}
            if "rest" in song.classes:
                cells["other"] = cells["guitar"]
                cells["drums"] = f"{cells['rest']} (rest)"
            leaks = ", ".join(f"{stem} {db:.0f}" for stem, db in silent.items())
            row = " | ".join(cells.get(stem, "") for stem in STEMS)
            print(f"| {system} | {song.name} | {row} | {leaks} |", flush=True)
        means = {n: np.mean(np.array(pairs), 0) for n, pairs in everything.items() if n in STEMS}
        row = " | ".join(
            f"{means[s][0]:.1f}/{means[s][1]:.1f}" if s in means else "" for s in STEMS
        )
        if means:
            overall = np.mean(np.array(list(means.values())), 0)
            print(
                f"| {system} | **mean** {overall[0]:.2f}/{overall[1]:.2f} | {row} | |", flush=True
            )


if __name__ == "__main__":
    main()
