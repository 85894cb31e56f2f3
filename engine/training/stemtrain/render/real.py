"""Pools of the recorded songs among the sources.

    python -m stemtrain.render.real WORK

writes WORK/pools/<song>/{drums,bass,other,vocals}.npy, int16 [samples, 2], aligned and at the level of
the files; a class the song lacks has no file. Hydrogen is not written: it validates.
"""

import argparse
import re
import subprocess
from pathlib import Path

import numpy as np

from ..config import SAMPLE_RATE_HZ, STEMS

SONGS = {"lithium": "2.Lithium", "potassium": "4.Potassium"}
# By the names their author gave the files; the order decides.
CLASSES = (
    ("vocals", r"VOX"),
    ("bass", r"SY BASS|BASS STAB|PAD \+ BASS"),
    ("drums", r"\bHH\b|KICK|SNARE|CLAP|TOM|HAT|BEAT|DRUM|BREAK(?!DOWN)|CYMBAL|CRASH|PERC"),
)
SONG_CLASSES = {("potassium", "MINILOGUE SYNTH"): "bass", ("lithium", "CRUSH BREAK"): "other"}


def class_of(song: str, name: str) -> str:
    name = name.upper().replace("_", " ")
    if (song, name) in SONG_CLASSES:
        return SONG_CLASSES[song, name]
    for stem, pattern in CLASSES:
        if re.search(pattern, name):
            return stem
    return "other"


def files_of(work: Path, folder: str) -> dict[str, Path]:
    """The best file of each stem by name: the large one where it is there."""
    found: dict[str, Path] = {}
    sources = work / "sources"
    for path in sorted((sources / "everythingisremixed/src" / folder).glob("*_Stem_*_mobile.m4a")):
        found[path.stem.split("_Stem_")[1].removesuffix("_mobile")] = path
    for path in sorted((sources / "everythingisfree/src" / folder).glob("*_Stem_*.m4a")):
        found[path.stem.split("_Stem_")[1]] = path
    return found


def decode(path: Path) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "s16le", "-ac", "2"]
    command += ["-ar", str(SAMPLE_RATE_HZ), "-"]
    pcm = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(pcm, np.int16).reshape(-1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    options = parser.parse_args()
    for song, folder in SONGS.items():
        target = options.work / "pools" / f"eif_{song}"
        if target.exists():
            continue
        sums: dict[str, np.ndarray] = {}
        for name, path in files_of(options.work, folder).items():
            audio = decode(path).astype(np.float32)
            stem = class_of(song, name)
            print(
                f"{song}: {name} ({path.parts[-4]}) is {stem}, {len(audio) / SAMPLE_RATE_HZ:.0f} s"
            )
            total = sums.setdefault(stem, np.zeros((0, 2), np.float32))
            if len(total) < len(audio):
                total = np.pad(total, ((0, len(audio) - len(total)), (0, 0)))
            total[: len(audio)] += audio
            sums[stem] = total
        length = max(len(total) for total in sums.values())
        unfinished = target.with_name(f".{target.name}")
        unfinished.mkdir(parents=True, exist_ok=True)
        for stem in STEMS:
            if stem in sums:
                padded = np.pad(sums[stem], ((0, length - len(sums[stem])), (0, 0)))
                # The stems are raw exports: louder than full scale together, so one gain for all.
                peak = max(np.abs(total).max() for total in sums.values())
                scaled = padded * min(1.0, 32_767.0 / peak)
                np.save(unfinished / f"{stem}.npy", np.round(scaled).astype(np.int16))
        unfinished.rename(target)


if __name__ == "__main__":
    main()
