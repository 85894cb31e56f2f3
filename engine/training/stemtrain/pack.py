"""Packs what a computer with a GPU needs to render pools and train, small enough to be carried there.

    python -m stemtrain.pack WORK OUT [--part-mb 60]
    python -m stemtrain.pack --unpack OUT WORK

writes OUT/part_<n>.tar: the samples that rendering reads, cut to what it reads and coded as Ogg Vorbis
under their own names (readers look at the content), the soundfont with its samples coded the same
way, the analysed voices in half precision, and the recorded pools.
"""

import argparse
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import soundfile

from .config import SAMPLE_RATE_HZ
from .mixing import REAL_PREFIXES
from .render.pools import players

LONGEST_SECS = 6.0
QUALITY = 0.75  # of libsndfile's compression levels: 0 is best
CHOICES = 3
# Read by rendering as they are: scores, and what belongs to a kit.
PLAIN = ("*.mid", "drumkit.xml")
FONT = "sources/fluid-soundfont-gm/usr/share/sounds/sf2/FluidR3_GM.sf2"


def read_by_rendering(work: Path) -> list[Path]:
    """The sound files that are opened while the players of some seeds are set up."""
    opened: set[Path] = set()
    usual = soundfile.SoundFile.__init__

    def noting(self, file, *arguments, **options):
        opened.add(Path(file))
        usual(self, file, *arguments, **options)

    soundfile.SoundFile.__init__ = noting
    try:
        for seed in range(CHOICES):
            players(work, np.random.default_rng(seed))
    finally:
        soundfile.SoundFile.__init__ = usual
    return sorted(opened)


def vorbis(audio: np.ndarray, rate_hz: int) -> bytes:
    """In blocks: libsndfile's encoder overflows its stack on long ones."""
    buffer = io.BytesIO()
    channels = 1 if audio.ndim == 1 else audio.shape[1]
    with soundfile.SoundFile(
        buffer, "w", rate_hz, channels, format="OGG", subtype="VORBIS", compression_level=QUALITY
    ) as file:
        for start in range(0, len(audio), 1 << 15):
            file.write(audio[start : start + (1 << 15)])
    return buffer.getvalue()


def packed_sound(path: Path) -> bytes:
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        audio = file.read(int(LONGEST_SECS * rate), dtype="float32", always_2d=True)
    return vorbis(audio[:, :2], rate)


def sample_chunk(font: bytes) -> tuple[int, int]:
    """Where the 16-bit samples of a soundfont begin and end."""
    at = font.index(b"smpl")
    size = struct.unpack_from("<I", font, at + 4)[0]
    return at + 8, at + 8 + size


def packed_font(path: Path) -> dict[str, bytes]:
    """The samples coded, and everything else as it is."""
    font = path.read_bytes()
    start, end = sample_chunk(font)
    audio = np.frombuffer(font[start:end], np.int16).astype(np.float32) / 32_768.0
    return {
        f"{FONT}.head": font[:start],
        f"{FONT}.ogg": vorbis(audio, SAMPLE_RATE_HZ),
        f"{FONT}.tail": font[end:],
    }


def join_font(work: Path) -> None:
    """Puts the soundfont together again; its samples have the number they had."""
    path = work / FONT
    parts = [path.with_name(f"{path.name}{end}") for end in (".head", ".ogg", ".tail")]
    head = parts[0].read_bytes()
    size = struct.unpack_from("<I", head, len(head) - 4)[0]
    audio = soundfile.read(parts[1], dtype="int16")[0][: size // 2]
    audio = np.pad(audio, (0, size // 2 - len(audio)))
    path.write_bytes(head + audio.tobytes() + parts[2].read_bytes())
    for part in parts:
        part.unlink()


def packed_arrays(path: Path) -> bytes:
    buffer = io.BytesIO()
    arrays = np.load(path)
    np.savez_compressed(buffer, **{name: arrays[name].astype(np.float16) for name in arrays.files})
    return buffer.getvalue()


def contents(work: Path):
    """(name, bytes) of everything; what rendering needs comes first."""
    for name, content in packed_font(work / FONT).items():
        yield name, content
    for path in sorted((work / "speakers").glob("*.npz")):
        yield str(path.relative_to(work)), packed_arrays(path)
    for path in sorted(p for pattern in PLAIN for p in (work / "sources").rglob(pattern)):
        yield str(path.relative_to(work)), path.read_bytes()
    for path in read_by_rendering(work):
        yield str(path.relative_to(work)), packed_sound(path)
    pools = (p for p in (work / "pools").iterdir() if p.name.startswith(REAL_PREFIXES))
    for path in sorted(file for pool in pools for file in pool.glob("*.npy")):
        audio = np.load(path, mmap_mode="r")
        content = vorbis(audio.astype(np.float32) / 32_768.0, SAMPLE_RATE_HZ)
        yield f"{path.relative_to(work)}.{len(audio)}.ogg", content


def pack(work: Path, out: Path, most_bytes: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    number, file, used = 0, None, most_bytes
    for name, content in contents(work):
        if used + len(content) > most_bytes:
            if file is not None:
                file.close()
            file, used, number = tarfile.open(out / f"part_{number}.tar", "w"), 0, number + 1
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        file.addfile(entry, io.BytesIO(content))
        used += len(content) + 1_024
    if file is not None:
        file.close()
    print(f"{number} parts in {out}")


def unpack(folder: Path, work: Path) -> None:
    for path in sorted(folder.glob("part_*.tar")):
        with tarfile.open(path) as file:
            file.extractall(work, filter="data")
    if (work / f"{FONT}.ogg").exists():
        join_font(work)
    for path in sorted((work / "pools").rglob("*.npy.*.ogg")):
        samples = int(path.name.split(".")[-2])
        audio = soundfile.read(path, dtype="int16", always_2d=True)[0][:samples]
        np.save(path.parent / path.name.split(".")[0], audio)
        path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--unpack", action="store_true")
    parser.add_argument("--part-mb", type=float, default=60.0)
    options = parser.parse_args()
    if options.unpack:
        unpack(options.source, options.target)
    else:
        pack(options.source, options.target, int(options.part_mb * 1e6))


if __name__ == "__main__":
    main()
