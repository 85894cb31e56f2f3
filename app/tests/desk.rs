//! Commands on real songs: the desk with a real engine behind it, a silent sound device, and a
//! model whose chunks wait for the test's word.

use std::{
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded};
use engine::{
    Error, ErrorKind,
    audio::{Planar, StreamSpec},
    crew::DeviceId,
    engine::{Engine, EngineConfig},
    job::JobPhase,
    model::{ChunkInput, ChunkSpec, JoinWindow, ModelInfo, Progress, Separator, Stem},
    playback,
    remote::Peers,
};
use stemhive::{
    audio::AudioOutput,
    command::Command,
    state::{Dialog, ExportFormat, Listen, Meter, Opening, SongView, Standing, State},
    update::{Desk, settings, sound::Sound},
};

/// How long anything may take before a test fails, on a machine however busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Seconds of a song that is to play on while others may have the processor.
const SECS: u32 = 20;

/// Chunks are separated while the gate is open; the one that starts at `spoilt` fails.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    spoilt: Mutex<Option<u64>>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, open: bool) {
        *self.open.lock().expect("no panic") = open;
        self.changed.notify_all();
    }

    fn pass(&self, progress: &dyn Progress) -> engine::Result<()> {
        let mut open = self.open.lock().expect("no panic");
        while !*open {
            if progress.is_cancelled() {
                return Err(Error::cancelled());
            }
            let wait = self.changed.wait_timeout(open, Duration::from_millis(5));
            open = wait.expect("no panic").0;
        }
        Ok(())
    }
}

/// Half of the mixture is drums, the other half vocals.
struct Halves {
    info: ModelInfo,
    gate: Arc<Gate>,
}

impl Halves {
    fn new(gate: Arc<Gate>) -> Self {
        Self {
            info: ModelInfo {
                name: "halves".into(),
                title: "Halves".into(),
                description: "Half of everything.".into(),
                stems: vec![Stem::Drums, Stem::Vocals],
                chunks: ChunkSpec {
                    segment_frames: 44_100,
                    stride_frames: 44_100,
                    context_frames: 0,
                    window: JoinWindow::LinearFades,
                },
                hash: [3; 32],
                memory_bytes_per_chunk: 1 << 20,
                cost_core_secs_per_sec: 0.01,
                sums_to_mixture: true,
            },
            gate,
        }
    }
}

impl Separator for Halves {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn separate(&self, input: &ChunkInput, progress: &dyn Progress) -> engine::Result<Vec<Planar>> {
        self.gate.pass(progress)?;
        if *self.gate.spoilt.lock().expect("no panic") == Some(input.start_frame) {
            return Err(Error::new(ErrorKind::Internal, "The model gave no samples"));
        }
        let from = input.context_before_frames;
        let half = |channel: &Vec<f32>| {
            channel[from..from + input.segment_frames].iter().map(|x| x / 2.0).collect()
        };
        let stem = Planar::from_channels(input.audio.channels().iter().map(half).collect());
        Ok(vec![stem.clone(), stem])
    }
}

/// A desk, its state, and the folders both live in.
struct Bench {
    state: State,
    desk: Desk,
    gate: Arc<Gate>,
    woken: Receiver<()>,
    began: Instant,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Self::in_dir(dir)
    }

    fn in_dir(dir: tempfile::TempDir) -> Self {
        let gate = Arc::new(Gate::default());
        gate.set(true);
        let config = EngineConfig {
            cache_dir: dir.path().join("cache"),
            data_dir: dir.path().join("data"),
            threads: Some(1),
            worker_port: 0,
            announce: false,
            ..EngineConfig::default()
        };
        let models: Vec<Arc<dyn Separator>> = vec![Arc::new(Halves::new(gate.clone()))];
        let engine = Arc::new(Engine::with_models(&config, models).expect("an engine"));
        let ctx = egui::Context::default();
        let (wake, woken) = bounded(1);
        ctx.set_request_repaint_callback(move |_| {
            // One wake-up that was not seen yet is as good as many.
            let _ = wake.try_send(());
        });
        let spec = StreamSpec { sample_rate_hz: 44_100, channels: 2 };
        let (player, renderer) = playback::new(spec).expect("a player");
        let output = AudioOutput::start(renderer, Some("no such device".into()), || {});
        let sound = Sound::new(player, output.expect("an output"));
        let settings_path = dir.path().join("settings.json");
        let mut state = State::default();
        state.settings.export.folder = Some(dir.path().join("out"));
        let desk = Desk::new(ctx, engine, sound, Some(settings_path), &mut state).expect("a desk");
        Self { state, desk, gate, woken, began: Instant::now(), dir }
    }

    fn apply(&mut self, command: Command) {
        self.desk.apply(&mut self.state, command);
    }

    /// Draws frames, so to speak, until `done`.
    fn until(&mut self, what: &str, mut done: impl FnMut(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now_secs = self.began.elapsed().as_secs_f64();
            self.desk.poll(&mut self.state, now_secs, 0.02);
            if done(&self.state) {
                return;
            }
            assert!(Instant::now() < deadline, "waited for {what} in vain");
            // Playing moves without anybody waking the window: it draws all the time then.
            let _ = self.woken.recv_timeout(Duration::from_millis(10));
        }
    }

    /// A song of `secs` seconds of a tone.
    fn write_song(&self, name: &str, secs: u32) -> PathBuf {
        let path = self.dir.path().join(name);
        write_wav(&path, secs, 220.0 + secs as f32);
        path
    }

    fn song(&self) -> &SongView {
        self.state.song().expect("a song on screen")
    }
}

fn write_wav(path: &Path, secs: u32, hz: f32) {
    let frames = secs * 44_100;
    let bytes = frames * 4;
    let mut file = Vec::with_capacity(44 + bytes as usize);
    file.extend(b"RIFF");
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    file.extend(44_100u32.to_le_bytes());
    file.extend((44_100u32 * 4).to_le_bytes());
    file.extend(b"\x04\0\x10\0data");
    file.extend(bytes.to_le_bytes());
    for n in 0..frames {
        let sample = (n as f32 * hz * std::f32::consts::TAU / 44_100.0).sin() * 12_000.0;
        for _ in 0..2 {
            file.extend((sample as i16).to_le_bytes());
        }
    }
    std::fs::write(path, file).expect("writable");
}

fn is_separated(state: &State) -> bool {
    state.song().is_some_and(SongView::is_separated)
}

#[test]
fn a_song_opens_separates_plays_and_is_exported() {
    let mut bench = Bench::new();
    let path = bench.write_song("Tone.wav", SECS);
    bench.apply(Command::OpenPaths(vec![path]));
    bench.until("the separation", is_separated);
    let song = bench.song();
    let frames = u64::from(SECS) * 44_100;
    assert_eq!((song.frames, song.title().as_str()), (frames, "Tone"));
    assert_eq!(song.view, 0.0..frames as f64);
    let stems: Vec<Stem> = song.lanes.iter().map(|lane| lane.stem).collect();
    assert_eq!(stems, [Stem::Drums, Stem::Vocals]);
    assert!(song.lanes.iter().all(|lane| lane.wave.as_ref().is_some_and(|w| w.frames() > 0)));
    assert_eq!(song.ready_fraction(), 1.0);

    bench.apply(Command::Seek(44_100));
    bench.apply(Command::PlayOrStop);
    bench.until("the playhead", |state| {
        state.song().is_some_and(|song| song.playhead > 50_000) && state.transport.playing
    });
    bench.until("the meters", |state| state.transport.meter.level_db[0] > -40.0);
    bench.apply(Command::SetListen(Listen::Original));
    bench.apply(Command::PlayOrStop);
    bench.until("silence", |state| !state.transport.playing);
    bench.apply(Command::SeekEnd);
    assert_eq!(bench.song().playhead, frames);
    bench.apply(Command::SeekBy(-2.0));
    assert_eq!(bench.song().playhead, frames - 2 * 44_100);

    bench.apply(Command::OpenExport);
    assert_eq!(bench.state.dialog, Some(Dialog::Export));
    bench.until(
        "the plan",
        |state| matches!(&state.export.plan, Some(Ok(plan)) if plan.files.len() == 3),
    );
    let mut form = bench.state.export.clone();
    (form.format, form.mix) = (ExportFormat::Flac, false);
    form.template = "{title} {stem}".into();
    bench.apply(Command::EditExport(Box::new(form)));
    bench.until(
        "the new plan",
        |state| matches!(&state.export.plan, Some(Ok(plan)) if plan.files.len() == 2),
    );
    bench.apply(Command::StartExport);
    assert_eq!(bench.state.dialog, None);
    bench.until("the export", |state| state.exports.is_empty());
    for name in ["Tone Drums.flac", "Tone Vocals.flac"] {
        assert!(bench.dir.path().join("out").join(name).is_file(), "{name}");
    }
    let toast = bench.state.toasts.last().expect("a message");
    assert_eq!(toast.title, "2 files exported");
    assert_eq!(bench.state.announcement.1, "2 files exported");
}

#[test]
fn closing_the_window_waits_for_exports() {
    let mut bench = Bench::new();
    let path = bench.write_song("Quit.wav", 20);
    bench.apply(Command::OpenPaths(vec![path]));
    bench.until("the separation", is_separated);
    assert!(bench.desk.may_close(&mut bench.state), "nothing is running");
    bench.apply(Command::OpenExport);
    bench.apply(Command::StartExport);
    assert!(!bench.desk.may_close(&mut bench.state));
    assert_eq!(bench.state.dialog, Some(Dialog::Quit));
    bench.until("the export", |state| state.exports.is_empty());
    assert!(bench.desk.may_close(&mut bench.state), "it closes by itself then");
    assert_eq!(std::fs::read_dir(bench.dir.path().join("out")).expect("a folder").count(), 3);
}

#[test]
fn a_still_window_is_not_drawn() {
    let mut bench = Bench::new();
    let path = bench.write_song("Still.wav", SECS);
    bench.apply(Command::OpenPaths(vec![path]));
    bench.until("the separation", is_separated);
    bench.apply(Command::PlayOrStop);
    bench.until("sound", |state| state.transport.meter.level_db[0] > -40.0);
    bench.apply(Command::PlayOrStop);
    bench.until("the meters' fall", |state| {
        let song = state.song().expect("a song on screen");
        let meters = song.lanes.iter().map(|lane| &lane.meter);
        !state.transport.playing && meters.chain([&state.transport.meter]).all(Meter::is_still)
    });
    // Chores and the like may still bring something, each a frame's worth, but there is an end.
    let deadline = Instant::now() + PATIENCE;
    let mut still = 0;
    while still < 20 {
        assert!(Instant::now() < deadline, "nothing moves, yet more frames are asked for");
        let _ = bench.woken.try_recv();
        let now_secs = 100.0 + bench.began.elapsed().as_secs_f64();
        bench.desk.poll(&mut bench.state, now_secs, 0.02);
        still = if bench.woken.is_empty() { still + 1 } else { 0 };
    }
}

#[test]
fn a_song_opened_again_shows_its_stems_at_once() {
    let mut bench = Bench::new();
    let path = bench.write_song("Again.wav", 3);
    bench.apply(Command::OpenPaths(vec![path.clone()]));
    bench.until("the separation", is_separated);
    let key = bench.song().key;
    bench.apply(Command::CloseSong(key));
    assert!(bench.state.songs.is_empty() && bench.state.current.is_none());
    bench.until("the list of recent songs", |state| {
        state.recent.first().is_some_and(|song| song.standing == Standing::Separated { stems: 2 })
    });

    // Even with the model unable to compute anything, and nothing to be separated by itself.
    bench.gate.set(false);
    bench.state.settings.separate_on_open = false;
    let id = bench.state.recent[0].id;
    bench.apply(Command::OpenRecent(id));
    bench.until("the stems", is_separated);
    assert_eq!(bench.song().path, path);
}

#[test]
fn nothing_is_computed_before_the_user_asks_if_so_set() {
    let mut bench = Bench::new();
    bench.state.settings.separate_on_open = false;
    let path = bench.write_song("Wait.wav", 3);
    bench.apply(Command::OpenPaths(vec![path]));
    bench.until("the song", |state| {
        state.song().is_some_and(|song| matches!(song.opening, Opening::Ready))
    });
    assert!(bench.song().job.is_none() && !bench.song().queued);
    bench.apply(Command::Separate);
    bench.until("the separation", is_separated);
}

#[test]
fn a_separation_pauses_continues_cancels_and_goes_on() {
    let mut bench = Bench::new();
    bench.gate.set(false);
    let path = bench.write_song("Long.wav", 8);
    bench.apply(Command::OpenPaths(vec![path]));
    let phase = |state: &State| state.song()?.job.as_ref().map(|job| job.phase.clone());
    bench.until("the start", |state| matches!(phase(state), Some(JobPhase::Running)));
    bench.apply(Command::PauseOrContinue);
    bench.until("the pause", |state| matches!(phase(state), Some(JobPhase::Paused)));
    bench.apply(Command::PauseOrContinue);
    bench.until("going on", |state| matches!(phase(state), Some(JobPhase::Running)));
    bench.apply(Command::CancelSeparation);
    bench.until("the end", |state| matches!(phase(state), Some(JobPhase::Cancelled)));
    bench.gate.set(true);
    bench.apply(Command::Separate);
    bench.until("all of it", is_separated);
}

#[test]
fn a_piece_that_fails_is_told_and_tried_again() {
    let mut bench = Bench::new();
    *bench.gate.spoilt.lock().expect("no panic") = Some(2 * 44_100);
    let path = bench.write_song("Spoilt.wav", 5);
    bench.apply(Command::OpenPaths(vec![path]));
    let failed = |state: &State| state.song().map_or(0, |song| song.failed_pieces().count());
    bench.until("the failure", |state| {
        failed(state) == 1 && state.song().is_some_and(|song| !song.is_separating())
    });
    let song = bench.song();
    assert_eq!(song.failed_pieces().next().map(|(range, _)| range.clone()), Some(88_200..132_300));
    assert!(song.is_ready_at(0) && song.is_ready_at(200_000) && !song.is_ready_at(100_000));
    assert!(bench.state.announcement.1.contains("stopped"), "{:?}", bench.state.announcement);
    *bench.gate.spoilt.lock().expect("no panic") = None;
    bench.apply(Command::RetryFailed);
    bench.until("all of it", is_separated);
    assert_eq!(failed(&bench.state), 0);
}

#[test]
fn songs_queue_up_the_one_on_screen_first() {
    let mut bench = Bench::new();
    bench.gate.set(false);
    let names = ["One.wav", "Two.wav", "Three.wav"];
    let paths: Vec<_> = names.iter().zip(3..).map(|(n, secs)| bench.write_song(n, secs)).collect();
    bench.apply(Command::OpenPaths(paths.clone()));
    bench.until("all three", |state| {
        let ready = |song: &SongView| matches!(song.opening, Opening::Ready);
        state.songs.len() == 3 && state.songs.iter().all(ready) && state.songs[0].job.is_some()
    });
    assert_eq!(bench.state.current, Some(0), "the first of them is on screen");
    assert!(bench.state.songs[1].queued && bench.state.songs[2].queued);

    let third = bench.state.songs[2].key;
    bench.apply(Command::ShowSong(third));
    // The first one is cancelled: the next turn is that of the song on screen.
    let first = bench.state.songs[0].key;
    bench.apply(Command::CloseSong(first));
    bench.until("the third", |state| state.songs[1].job.is_some());
    assert!(bench.state.songs[0].queued, "the second still waits");
    bench.gate.set(true);
    bench.until("the rest", |state| state.songs.iter().all(SongView::is_separated));

    bench.apply(Command::OpenPaths(vec![paths[1].clone()]));
    let second = bench.state.songs[0].key;
    bench.until("the second on screen", |state| state.song().is_some_and(|s| s.key == second));
    assert_eq!(bench.state.songs.len(), 2, "an open song is not opened twice");
}

#[test]
fn what_cannot_be_opened_says_so_and_leaves_the_rest_alone() {
    let mut bench = Bench::new();
    let bad = bench.dir.path().join("bad.mp3");
    std::fs::write(&bad, "no audio").expect("writable");
    bench.apply(Command::EditPathField(format!(" \"{}\" ", bad.display())));
    bench.apply(Command::OpenPathField);
    bench.until("the refusal", |state| state.open_error.is_some());
    let error = bench.state.open_error.as_ref().expect("just seen");
    assert_eq!(error.name, "bad.mp3");
    assert!(bench.state.songs.is_empty() && bench.state.current.is_none());

    let good = bench.write_song("Good.wav", 2);
    bench.apply(Command::OpenPaths(vec![good]));
    bench.until("the good one", is_separated);
    bench.apply(Command::OpenPaths(vec![bad]));
    bench.until("the message", |state| !state.toasts.is_empty());
    assert_eq!(bench.song().title(), "Good");

    let empty = bench.dir.path().join("empty");
    std::fs::create_dir(&empty).expect("writable");
    bench.apply(Command::OpenPaths(vec![empty]));
    bench.until("the answer", |state| {
        state.toasts.iter().any(|toast| toast.title == "No songs found there")
    });
}

#[test]
fn mixer_changes_are_undone_one_by_one() {
    let mut bench = Bench::new();
    let path = bench.write_song("Mix.wav", 2);
    bench.apply(Command::OpenPaths(vec![path]));
    bench.until("the separation", is_separated);
    assert!(!bench.state.can_undo);
    bench.apply(Command::ToggleMute(0));
    bench.apply(Command::SetGainDb { lane: 1, gain_db: -6.0 });
    bench.apply(Command::SetGainDb { lane: 1, gain_db: -7.0 });
    bench.apply(Command::SoloOnly(1));
    let control = |bench: &Bench, lane: usize| bench.song().lanes[lane].control;
    assert!(control(&bench, 0).mute && control(&bench, 1).solo);
    bench.apply(Command::Undo);
    assert!(!control(&bench, 1).solo);
    bench.apply(Command::Undo);
    assert_eq!(control(&bench, 1).gain_db, 0.0, "one drag is one step");
    bench.apply(Command::Undo);
    assert!(!control(&bench, 0).mute && !bench.state.can_undo);
}

#[test]
fn settings_are_kept() {
    let mut bench = Bench::new();
    bench.apply(Command::ScaleUp);
    bench.apply(Command::ToggleSidePanel);
    let path = bench.dir.path().join("settings.json");
    bench.until("the file", |_| settings::load(&path).is_ok_and(|kept| kept.ui_scale > 1.05));
    let kept = settings::load(&path).expect("readable");
    assert!((kept.ui_scale - 1.1).abs() < 1e-6 && !kept.side_panel);
    bench.desk.shut_down(&bench.state);
}

#[test]
fn another_name_and_port_hold_once_the_settings_are_closed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let peers = Peers::open(&dir.path().join("data")).expect("a list");
    peers.add(DeviceId([5; 32]), "Spare", Vec::new()).expect("it is paired");
    let mut bench = Bench::in_dir(dir);
    bench.until("the computers", |state| !state.computers.addresses.is_empty());
    let port = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = port.expect("a free port").port();

    let before = Arc::clone(&bench.state.computers);
    bench.state.dialog = Some(Dialog::Settings);
    let mut settings = bench.state.settings.clone();
    (settings.computer_name, settings.worker_port) = ("Attic".into(), port);
    settings.announce = false;
    bench.apply(Command::EditSettings(Box::new(settings)));
    let mut frames = 0;
    bench.until("some frames", |_| {
        frames += 1;
        frames > 3
    });
    assert_eq!(bench.state.computers.name, before.name, "it may not be typed to its end");
    bench.state.dialog = None;
    bench.until("name and port", |state| {
        let at = |address: &SocketAddr| address.port() == port;
        state.computers.name == "Attic" && state.computers.addresses.iter().all(at)
    });
    bench.desk.shut_down(&bench.state);
}
