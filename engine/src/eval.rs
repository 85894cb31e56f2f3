//! Scoring models on multitracks: a folder of songs, each a folder with `mixture.<ext>` and one
//! file per stem, named like the stem.
//!
//! Two figures per song and stem, both signal-to-distortion ratios 10 log₁₀(Σ s² / Σ (s − ŝ)²) over
//! all channels: *global* over the whole song, and the *median* over frames of one second, which is
//! the SDR of BSSEval v4 as the `museval` package takes it (Stöter, Liutkus and Ito, "The 2018 Signal
//! Separation Evaluation Campaign"): frames in which any stem or estimate is exactly silent count
//! for none. Beside the models stand the mixture as its own estimate, a share of it, and the ideal
//! ratio mask, which knows the answer. A song is held in memory whole.

use std::path::{Path, PathBuf};

use crate::{
    audio::{Planar, WORK_RATE_HZ},
    decode::Decoder,
    dsp::stft::{Bin, Stft},
    engine::{Engine, SeparateOptions},
    error::{Error, ErrorKind, Result},
    job::JobPhase,
    model::{Quality, Stem},
};

/// Stems that count as such among four.
pub const CLASSES: [Stem; 4] = [Stem::Drums, Stem::Bass, Stem::Other, Stem::Vocals];

/// Samples of a frame of the median: a second.
const FRAME: usize = WORK_RATE_HZ as usize;

/// Length of the frames of the ideal ratio mask's transform.
const ORACLE_SIZE: usize = 4096;

/// The score of one stem of one song.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Score {
    /// The stem plays in the song.
    Distortion {
        /// Over the whole song, in decibels.
        global_db: f64,
        /// Median over one-second frames, in decibels; not a number where there is none.
        median_db: f64,
    },
    /// The song has no such stem: the estimate's energy below the mixture's, in decibels (less is
    /// better).
    Leakage {
        /// Energy of what should be silent, relative to the mixture's.
        db: f64,
    },
}

/// One system on one song.
#[derive(Debug, Clone, PartialEq)]
pub struct SongScores {
    /// "spectral", "mixture", "mixture / 4", "ideal ratio mask".
    pub system: String,
    /// Name of the song's folder.
    pub song: String,
    /// One per [`CLASSES`].
    pub scores: [Score; 4],
}

struct Multitrack {
    name: String,
    mixture: Planar,
    /// In order of [`CLASSES`]; `None` where the song has no such stem.
    stems: [Option<Planar>; 4],
}

impl Multitrack {
    /// The whole seconds, by their first sample, in which no stem and no estimate of one is silent.
    fn frames_that_count(&self, estimates: &[Planar; 4]) -> Vec<usize> {
        let present =
            || self.stems.iter().zip(estimates).filter_map(|(s, e)| Some((s.as_ref()?, e)));
        let sounds = |audio: &Planar, at: usize| {
            audio.channels().iter().any(|c| c[at..at + FRAME].iter().any(|&x| x != 0.0))
        };
        let starts = (0..self.mixture.frames() / FRAME).map(|frame| frame * FRAME);
        starts.filter(|&at| present().all(|(s, e)| sounds(s, at) && sounds(e, at))).collect()
    }
}

/// Scores `models` and the references on every multitrack in `dir` that has at least two of the
/// four classes; `on_row` is told each result as it is there.
///
/// # Errors
/// When the folder holds no multitrack, a file cannot be read, a model does not exist or fails.
pub fn evaluate(
    engine: &Engine,
    dir: &Path,
    models: &[String],
    on_row: &mut dyn FnMut(&SongScores),
) -> Result<Vec<SongScores>> {
    let mut rows = Vec::new();
    let mut add = |row: SongScores| {
        on_row(&row);
        rows.push(row);
    };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(dir)
        .map_err(|e| Error::io("read", dir, e))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    for folder in folders {
        let Some((song, mixture_path)) = load(&folder)? else { continue };
        let mut score = |system: &str, estimates: &[Planar; 4]| {
            let frames = song.frames_that_count(estimates);
            add(SongScores {
                system: system.to_owned(),
                song: song.name.clone(),
                scores: std::array::from_fn(|class| {
                    let stem = song.stems[class].as_ref();
                    score(&song.mixture, stem, &estimates[class], &frames)
                }),
            });
        };
        for model in models {
            score(model, &separate(engine, &mixture_path, model)?);
        }
        score("mixture", &std::array::from_fn(|_| song.mixture.clone()));
        score("mixture / 4", &std::array::from_fn(|_| scaled(&song.mixture, 0.25)));
        score("ideal ratio mask", &ideal_ratio_mask(&song));
    }
    if rows.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("“{}” holds no multitracks", dir.display()),
        )
        .advice("Name a folder of folders, each with mixture.wav, drums.wav, bass.wav and so on"));
    }
    Ok(rows)
}

/// Mean over songs of each class, `[global, median]` in decibels, of one system's rows; `None`
/// where no song has the class.
pub fn means(rows: &[SongScores], system: &str) -> [Option<[f64; 2]>; 4] {
    std::array::from_fn(|class| {
        let scores: Vec<[f64; 2]> = rows
            .iter()
            .filter(|row| row.system == system)
            .filter_map(|row| match row.scores[class] {
                Score::Distortion { global_db, median_db } => Some([global_db, median_db]),
                Score::Leakage { .. } => None,
            })
            .collect();
        (!scores.is_empty())
            .then(|| [0, 1].map(|i| mean(scores.iter().map(|s| s[i]).filter(|db| !db.is_nan()))))
    })
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

fn load(folder: &Path) -> Result<Option<(Multitrack, PathBuf)>> {
    let file = |name: &str| -> Option<PathBuf> {
        let entries = std::fs::read_dir(folder).ok()?;
        entries
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .find(|path| path.file_stem().is_some_and(|stem| stem == name))
    };
    let Some(mixture_path) = file("mixture") else { return Ok(None) };
    let mut stems: [Option<Planar>; 4] = [const { None }; 4];
    for (stem, class) in stems.iter_mut().zip(CLASSES) {
        if let Some(path) = file(class.name()) {
            *stem = Some(decode(&path)?);
        }
    }
    if stems.iter().flatten().count() < 2 {
        return Ok(None);
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mixture = decode(&mixture_path)?;
    for stem in stems.iter_mut().flatten() {
        stem.resize(mixture.frames());
    }
    Ok(Some((Multitrack { name, mixture, stems }, mixture_path)))
}

/// All of a file as stereo at the work rate.
fn decode(path: &Path) -> Result<Planar> {
    let mut decoder = Decoder::open(path)?;
    let source = decoder.info().source;
    if source.sample_rate_hz != WORK_RATE_HZ || !(1..=2).contains(&source.channels) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("“{}” is not mono or stereo at {WORK_RATE_HZ} Hz", path.display()),
        )
        .advice("Multitracks are compared sample by sample; convert them first"));
    }
    let mut channels = vec![Vec::new(); usize::from(source.channels)];
    while let Some(block) = decoder.next_block()? {
        for (channel, samples) in channels.iter_mut().zip(block.channels()) {
            channel.extend_from_slice(samples);
        }
    }
    if let [mono] = channels.as_slice() {
        channels = vec![mono.clone(), mono.clone()];
    }
    Ok(Planar::from_channels(channels))
}

fn separate(engine: &Engine, path: &Path, model: &str) -> Result<[Planar; 4]> {
    let song = engine.open_song(path, std::sync::Arc::new(|| {}));
    song.wait_ready().map_err(|error| shared(&error))?;
    let options = SeparateOptions {
        model: model.to_owned(),
        quality: Quality::default(),
        stems: CLASSES.to_vec(),
        playhead_frame: 0,
        workers: crate::remote::Chosen::None,
        wake: std::sync::Arc::new(|| {}),
    };
    let job = engine.separate(&song, options)?;
    let status = job.wait();
    if let JobPhase::Failed(error) = &status.phase {
        return Err(shared(error));
    }
    let stems = job.stems();
    let mut estimates = Vec::with_capacity(4);
    for class in CLASSES {
        let Some(at) = stems.stems.iter().position(|stem| *stem == class) else {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("The model “{model}” has no stem “{}”", class.name()),
            ));
        };
        let track = &stems.tracks[at];
        let frames = usize::try_from(track.frames()).unwrap_or(usize::MAX);
        let mut channels = vec![vec![0.0; frames]; track.channel_count()];
        track.read(0, &mut channels)?;
        if let [mono] = channels.as_slice() {
            channels = vec![mono.clone(), mono.clone()];
        }
        estimates.push(Planar::from_channels(channels));
    }
    <[Planar; 4]>::try_from(estimates)
        .map_err(|_| Error::new(ErrorKind::Internal, "A class is missing"))
}

fn shared(error: &Error) -> Error {
    Error::new(error.kind, error.what.clone())
}

fn scaled(audio: &Planar, by: f32) -> Planar {
    Planar::from_channels(
        audio.channels().iter().map(|c| c.iter().map(|s| s * by).collect()).collect(),
    )
}

fn energy(audio: &Planar) -> f64 {
    audio.channels().iter().flatten().map(|s| f64::from(*s).powi(2)).sum()
}

fn score(mixture: &Planar, stem: Option<&Planar>, estimate: &Planar, frames: &[usize]) -> Score {
    let Some(stem) = stem else {
        return Score::Leakage {
            db: 10.0 * (energy(estimate).max(1e-30) / energy(mixture).max(1e-30)).log10(),
        };
    };
    let sums = |from: usize, until: usize| {
        let mut sums = [0.0f64; 2];
        for (s, e) in stem.channels().iter().zip(estimate.channels()) {
            for (s, e) in s[from..until].iter().zip(&e[from..until]) {
                sums[0] += f64::from(*s).powi(2);
                sums[1] += (f64::from(*s) - f64::from(*e)).powi(2);
            }
        }
        sums
    };
    let ratio_db = |[signal, error]: [f64; 2]| 10.0 * (signal / error.max(1e-30)).log10();
    let mut frames_db: Vec<f64> = frames.iter().map(|&at| ratio_db(sums(at, at + FRAME))).collect();
    frames_db.sort_by(f64::total_cmp);
    let median_db = match frames_db.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => frames_db[n / 2],
        n => (frames_db[n / 2 - 1] + frames_db[n / 2]) / 2.0,
    };
    Score::Distortion { global_db: ratio_db(sums(0, stem.frames())), median_db }
}

/// Each stem as the mixture's spectrum times the stem's share of the power, channel by channel.
fn ideal_ratio_mask(song: &Multitrack) -> [Planar; 4] {
    let frames = song.mixture.frames();
    let mut out: [Planar; 4] = std::array::from_fn(|_| Planar::silence(2, frames));
    let stft = Stft::new(ORACLE_SIZE, ORACLE_SIZE / 4);
    let bins = stft.bins();
    let mut scratch = stft.scratch();
    let spectra = || [vec![Bin::default(); bins], vec![Bin::default(); bins]];
    let mut mix = spectra();
    let mut stems: [_; 4] = std::array::from_fn(|_| spectra());
    let mut total = [vec![0.0f32; bins], vec![0.0f32; bins]];
    for window in stft.frames_touching(0..frames as i64) {
        let at = stft.start(window);
        let mut analyse = |audio: &Planar, [left, right]: &mut [Vec<Bin>; 2]| {
            let pair = [audio.channel(0), audio.channel(1)];
            stft.analyse(pair, at, [left, right], &mut scratch);
        };
        analyse(&song.mixture, &mut mix);
        total.iter_mut().for_each(|total| total.fill(1e-20));
        for (stem, spectra) in song.stems.iter().zip(&mut stems) {
            let Some(stem) = stem else { continue };
            analyse(stem, spectra);
            for (total, bin) in total.iter_mut().flatten().zip(spectra.iter().flatten()) {
                *total += bin.norm_sqr();
            }
        }
        for ((out, own), stem) in out.iter_mut().zip(&stems).zip(&song.stems) {
            let [left, right] = out.channels_mut() else { continue };
            if stem.is_some() {
                let masked = |c: usize, k: usize| mix[c][k] * (own[c][k].norm_sqr() / total[c][k]);
                stft.synthesise(|k| [masked(0, k), masked(1, k)], at, [left, right], &mut scratch);
            }
        }
    }
    out
}
