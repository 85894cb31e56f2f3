"""Phrases of many voices, analysed by the WORLD vocoder so that any melody can be sung with them.

    python -m stemtrain.render.speakers WORK

writes WORK/speakers/<name>.npz: per phrase the pitch (0 where unvoiced), the coded spectral envelope
and the coded aperiodicity of every 5 ms.
"""

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyworld
import soundfile
from scipy import signal

from .dsp import RATE_HZ, Rng

FRAME_SECS = 0.005
CODED_DIMENSIONS = 60
PHRASES = 20
ENGLISH = """love night you me baby running hold on fire never again tonight dreams falling away heart light
rain over river home stay with low high sun moon shine tell why lonely road blue sky morning gone believe
take my hand feel breathe slowly dancing shadow golden summer time wild young forever people city stars
under water mountain call your name lost found broken easy come back to the one we are all so free every
single day is mine oh yeah hey now""".split()
GERMAN = """liebe nacht du ich und wir feuer niemals wieder heute traum fallen herz licht regen fluss heimat
bleib sonne mond warum allein himmel morgen glaube nimm meine hand langsam tanzen schatten sommer zeit wild
jung immer menschen stadt sterne wasser ruf deinen namen verloren leicht komm""".split()
SPANISH = """amor noche contigo fuego nunca otra vez hoy sueño caer corazón luz lluvia río casa quédate sol
luna
por qué camino azul cielo mañana creer toma mi mano despacio bailar sombra verano tiempo siempre gente ciudad
estrellas agua llama tu nombre perdido fácil ven""".split()
FRENCH = """amour nuit toi moi feu jamais encore ce soir rêve tomber coeur lumière pluie rivière maison reste
soleil lune pourquoi seul route bleu ciel matin croire prends ma main doucement danser ombre été temps
toujours gens ville étoiles eau appelle ton nom perdu facile viens""".split()
ITALIAN = """amore notte con te fuoco mai ancora stasera sogno cadere cuore luce pioggia fiume casa resta sole
luna perché sola strada blu cielo mattina credere prendi la mia mano piano ballare ombra estate tempo sempre
gente città stelle acqua chiama il tuo nome perso facile vieni""".split()
SYLLABLES = list(
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ"
)
PICO = {
    "en-US": ENGLISH,
    "en-GB": ENGLISH,
    "de-DE": GERMAN,
    "es-ES": SPANISH,
    "fr-FR": FRENCH,
    "it-IT": ITALIAN,
}
# Recorded speakers: their files, and the band they were recorded in.
RECORDED = {
    "kerstin": ("kerstin/verified/*.flac", 20_000.0),
    "kathleen": ("kathleen/data/*.wav", 20_000.0),
    "flemishguy": ("flemishguy/wavs/*.wav", 11_500.0),
    "nathalie": ("nathalie/verified/*.flac", 20_000.0),
}
# One file each of voices that are not among the former.
FEW = "nabucasa/*/*/*.mp3"
FLITE = ("slt", "awb", "rms", "kal16")


class Phrase(NamedTuple):
    pitch_hz: np.ndarray
    envelope: np.ndarray
    aperiodicity: np.ndarray


def analyse(x: np.ndarray, band_hz: float) -> Phrase:
    """Speech as at 44.1 kHz; what lies above `band_hz` is made up from what lies just below."""
    x = np.ascontiguousarray(x, float)
    pitch, times = pyworld.dio(x, RATE_HZ, f0_floor=65.0, f0_ceil=900.0)
    pitch = pyworld.stonemask(x, pitch, times, RATE_HZ)
    envelope = pyworld.cheaptrick(x, pitch, times, RATE_HZ)
    aperiodicity = pyworld.d4c(x, pitch, times, RATE_HZ)
    hz = np.linspace(0.0, RATE_HZ / 2.0, envelope.shape[1])
    if band_hz < 18_000:
        edge = np.searchsorted(hz, 0.97 * band_hz)
        below = np.searchsorted(hz, 0.75 * band_hz)
        level = envelope[:, below:edge].mean(1, keepdims=True)
        unvoiced = (pitch == 0.0)[:, None]
        above = hz[edge:] / band_hz
        envelope[:, edge:] = level * np.where(unvoiced, above**-1.5, above**-4.0)
        aperiodicity[:, edge:] = np.where(unvoiced, 0.999, 0.9)
    return Phrase(
        pitch.astype(np.float32),
        pyworld.code_spectral_envelope(envelope, RATE_HZ, CODED_DIMENSIONS).astype(np.float32),
        pyworld.code_aperiodicity(aperiodicity, RATE_HZ).astype(np.float32),
    )


def resampled(path: str) -> np.ndarray:
    x, rate = soundfile.read(path, always_2d=True)
    x = x.mean(1)
    common = np.gcd(rate, RATE_HZ)
    return signal.resample_poly(x, RATE_HZ // common, rate // common)


def sentence(words: list[str], rng: Rng) -> str:
    return " ".join(rng.choice(words, int(rng.integers(5, 11))))


def speak_flite(sources: Path, voice: str, text: str, path: str) -> None:
    libraries = sources / "libflite1/usr/lib/x86_64-linux-gnu"
    environment = dict(os.environ, LD_LIBRARY_PATH=str(libraries.resolve()))
    program = (sources / "flite/usr/bin/flite").resolve()
    command = [program, "-voice", voice, "-t", text, "-o", path]
    subprocess.run(command, env=environment, check=True)


def speak_pico(sources: Path, language: str, text: str, path: str) -> None:
    program = (sources / "picotts/pico2wave").resolve()
    command = [program, "-l", language, "-w", path, text]
    subprocess.run(command, cwd=sources / "picotts/pico", check=True)


def music_xml(rng: Rng) -> str:
    """Four bars of a random walk in C major, two octaves of it, in sixteenths."""
    at = int(rng.integers(26, 34))
    bars = []
    for number in range(1, 5):
        left, notes = 16, []
        while left > 0:
            length = min(int(rng.choice([2, 4, 4, 6, 8])), left)
            at = int(np.clip(at + rng.choice([-3, -2, -1, 0, 1, 2, 3]), 25, 38))
            step, octave = "CDEFGAB"[at % 7], at // 7
            lyric = SYLLABLES[rng.integers(len(SYLLABLES))]
            notes.append(
                f"<note><pitch><step>{step}</step><octave>{octave}</octave></pitch>"
                f"<duration>{length}</duration><voice>1</voice>"
                f"<lyric><syllabic>single</syllabic><text>{lyric}</text></lyric></note>"
            )
            left -= length
        head = ""
        if number == 1:
            tempo = int(rng.integers(80, 150))
            head = (
                "<attributes><divisions>4</divisions><key><fifths>0</fifths></key>"
                "<time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
                f'<sound tempo="{tempo}"/>'
            )
        bars.append(f'<measure number="{number}">{head}{"".join(notes)}</measure>')
    return (
        '<?xml version="1.0" encoding="UTF-8"?><score-partwise version="2.0"><part-list>'
        '<score-part id="P1"><part-name>voice</part-name></score-part></part-list>'
        f'<part id="P1">{"".join(bars)}</part></score-partwise>'
    )


def sing_sinsy(rng: Rng, path: str) -> None:
    import pysinsy  # needed for this voice only, and not everywhere to be had

    singer = pysinsy.Sinsy()
    singer.setLanguages("j", pysinsy.get_default_dic_dir())
    singer.loadVoices(pysinsy.get_default_htsvoice())
    with tempfile.NamedTemporaryFile("w", suffix=".xml", encoding="utf-8") as file:
        file.write(music_xml(rng))
        file.flush()
        singer.loadScoreFromMusicXML(file.name)
    wave, rate = singer.synthesize()
    wave = np.asarray(wave)
    soundfile.write(path, wave / (np.abs(wave).max() + 1e-9) * 0.9, rate)
    singer.clearScore()


def say_recorded(files: list[Path], rng: Rng, path: str) -> None:
    """One of the files, 8 seconds of it at most."""
    audio, rate = soundfile.read(files[rng.integers(len(files))])
    soundfile.write(path, audio[: 8 * rate], rate)


def recorded(sources: Path) -> dict[str, tuple[list[Path], float]]:
    found = {
        name: (sorted(sources.glob(pattern)), band_hz)
        for name, (pattern, band_hz) in RECORDED.items()
    }
    for path in sorted(sources.glob(FEW)):
        if path.parent.name not in found:
            found[path.parent.name] = ([path], 20_000.0)
    return found


def speakers(sources: Path) -> dict[str, tuple[Callable[[Rng, str], None], float, int]]:
    """How each voice writes a phrase to a file, the band in Hz it speaks in, and how many phrases are
    taken of it."""
    found: dict[str, tuple[Callable[[Rng, str], None], float, int]] = {}
    for voice in FLITE:
        found[f"flite-{voice}"] = (
            lambda rng, path, voice=voice: speak_flite(
                sources, voice, sentence(ENGLISH, rng), path
            ),
            7_600.0,
            PHRASES,
        )
    for language, words in PICO.items():
        found[f"pico-{language}"] = (
            lambda rng, path, language=language, words=words: speak_pico(
                sources, language, sentence(words, rng), path
            ),
            7_600.0,
            PHRASES,
        )
    found["sinsy"] = (sing_sinsy, 20_000.0, PHRASES)
    for name, (files, band_hz) in recorded(sources).items():
        speak = lambda rng, path, files=files: say_recorded(files, rng, path)  # noqa: E731
        found[name] = (speak, band_hz, min(PHRASES, len(files)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    options = parser.parse_args()
    target = options.work / "speakers"
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wave = f"{folder}/phrase.wav"
        found = speakers(options.work / "sources")
        for seed, (name, (speak, band_hz, phrases)) in enumerate(found.items()):
            if (target / f"{name}.npz").exists():
                continue
            rng = np.random.default_rng(seed)
            arrays = {}
            for index in range(phrases):
                speak(rng, wave)
                phrase = analyse(resampled(wave), band_hz)
                for field, values in phrase._asdict().items():
                    arrays[f"{index}.{field}"] = values
            np.savez(target / f"{name}.npz", **arrays)
            print(name, flush=True)


if __name__ == "__main__":
    main()
