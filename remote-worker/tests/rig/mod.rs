//! A spare computer in a temporary folder, and what a main PC would order of it.
#![allow(dead_code, unreachable_pub, reason = "every test program uses some of it")]

#[path = "../../../engine/tests/small_model/mod.rs"]
mod small_model;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    time::{Duration, Instant},
};

use engine::{
    audio::Planar,
    crew::{Outcome, Signal, compute},
    engine::EngineConfig,
    model::{ChunkInput, Quality, Separator, SongStats},
    protocol::{BlobRef, ChunkOrder, Encoding, ModelOrder},
    remote::{ChunkNews, Workshop},
    roster::Roster,
};
use stemhive_worker::{
    log::Log,
    shop::{Shop, ShopConfig},
};

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_stemhive-worker");

/// Longest wait for what must come.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn shop_config(dir: &Path, model_list: Option<PathBuf>) -> ShopConfig {
    ShopConfig {
        name: "Spare".into(),
        engine: engine_config(dir, model_list),
        memory_bytes: 256 << 20,
        nice: 10,
        idle_io: true,
        program: PROGRAM.into(),
    }
}

pub fn engine_config(dir: &Path, model_list: Option<PathBuf>) -> EngineConfig {
    EngineConfig {
        data_dir: dir.to_owned(),
        cache_dir: dir.join("cache"),
        threads: Some(1),
        model_list,
        ..EngineConfig::default()
    }
}

pub fn shop(dir: &Path) -> Arc<Shop> {
    Shop::open(shop_config(dir, None), Log::new(true)).expect("a shop")
}

/// What a main PC that has `separator` orders.
pub fn model_order(separator: &dyn Separator, files: Vec<BlobRef>) -> ModelOrder {
    let model = separator.info();
    ModelOrder {
        hash: model.hash,
        name: model.name.clone(),
        shifts: Quality::default().shifts,
        overlap: Quality::default().overlap,
        stems: model.stems.clone(),
        files,
    }
}

/// A piece of a song, the same every time.
pub fn input(separator: &dyn Separator) -> ChunkInput {
    let frames = separator.info().chunks.segment_frames as usize;
    let mut noise = 7u32;
    let mut channel = || {
        let mut sample = |n: usize| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let white = (noise >> 8) as f32 / 8_388_608.0 - 1.0;
            0.3 * (n as f32 * 0.02).sin() + 0.1 * white
        };
        (0..frames).map(&mut sample).collect::<Vec<f32>>()
    };
    ChunkInput {
        audio: Planar::from_channels(vec![channel(), channel()]),
        context_before_frames: 0,
        segment_frames: frames,
        start_frame: 0,
        song: SongStats {
            frames: frames as u64,
            mono_mean: 0.001,
            mono_std: 0.2,
            rms: 0.2,
            peak: 0.4,
        },
    }
}

pub fn bytes(planars: &[Planar]) -> Vec<u8> {
    let samples = planars.iter().flat_map(|stem| stem.channels()).flatten();
    samples.flat_map(|sample| sample.to_le_bytes()).collect()
}

pub fn chunk_order(model: &ModelOrder, input: &ChunkInput) -> (ChunkOrder, Vec<u8>) {
    let pcm = bytes(std::slice::from_ref(&input.audio));
    let order = ChunkOrder {
        model: model.hash,
        keep: (0..model.stems.len() as u8).collect(),
        input_frames: input.audio.frames() as u32,
        context_before_frames: input.context_before_frames as u32,
        segment_frames: input.segment_frames as u32,
        start_frame: input.start_frame,
        song: input.song,
        encoding: Encoding::Raw,
        payload_bytes: pcm.len() as u64,
        pack_result: false,
    };
    (order, pcm)
}

/// What this process computes.
pub fn computed_here(separator: &dyn Separator, input: &ChunkInput) -> Vec<u8> {
    let keep: Vec<usize> = (0..separator.info().stems.len()).collect();
    match compute(separator, input, &keep, &Signal::default()) {
        Outcome::Stems { stems, .. } => bytes(&stems),
        other => panic!("{other:?}"),
    }
}

/// A chunk that was ordered of a shop.
pub struct Ordered {
    pub signal: Arc<Signal>,
    news: Receiver<ChunkNews>,
}

impl Ordered {
    pub fn of(shop: &Shop, order: ChunkOrder, pcm: Vec<u8>) -> Self {
        let signal = Arc::new(Signal::default());
        let (tell, news) = sync_channel(10_000);
        let tell = Box::new(move |what| tell.send(what).expect("the test listens"));
        shop.compute(order, pcm, Arc::clone(&signal), tell);
        Self { signal, news }
    }

    #[track_caller]
    pub fn next(&self) -> ChunkNews {
        self.news.recv_timeout(PATIENCE).expect("news")
    }

    /// The news that ends it.
    #[track_caller]
    pub fn end(&self) -> ChunkNews {
        loop {
            match self.next() {
                ChunkNews::Started | ChunkNews::Progress(_) => {}
                end => return end,
            }
        }
    }

    #[track_caller]
    pub fn result(&self) -> Vec<u8> {
        match self.end() {
            ChunkNews::Done { bytes, .. } => bytes,
            other => panic!("{other:?}"),
        }
    }
}

/// A main PC that has the small network, as a model of its manifest.
pub struct MainPc {
    pub dir: tempfile::TempDir,
    pub blob: BlobRef,
    pub separator: Arc<dyn Separator>,
}

impl MainPc {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let blob = small_model::install(&dir.path().join("list.toml"), dir.path());
        let config = engine_config(dir.path(), Some(dir.path().join("list.toml")));
        let roster = Roster::open(&config).unwrap();
        let info = roster.infos().into_iter().find(|info| info.name == "small").unwrap();
        let found = roster.find_by_hash(&info.hash, Quality::default(), &info.stems).unwrap();
        assert_eq!(found.lacks, []);
        Self { dir, blob, separator: found.separator }
    }

    pub fn list(&self) -> PathBuf {
        self.dir.path().join("list.toml")
    }

    pub fn order(&self) -> ModelOrder {
        model_order(self.separator.as_ref(), vec![self.blob])
    }

    pub fn content(&self) -> Vec<u8> {
        std::fs::read(small_model::NETWORK).unwrap()
    }
}

/// Waits until `is_so`.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
pub fn send_signal(signal: &str, pid: u32) {
    let done = Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(done.success(), "kill {signal} {pid}");
}

/// Whether a process still runs; a zombie does not.
pub fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
