//! The sound output against real ALSA plug-ins. ALSA reads its configuration once in a process and
//! from the environment, so each case runs this test program again as a child with its own home
//! folder and an `.asoundrc` in it.

use std::{
    path::Path,
    process::Command,
    sync::{Arc, OnceLock, Weak, mpsc},
    time::{Duration, Instant},
};

use engine::{
    audio::{StreamSpec, WORK_RATE_HZ},
    playback::{self, Feeder, FeederState, PlaybackSource, Player, Renderer},
    store::Track,
};

use super::{AudioOutput, DeviceState, Shared};

const CASE: &str = "STEMHIVE_AUDIO_CASE";

/// The whole song fits into what is read ahead: ALSA's null device takes sound as fast as it is
/// made, and so nothing can come too late.
const FRAMES: u64 = 18_000;

/// Long enough for a slow computer; nothing here should take a tenth of it.
const DEADLINE: Duration = Duration::from_secs(60);

fn sample(side: usize, frame: u64) -> f32 {
    let hashed = (frame + 1 + side as u64 * 77_777).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((hashed >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 0.9
}

/// Runs `case` as a child with `asoundrc`; tells whether there was an ALSA to try it with.
fn run_case(case: &str, asoundrc: impl FnOnce(&Path) -> String) -> Option<tempfile::TempDir> {
    if !cfg!(target_os = "linux") || !Path::new("/usr/share/alsa/alsa.conf").exists() {
        println!("skipped: no ALSA on this computer");
        return None;
    }
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".asoundrc"), asoundrc(home.path())).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "audio::tests::child", "--nocapture", "--include-ignored"])
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path())
        .env_remove("ALSA_CONFIG_PATH")
        .env(CASE, case)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    assert!(!said.contains("ALSA lib"), "ALSA chatters on the terminal: {said}");
    Some(home)
}

#[test]
#[ignore = "run by the other tests in a process of its own"]
fn child() {
    let home = std::env::var_os("HOME").unwrap();
    match std::env::var(CASE).as_deref() {
        Ok("file") => play_song(Path::new(&home), true),
        Ok("no device") => play_song(Path::new(&home), false),
        Ok("lost") => lose_device(Path::new(&home)),
        Ok("choose") => choose(Path::new(&home)),
        other => panic!("unknown case {other:?}"),
    }
}

fn loaded(dir: &Path, frames: u64) -> (Player, Feeder, Renderer) {
    let track = Track::create(dir, "song", 2).unwrap();
    let channels = [0, 1].map(|side| (0..frames).map(|f| sample(side, f)).collect::<Vec<_>>());
    track.write(0, &channels).unwrap();
    let output = StreamSpec { sample_rate_hz: WORK_RATE_HZ, channels: 2 };
    let (mut player, mut feeder, renderer) = playback::new_unthreaded(output).unwrap();
    player.load(PlaybackSource::complete(Arc::new(track)).unwrap());
    player.play();
    feeder.fill();
    (player, feeder, renderer)
}

/// An output and every state it comes to, however short.
fn start(renderer: Renderer) -> (AudioOutput, mpsc::Receiver<DeviceState>) {
    let (tell, states) = mpsc::sync_channel(64);
    let shared: Arc<OnceLock<Weak<Shared>>> = Arc::default();
    let of_output = Arc::clone(&shared);
    let output = AudioOutput::start(renderer, None, move || {
        if let Some(shared) = of_output.get().and_then(Weak::upgrade) {
            let _ = tell.try_send(shared.lock().state.clone());
        }
    });
    let output = output.unwrap();
    shared.set(Arc::downgrade(&output.shared)).unwrap();
    (output, states)
}

/// Waits until the output is or was as `wanted`, and gives that.
fn wait_for(
    output: &AudioOutput,
    states: &mpsc::Receiver<DeviceState>,
    wanted: impl Fn(&DeviceState) -> bool,
) -> DeviceState {
    let deadline = Instant::now() + DEADLINE;
    let mut state = output.state();
    while !wanted(&state) {
        let left = deadline.saturating_duration_since(Instant::now());
        state = states.recv_timeout(left).unwrap_or_else(|_| panic!("still {:?}", output.state()));
    }
    state
}

/// Forgets states seen so far.
fn forget(states: &mpsc::Receiver<DeviceState>) {
    while states.try_recv().is_ok() {}
}

fn is_open(state: &DeviceState) -> bool {
    matches!(state, DeviceState::Open { .. })
}

fn is_missing(state: &DeviceState) -> bool {
    matches!(state, DeviceState::NoDevice { .. })
}

/// Drives the feeder until the song has ended.
fn play_out(player: &Player, feeder: &mut Feeder) {
    let began = Instant::now();
    while !player.ended() {
        assert_ne!(feeder.fill(), FeederState::Closed);
        assert!(began.elapsed() < DEADLINE, "the playhead stands at {}", player.position_frame());
        std::thread::yield_now();
    }
}

fn play_song(home: &Path, device: bool) {
    let (player, mut feeder, renderer) = loaded(home, FRAMES);
    let (output, states) = start(renderer);
    let state = wait_for(&output, &states, |state| *state != DeviceState::Opening);
    assert_eq!(is_open(&state), device, "{state:?}");
    play_out(&player, &mut feeder);
    assert_eq!(player.underruns(), 0);
    // Where there is a device, `choose` plays the tone: here it would open the song's file anew.
    if !device {
        assert!(output.play_test_tone().is_err());
    }
}

fn lose_device(home: &Path) {
    let (player, mut feeder, renderer) = loaded(home, FRAMES);
    let (output, states) = start(renderer);
    wait_for(&output, &states, is_open);
    forget(&states);
    output.shared.fail(1, "“Default” was lost".into());
    let state = wait_for(&output, &states, is_missing);
    assert_eq!(state, DeviceState::NoDevice { reason: "“Default” was lost".into() });
    play_out(&player, &mut feeder);
    // It is there again at the next look; a late complaint about the old stream changes nothing.
    output.shared.fail(1, "late".into());
    wait_for(&output, &states, is_open);
}

fn choose(home: &Path) {
    let (mut player, mut feeder, renderer) = loaded(home, FRAMES);
    let (output, states) = start(renderer);
    wait_for(&output, &states, is_open);
    let names = output.take_device_names().expect("a list");
    assert!(names.iter().any(|name| name == "Kitchen radio"), "{names:?}");
    assert!(output.take_device_names().is_none(), "told once");
    // The tone takes a second stream beside the song's.
    output.play_test_tone().unwrap();
    while output.shared.lock().tone {
        std::thread::yield_now();
    }
    for name in ["Kitchen radio", "Nothing of the kind", "Kitchen radio"] {
        forget(&states);
        output.choose(Some(name));
        let state = wait_for(&output, &states, |state| match state {
            DeviceState::Open { name: open, .. } => open == name,
            DeviceState::NoDevice { reason } => reason.contains(name),
            DeviceState::Opening => false,
        });
        assert_eq!(is_open(&state), name == "Kitchen radio");
        player.seek(0);
        player.play();
        play_out(&player, &mut feeder);
    }
    assert!(output.take_error().is_none());
}

#[test]
fn what_reaches_the_device_is_the_song_bit_for_bit() {
    let asoundrc = |home: &Path| {
        format!(
            "pcm.!default {{ type file slave.pcm null format raw file \"{}\" }}\n",
            home.join("heard.raw").display()
        )
    };
    let Some(home) = run_case("file", asoundrc) else { return };
    let heard = std::fs::read(home.path().join("heard.raw")).unwrap();
    let heard: Vec<[f32; 2]> = heard
        .chunks_exact(8)
        .map(|frame| [&frame[..4], &frame[4..]].map(|s| f32::from_le_bytes(s.try_into().unwrap())))
        .collect();
    let song = (0..FRAMES).map(|frame| [0, 1].map(|side| sample(side, frame)));
    let begins = heard.iter().position(|frame| *frame != [0.0; 2]).expect("only silence");
    let ends = begins + FRAMES as usize;
    assert!(heard.len() >= ends, "{} frames", heard.len());
    assert!(heard[begins..ends].iter().copied().eq(song));
    assert!(heard[ends..].iter().all(|frame| *frame == [0.0; 2]));
}

#[test]
fn without_a_device_the_playhead_runs_silently_and_says_so() {
    run_case("no device", |_| "pcm.!default { type hw card 97 }\n".into());
}

#[test]
fn a_lost_device_is_replaced_by_silence_and_found_again() {
    run_case("lost", |_| "pcm.!default { type null }\n".into());
}

#[test]
fn devices_are_listed_and_chosen_by_name() {
    run_case("choose", |_| {
        "pcm.!default { type null }\n\
         pcm.kitchen { type null hint { show on description \"Kitchen radio\" } }\n"
            .into()
    });
}
