//! A made-up song for tests and measurements of the window: always the same, nothing decoded.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use engine::{
    audio::{RangeSet, StreamSpec, WORK_RATE_HZ},
    crew::{DeviceId, PauseReason, Standing},
    job::{ChunkState, JobPhase, JobStatus, NullTest, WorkerActivity, WorkerStatus},
    model::{ChunkSpec, JoinWindow, ModelInfo, Stem},
    protocol::LinkKind,
    remote::{About, Computer, HubStatus, Link, Pairing, PairingStage},
    song::{SongId, SongInfo},
    waveform::Waveform,
};

use crate::state::{Device, Lane, ModelCard, Opening, SongView, State, Supply};

/// Length of a piece in seconds.
const PIECE_SECS: u64 = 8;

/// The stems of the made-up model.
pub const STEMS: [Stem; 4] = [Stem::Drums, Stem::Bass, Stem::Other, Stem::Vocals];

/// A job of `pieces` pieces of 8 s of which the first `done` are done and the next one is half
/// done.
pub fn job(pieces: usize, done: usize) -> JobStatus {
    let piece = PIECE_SECS * u64::from(WORK_RATE_HZ);
    let grid: Arc<[_]> = (0..pieces as u64).map(|n| n * piece..(n + 1) * piece).collect();
    let chunks = (0..pieces)
        .map(|n| match n {
            n if n < done => ChunkState::Committed { worker: 0, compute_secs: 0.3 },
            n if n == done => {
                ChunkState::Running { worker: 0, progress: 0.5, sent_back: None, tries: 1 }
            }
            _ => ChunkState::Pending,
        })
        .collect();
    let mut ready = RangeSet::new();
    ready.insert(0..done as u64 * piece);
    let finished = done >= pieces;
    JobStatus {
        phase: if finished { JobPhase::Done } else { JobPhase::Running },
        grid,
        chunks,
        resumed_chunks: 0,
        workers: vec![WorkerStatus {
            letter: 0,
            name: "This PC".into(),
            threads: 6,
            activity: if finished { WorkerActivity::Idle } else { WorkerActivity::Working(1) },
            chunks_done: done,
            speed_x_real_time: Some(31.0),
        }],
        ready: Arc::new(ready),
        elapsed: Duration::from_secs(72),
        eta: (!finished).then_some(Duration::from_secs(83)),
        speed_x_real_time: Some(31.0),
        first_audio: Some(Duration::from_millis(800)),
        fraction_floor: 0.0,
        null_test: Some(NullTest { residual_db: -141.6, frames: done as u64 * piece }),
    }
}

/// Waveforms of the made-up song: the mixture, then every stem of [`STEMS`].
pub fn waves(secs: u64) -> Vec<Arc<Waveform>> {
    waves_of(secs, 1 + STEMS.len())
}

/// The first `count` of [`waves`].
pub fn waves_of(secs: u64, count: usize) -> Vec<Arc<Waveform>> {
    (0..count as u64).map(|voice| Arc::new(voice_wave(secs, voice))).collect()
}

/// Noise under an envelope that differs by voice: hits, held notes, swells, phrases.
fn voice_wave(secs: u64, voice: u64) -> Waveform {
    const BLOCK: usize = 1024;
    let mut random = 0x9E37_79B9_7F4A_7C15u64.wrapping_mul(voice + 1);
    let noise: Vec<f32> = (0..BLOCK)
        .map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    let wave = Waveform::new();
    let blocks = secs * u64::from(WORK_RATE_HZ) / BLOCK as u64;
    let mut batch = Vec::with_capacity(64 * BLOCK);
    for block in 0..blocks {
        let t = block as f32 * BLOCK as f32 / WORK_RATE_HZ as f32;
        // No two blocks of music are alike.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let jitter = 0.45 + 0.55 * (random >> 40) as f32 / (1u64 << 24) as f32;
        let level = envelope(t, voice) * jitter;
        batch.extend(noise.iter().map(|n| n * level));
        if batch.len() == 64 * BLOCK || block + 1 == blocks {
            let at = (block + 1) * BLOCK as u64 - batch.len() as u64;
            wave.extend(at, &[&batch[..]]);
            batch.clear();
        }
    }
    wave
}

fn envelope(t: f32, voice: u64) -> f32 {
    let hit = (1.0 - (t * 2.0).fract()).powi(6);
    let phrase = ((t / 7.0 + voice as f32 * 0.37).sin() * 1.6).clamp(0.0, 1.0);
    let part = if (t / 23.0) as u64 % 4 == voice % 4 { 0.15 } else { 1.0 };
    match voice {
        0 => 0.35 + 0.45 * (t / 19.0).sin().abs() + 0.15 * hit,
        1 => 0.95 * hit * part,
        2 => (0.25 + 0.55 * (t * 1.3).sin().abs()) * part,
        3 => (t / 5.0).sin().max(0.0).powi(3) * 0.8 * part,
        _ => 0.8 * phrase * (0.6 + 0.4 * (t * 9.0).sin().abs()),
    }
}

/// The facts of the made-up song.
pub fn info(secs: u64) -> SongInfo {
    SongInfo {
        path: PathBuf::from("/music/Lithium.mp3"),
        title: "Lithium".into(),
        artist: Some("Software-Entwicklungskit".into()),
        album: None,
        codec: "MP3".into(),
        bitrate_bps: Some(320_000),
        bits_per_sample: None,
        source: StreamSpec { sample_rate_hz: 44_100, channels: 2 },
        source_frames: Some(secs * 44_100),
        cover: None,
    }
}

/// A decoded song of 5:27 with the first `done` of its 41 pieces separated; `None` = no job yet.
pub fn song(done: Option<usize>) -> SongView {
    static WAVES: OnceLock<Vec<Arc<Waveform>>> = OnceLock::new();
    const SECS: u64 = 327;
    let waves = WAVES.get_or_init(|| waves(SECS));
    song_of(SECS, waves, done)
}

/// A decoded song of `secs` seconds that looks like `waves`.
pub fn song_of(secs: u64, waves: &[Arc<Waveform>], done: Option<usize>) -> SongView {
    let frames = secs * u64::from(WORK_RATE_HZ);
    let mut song = SongView::new(1, PathBuf::from("/music/Lithium.mp3"));
    song.info = Some(Arc::new(info(secs)));
    song.id = Some(SongId([7; 32]));
    song.opening = Opening::Ready;
    (song.frames, song.decoded_frames) = (frames, frames);
    song.view = 0.0..frames as f64;
    song.wave = Some(waves[0].clone());
    song.lanes = STEMS
        .iter()
        .zip(&waves[1..])
        .map(|(stem, wave)| Lane { wave: Some(wave.clone()), ..Lane::new(*stem) })
        .collect();
    song.playhead = frames / 6;
    if let Some(done) = done {
        let pieces = secs.div_ceil(PIECE_SECS) as usize;
        let mut job = job(pieces, done.min(pieces));
        // The last piece ends with the song.
        let mut grid = job.grid.to_vec();
        if let Some(last) = grid.last_mut() {
            last.end = frames;
        }
        let mut ready = RangeSet::new();
        ready.insert(0..(job.ready.frames()).min(frames));
        (job.grid, job.ready) = (grid.into(), Arc::new(ready));
        song.job = Some(Arc::new(job));
        song.job_model = Some("spectral".into());
    }
    song
}

/// The model of the made-up song.
pub fn model() -> ModelCard {
    ModelCard {
        info: ModelInfo {
            name: "spectral".into(),
            title: "Basic".into(),
            description: "Fast, needs no download.".into(),
            stems: STEMS.to_vec(),
            chunks: ChunkSpec {
                segment_frames: PIECE_SECS * 44_100,
                stride_frames: PIECE_SECS * 44_100,
                context_frames: 0,
                window: JoinWindow::LinearFades,
            },
            hash: [1; 32],
            memory_bytes_per_chunk: 200 << 20,
            cost_core_secs_per_sec: 0.05,
            sums_to_mixture: true,
        },
        secs_for_4_min: 8.0,
        memory_bytes: 1_600_000_000,
        quality: String::new(),
        supply: Supply::BuiltIn,
    }
}

/// A window with the made-up song on screen.
pub fn state(done: Option<usize>) -> State {
    let mut state = State { models: vec![model()], songs: vec![song(done)], ..State::default() };
    state.current = Some(0);
    state.settings.theme = crate::state::ThemeChoice::Dark;
    state.transport.device = Device::Open { name: "Speakers".into() };
    state.free_memory_bytes = Some(11_200_000_000);
    state
}

/// Every way a computer can stand.
pub fn standings() -> Vec<Standing> {
    let set_aside = |left| Standing::SetAside { left, why: "3 results did not match".into() };
    vec![
        Standing::Ready,
        Standing::Ready,
        Standing::Away,
        set_aside(Some(Duration::from_secs(600))),
        Standing::UpdateNeeded { theirs: "0.0.3".into() },
        Standing::Unconfirmed,
        Standing::PausedHere,
        Standing::PausedThere(PauseReason::Owner),
        Standing::PausedThere(PauseReason::UserActive),
        Standing::PausedThere(PauseReason::Battery),
        Standing::PausedThere(PauseReason::Schedule),
        Standing::PausedThere(PauseReason::Trouble),
        Standing::Leaving,
        Standing::GettingModel(0.46),
        Standing::Testing,
        Standing::Differs,
        set_aside(None),
        Standing::Refused { why: "Its owner does not allow this model".into() },
    ]
}

/// A paired computer with the letter index `letter`.
pub fn computer(letter: usize, name: &str, standing: Standing) -> Computer {
    let is_near = standing != Standing::Away;
    Computer {
        device: DeviceId([letter as u8; 32]),
        name: name.into(),
        letter,
        about: is_near.then(|| About {
            program: "0.0.3".into(),
            threads: 8,
            memory_bytes: 16_000_000_000,
            cores: if letter == 2 { 3.0 } else { 6.0 },
            kernels: "AVX2".into(),
            models: vec![[1; 32]],
        }),
        link: is_near.then(|| Link {
            address: ([192, 168, 1, 30 + letter as u8], 51_234).into(),
            rtt: Duration::from_millis(if letter == 2 { 11 } else { 3 }),
            kind: Some(if letter == 2 { LinkKind::WiFi } else { LinkKind::Cable }),
            bytes_per_sec: Some(if letter == 2 { 10.75e6 } else { 117.5e6 }),
        }),
        last_seen: None,
        tested_x_real_time: is_near.then_some(0.4),
        standing,
    }
}

/// This computer with five others: B and C can work, D to F cannot.
pub fn hub() -> HubStatus {
    let names = ["Studio-PC", "Laptop-3", "Old ThinkPad", "Kitchen-mini", "Desk-7"];
    let computers = names.into_iter().zip(standings()).enumerate();
    HubStatus {
        name: "Anna-Desktop".into(),
        device: Some(DeviceId([99; 32])),
        addresses: vec![
            ([192, 168, 1, 24], 47_110).into(),
            ([10, 8, 0, 2], 47_110).into(),
            ([172, 17, 0, 1], 47_110).into(),
        ],
        computers: computers.map(|(n, (name, how))| computer(n + 1, name, how)).collect(),
        pairing: None,
        trouble: None,
    }
}

/// The pairing window at `stage`.
pub fn pairing(stage: PairingStage) -> Pairing {
    Pairing { code: "483217".into(), until: Instant::now(), stage }
}

/// As [`state`], with the computers of [`hub`] at work on the song.
pub fn with_computers(done: Option<usize>) -> State {
    let mut state = state(done);
    let hub = hub();
    if let Some(job) = &mut state.songs[0].job {
        let job = Arc::make_mut(job);
        // The list of a job's workers need not be in the order of letters.
        for computer in [1, 0, 2, 3, 4].map(|index| &hub.computers[index]) {
            job.workers.push(WorkerStatus {
                letter: computer.letter,
                name: computer.name.clone(),
                threads: 8,
                activity: match &computer.standing {
                    Standing::Ready => WorkerActivity::Working(1),
                    standing => WorkerActivity::Absent(standing.clone()),
                },
                chunks_done: 0,
                speed_x_real_time: (computer.standing == Standing::Ready)
                    .then_some(if computer.letter == 2 { 0.4 } else { 0.8 }),
            });
        }
        job.workers[0].speed_x_real_time = Some(0.9);
        job.speed_x_real_time = Some(2.1);
        for (index, chunk) in job.chunks.iter_mut().enumerate() {
            // A, B, A, B, C: by place in the list.
            let worker = [0, 2, 0, 2, 1][index % 5];
            match chunk {
                ChunkState::Committed { .. } => {
                    let compute_secs = if worker == 0 { 2.4 } else { 2.9 };
                    *chunk = ChunkState::Committed { worker, compute_secs };
                    job.workers[worker].chunks_done += 1;
                }
                ChunkState::Running { worker: by, .. } => *by = worker,
                ChunkState::Pending | ChunkState::Failed(_) => {}
            }
        }
        job.workers[0].chunks_done = done.unwrap_or(0)
            - job.workers[1..].iter().map(|worker| worker.chunks_done).sum::<usize>();
    }
    state.computers = Arc::new(hub);
    state
}
