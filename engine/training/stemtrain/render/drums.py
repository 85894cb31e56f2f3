"""Drum kits, synthesised and sampled, and the patterns they play."""

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import soundfile

from . import samples
from .dsp import (
    RATE_HZ,
    Rng,
    band_pass,
    chance,
    compress,
    high_pass,
    log_uniform,
    reverb,
    saturate,
    stereo,
)
from .score import Note, Score
from .soundfont import SoundFont

# A kit answers (voice, velocity 0..1) with a stereo hit.
Kit = Callable[[str, float], np.ndarray]

SOUNDS = (".wav", ".flac")
VOICES = ("kick", "snare", "hat", "open", "perc", "tom", "crash")
MULDJORD = {
    "kick": ("KdrumL", "KdrumR"),
    "snare": ("Snare",),
    "hat": ("HihatClosed",),
    "open": ("HihatOpen", "RideR", "RideL"),
    "perc": ("SnareRest", "RideRBell", "RideLBell"),
    "tom": ("Tom1", "Tom2", "Tom3", "Tom4"),
    "crash": ("CrashL", "CrashR", "China"),
}
CLOSE_MICROPHONES = {
    "Snare": ("Snare_top", "Snare_bottom"),
    "SnareRest": ("Snare_top", "Snare_bottom"),
    "HihatClosed": ("Hihat",),
    "HihatOpen": ("Hihat",),
}
SONIC_PI = {
    "kick": r"bd_|drum_heavy_kick|drum_bass_|elec_\w*kick",
    "snare": r"sn_|drum_snare|elec_\w*snare|perc_snap",
    "hat": r"hat_|drum_cymbal_(closed|pedal)|elec_tick|elec_cymbal",
    "open": r"drum_cymbal_open|ride_|elec_triangle",
    "perc": r"tabla_|perc_|elec_wood|drum_cowbell|glitch_perc|elec_(bong|pop|tick)",
    "tom": r"drum_tom|elec_fuzz_tom",
    "crash": r"drum_cymbal_(hard|soft)|drum_splash",
}
# Not loop_amen and loop_breakbeat: cut from records whose makers did not license them.
LOOPS = r"loop_(industrial|mika|safari|tabla|perc|mehackit|3d|compus|weirdo)|arovane_beat"
BERKLEE_PERCUSSION = r"clap|shaker|tambour|wood|tin|hit|tabla|cowbell|bell|conga|can_|slam|stomp"
# By the names of files and of a kit's instruments; the order decides.
MACHINES = (
    ("kick", r"^bd|kick|bass ?drum|kik"),
    ("snare", r"^sd|snare|^cp|clap|rim"),
    ("open", r"^oh|open|ride"),
    ("hat", r"^hh|closed|hi-?hat|pedal"),
    ("crash", r"^cr|crash|cymbal|splash|china"),
    ("tom", r"^[lmh]t|tom"),
    ("perc", r"."),
)
# Its authors' names of drums, with the microphones kick, front, overhead, window and snare.
GOGODZE = {
    "kick": ("ks",),
    "snare": ("sc", "se", "ss"),
    "hat": ("hc", "hh", "ht"),
    "open": ("ho", "hl"),
    "tom": ("th", "tm", "tl"),
}
GOGODZE_MICROPHONES = ("front", "oh", "wndw", "kick", "snare")
GM_KITS = (0, 8, 16, 24, 25, 32, 40)
GM_KEYS = {
    "kick": (36, 35),
    "snare": (38, 40, 39, 37),
    "hat": (42, 44),
    "open": (46, 51, 53),
    "perc": (54, 56, 60, 61, 62, 63, 64, 69, 70, 75, 76),
    "tom": (41, 45, 47, 48, 50),
    "crash": (49, 57, 52),
}


def swept_sine(length: int, from_hz: float, to_hz: float, sweep_secs: float) -> np.ndarray:
    time = np.arange(length) / RATE_HZ
    hz = to_hz + (from_hz - to_hz) * np.exp(-time / sweep_secs)
    return np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ)


def decay(length: int, secs: float) -> np.ndarray:
    return np.exp(-np.arange(length) / (secs * RATE_HZ))


def metal(rng: Rng, length: int, base_hz: float) -> np.ndarray:
    """The six detuned squares of the 808's cymbals."""
    time = np.arange(length) / RATE_HZ
    ratios = np.array([1.0, 1.342, 1.2312, 1.6532, 1.9523, 2.1523]) * rng.uniform(0.97, 1.03, 6)
    return sum(np.sign(np.sin(2 * np.pi * base_hz * r * time)) for r in ratios) / 6.0


def synthetic_hits(rng: Rng) -> dict[str, np.ndarray]:
    """One sound per voice in the manner of analogue drum machines, no two kits alike."""

    def noise(secs: float) -> np.ndarray:
        return rng.standard_normal(int(secs * RATE_HZ))

    long = log_uniform(rng, 0.12, 0.9)
    length = int(min(long * 4, 2.0) * RATE_HZ)
    tuned = rng.uniform(40, 68)
    kick = swept_sine(length, tuned * rng.uniform(2, 9), tuned, rng.uniform(0.005, 0.06))
    kick *= decay(length, long)
    click = noise(0.01) * decay(int(0.01 * RATE_HZ), 0.002)
    kick[: len(click)] += click * rng.uniform(0.0, 0.6)
    if chance(rng, 0.5):
        kick = np.tanh(kick * rng.uniform(1.2, 6.0))

    length = int(0.5 * RATE_HZ)
    tone = rng.uniform(150, 260)
    body = swept_sine(length, tone * 1.6, tone, 0.01) + 0.6 * swept_sine(
        length, tone * 2.6, tone * 1.6, 0.01
    )
    rattle = band_pass(noise(0.5), rng.uniform(700, 2_500), rng.uniform(7_000, 15_000))
    snare = body * decay(length, rng.uniform(0.03, 0.12)) * rng.uniform(0.2, 1.0)
    snare += rattle * decay(length, rng.uniform(0.05, 0.2)) * rng.uniform(0.7, 2.0)

    clap = band_pass(noise(0.5), 800, rng.uniform(2_500, 5_000)) * decay(length, 0.09)
    bursts = (np.arange(length) / RATE_HZ) % 0.01
    clap[: int(0.03 * RATE_HZ)] *= np.exp(-bursts[: int(0.03 * RATE_HZ)] * 300)

    base = rng.uniform(180, 500)
    mixed = rng.uniform(0.0, 1.0)

    def cymbal(secs: float, ring: float) -> np.ndarray:
        samples_ = int(secs * RATE_HZ)
        raw = mixed * metal(rng, samples_, base) + (1 - mixed) * 0.5 * noise(secs)[:samples_]
        return high_pass(raw, rng.uniform(5_000, 9_000)) * decay(samples_, ring)

    length = int(0.7 * RATE_HZ)
    pitch = rng.uniform(70, 180)
    tom = swept_sine(length, pitch * 1.8, pitch, 0.04) * decay(length, rng.uniform(0.1, 0.3))
    tick = int(0.2 * RATE_HZ)
    blip_hz = rng.uniform(500, 2_200)
    blip = swept_sine(tick, blip_hz * rng.uniform(1.0, 1.5), blip_hz, 0.01)
    return {
        "kick": kick,
        "snare": clap if chance(rng, 0.25) else snare,
        "hat": cymbal(0.25, rng.uniform(0.015, 0.06)),
        "open": cymbal(0.9, rng.uniform(0.12, 0.35)),
        "crash": cymbal(2.5, rng.uniform(0.4, 0.9)),
        "tom": tom,
        "perc": blip * decay(tick, rng.uniform(0.01, 0.06)),
    }


def muldjord_kit(folder: Path) -> dict[str, list[list[tuple[np.ndarray, ...]]]]:
    """Per voice and drum, hits from soft to loud as (overheads, room, close) recordings."""

    def read(path: Path) -> np.ndarray:
        return soundfile.read(path, dtype="float32", frames=int(2.5 * RATE_HZ))[0]

    kit: dict[str, list[list[tuple[np.ndarray, ...]]]] = {}
    for voice, drums in MULDJORD.items():
        for drum in drums:
            numbers = {int(p.name.split("-")[0]) for p in (folder / drum).glob("*-OHL.flac")}
            chosen = sorted(numbers)[:: max(1, len(numbers) // 5)]
            hits = []
            for number in chosen:
                at = f"{number}-{drum}-"
                pair = [
                    np.stack([read(folder / drum / f"{at}{m}{side}.flac") for side in "LR"], 1)
                    for m in ("OH", "Amb")
                ]
                close = CLOSE_MICROPHONES.get(drum, (drum,))
                paths = [folder / drum / f"{at}{name}.flac" for name in close]
                found = [read(path) for path in paths if path.exists()]
                near = sum(found) if found else np.zeros(len(pair[0]), np.float32)
                hits.append((*pair, near[:, None]))
            kit.setdefault(voice, []).append(hits)
    return kit


def gogodze_kit(folder: Path) -> dict[str, list[list[list[np.ndarray]]]]:
    """Per voice and drum, hits from soft to loud as recordings of all microphones."""

    def read(path: Path) -> np.ndarray:
        return soundfile.read(path, dtype="float32", frames=int(2.0 * RATE_HZ))[0]

    def hit(name: str) -> list[np.ndarray]:
        return [read(folder / f"{mic}_mic" / name) for mic in GOGODZE_MICROPHONES]

    def drum(code: str) -> list[list[np.ndarray]]:
        names = sorted(path.name for path in (folder / "front_mic").glob(f"{code}_vl*_rr1.wav"))
        return [hit(name) for name in names]

    return {voice: [drum(code) for code in codes] for voice, codes in GOGODZE.items()}


def voice_of(name: str) -> str:
    return next(voice for voice, pattern in MACHINES if re.search(pattern, name, re.I))


def rumpf_names(folder: Path) -> dict[Path, str]:
    """The files of a Hydrogen kit and the instruments they belong to."""
    named = {}
    for instrument in ElementTree.parse(folder / "drumkit.xml").iter("instrument"):
        for file in instrument.iter("filename"):
            named[folder / file.text] = instrument.findtext("name")
    return named


class Drums:
    def __init__(self, sources: Path, font: SoundFont):
        self.font = font
        self.muldjord = muldjord_kit(sources / "muldjordkit/DrumGizmo/MuldjordKit/Samples")
        sonic_pi = sorted((sources / "sonic-pi/etc/samples").glob("*.flac"))

        def matching(pattern: str) -> list[Path]:
            return [path for path in sonic_pi if re.match(pattern, path.name)]

        self.machine = {v: samples.read_all(matching(p), 3.0) for v, p in SONIC_PI.items()}
        hydrogen = sources / "hydrogen-drumkits/usr/share/hydrogen/data/drumkits"
        named = {path: path.parent.name for path in (sources / "uzu-drumkit").rglob("*.wav")}
        for folder in ("synthesizer-percussion", "pearl-master"):
            named |= {p: p.stem for p in (sources / folder).rglob("*") if p.suffix in SOUNDS}
        named |= {p: p.stem.split("__")[-1] for p in (hydrogen / "Audiophob").glob("*.wav")}
        named |= rumpf_names(hydrogen / "rumpf_kit_z01_h2")
        named |= {p: "snare" for p in (sources / "frankensnare").rglob("*.flac")}
        for path, name in sorted(named.items()):
            sound = samples.read(path, 3.0) if path.exists() else None
            if sound is not None:
                self.machine[voice_of(name)].append(sound)
        self.gogodze = gogodze_kit(sources / "gogodze-phu-2/Samples")
        self.loops = samples.read_all(matching(LOOPS), 8.0)
        berklee = sorted((sources / "berklee/berklee").glob("*.mp3"))
        wanted = [p for p in berklee if re.search(BERKLEE_PERCUSSION, p.name, re.I)]
        self.objects = samples.read_all(wanted[::3], 1.5)
        hands = sorted((sources / "gogodze-phu/Samples").rglob("*.wav"))
        self.hands = samples.read_all(hands[::6], 1.5)

    def render(self, score: Score, rng: Rng) -> np.ndarray:
        kind = rng.random()
        if kind < 0.12:
            mix = self.loop(score, rng)
        elif kind < 0.27:
            mix = self.font.play(
                self.notes(score, rng), int(rng.choice(GM_KITS)), score.seconds, True
            )
        else:
            mix = self.pattern(score, rng, self.kit(rng))
        if chance(rng, 0.5):
            mix = reverb(mix, rng, rng.uniform(0.03, 0.3), rng.uniform(0.2, 1.4))
        if chance(rng, 0.5):
            mix = compress(mix, rng)
        if chance(rng, 0.35):
            mix = saturate(mix, rng.uniform(0.8, 5.0))
        return mix

    def loop(self, score: Score, rng: Rng) -> np.ndarray:
        mix = np.zeros((int(score.seconds * RATE_HZ), 2))
        sound = self.loops[rng.integers(len(self.loops))]
        ratio = rng.uniform(0.75, 1.35)
        length = len(sound) / ratio / RATE_HZ
        for start in np.arange(0.0, score.seconds, length):
            samples.place(mix, sound, float(start), ratio, None, 0.5)
        return mix

    def kit(self, rng: Rng) -> Kit:
        """Acoustic, machine samples or synthesis; sometimes voices of several."""
        tune = 2 ** rng.uniform(-0.25, 0.25)
        acoustic, machine, synthetic = self.acoustic(rng), self.sampled(rng), synthetic_hits(rng)
        main = rng.random()

        def source(voice: str) -> str:
            if chance(rng, 0.15):
                return str(rng.choice(["acoustic", "machine", "synthetic"]))
            return "acoustic" if main < 0.4 else "machine" if main < 0.65 else "synthetic"

        chosen = {voice: source(voice) for voice in VOICES}

        def hit(voice: str, velocity: float) -> np.ndarray:
            if chosen[voice] == "acoustic":
                sound = acoustic(voice, velocity)
            elif chosen[voice] == "machine":
                sound = machine(voice, velocity)
            else:
                sound = 0.5 * stereo(synthetic[voice])
            return resampled(sound, tune)

        return hit

    def acoustic(self, rng: Rng) -> Kit:
        return self.rock(rng) if chance(rng, 0.55) else self.old(rng)

    def old(self, rng: Rng) -> Kit:
        """A small old kit in a room, each microphone at its own level and place."""
        levels = rng.uniform(0.0, 1.0, len(GOGODZE_MICROPHONES)) ** 2
        places = [stereo(np.ones(1), rng.uniform(-0.7, 0.7)) for _ in levels]
        cymbals = self.rock(rng)

        def hit(voice: str, velocity: float) -> np.ndarray:
            if voice not in self.gogodze:
                return cymbals(voice, velocity)
            drums = self.gogodze[voice]
            hits = drums[rng.integers(len(drums))]
            heard = hits[min(int(velocity * len(hits)), len(hits) - 1)]
            length = max(len(x) for x in heard)
            mix = np.zeros((length, 2))
            for x, level, place in zip(heard, levels, places):
                mix[: len(x)] += x[:, None] * place * level
            return 2.0 * mix

        return hit

    def rock(self, rng: Rng) -> Kit:
        over, room, near = rng.uniform(0.4, 1.0), rng.uniform(0.0, 0.8), rng.uniform(0.2, 1.5)

        def hit(voice: str, velocity: float) -> np.ndarray:
            drums = self.muldjord[voice]
            hits = drums[rng.integers(len(drums))]
            overheads, ambience, close = hits[min(int(velocity * len(hits)), len(hits) - 1)]
            return 2.5 * (over * overheads + room * ambience + near * close)

        return hit

    def sampled(self, rng: Rng) -> Kit:
        pools = dict(self.machine)
        pools["perc"] = pools["perc"] + self.objects + self.hands
        count = {"tom": 3, "perc": 3}
        kit = {
            voice: [pool[i] for i in rng.integers(0, len(pool), count.get(voice, 1))]
            for voice, pool in pools.items()
        }
        return lambda voice, velocity: 0.6 * kit[voice][rng.integers(len(kit[voice]))]

    def pattern(self, score: Score, rng: Rng, kit: Kit) -> np.ndarray:
        mix = np.zeros((int(score.seconds * RATE_HZ), 2))
        gain = {
            "kick": rng.uniform(0.6, 1.3),
            "snare": rng.uniform(0.5, 1.1),
            "hat": rng.uniform(0.12, 0.6),
            "open": rng.uniform(0.15, 0.5),
            "perc": rng.uniform(0.1, 0.5),
            "tom": rng.uniform(0.4, 0.9),
            "crash": rng.uniform(0.2, 0.6),
        }
        pan = {v: 0.0 if v in ("kick", "snare") else rng.uniform(-0.6, 0.6) for v in VOICES}
        human = rng.choice([0.0, 0.003, 0.006])
        for start, voice, velocity in hits(score, rng):
            start = max(0.0, start + rng.normal(0.0, human))
            loudness = gain[voice] * velocity * rng.uniform(0.8, 1.0)
            samples.place(mix, kit(voice, velocity), start, 1.0, None, loudness, pan[voice])
        return mix

    def notes(self, score: Score, rng: Rng) -> list[Note]:
        keys = {voice: int(rng.choice(choices)) for voice, choices in GM_KEYS.items()}
        return [
            Note(start, keys[voice], int(40 + 80 * velocity), 0.1)
            for start, voice, velocity in hits(score, rng)
        ]


def resampled(sound: np.ndarray, ratio: float) -> np.ndarray:
    at = np.arange(int((len(sound) - 1) / ratio)) * ratio
    whole = at.astype(int)
    part = (at - whole)[:, None]
    return sound[whole] * (1.0 - part) + sound[whole + 1] * part


def hits(score: Score, rng: Rng) -> list[tuple[float, str, float]]:
    """A drum part as (start in seconds, voice, velocity 0..1): two patterns of a bar, with fills,
    crashes and now and then a bar of rest."""
    written = score.written_hits()
    if written is not None:
        return written

    def bar() -> dict[str, np.ndarray]:
        kick = np.zeros(16)
        if chance(rng, 0.35):
            kick[::4] = 1.0
        else:
            kick[rng.random(16) < rng.uniform(0.08, 0.3)] = 1.0
            kick[0] = 1.0
        snare = np.zeros(16)
        snare[[4, 12] if chance(rng, 0.75) else [8]] = 1.0
        snare[rng.random(16) < 0.05] = 0.4
        hat = np.zeros(16)
        hat[:: int(rng.choice([1, 2, 2, 4]))] = 1.0
        hat[rng.random(16) < 0.12] = rng.random()
        busy = float(rng.choice([0.0, 0.0, 0.15, 0.4]))
        return {
            "kick": kick,
            "snare": snare,
            "hat": hat,
            "open": (rng.random(16) < 0.05).astype(float),
            "perc": (rng.random(16) < busy).astype(float),
        }

    patterns = [bar(), bar()]
    silent = (
        {str(v) for v in rng.choice(["kick", "snare", "hat"], 1)} if chance(rng, 0.15) else set()
    )
    part = []
    for index in range(score.bars):
        if chance(rng, 0.05):
            continue
        start = index * score.bar_secs
        fill = index % 4 == 3 and chance(rng, 0.5)
        if index % 8 == 0:
            part.append((start, "crash", 1.0))
        for step in range(16):
            at = start + score.swung(step)
            if fill and step >= 10:
                part.append((at, "tom" if chance(rng, 0.7) else "snare", rng.uniform(0.6, 1.0)))
                continue
            for voice, row in patterns[(index // 4) % 2].items():
                if row[step] > 0.0 and voice not in silent:
                    part.append((at, voice, float(row[step]) * rng.uniform(0.7, 1.0)))
    return [hit for hit in part if hit[0] < score.seconds - 0.05]
