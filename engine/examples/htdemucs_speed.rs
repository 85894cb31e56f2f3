//! Speed, memory and exactness of HTDemucs, for `script/bench_htdemucs`.
//!
//! `htdemucs_speed DIR` reads `htdemucs_full.th`, `segment_in.f32` and `segment_out.f32` in DIR and
//! then commands from its standard input, each answered by a line of JSON:
//! - `forward THREADS`: one segment; seconds, seconds of each step, signal over error in dB.
//! - `product THREADS`: floating-point operations per second of large matrix products.
//!
//! `htdemucs_speed DIR song SECS LANES` separates a song of SECS seconds as the program does, with
//! LANES segments at a time, a thread each; seconds, and the most memory that was resident.

use std::{
    io::BufRead,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use engine::{
    Error, ErrorKind, Result,
    audio::WORK_RATE_HZ,
    job::{JobPhase, JobRequest, JobSong},
    local::Pool,
    model::{
        Progress, Quality, Separator, SongStats,
        checkpoint::Checkpoint,
        htdemucs::{Config, Htdemucs, Network, Profile},
        nn::{Kernels, product_flop_per_sec},
    },
    song::SongId,
    store::Track,
};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        [dir] => serve(Path::new(dir)),
        [dir, "song", secs, lanes] => match (secs.parse(), lanes.parse()) {
            (Ok(secs), Ok(lanes)) => song(Path::new(dir), secs, lanes),
            _ => Err(invalid("SECS and LANES are numbers")),
        },
        _ => Err(invalid("Usage: htdemucs_speed DIR [song SECS LANES]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(dir: &Path) -> Result<()> {
    let kernels = Kernels::detect();
    let network = Network::load(Checkpoint::read(&weights(dir))?, kernels)?;
    let input = floats(&dir.join("segment_in.f32"))?;
    let expected = floats(&dir.join("segment_out.f32"))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Error::io("read", Path::new("standard input"), e))?;
        let Some((command, threads)) = line.split_once(' ') else {
            return Err(invalid("A command and a number of threads"));
        };
        let threads = threads.parse().map_err(|_| invalid("THREADS is a number"))?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|e| Error::new(ErrorKind::Internal, "No threads").caused_by(e))?;
        let answer = pool.install(|| match command {
            "forward" => forward(&network, &input, &expected),
            "product" => Ok(json!({ "flop_per_sec": product_flop_per_sec(kernels) })),
            _ => Err(invalid("Commands are forward and product")),
        })?;
        println!("{answer}");
    }
    Ok(())
}

/// Remembers when each step ended.
struct Clock(Mutex<Vec<Instant>>);

impl Progress for Clock {
    fn report(&self, _done: f32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

fn forward(network: &Network, input: &[f32], expected: &[f32]) -> Result<Value> {
    let (left, right) = input.split_at(input.len() / 2);
    let wanted: Vec<usize> = (0..network.config().sources.len()).collect();
    let clock = Clock(Mutex::default());
    let began = Instant::now();
    let stems = network.forward([left, right], &wanted, &clock)?;
    let ended = Instant::now();

    let mut steps = Vec::new();
    let mut last = began;
    let ends = clock.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (name, end) in step_names(network.config()).into_iter().zip(ends.into_iter().chain([ended]))
    {
        steps.push(json!([name, (end - last).as_secs_f64()]));
        last = end;
    }
    let snr_db: Vec<f64> = stems
        .iter()
        .zip(expected.chunks_exact(input.len()))
        .map(|(stem, expected)| snr_db(&stem.concat(), expected))
        .collect();
    Ok(json!({
        "kernels": Kernels::detect().name(),
        "secs": (ended - began).as_secs_f64(),
        "steps": steps,
        "snr_db": snr_db,
    }))
}

/// What ends with each report of [`Network::forward`], and what comes after the last one.
fn step_names(config: &Config) -> Vec<&'static str> {
    let mut names = Vec::new();
    for layer in 0..config.depth {
        names.push(if layer == 0 { "STFT, time encoder 0" } else { "time encoders 1-3" });
        names.push("frequency encoders");
    }
    for layer in 0..config.layers {
        names.push(if layer % 2 == 0 { "self-attention layers" } else { "cross-attention layers" });
    }
    for _ in 0..config.depth {
        names.extend(["time decoders", "frequency decoders"]);
    }
    names.push("inverse STFT");
    names
}

fn snr_db(ours: &[f32], expected: &[f32]) -> f64 {
    let (mut signal, mut noise) = (0.0, 0.0);
    for (x, y) in ours.iter().zip(expected) {
        signal += f64::from(*y).powi(2);
        noise += (f64::from(*x) - f64::from(*y)).powi(2);
    }
    10.0 * (signal / noise).log10()
}

fn song(dir: &Path, secs: usize, lanes: usize) -> Result<()> {
    let config = Config::of(&Checkpoint::read(&weights(dir))?)?;
    let profile = Profile {
        name: "htdemucs".into(),
        title: "HTDemucs".into(),
        description: "Random weights".into(),
        weights: vec![vec![1.0; config.sources.len()]],
        sources: config.sources,
        segment_frames: config.segment_frames,
        weights_hash: [0; 32],
    };
    let file = weights(dir);
    let separator: Arc<dyn Separator> =
        Arc::new(Htdemucs::new(profile, Box::new(move |_| Checkpoint::read(&file))));

    let place = tempfile::tempdir().map_err(|e| Error::io("create", dir, e))?;
    let frames = secs * WORK_RATE_HZ as usize;
    let mixture = Track::create(place.path(), "mix", 2)?;
    {
        let input = floats(&dir.join("segment_in.f32"))?;
        let sides = input.chunks_exact(input.len() / 2);
        let looped = |side: &[f32]| side.iter().copied().cycle().take(frames).collect();
        mixture.write(0, &sides.map(looped).collect::<Vec<Vec<f32>>>())?;
    }
    let info = separator.info();
    let stats = SongStats { frames: frames as u64, mono_std: 0.2, ..SongStats::default() };
    let pool = Arc::new(Pool::new(Some(lanes), lanes as u64 * info.memory_bytes_per_chunk)?);
    let slots = pool.slots(info);
    let stems = info.stems.clone();
    let began = Instant::now();
    let job = engine::job::start(JobRequest {
        song: JobSong { id: SongId([0; 32]), mixture: Arc::new(mixture), stats },
        separator,
        stems,
        dir: place.path().join("job"),
        quality: Quality::default(),
        pool,
        crew: None,
        playhead_frame: 0,
        wake: Arc::new(|| {}),
    })?;
    let status = job.wait();
    let took = began.elapsed().as_secs_f64();
    if !matches!(status.phase, JobPhase::Done) {
        return Err(Error::new(ErrorKind::Internal, format!("The job ended: {:?}", status.phase)));
    }
    let answer = json!({
        "lanes": slots,
        "secs": took,
        "segments": status.chunks.len(),
        "peak_bytes": peak_memory_bytes(),
    });
    println!("{answer}");
    Ok(())
}

/// Peak resident memory so far, where the system tells.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

fn weights(dir: &Path) -> PathBuf {
    dir.join("htdemucs_full.th")
}

fn floats(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, what)
}
