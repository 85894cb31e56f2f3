//! A separator with known stems, songs to feed it, and what lies on disk afterwards.
#![allow(dead_code, unreachable_pub, reason = "every test program uses some of it")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use engine::{
    Error, Result,
    audio::Planar,
    job::{JobHandle, JobRequest, JobSong},
    local::{DEFAULT_MEMORY_BYTES, Pool},
    model::{
        ChunkInput, ChunkSpec, JoinWindow, ModelInfo, Progress, Quality, Separator, SongStats, Stem,
    },
    plan::Plan,
    song::SongId,
    store::Track,
};

/// Called with a chunk's first frame before it is computed; may block, fail or panic.
pub type Hook = Box<dyn Fn(u64, &dyn Progress) -> Result<()> + Send + Sync>;

/// Splits the mixture into its three-point mean and the rest, both leaning a little differently in
/// every chunk, so that joining in another order or with other weights would show.
pub struct TestSeparator {
    pub info: ModelInfo,
    pub hook: Hook,
    /// First frames of the chunks computed to the end, in that order.
    pub computed: Mutex<Vec<u64>>,
}

pub fn spec(segment: u64, stride: u64) -> ChunkSpec {
    ChunkSpec {
        segment_frames: segment,
        stride_frames: stride,
        context_frames: 1,
        window: JoinWindow::Triangle,
    }
}

impl TestSeparator {
    pub fn new(chunks: ChunkSpec) -> Self {
        Self::with(chunks, Box::new(|_, _| Ok(())))
    }

    pub fn with(chunks: ChunkSpec, hook: Hook) -> Self {
        let info = ModelInfo {
            name: "test".into(),
            title: "Test".into(),
            description: "Splits smooth from rough.".into(),
            stems: vec![Stem::Bass, Stem::Vocals],
            chunks,
            hash: [7; 32],
            memory_bytes_per_chunk: 1,
            cost_core_secs_per_sec: 0.01,
            sums_to_mixture: true,
        };
        Self { info, hook, computed: Mutex::default() }
    }

    /// One whose chunks wait at `gate`.
    pub fn behind(gate: &Arc<Gate>, chunks: ChunkSpec) -> Arc<Self> {
        let gate = Arc::clone(gate);
        Arc::new(Self::with(chunks, Box::new(move |_, progress| gate.pass(progress))))
    }

    /// One that takes `nap` for a chunk, and one chunk at a time: a worker is sent the next one before
    /// it is done with this one.
    pub fn sleeping(nap: Duration, chunks: ChunkSpec) -> Arc<Self> {
        let turn = Mutex::new(());
        let hook = move |_, _: &dyn Progress| {
            let _turn = turn.lock().unwrap();
            std::thread::sleep(nap);
            Ok(())
        };
        Arc::new(Self::with(chunks, Box::new(hook)))
    }

    pub fn computed(&self) -> Vec<u64> {
        self.computed.lock().unwrap().clone()
    }
}

/// What a chunk that starts at `start` makes of frame `at` of one channel of the song.
pub fn smooth(channel: &[f32], at: usize, start: u64) -> f32 {
    let before = at.checked_sub(1).map_or(0.0, |n| channel[n]);
    let after = channel.get(at + 1).copied().unwrap_or(0.0);
    let lean = 1.0 + (start % 97) as f32 / 1000.0;
    (before + channel[at] + after) / 3.0 * lean
}

impl Separator for TestSeparator {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn separate(&self, input: &ChunkInput, progress: &dyn Progress) -> Result<Vec<Planar>> {
        (self.hook)(input.start_frame, progress)?;
        let (mut smooths, mut roughs) = (vec![], vec![]);
        for channel in input.audio.channels() {
            let smooth: Vec<f32> = (0..input.segment_frames)
                .map(|n| smooth(channel, n + input.context_before_frames, input.start_frame))
                .collect();
            let segment = &channel[input.context_before_frames..];
            roughs.push(segment.iter().zip(&smooth).map(|(x, s)| x - s).collect());
            smooths.push(smooth);
        }
        progress.report(1.0);
        self.computed.lock().unwrap().push(input.start_frame);
        Ok(vec![Planar::from_channels(smooths), Planar::from_channels(roughs)])
    }
}

/// Lets chunks through one by one; those that wait heed a cancel.
#[derive(Default)]
pub struct Gate {
    permits: Mutex<usize>,
    opened: Condvar,
}

impl Gate {
    pub fn open(&self, chunks: usize) {
        let mut permits = self.permits.lock().unwrap();
        *permits = permits.saturating_add(chunks);
        self.opened.notify_all();
    }

    /// Takes back what nobody used yet.
    pub fn shut(&self) {
        *self.permits.lock().unwrap() = 0;
    }

    pub fn pass(&self, progress: &dyn Progress) -> Result<()> {
        let mut permits = self.permits.lock().unwrap();
        while !progress.is_cancelled() {
            if let Some(left) = permits.checked_sub(1) {
                *permits = left;
                return Ok(());
            }
            permits = self.opened.wait_timeout(permits, Duration::from_millis(2)).unwrap().0;
        }
        Err(Error::cancelled())
    }
}

/// A song of noise.
pub struct TestSong {
    pub channels: Vec<Vec<f32>>,
    pub song: JobSong,
}

pub fn song(dir: &Path, channels: usize, frames: u64) -> TestSong {
    let samples: Vec<Vec<f32>> = (0..channels as u32)
        .map(|channel| {
            (0..frames as u32)
                .map(|n| {
                    let noise = (n ^ (channel << 20)).wrapping_mul(2_654_435_761);
                    (noise ^ (noise >> 15)).wrapping_mul(0x846c_a68b) as i32 as f32 / 2f32.powi(33)
                })
                .collect()
        })
        .collect();
    let mixture = Track::create(dir, "mix", channels).unwrap();
    mixture.write(0, &samples).unwrap();
    let stats = SongStats { frames, mono_std: 0.1, rms: 0.1, peak: 0.25, ..SongStats::default() };
    let song = JobSong { id: SongId([channels as u8; 32]), mixture: Arc::new(mixture), stats };
    TestSong { channels: samples, song }
}

pub fn pool(threads: usize) -> Arc<Pool> {
    Arc::new(Pool::new(Some(threads), DEFAULT_MEMORY_BYTES).unwrap())
}

pub fn request(
    song: &TestSong,
    separator: &Arc<TestSeparator>,
    dir: &Path,
    pool: &Arc<Pool>,
) -> JobRequest {
    JobRequest {
        song: song.song.clone(),
        separator: Arc::clone(separator) as Arc<dyn Separator>,
        stems: separator.info.stems.clone(),
        dir: dir.into(),
        quality: Quality::default(),
        pool: Arc::clone(pool),
        crew: None,
        playhead_frame: 0,
        wake: Arc::new(|| {}),
    }
}

pub fn start(
    song: &TestSong,
    separator: &Arc<TestSeparator>,
    dir: &Path,
    pool: &Arc<Pool>,
) -> JobHandle {
    engine::job::start(request(song, separator, dir, pool)).unwrap()
}

/// What the stems must be: for every frame the weighted mean of what its chunks make of it.
pub fn expected(song: &TestSong, chunks: ChunkSpec) -> Vec<Vec<Vec<f32>>> {
    let frames = song.song.stats.frames;
    let plan = Plan::new(frames, chunks).unwrap();
    let mut weights = vec![];
    for (chunk, segment) in plan.segments().iter().enumerate() {
        weights.push(vec![0.0; (segment.end - segment.start) as usize]);
        plan.weights(chunk, segment.clone(), &mut weights[chunk]);
    }
    [false, true]
        .map(|rough| {
            song.channels
                .iter()
                .map(|channel| {
                    (0..frames as usize)
                        .map(|at| {
                            let (mut sum, mut total) = (0.0, 0.0);
                            for (chunk, segment) in plan.segments().iter().enumerate() {
                                if segment.contains(&(at as u64)) {
                                    let smooth = smooth(channel, at, segment.start);
                                    let x = if rough { channel[at] - smooth } else { smooth };
                                    let weight = weights[chunk][at - segment.start as usize];
                                    sum += weight * f64::from(x);
                                    total += weight;
                                }
                            }
                            (sum / total) as f32
                        })
                        .collect()
                })
                .collect()
        })
        .to_vec()
}

/// All samples of a track.
pub fn samples(track: &Track) -> Vec<Vec<f32>> {
    let mut all = vec![vec![0.0; track.frames() as usize]; track.channel_count()];
    track.read(0, &mut all).unwrap();
    all
}

/// Hashes by file name.
pub type Results = BTreeMap<String, String>;

/// Hashes of the stems and waveforms in a finished job's folder.
pub fn results(dir: &Path) -> Results {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "f32" || e == "wave") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found.insert(name, blake3_hex(&std::fs::read(&path).unwrap()));
        }
    }
    found
}

fn blake3_hex(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Copies a job's folder as it lies there.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
