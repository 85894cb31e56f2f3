"""Sizes of a `band_gru` network; the JSON of this class travels with the weights."""

import dataclasses
import json
import math

SAMPLE_RATE_HZ = 44_100
STEMS = ("drums", "bass", "other", "vocals")


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that fixes a network's shape. Bins are the STFT's, grid bins are groups of them."""

    version: int
    sample_rate_hz: int
    n_fft: int
    hop: int
    # Bins grid_edges[i] .. grid_edges[i + 1] are grouped by grid_widths[i]; what does not fill a
    # group at the end of a segment joins the segment's last group.
    grid_edges: tuple[int, ...]
    grid_widths: tuple[int, ...]
    # Bands as [low, high) in grid bins; they touch and cover the grid.
    bands: tuple[tuple[int, int], ...]
    # Features per band, "N".
    width: int
    # Hidden units per direction of the GRU over time, "H".
    time_hidden: int
    # Frames after which the units over time begin anew, even; see network.TimeMixer.
    window: int
    # Number of blocks, "L".
    blocks: int
    # "mlp" or "gru": how a block mixes its bands.
    mixer: str
    # Hidden units per direction of the GRU over bands, "Hb"; 0 with "mlp".
    band_hidden: int
    # Hidden units of each band's mask head, "MH".
    head_hidden: int
    feature_exponent: float
    # Masks are m^p / sum over stems of m^p, which is a softmax of p times the logits.
    mask_exponent: float
    stems: tuple[str, ...] = STEMS

    @property
    def bins(self) -> int:
        return self.n_fft // 2 + 1

    @property
    def grid_bins(self) -> int:
        return len(self.grid_groups())

    def grid_groups(self) -> list[tuple[int, int]]:
        """Groups of bins as [low, high)."""
        groups: list[tuple[int, int]] = []
        for low, high, width in zip(self.grid_edges, self.grid_edges[1:], self.grid_widths):
            starts = range(low, high - width + 1, width)
            groups += [(s, s + width) for s in starts]
            groups[-1] = (groups[-1][0], high)
        return groups

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "Config":
        fields = json.loads(text)
        for name in ("grid_edges", "grid_widths", "stems"):
            fields[name] = tuple(fields[name])
        fields["bands"] = tuple((low, high) for low, high in fields["bands"])
        return Config(**fields)


def mel(hz: float) -> float:
    return 1127.0 * math.log1p(hz / 700.0)


def mel_bands(groups: list[tuple[int, int]], bin_hz: float, count: int, least: int):
    """`count` bands of about equal width in mel and of at least `least` grid bins, as [low, high)."""
    total = len(groups)
    top = mel((groups[-1][1] - 1) * bin_hz)
    upper_mel = [mel((high - 1) * bin_hz) for _, high in groups]
    bands = []
    low = 0
    for band in range(count):
        left = count - band
        start = upper_mel[low - 1] if low else 0.0
        target = start + (top - start) / left
        high = low + least
        while high < total - (left - 1) * least and upper_mel[high - 1] < target:
            high += 1
        if left == 1:
            high = total
        bands.append((low, high))
        low = high
    return tuple(bands)


def standard(
    *,
    n_fft: int = 4096,
    hop: int = 1024,
    band_count: int = 48,
    least: int = 4,
    width: int = 64,
    time_hidden: int = 64,
    window: int = 144,
    blocks: int = 3,
    mixer: str = "gru",
    band_hidden: int = 40,
    head_hidden: int = 64,
) -> Config:
    """The configuration trained here, by its few free sizes; the grid keeps low bins one by one."""
    bins = n_fft // 2 + 1
    edges = (0, 384 * n_fft // 4096, 768 * n_fft // 4096, bins)
    draft = Config(
        version=1,
        sample_rate_hz=SAMPLE_RATE_HZ,
        n_fft=n_fft,
        hop=hop,
        grid_edges=edges,
        grid_widths=(1, 2, 4),
        bands=(),
        width=width,
        time_hidden=time_hidden,
        window=window,
        blocks=blocks,
        mixer=mixer,
        band_hidden=band_hidden if mixer == "gru" else 0,
        head_hidden=head_hidden,
        feature_exponent=0.15,
        mask_exponent=1.0,
    )
    bands = mel_bands(draft.grid_groups(), SAMPLE_RATE_HZ / n_fft, band_count, least)
    return dataclasses.replace(draft, bands=bands)
