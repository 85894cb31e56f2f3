"""Pools of what was recorded.

    python -m stemtrain.render.real WORK

writes WORK/pools/<song>/{drums,bass,other,vocals}.npy of recorded songs, int16 [samples, 2], aligned and
at the level of the files; a class the song lacks has no file. Hydrogen is not written: it validates.
WORK/pools/real_singing and real_speech have voices alone, phrase after phrase, as they are, in rooms and
through heavy effects; real_guitars has other.npy, real_bands band.npy, whole songs without voices.
"""

import argparse
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..config import SAMPLE_RATE_HZ
from .dsp import RATE_HZ, Rng, amplifier, chance, normalise, space, wash
from .speakers import recorded

SONGS = {"lithium": "2.Lithium", "potassium": "4.Potassium"}
Way = Callable[[np.ndarray, Rng], np.ndarray]
# By the names their author gave the files; the order decides.
CLASSES = (
    ("vocals", r"VOX"),
    ("bass", r"SY BASS|BASS STAB|PAD \+ BASS"),
    ("drums", r"\bHH\b|KICK|SNARE|CLAP|TOM|HAT|BEAT|DRUM|BREAK(?!DOWN)|CYMBAL|CRASH|PERC"),
)
SONG_CLASSES = {("potassium", "MINILOGUE SYNTH"): "bass", ("lithium", "CRUSH BREAK"): "other"}


# Whole songs without voices, but for some by their names.
BANDS = ("cc0-beats", "clue-cards", "free-music", "openhv")
SINGING = ("producer-space", "iona", "nit-song070", "vocadito")
SUNG = "Vocaloid"
SOUNDS = (".mp3", ".ogg", ".flac")
SPEECH_FILES = 25


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


def loud(audio: np.ndarray) -> np.ndarray:
    """[samples, 2] at the level that rendered stems have, without silence at its ends."""
    level = np.abs(audio).max(1)
    sounding = np.flatnonzero(level > 0.01 * level.max())
    return normalise(audio[sounding[0] : sounding[-1] + 1]) if len(sounding) else normalise(audio)


def dry(audio: np.ndarray, rng: Rng) -> np.ndarray:
    return audio


def in_room(audio: np.ndarray, rng: Rng) -> np.ndarray:
    return space(np.pad(audio, ((0, RATE_HZ), (0, 0))), rng, 0.1, 2.0)


def washed(audio: np.ndarray, rng: Rng) -> np.ndarray:
    return wash(np.pad(audio, ((0, 3 * RATE_HZ), (0, 0))), rng)


def voices(paths: list[Path], rng: Rng, ways: tuple[Way, ...]) -> np.ndarray:
    """Phrases in random order with pauses between, once in each of the ways."""
    parts = []
    for way in ways:
        for index in rng.permutation(len(paths)):
            audio = way(decode(paths[index]).astype(np.float32) / 32_768.0, rng)
            parts += [loud(audio), np.zeros((int(rng.uniform(0.05, 0.6) * RATE_HZ), 2), np.int16)]
    return np.concatenate(parts)


def guitars(sources: Path, rng: Rng) -> np.ndarray:
    """Recorded distorted guitars, and clean recordings through amplifiers of all kinds, on each side
    another one now and then."""
    recorded = sorted((sources / "fretsonfire-songs-sectoid").rglob("guitar.ogg"))
    parts = [loud(decode(path).astype(np.float32) / 32_768.0) for path in recorded]
    for path in sorted((sources / "clean-recordings").rglob("*.wav")):
        clean = decode(path).astype(np.float32) / 32_768.0
        for _ in range(3):
            played = amplifier(clean, rng)
            if chance(rng, 0.4):
                played[:, 1] = amplifier(np.roll(clean, 800, axis=0), rng)[:, 1]
            parts.append(normalise(space(played, rng, 0.5, 2.0)))
    return np.concatenate(parts)


def write(target: Path, stems: dict[str, np.ndarray]) -> None:
    unfinished = target.with_name(f".{target.name}")
    unfinished.mkdir(parents=True, exist_ok=True)
    for stem, audio in stems.items():
        np.save(unfinished / f"{stem}.npy", audio)
    unfinished.rename(target)


def song(work: Path, name: str, folder: str) -> dict[str, np.ndarray]:
    sums: dict[str, np.ndarray] = {}
    for part, path in files_of(work, folder).items():
        audio = decode(path).astype(np.float32)
        stem = class_of(name, part)
        print(f"{name}: {part} ({path.parts[-4]}) is {stem}, {len(audio) / SAMPLE_RATE_HZ:.0f} s")
        total = sums.setdefault(stem, np.zeros((0, 2), np.float32))
        if len(total) < len(audio):
            total = np.pad(total, ((0, len(audio) - len(total)), (0, 0)))
        total[: len(audio)] += audio
        sums[stem] = total
    length = max(len(total) for total in sums.values())
    # The stems are raw exports: louder than full scale together, so one gain for all.
    gain = min(1.0, 32_767.0 / max(np.abs(total).max() for total in sums.values()))
    padded = {s: np.pad(x, ((0, length - len(x)), (0, 0))) for s, x in sums.items()}
    return {stem: np.round(x * gain).astype(np.int16) for stem, x in padded.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    options = parser.parse_args()
    pools, sources = options.work / "pools", options.work / "sources"
    rng = np.random.default_rng(1)
    for name, folder in SONGS.items():
        if not (pools / f"eif_{name}").exists():
            write(pools / f"eif_{name}", song(options.work, name, folder))
    if not (pools / "real_singing").exists():
        paths = [p for f in SINGING for p in sorted((sources / f).rglob("*.wav"))]
        write(pools / "real_singing", {"vocals": voices(paths, rng, (dry, in_room, washed))})
    if not (pools / "real_speech").exists():
        paths = [p for files, _ in recorded(sources).values() for p in files[:SPEECH_FILES]]
        write(pools / "real_speech", {"vocals": voices(paths, rng, (in_room, washed))})
    if not (pools / "real_guitars").exists():
        write(pools / "real_guitars", {"other": guitars(sources, rng)})
    if not (pools / "real_bands").exists():
        paths = [p for f in BANDS for p in sorted((sources / f).rglob("*")) if p.suffix in SOUNDS]
        paths = [path for path in paths if not re.search(SUNG, path.name)]
        write(pools / "real_bands", {"band": np.concatenate([decode(path) for path in paths])})


if __name__ == "__main__":
    main()
