"""Called by script/bench_htdemucs, which says what it does."""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent.parent / "engine/tests/data/htdemucs"))
import make  # noqa: E402

SEGMENT_FLOP = 334.9e9
SONG_SECS = 60
RUNS = int(os.environ.get("RUNS", "5"))


class Ours:
    """The program under test, waiting for commands."""

    def __init__(self, program: str, folder: Path):
        pipe = subprocess.PIPE
        self.child = subprocess.Popen([program, str(folder)], stdin=pipe, stdout=pipe, text=True)

    def ask(self, command: str, threads: int) -> dict:
        print(command, threads, file=self.child.stdin, flush=True)
        answer = self.child.stdout.readline()
        if not answer:
            sys.exit("htdemucs_speed broke off")
        return json.loads(answer)

    def close(self) -> None:
        self.child.stdin.close()
        self.child.wait()


def network(folder: Path, seed: int) -> Path:
    folder = folder / str(seed)
    if not (folder / "segment_out.f32").exists():
        make.make_full(seed, folder)
    return folder


def theirs(folder: Path):
    """The reference with the same weights, and its input."""
    package = torch.load(folder / "htdemucs_full.th", weights_only=False)
    model = package["klass"](*package["args"], **package["kwargs"]).eval()
    model.load_state_dict({name: tensor.float() for name, tensor in package["state"].items()})
    mix = torch.frombuffer(bytearray((folder / "segment_in.f32").read_bytes()), dtype=torch.float32)
    return model, mix.view(1, 2, -1)


def timed(run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def torch_product_flop_per_sec() -> float:
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    return 2 * 2048**3 / min(timed(lambda: a @ b) for _ in range(5))


def forward(program: str, folder: Path) -> None:
    folder = network(folder, 0)
    model, mix = theirs(folder)
    ours = Ours(program, folder)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        model(mix)
        first = ours.ask("forward", threads)
        reference, answers, peaks = [], [], []
        for _ in range(RUNS):
            reference.append(timed(lambda: model(mix)))
            answers.append(ours.ask("forward", threads))
            peaks += [torch_product_flop_per_sec(), ours.ask("product", threads)["flop_per_sec"]]
        secs, peak = median(a["secs"] for a in answers), max(peaks)
        ratios = sorted(a["secs"] / r for a, r in zip(answers, reference))
        print(f"\n{threads} thread(s), {first['kernels']}, {RUNS} runs of each in turn; medians")
        print(f"  PyTorch {torch.__version__}, fast path off   {median(reference):6.2f} s a segment")
        print(f"  this program                     {secs:6.2f} s a segment")
        print(f"  ratio                            {median(ratios):6.3f}   ({ratios[0]:.3f} to {ratios[-1]:.3f})")
        print(f"  this program                     {SEGMENT_FLOP / secs / 1e9:6.1f} GFLOP/s")
        print(f"  best product: PyTorch's          {max(peaks[::2]) / 1e9:6.1f} GFLOP/s")
        print(f"  best product: this program's     {max(peaks[1::2]) / 1e9:6.1f} GFLOP/s")
        print(f"  share of the best product        {SEGMENT_FLOP / secs / peak:6.3f}")
        kinds = {}
        for answer in answers:
            sums = dict.fromkeys((name for name, _ in answer["steps"]), 0.0)
            for name, step_secs in answer["steps"]:
                sums[name] += step_secs
            for name, total in sums.items():
                kinds.setdefault(name, []).append(total)
        for name, totals in kinds.items():
            print(f"    {name:24} {median(totals):6.3f} s  {100 * median(totals) / secs:4.1f} %")
    ours.close()


def song(program: str, folder: Path) -> None:
    folder = network(folder, 0)
    speeds = {1: [], 2: []}
    print(f"\nA song of {SONG_SECS} s, whole job")
    for _ in range(max(1, RUNS // 3)):
        for lanes in (1, 2):
            command = [program, str(folder), "song", str(SONG_SECS), str(lanes)]
            answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            speeds[lanes].append(SONG_SECS / answer["secs"])
            print(f"  {answer['lanes']} of {answer['segments']} segments at a time: {answer['secs']:6.1f} s, "
                  f"{SONG_SECS / answer['secs']:.2f} x real time, {answer['peak_bytes'] / 1e6:.0f} MB resident at most")
    print(f"  two lanes against one: {median(speeds[2]) / median(speeds[1]):.2f} x")


def parity(program: str, folder: Path) -> None:
    print("\nSignal over error of each stem, in dB")
    for seed in (0, 1, 2):
        ours = Ours(program, network(folder, seed))
        answer = ours.ask("forward", 2)
        ours.close()
        print(f"  seed {seed}, {answer['kernels']}: " + "  ".join(f"{db:.1f}" for db in answer["snr_db"]))


def write_wav(path: Path, sound: np.ndarray) -> None:
    data = sound.T.astype("<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 2, make.RATE, make.RATE * 8, 8, 32)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)


def read_wav(path: Path) -> np.ndarray:
    data, at = path.read_bytes(), 12
    while data[at:at + 4] != b"data":
        at += 8 + int.from_bytes(data[at + 4:at + 8], "little")
    size = int.from_bytes(data[at + 4:at + 8], "little")
    return np.frombuffer(data, "<f4", size // 4, at + 8).reshape(-1, 2).T


def songs(program: str, folder: Path) -> None:
    """Whole songs of three segments, the released program against the official pipeline."""
    print("\nSignal over error of each stem of whole songs, in dB")
    program = Path(program).parent.parent / "stemhive"
    for sources, arguments, seed in [(make.FOUR, {}, 0), (make.FOUR, {}, 1), (make.FOUR, {}, 2),
                                     (make.SIX, {"bottom_channels": 0}, 0)]:
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            model = make.build(sources, arguments, seed, place / "net.th")
            sound = make.song(12 * make.RATE, 20 + seed).astype(np.float32)
            write_wav(place / "song.wav", sound)
            stems = make.separate(model, sound).numpy()
            subprocess.run([program, "--cache-dir", place / "cache", "--data-dir", place / "data", "separate",
                            place / "song.wav", "--model", place / "net.th", "--bits", "32f", "--clip", "float",
                            "-o", place], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            ratios = []
            for source, stem in zip(sources, stems.astype(np.float64)):
                error = read_wav(place / "song" / f"{source}.wav") - stem
                ratios.append(10 * math.log10((stem**2).sum() / (error**2).sum()))
        print(f"  {len(sources)} stems, seed {seed}: " + "  ".join(f"{db:.1f}" for db in ratios))


def main() -> None:
    parts = {"forward": forward, "song": song, "parity": parity, "songs": songs}
    program, wanted = sys.argv[1], sys.argv[2:] or list(parts)
    if unknown := [name for name in wanted if name not in parts]:
        sys.exit(f"There is no part “{unknown[0]}”; there are {', '.join(parts)}")
    torch.backends.mha.set_fastpath_enabled(False)
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.environ.get("FOLDER", temporary))
        for name in wanted:
            parts[name](program, folder)


if __name__ == "__main__":
    main()
