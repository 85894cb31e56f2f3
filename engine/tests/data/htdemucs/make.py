#!/usr/bin/env python3
"""Makes the networks beside it by the reference implementation, and what it computes with them.

    pip install torch==2.7.0 torchaudio demucs==4.0.1 omegaconf
    python make.py
    python make.py full --seed 0 --out DIR

The first makes four.th, six.th (tiny networks in the official layout, random weights rounded to fp16) and expected.json
(digests of every layer, of forwards and of whole songs). The second makes a full-size checkpoint, htdemucs_full.th, with
the input and output of one segment as little-endian f32, segment_in.f32 [2][n] and segment_out.f32 [4][2][n].

No trained weights are needed to prove that a forward is right: any do, if the reference ran the same ones. Norms, layer
scales and biases are moved away from where training starts, because there they would hide mistakes.
"""
import argparse
import copy
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.htdemucs import HTDemucs
from demucs.states import serialize_model
from omegaconf import OmegaConf

HERE = Path(__file__).parent
RATE = 44100
FOUR = ["drums", "bass", "other", "vocals"]
SIX = [*FOUR, "guitar", "piano"]

# The arguments of the released models.
FULL = dict(
    audio_channels=2, samplerate=RATE, segment=Fraction(39, 5), channels=48, channels_time=None, growth=2, nfft=4096,
    wiener_iters=0, end_iters=0, wiener_residual=False, cac=True, depth=4, rewrite=True, multi_freqs=[],
    multi_freqs_depth=3, freq_emb=0.2, emb_scale=10, emb_smooth=True, kernel_size=8, stride=4, time_stride=2, context=1,
    context_enc=0, norm_starts=4, norm_groups=4, dconv_mode=3, dconv_depth=2, dconv_comp=8, dconv_init=1e-3,
    bottom_channels=512, t_layers=5, t_hidden_scale=4.0, t_heads=8, t_dropout=0.02, t_layer_scale=True, t_gelu=True,
    t_emb="sin", t_max_positions=10000, t_max_period=10000.0, t_weight_pos_embed=1.0, t_cape_mean_normalize=True,
    t_cape_augment=True, t_cape_glob_loc_scale=[5000.0, 1.0, 1.4], t_sin_random_shift=0, t_norm_in=True,
    t_norm_in_group=False, t_group_norm=False, t_norm_first=True, t_norm_out=True, t_weight_decay=0.0, t_lr=None,
    t_sparse_self_attn=False, t_sparse_cross_attn=False, t_mask_type="diag", t_mask_random_seed=42,
    t_sparse_attn_window=400, t_global_window=100, t_sparsity=0.95, t_auto_sparsity=False, t_cross_first=False,
    rescale=0.1, use_train_segment=True)
# All layers and a transformer of its own width; and a shallower one without, of odd sizes.
TINY = {
    "four": (FOUR, dict(channels=4, dconv_comp=4, bottom_channels=24, t_heads=3, t_layers=3, segment=Fraction(1))),
    "six": (SIX, dict(channels=6, dconv_comp=4, bottom_channels=0, t_heads=2, t_layers=3, depth=3,
                      segment=Fraction(7, 8))),
}
FORWARD_SEEDS = [1, 2, 3]
BAG = [[1.0, 0.0, 0.25, 0.5], [0.0, 1.0, 0.75, 0.5]]
# name: network, frames, channels, what is done to the song.
SONGS = {
    "short": ("four", 12345, 2, lambda x: x),
    "a segment": ("four", 44100, 2, lambda x: x),
    "a frame beyond the stride": ("four", 33076, 2, lambda x: x),
    "a frame beyond a segment": ("four", 44101, 2, lambda x: x),
    "several segments": ("four", 150001, 2, lambda x: x),
    "silence": ("four", 50000, 2, lambda x: 0 * x),
    "an end of silence": ("four", 100000, 2, lambda x: x * (np.arange(x.shape[1]) < 40000)),
    "mono": ("four", 60000, 1, lambda x: x),
    "an offset": ("four", 60000, 2, lambda x: x + np.array([[0.5], [0.25]])),
    "beyond full scale": ("four", 60000, 2, lambda x: x * 6),
    "a bag": ("bag", 50000, 2, lambda x: x),
    "six stems": ("six", 90001, 2, lambda x: x),
    "six stems, short": ("six", 5000, 2, lambda x: x),
}


def hashed(x: np.ndarray) -> np.ndarray:
    """MurmurHash3's last step."""
    x = x.astype(np.uint32)
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def song(frames: int, seed: int, channels: int = 2) -> np.ndarray:
    """Partials that swell, a floor of noise and bursts, in f64; tests/htdemucs_rig makes the same."""
    n = np.arange(frames)
    partials = tones(frames, RATE, seed, channels)

    def noise(stream):
        return hashed(np.arange(frames, dtype=np.uint32) + np.uint32(stream << 20)) / 2.0**31 - 1.0

    for side, x in enumerate(partials):
        x += 0.02 * noise(2 * seed + side)
        x += 0.4 * noise(1000 + 2 * seed + side) * np.exp(-(n % 11025) / 900.0)
    return partials


def tones(frames: int, rate: int, seed: int, channels: int) -> np.ndarray:
    n = np.arange(frames, dtype=np.float64)
    out = np.zeros((channels, frames))
    for side, x in enumerate(out):
        for k in range(12):
            frequency = 50.0 * 2.0 ** (0.7 * k + 0.013 * seed)
            gain = 0.12 / (1.0 + 0.3 * k) * (1.0 + 0.5 * math.cos(k + 2 * side))
            tone = np.sin(math.tau * frequency * n / rate + k * k + seed + 0.5 * k * side)
            swell = 0.5 + 0.5 * np.sin(math.tau * (0.3 + 0.37 * k) * n / rate + k)
            x += gain * tone * swell
    return out


def swelling(frames: int, rate: int, seed: int) -> np.ndarray:
    """A song that begins and ends in silence and has nothing above 12 kHz: the same at every rate."""
    return tones(frames, rate, seed, 2) * np.sin(np.pi * np.arange(frames) / frames) ** 2


def build(sources: list[str], arguments: dict, seed: int, path: Path) -> HTDemucs:
    """A network, saved in `path` as its authors save theirs; with the weights that are in the file."""
    torch.manual_seed(seed)
    model = HTDemucs(sources=sources, **{**FULL, **arguments}).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith(".scale"):
                p.copy_(0.3 + 0.1 * noise)
            elif "norm" in name or (".dconv." in name and name.split(".")[-2] in ("1", "4")):
                p.copy_(1 + 0.2 * noise if name.endswith("weight") else 0.1 * noise)
            elif name.endswith(("in_proj_bias", "out_proj.bias")):
                p.copy_(0.05 * noise)
    package = serialize_model(model, OmegaConf.create({}), half=True)
    torch.save(package, path)
    model.load_state_dict({name: tensor.float() for name, tensor in package["state"].items()})
    return model


def digest(x: torch.Tensor) -> dict:
    """32 of the values, and 16 sums of all of them with pseudo-random signs: for two tensors, the mean square of the
    differences of these sums estimates the sum of squares of the tensors' difference."""
    flat = x.detach().double().numpy().ravel()
    size = flat.size
    bits = hashed(np.arange(size, dtype=np.uint32))
    sums = [float((flat * np.where((bits >> k) & 1, -1.0, 1.0)).sum()) for k in range(16)]
    points = [float(flat[(k * 2654435761 % 2**32) * size >> 32]) for k in range(1, 33)]
    rounded = [[float(f"{value:.8g}") for value in values] for values in (sums, points)]
    return dict(shape=list(x.shape), rms=float(np.sqrt((flat**2).mean())), sums=rounded[0], points=rounded[1])


def layers(model: HTDemucs, mix: torch.Tensor) -> dict:
    """Digests of what flows between the parts of `model`, without the batch's dimension, channels first."""
    found = {}

    def keep(name, x):
        found[name] = digest(x[0])

    def tokens(name, x):
        if name.startswith(("layers_t", "tokens_t")):
            return keep(name, x.transpose(1, 2))
        rows = model.nfft // 2 // model.stride**model.depth
        keep(name, x.unflatten(1, (-1, rows)).permute(0, 3, 2, 1))

    def on_input(module, name, keep=keep):
        module.register_forward_pre_hook(lambda _, inputs: keep(name, inputs[0]))

    def on_output(module, name, keep=keep):
        module.register_forward_hook(lambda _, __, out: keep(name, out[0] if isinstance(out, tuple) else out))

    on_input(model.encoder[0], "spectrogram.0")
    on_input(model.tencoder[0], "waveform.0")
    on_input(model.encoder[1], "encoder.0")  # with the embedding
    for index in range(model.depth):
        if index > 0:
            on_output(model.encoder[index], f"encoder.{index}")
        on_output(model.tencoder[index], f"tencoder.{index}")
        on_output(model.decoder[index], f"decoder.{index}")
        on_output(model.tdecoder[index], f"tdecoder.{index}")
    transformer = model.crosstransformer
    on_input(transformer.layers[0], "tokens.0", tokens)
    on_input(transformer.layers_t[0], "tokens_t.0", tokens)
    for index, (layer, layer_t) in enumerate(zip(transformer.layers, transformer.layers_t)):
        on_output(layer, f"layers.{index}", tokens)
        on_output(layer_t, f"layers_t.{index}", tokens)
    on_input(model.decoder[0], "bottom.0")
    on_input(model.tdecoder[0], "bottom_t.0")
    inverse = model._ispec

    def ispec(z, length):
        x = inverse(z, length)
        for source in range(len(model.sources)):
            found[f"istft.{source}"] = digest(x[0, source])
        return x

    model._ispec = ispec
    model(mix)
    model._ispec = inverse
    for module in model.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return found


def separate(model, x: np.ndarray) -> torch.Tensor:
    """`demucs.api.Separator.separate_tensor` with shifts = 0; mono comes back as mono."""
    mono = len(x) == 1
    wav = torch.from_numpy(x.astype(np.float32)).expand(2, -1)
    reference = wav.mean(0)
    mean, deviation = reference.mean(), reference.std() + 1e-8
    stems = apply_model(model, ((wav - mean) / deviation)[None], shifts=0, split=True, overlap=0.25)[0]
    stems = stems * deviation + mean
    return stems.mean(1, keepdim=True) if mono else stems


def make_tiny() -> None:
    expected, models = {}, {}
    for seed, (name, (sources, arguments)) in enumerate(TINY.items()):
        model = models[name] = build(sources, arguments, seed, HERE / f"{name}.th")
        size = int(model.segment * RATE)
        mixes = [torch.from_numpy(song(size, seed).astype(np.float32))[None] for seed in FORWARD_SEEDS]
        expected[name] = dict(layers=layers(model, mixes[0]),
                              forward=[[digest(stem) for stem in model(mix)[0]] for mix in mixes])
    # A bag of that net and a variant whose results are other by a factor.
    variant = copy.deepcopy(models["four"])
    for part in (variant.decoder[-1], variant.tdecoder[-1]):
        for p in part.conv_tr.parameters():
            p.mul_(-0.5)
    models["bag"] = BagOfModels([models["four"], variant], weights=BAG, segment=1)
    songs = {}
    for seed, (name, (model, frames, channels, change)) in enumerate(SONGS.items()):
        x = change(song(frames, 10 + seed, channels))
        songs[name] = [digest(stem) for stem in separate(models[model], x)]
    # 1.5 s, as if it had been resampled from 48 kHz without any error.
    songs["48 kHz"] = [digest(stem) for stem in separate(models["four"], swelling(66150, RATE, 5))]
    expected["songs"] = songs
    text = json.dumps(expected).replace('{"shape"', '\n{"shape"')
    (HERE / "expected.json").write_text(text + "\n")


def make_full(seed: int, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model = build(FOUR, {}, seed, out / "htdemucs_full.th")
    mix = torch.from_numpy(song(int(model.segment * RATE), seed).astype(np.float32))
    mix.numpy().astype("<f4").tofile(out / "segment_in.f32")
    model(mix[None])[0].numpy().astype("<f4").tofile(out / "segment_out.f32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["tiny", "full"], default="tiny")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "full")
    args = parser.parse_args()
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad():
        if args.what == "tiny":
            make_tiny()
        else:
            make_full(args.seed, args.out)


if __name__ == "__main__":
    main()
