"""Singing: analysed phrases re-sung on a score's melodies, and sung notes played as samples."""

import re
from pathlib import Path

import numpy as np
import pyworld
from scipy import signal

from . import samples
from .dsp import (
    RATE_HZ,
    Rng,
    band_pass,
    chance,
    compress,
    high_pass,
    saturate,
    space,
    stereo,
    wash,
)
from .score import Score, part
from .speakers import FRAME_SECS, Phrase

FFT_SIZE = pyworld.get_cheaptrick_fft_size(RATE_HZ)
# Median pitch of speech below which a voice sings low.
LOW_VOICE_HZ = 165.0
SUNG_NOTES = ("femalevoice_", "femalevoices_", "malevoice_", "malevoices_")


def load(path: Path) -> list[Phrase]:
    arrays = np.load(path)
    count = len(arrays.files) // len(Phrase._fields)
    return [
        Phrase(*(arrays[f"{index}.{field}"] for field in Phrase._fields)) for index in range(count)
    ]


class Singer:
    """One voice for one song: a speaker with its own mouth, tilt, breath and vibrato."""

    def __init__(self, phrases: list[Phrase], rng: Rng):
        self.phrases = phrases
        pitch_hz = np.concatenate([phrase.pitch_hz for phrase in phrases])
        low_voice = np.median(pitch_hz[pitch_hz > 0.0]) < LOW_VOICE_HZ
        self.mouth = rng.uniform(0.84, 1.2)
        self.tilt = rng.uniform(-0.5, 0.7)
        self.breath = rng.uniform(0.6, 1.5)
        self.evenness = rng.uniform(0.0, 0.6)
        self.vibrato = rng.uniform(0.0, 0.5)
        self.vibrato_hz = rng.uniform(4.5, 6.5)
        self.glide = rng.uniform(0.05, 0.3)
        self.lowest_key = int(rng.integers(43, 52) if low_voice else rng.integers(53, 63))
        # Some speak or rap instead of singing.
        self.speaks = chance(rng, 0.12)

    def sing(self, keys: np.ndarray, rng: Rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One phrase on a melody of one MIDI key per frame, for `pyworld.synthesize`."""
        phrase = self.phrases[rng.integers(len(self.phrases))]
        frames = len(keys)
        at = self.timing(phrase, frames, rng)
        pitch = phrase.pitch_hz[at].astype(float)
        voiced = pitch > 0.0
        if self.speaks:
            middle = np.median(pitch[voiced]) if voiced.any() else 120.0
            target = 440.0 * 2 ** ((self.lowest_key + 4 - 69) / 12.0)
            hz = pitch * (target / middle)
        else:
            hz = np.where(voiced, self.tune(keys, rng), 0.0)
        envelope = pyworld.decode_spectral_envelope(
            np.ascontiguousarray(phrase.envelope[at], float), RATE_HZ, FFT_SIZE
        )
        aperiodicity = pyworld.decode_aperiodicity(
            np.ascontiguousarray(phrase.aperiodicity[at], float), RATE_HZ, FFT_SIZE
        )
        return hz, self.shape(envelope), self.breathe(aperiodicity)

    def timing(self, phrase: Phrase, frames: int, rng: Rng) -> np.ndarray:
        """Which frame of the phrase sounds when: vowels last longer than in speech."""
        stretch = 1.0 if self.speaks else rng.uniform(1.5, 4.0)
        spent = np.cumsum(np.where(phrase.pitch_hz > 0.0, stretch, 1.0))
        start = rng.uniform(0.0, max(0.0, spent[-1] - frames))
        wanted = start + np.linspace(0.0, min(frames, spent[-1] - start), frames)
        return np.clip(np.searchsorted(spent, wanted), 0, len(spent) - 1)

    def tune(self, keys: np.ndarray, rng: Rng) -> np.ndarray:
        """Glides between notes, vibrato that grows on long ones, a little drift."""
        frames = len(keys)
        smooth = signal.lfilter([self.glide], [1.0, self.glide - 1.0], keys - keys[0]) + keys[0]
        new_note = np.concatenate([[True], np.diff(keys) != 0.0])
        since = np.arange(frames) - np.maximum.accumulate(np.where(new_note, np.arange(frames), 0))
        grown = np.clip(since * FRAME_SECS / 0.5 - 0.3, 0.0, 1.0)
        rate = self.vibrato_hz + signal.lfilter([0.02], [1.0, -0.98], rng.normal(0.0, 3.0, frames))
        shake = self.vibrato * grown * np.sin(2 * np.pi * np.cumsum(rate) * FRAME_SECS)
        drift = signal.lfilter([0.02], [1.0, -0.98], rng.normal(0.0, 0.5, frames))
        return 440.0 * 2 ** ((smooth + shake + drift - 69) / 12.0)

    def shape(self, envelope: np.ndarray) -> np.ndarray:
        bins = envelope.shape[1]
        moved = np.clip(np.arange(bins) / self.mouth, 0, bins - 1).astype(int)
        hz = np.arange(bins) * RATE_HZ / 2.0 / bins
        shaped = envelope[:, moved] * (1.0 + hz / 500.0) ** self.tilt
        level = np.sqrt(shaped.sum(1))
        sounding = level > 0.05 * level.max()
        usual = np.median(level[sounding])
        gain = (usual / (level + 0.02 * level.max())) ** self.evenness
        return np.ascontiguousarray(shaped * (gain**2)[:, None])

    def breathe(self, aperiodicity: np.ndarray) -> np.ndarray:
        bins = aperiodicity.shape[1]
        moved = np.clip(np.arange(bins) / self.mouth, 0, bins - 1).astype(int)
        return np.ascontiguousarray(np.clip(aperiodicity[:, moved] ** self.breath, 0.0, 1.0))


class Voices:
    def __init__(self, work: Path, rng: Rng):
        self.speakers = {
            path.stem: load(path) for path in sorted((work / "speakers").glob("*.npz"))
        }
        notes = sorted((work / "sources/berklee/berklee").glob("*.mp3"))
        banks = [
            samples.bank([p for p in notes if re.match(kind, p.name)], rng, 40)
            for kind in SUNG_NOTES
        ]
        self.banks = [bank for bank in banks if bank]

    def render(self, score: Score, rng: Rng) -> np.ndarray:
        mix = np.zeros((int(score.seconds * RATE_HZ), 2))
        kind = rng.random()
        if kind < 0.9:
            mix += self.lead(score, rng)
        if kind > 0.8:
            mix += self.choir(score, rng) * rng.uniform(0.3, 1.0)
        mix = high_pass(mix, rng.uniform(60.0, 140.0))
        if chance(rng, 0.6):
            mix = compress(mix, rng)
        if chance(rng, 0.2):
            mix = saturate(mix, rng.uniform(1.0, 6.0))
        if chance(rng, 0.05):
            mix = band_pass(mix, rng.uniform(250, 500), rng.uniform(2_500, 4_000))
        if chance(rng, 0.2):
            return wash(mix, rng)
        return space(mix, rng, 0.25, 2.5)

    def lead(self, score: Score, rng: Rng) -> np.ndarray:
        """Phrases of two to six beats with rests between, some doubled or in harmony."""
        name = str(rng.choice(sorted(self.speakers)))
        singer = Singer(self.speakers[name], rng)
        notes = part(score, rng, "voice", singer.lowest_key, singer.lowest_key + 16)
        keys = melody(notes, score.seconds)
        mix = np.zeros((int(score.seconds * RATE_HZ), 2))
        doubles = rng.uniform(0.0, 0.7) if chance(rng, 0.5) else 0.0
        at = float(rng.choice([0.0, 1.0, 2.0])) * score.beat_secs
        while at < score.seconds - 1.5:
            length = float(np.clip(rng.integers(3, 9) * score.beat_secs, 1.2, 6.0))
            first = int(at / FRAME_SECS)
            frames = min(int(length / FRAME_SECS), len(keys) - first)
            sung = singer.sing(keys[first : first + frames], rng)
            add(mix, pyworld.synthesize(*sung, RATE_HZ, FRAME_SECS * 1000), at, 0.5, 0.0)
            if chance(rng, doubles):
                hz, envelope, aperiodicity = sung
                for pan in (-0.7, 0.7):
                    up = float(rng.choice([0, 0, 3, 4, 7, -5])) + rng.normal(0.0, 0.08)
                    late = at + rng.uniform(0.0, 0.03)
                    second = (hz * 2 ** (up / 12.0), envelope, aperiodicity)
                    add(
                        mix,
                        pyworld.synthesize(*second, RATE_HZ, FRAME_SECS * 1000),
                        late,
                        0.25,
                        pan,
                    )
            at += length + float(rng.choice([0.0, 0.5, 1.0, 2.0, 4.0])) * score.beat_secs
        return mix

    def choir(self, score: Score, rng: Rng) -> np.ndarray:
        bank = self.banks[rng.integers(len(self.banks))]
        low = min(bank)
        style = str(rng.choice(["pad", "lead", "chords"], p=[0.5, 0.3, 0.2]))
        notes = part(score, rng, style, low, low + 19)
        return stereo(samples.play(notes, bank, rng, score.seconds, 0.05), rng.uniform(-0.5, 0.5))


def melody(notes: list, seconds: float) -> np.ndarray:
    """One key per frame; rests hold the note before them."""
    keys = np.zeros(int(seconds / FRAME_SECS) + 1)
    for note in notes:
        keys[int(note.start_secs / FRAME_SECS) :] = note.key
    return np.where(keys == 0.0, notes[0].key if notes else 60.0, keys)


def add(mix: np.ndarray, wave: np.ndarray, at_secs: float, peak: float, pan: float) -> None:
    start = int(at_secs * RATE_HZ)
    count = min(len(wave), len(mix) - start)
    fade = np.minimum(1.0, np.arange(count)[::-1] / (0.02 * RATE_HZ))
    scaled = wave[:count] * fade * (peak / (np.abs(wave).max() + 1e-9))
    mix[start : start + count] += stereo(scaled, pan)
