//! Speed and memory of a model: `separator_speed [MODEL] [SECONDS] [THREADS]`, on noise
//! with some shape to it. The model is a built-in one or a file of a `band_gru` network. Nothing is
//! decoded, joined or written.

use std::{ops::Range, process::ExitCode, sync::Arc, time::Instant};

use engine::{
    Error, ErrorKind, Result,
    audio::{Planar, WORK_RATE_HZ},
    model::{self, ChunkInput, NoProgress, Separator, SongStats, band_gru::BandGru},
    plan::Plan,
};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_else(|| "spectral".into());
    let secs: usize = args.next().and_then(|secs| secs.parse().ok()).unwrap_or(240);
    let threads = args.next().and_then(|threads| threads.parse().ok()).unwrap_or(1);
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else {
        eprintln!("There are no {threads} threads");
        return ExitCode::FAILURE;
    };
    match pool.install(|| measure(&name, secs)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(name: &str, secs: usize) -> Result<()> {
    let model: Arc<dyn Separator> = match std::fs::read(name) {
        Ok(file) => Arc::new(BandGru::new(&file, name, name, "")?),
        Err(_) => {
            model::built_in().into_iter().find(|model| model.info().name == name).ok_or_else(
                || Error::new(ErrorKind::NotFound, format!("There is no model “{name}”")),
            )?
        }
    };
    let song = noise(secs * WORK_RATE_HZ as usize);
    let plan = Plan::new(song.frames() as u64, model.info().chunks)?;
    let started = Instant::now();
    for (chunk, segment) in plan.segments().iter().enumerate() {
        let given = plan.input(chunk);
        let before = peak_memory_bytes();
        let input = ChunkInput {
            audio: cut(&song, given.start as usize..given.end as usize),
            context_before_frames: (segment.start - given.start) as usize,
            segment_frames: (segment.end - segment.start) as usize,
            start_frame: segment.start,
            song: SongStats { frames: song.frames() as u64, ..SongStats::default() },
        };
        model.separate(&input, &NoProgress)?;
        if chunk < 2 {
            println!("after chunk {chunk}: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
            if let (Some(before), Some(after)) = (before, peak_memory_bytes()) {
                println!(
                    "  raised the peak of memory by {:.1} MiB",
                    (after - before) as f64 / 1_048_576.0
                );
            }
        }
    }
    let took = started.elapsed().as_secs_f64();
    let threads = rayon::current_num_threads();
    println!("{secs} s: {took:.2} s, {:.1} x real time on {threads} threads", secs as f64 / took);
    Ok(())
}

fn cut(song: &Planar, frames: Range<usize>) -> Planar {
    Planar::from_channels(song.channels().iter().map(|c| c[frames.clone()].to_vec()).collect())
}

/// Noise whose loudness and colour change, so that no stage has an easy time.
fn noise(frames: usize) -> Planar {
    let mut state = 1u32;
    let mut smooth = 0.0f32;
    let mut channel = || {
        (0..frames)
            .map(|n| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let white = (state >> 8) as f32 / 8_388_608.0 - 1.0;
                smooth += 0.05 * (white - smooth);
                let swell = (n % 30_011) as f32 / 30_011.0;
                0.3 * (swell * white + (1.0 - swell) * 4.0 * smooth)
            })
            .collect()
    };
    Planar::from_channels(vec![channel(), channel()])
}

/// Peak resident memory so far, where the system tells.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
