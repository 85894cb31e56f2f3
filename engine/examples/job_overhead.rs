//! What a job costs beside the separator itself: `cargo run --release -p engine --example
//! job_overhead`. A separator that only scales the mixture leaves nothing but our own work.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use engine::{
    Result,
    audio::{Planar, WORK_RATE_HZ},
    job::{self, JobPhase, JobRequest, JobSong},
    local::{DEFAULT_MEMORY_BYTES, Pool},
    model::{
        ChunkInput, ChunkSpec, JoinWindow, ModelInfo, Progress, Quality, Separator, SongStats, Stem,
    },
    scheduler::{Comm, Lease, State, WorkerSpec},
    song::SongId,
    store::Track,
};

struct Scaler(ModelInfo);

impl Separator for Scaler {
    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn separate(&self, input: &ChunkInput, _: &dyn Progress) -> Result<Vec<Planar>> {
        let from = input.context_before_frames;
        let scale = |gain: f32| {
            let channels = input.audio.channels().iter().map(|channel| {
                channel[from..from + input.segment_frames].iter().map(|x| x * gain).collect()
            });
            Planar::from_channels(channels.collect())
        };
        Ok([0.5, 0.25, 0.125, 0.125].map(scale).into())
    }
}

fn main() -> Result<()> {
    let rate = u64::from(WORK_RATE_HZ);
    measure("10 000 tiny chunks", 10_000 * 100, 150, 100)?;
    measure("4 minutes in chunks of 7.8 s", 240 * rate, 343_980, 257_985)?;
    schedule(10_000, 64);
    Ok(())
}

fn measure(title: &str, frames: u64, segment: u64, stride: u64) -> Result<()> {
    let home = std::env::temp_dir().join(format!("stemhive-overhead-{}", std::process::id()));
    std::fs::create_dir_all(&home).map_err(|e| engine::Error::io("create", &home, e))?;
    let mixture = Track::create(&home, "mix", 2)?;
    let noise: Vec<f32> = (0..frames as u32)
        .map(|n| n.wrapping_mul(2_654_435_761) as i32 as f32 / 2f32.powi(32))
        .collect();
    mixture.write(0, &[&noise, &noise])?;
    let info = ModelInfo {
        name: "scaler".into(),
        title: "Scaler".into(),
        description: "Scales.".into(),
        stems: Stem::ALL[..4].to_vec(),
        chunks: ChunkSpec {
            segment_frames: segment,
            stride_frames: stride,
            context_frames: 0,
            window: JoinWindow::Triangle,
        },
        hash: [1; 32],
        memory_bytes_per_chunk: 1,
        cost_core_secs_per_sec: 0.001,
        sums_to_mixture: true,
    };
    let joiner_secs = Arc::new(Mutex::new(0.0));
    let latest = Arc::clone(&joiner_secs);
    let request = JobRequest {
        song: JobSong {
            id: SongId([1; 32]),
            mixture: Arc::new(mixture),
            stats: SongStats { frames, ..SongStats::default() },
        },
        stems: info.stems.clone(),
        separator: Arc::new(Scaler(info)),
        dir: home.join("job"),
        quality: Quality::default(),
        pool: Arc::new(Pool::new(None, DEFAULT_MEMORY_BYTES)?),
        crew: None,
        playhead_frame: 0,
        wake: Arc::new(move || {
            if let (Some(secs), Ok(mut latest)) = (cpu_secs_of("join stems"), latest.lock()) {
                *latest = secs;
            }
        }),
    };
    let began = Instant::now();
    let status = job::start(request)?.wait();
    let wall = began.elapsed();
    let chunks = status.chunks.len();
    println!("{title}: {}", if matches!(status.phase, JobPhase::Done) { "done" } else { "FAILED" });
    println!(
        "  {chunks} chunks in {:.2} s: {:.0} us per chunk, {:.0} x real time, first audio after {:.0} ms",
        wall.as_secs_f64(),
        wall.as_secs_f64() / chunks as f64 * 1e6,
        frames as f64 / rate_f64() / wall.as_secs_f64(),
        status.first_audio.unwrap_or_default().as_secs_f64() * 1e3,
    );
    if let Ok(secs) = joiner_secs.lock() {
        println!(
            "  joining took {:.2} s of processor time: {:.2} ms per second of audio with four stems",
            *secs,
            *secs * 1e3 / (frames as f64 / rate_f64())
        );
    }
    let _ = std::fs::remove_dir_all(&home);
    Ok(())
}

fn rate_f64() -> f64 {
    f64::from(WORK_RATE_HZ)
}

/// Processor time of a thread of this process, where the system tells (Linux).
fn cpu_secs_of(name: &str) -> Option<f64> {
    for entry in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        if head.ends_with(&format!("({name}")) {
            let ticks: Vec<f64> =
                tail.split_whitespace().skip(11).take(2).filter_map(|t| t.parse().ok()).collect();
            return Some(ticks.iter().sum::<f64>() / 100.0);
        }
    }
    None
}

/// The scheduler alone, with workers that answer at once.
fn schedule(chunks: u64, workers: usize) {
    #[derive(Default)]
    struct Queue(Vec<Lease>, Vec<Lease>);
    impl Comm for Queue {
        fn dispatch(&mut self, lease: Lease) {
            self.0.push(lease);
        }
        fn revoke(&mut self, _: Lease) {}
        fn store(&mut self, lease: Lease) {
            self.1.push(lease);
        }
        fn discard(&mut self, _: Lease) {}
        fn agree(&self, _: Lease, _: Lease) -> bool {
            true
        }
        fn accuse(&mut self, _: usize) {}
        fn give_up(&mut self, _: usize) {}
    }
    let mut state = State::new((0..chunks).map(|n| n * 100..n * 100 + 100).collect(), 0, []);
    let mut queue = Queue::default();
    let spec =
        WorkerSpec { slots: 1, local: false, shares_threads: false, expected_secs_per_frame: 0.01 };
    let began = Instant::now();
    for worker in 0..workers {
        state.on_worker_joined(&mut queue, Duration::ZERO, worker, spec);
    }
    let mut now = Duration::ZERO;
    while !queue.0.is_empty() {
        now += Duration::from_millis(16);
        let lease = queue.0.swap_remove(0);
        state.on_started(now, lease.worker, lease.chunk, lease.attempt);
        state.on_result(
            &mut queue,
            now + Duration::from_secs(1),
            lease.worker,
            lease.chunk,
            lease.attempt,
        );
        while let Some(lease) = queue.1.pop() {
            state.on_committed(&mut queue, now, lease.worker, lease.chunk);
        }
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "scheduler alone: {chunks} chunks, {workers} workers: {:.1} us per chunk",
        took / chunks as f64 * 1e6
    );
    assert!(state.is_finished());
}
