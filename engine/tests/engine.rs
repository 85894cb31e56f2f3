//! The engine as a front end uses it: open, separate, close, open again.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use engine::{
    Error, ErrorKind, Result,
    audio::Planar,
    engine::{Engine, EngineConfig, SeparateOptions, Standing},
    job::{JobHandle, JobPhase},
    model::{ChunkInput, ChunkSpec, JoinWindow, ModelInfo, Progress, Quality, Separator, Stem},
    song::{Song, SongState},
};

/// Half of the mixture each, in chunks of a tenth of a second; stops at a chunk when told to.
struct Halves {
    info: ModelInfo,
    computed: AtomicUsize,
    most: usize,
}

impl Halves {
    fn new(most: usize) -> Arc<Self> {
        let info = ModelInfo {
            name: "halves".into(),
            title: "Halves".into(),
            description: "For tests".into(),
            stems: vec![Stem::Drums, Stem::Vocals],
            chunks: ChunkSpec {
                segment_frames: 4410,
                stride_frames: 4000,
                context_frames: 0,
                window: JoinWindow::LinearFades,
            },
            hash: [7; 32],
            memory_bytes_per_chunk: 1 << 20,
            cost_core_secs_per_sec: 0.001,
            sums_to_mixture: true,
        };
        Arc::new(Self { info, computed: AtomicUsize::new(0), most })
    }
}

impl Separator for Halves {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn separate(&self, input: &ChunkInput, _progress: &dyn Progress) -> Result<Vec<Planar>> {
        if self.computed.fetch_add(1, Ordering::SeqCst) >= self.most {
            return Err(Error::new(ErrorKind::Unsupported, "No more for today"));
        }
        let halves = input.audio.channels().iter().map(|channel| {
            let segment = &channel[input.context_before_frames..][..input.segment_frames];
            segment.iter().map(|sample| sample * 0.5).collect()
        });
        let stem = Planar::from_channels(halves.collect());
        Ok(vec![stem.clone(), stem])
    }
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn engine(&self, separator: &Arc<Halves>, cap_bytes: u64) -> Engine {
        let config = EngineConfig {
            cache_dir: self.dir.path().join("cache"),
            data_dir: self.dir.path().join("data"),
            cache_cap_bytes: cap_bytes,
            threads: Some(1),
            ..EngineConfig::default()
        };
        Engine::with_models(&config, vec![Arc::clone(separator) as Arc<dyn Separator>]).unwrap()
    }

    /// A mono song of `frames` frames, another one for each `seed`.
    fn song(&self, name: &str, frames: u32, seed: u32) -> PathBuf {
        let path = self.dir.path().join(name);
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 44_100,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        for n in 0..frames {
            let noise = (n.wrapping_mul(2_654_435_761) ^ seed).wrapping_mul(2_246_822_519) >> 17;
            writer.write_sample(noise as i16 / 2).unwrap();
        }
        writer.finalize().unwrap();
        path
    }
}

const PLENTY: u64 = 1 << 30;

fn open(engine: &Engine, path: &Path) -> Arc<Song> {
    let song = engine.open_song(path, Arc::new(|| ()));
    song.wait_ready().unwrap();
    song
}

fn options(model: &str) -> SeparateOptions {
    SeparateOptions {
        model: model.into(),
        quality: Quality::default(),
        stems: Vec::new(),
        playhead_frame: 0,
        workers: engine::remote::Chosen::None,
        wake: Arc::new(|| ()),
    }
}

fn separate(engine: &Engine, song: &Song) -> JobHandle {
    let job = engine.separate(song, options("halves")).unwrap();
    job.wait();
    job
}

fn samples(job: &JobHandle, frames: usize) -> Vec<Vec<f32>> {
    job.stems()
        .tracks
        .iter()
        .map(|track| {
            let mut block = [vec![0.0; frames]];
            track.read(0, &mut block).unwrap();
            let [samples] = block;
            samples
        })
        .collect()
}

#[test]
fn a_song_opened_again_is_neither_decoded_nor_separated_again() {
    let place = Place::new();
    let path = place.song("Übung.wav", 30_000, 1);
    let model = Halves::new(usize::MAX);
    let (id, first) = {
        let engine = place.engine(&model, PLENTY);
        let song = open(&engine, &path);
        let SongState::Ready { id, .. } = song.state() else { panic!("not ready") };
        let job = separate(&engine, &song);
        assert!(matches!(job.status().phase, JobPhase::Done));
        (id, samples(&job, 30_000))
    };
    let computed = model.computed.load(Ordering::SeqCst);
    assert!(computed > 0);

    // Another name, and bytes that can no longer be decoded under it: only the hash is left to ask.
    let copy = place.dir.path().join("another name.xyz");
    std::fs::copy(&path, &copy).unwrap();
    let engine = place.engine(&model, PLENTY);
    let song = open(&engine, &copy);
    let SongState::Ready { id: again, .. } = song.state() else { panic!("not ready") };
    assert_eq!(id, again);
    assert_eq!(song.info().unwrap().path, copy);
    assert_eq!(song.waveform().frames(), 30_000);
    let job = separate(&engine, &song);
    assert_eq!(samples(&job, 30_000), first);
    assert_eq!(model.computed.load(Ordering::SeqCst), computed);
}

#[test]
fn the_same_audio_in_another_file_is_the_same_song() {
    let place = Place::new();
    let path = place.song("a.wav", 20_000, 1);
    let mut bytes = std::fs::read(&path).unwrap();
    // A chunk that players skip: other bytes, the same audio.
    bytes.extend(b"junk\x04\0\0\0abcd");
    let riff_bytes = bytes.len() as u32 - 8;
    bytes[4..8].copy_from_slice(&riff_bytes.to_le_bytes());
    let other = place.dir.path().join("b.wav");
    std::fs::write(&other, bytes).unwrap();
    let model = Halves::new(usize::MAX);
    {
        let engine = place.engine(&model, PLENTY);
        drop(separate(&engine, &open(&engine, &path)));
        drop(separate(&engine, &open(&engine, &other)));
    }
    let usage = place.engine(&model, PLENTY).cache_usage();
    assert_eq!((usage.songs, usage.jobs, usage.incoming_bytes), (1, 1, 0));
}

#[test]
fn recent_songs_say_how_far_they_are() {
    let place = Place::new();
    let (new, half, whole) = (
        place.song("new.wav", 9_000, 1),
        place.song("half.wav", 40_000, 2),
        place.song("whole.wav", 9_000, 3),
    );
    {
        let engine = place.engine(&Halves::new(usize::MAX), PLENTY);
        separate(&engine, &open(&engine, &whole));
        open(&engine, &new);
    }
    {
        let engine = place.engine(&Halves::new(3), PLENTY);
        separate(&engine, &open(&engine, &half));
    }
    let engine = place.engine(&Halves::new(0), PLENTY);
    let recent = engine.recent(10).unwrap();
    let title = |title: &str| recent.iter().find(|song| song.known.title == title).unwrap();
    assert_eq!(recent.len(), 3);
    assert_eq!(recent[0].known.title, "half");
    assert_eq!(title("new").standing, Standing::NotSeparated);
    assert_eq!(title("whole").standing, Standing::Ready { stems: 2 });
    let Standing::Paused { fraction } = title("half").standing else { panic!("{recent:?}") };
    assert!((fraction - 0.3).abs() < 0.05, "{fraction}");
    assert!(title("whole").known.peaks.iter().any(|peak| *peak > 0.1));

    engine.clear_cache();
    let standings: Vec<_> = engine.recent(10).unwrap().iter().map(|song| song.standing).collect();
    assert_eq!(standings, [Standing::NotSeparated; 3]);
    engine.forget(recent[0].known.id).unwrap();
    assert_eq!(engine.recent(10).unwrap().len(), 2);
}

#[test]
fn what_is_open_is_not_evicted_and_what_is_not_is() {
    let place = Place::new();
    let (a, b) = (place.song("a.wav", 50_000, 1), place.song("b.wav", 50_000, 2));
    // A song takes 0.2 MB, its two stems 0.4 MB.
    let engine = place.engine(&Halves::new(usize::MAX), 1_000_000);
    let song_a = open(&engine, &a);
    let job_a = separate(&engine, &song_a);
    let song_b = open(&engine, &b);
    let error = engine.separate(&song_b, options("halves")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::DiskFull);
    assert!(error.kept.is_some() && error.advice.is_some());
    assert_eq!(samples(&job_a, 50_000).len(), 2);
    assert_eq!(engine.clear_cache().0, 0, "everything is open");

    drop((job_a, song_a));
    let job_b = separate(&engine, &song_b);
    assert!(matches!(job_b.status().phase, JobPhase::Done));
    let usage = engine.cache_usage();
    assert_eq!(usage.jobs, 1);
    assert!(usage.total_bytes() <= 1_000_000);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let place = Place::new();
    let path = place.song("a.wav", 10_000, 1);
    let engine = place.engine(&Halves::new(usize::MAX), PLENTY);
    let song = open(&engine, &path);
    let error = engine.separate(&song, options("nonesuch")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.advice.unwrap().contains("halves"));

    let missing = engine.open_song(&place.dir.path().join("missing.wav"), Arc::new(|| ()));
    assert_eq!(missing.wait_ready().unwrap_err().kind, ErrorKind::NotFound);
    let config = EngineConfig { cache_dir: path.clone(), ..EngineConfig::default() };
    let model = Halves::new(0) as Arc<dyn Separator>;
    assert!(Engine::with_models(&config, vec![model]).is_err());
}

#[test]
fn a_file_that_changed_is_decoded_again() {
    let place = Place::new();
    let path = place.song("a.wav", 10_000, 1);
    let engine = place.engine(&Halves::new(usize::MAX), PLENTY);
    let before = open(&engine, &path).wait_ready().unwrap().0;
    place.song("a.wav", 10_000, 2);
    let after = open(&engine, &path).wait_ready().unwrap().0;
    assert_ne!(before, after);
}
