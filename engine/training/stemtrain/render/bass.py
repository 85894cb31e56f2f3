"""Bass parts: guitars, double bass, synthesizers, soundfont."""

from pathlib import Path

import numpy as np

from . import samples, synth
from .dsp import Rng, chance, compress, log_uniform, low_pass, reverb, saturate, widen
from .score import Score, part
from .soundfont import SoundFont

GM_BASSES = range(32, 40)
SYNTHESIZERS = ("synth-bass-1", "synth-bass-2", "lately-bass")


class Bass:
    def __init__(self, sources: Path, font: SoundFont, rng: Rng):
        self.font = font
        growly, pasta = sources / "growlybass", sources / "pastabass/samples"
        folders = [growly / "sustain", growly / "staccato", *sorted(pasta.iterdir())]
        folders.append(sources / "meatbass/Samples/pizz")
        folders += [sources / "fashionbass/notes", sources / "swagbass/notes"]
        folders += [sources / "sneakybass/Samples" / how for how in ("finger", "pluck", "mute")]
        folders += [sources / f"{name}/samples" for name in SYNTHESIZERS]
        self.banks = [samples.bank(folder.glob("*.[wf]*"), rng, 36) for folder in folders]
        self.banks = [self.low_half(bank) for bank in self.banks if bank]
        self.banks += [
            self.fretted(sources / "electric-bass-yr/samples" / how) for how in ("finger", "pick")
        ]

    @staticmethod
    def low_half(bank: samples.Bank) -> samples.Bank:
        keys = sorted(bank)
        return {key: bank[key] for key in keys[: max(4, 2 * len(keys) // 3)]}

    @staticmethod
    def fretted(folder: Path) -> samples.Bank:
        """Files named by note alone, from the low E upwards."""
        bank: samples.Bank = {}
        for path in sorted(folder.glob("*.flac")):
            name = path.stem.lower()
            sound = samples.read(path, 5.0)
            if name[0] in samples.SEMITONES and sound is not None:
                pitch = samples.SEMITONES[name[0]] + name.count("#")
                bank.setdefault(28 + (pitch - 4) % 12, []).append(sound)
        return bank

    def render(self, score: Score, rng: Rng) -> np.ndarray:
        low = int(rng.integers(24, 34))
        notes = part(score, rng, "bass" if chance(rng, 0.85) else "arpeggio", low, low + 14)
        kind = rng.random()
        if kind < 0.5:
            bank = self.banks[rng.integers(len(self.banks))]
            # Banks are named by different conventions: bring their middle to the bass's octave.
            octaves = round((np.mean(list(bank)) - low - 8) / 12)
            bank = {key - 12 * octaves: takes for key, takes in bank.items()}
            mix = samples.play(notes, bank, rng, score.seconds)
        elif kind < 0.82:
            mix = synth.play(notes, rng, score.seconds, bass=True)
        else:
            mix = self.font.play(notes, int(rng.choice(GM_BASSES)), score.seconds)
        mix = widen(mix, float(rng.choice([0.0, 0.0, 0.5, 1.0])))
        if chance(rng, 0.3):
            mix = saturate(mix, rng.uniform(1.0, 12.0))
        if chance(rng, 0.4):
            mix = low_pass(mix, log_uniform(rng, 250, 5_000))
        if chance(rng, 0.4):
            mix = compress(mix, rng)
        if chance(rng, 0.12):
            mix = reverb(mix, rng, 0.1, 0.6)
        return mix
