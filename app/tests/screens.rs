//! How the start screen, the dialogs and the messages look.

mod common;

use std::sync::Arc;

use common::{export_state, harness, snapshot, start_state};
use egui::{Ui, Vec2, vec2};
use egui_kittest::SnapshotResults;
use engine::{Error, ErrorKind};
use stemhive::{
    command::Command,
    state::{Dialog, ExportRun, OpenError, State, Toast, Tone},
    views::{dialogs, errors, song, start, testing, toasts},
};

const LARGE: Vec2 = vec2(1440.0, 900.0);
const SMALL: Vec2 = vec2(800.0, 560.0);

/// The whole window as the app stacks it.
fn window(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    match state.song() {
        Some(_) => song::song_ui(ui, state, commands),
        None => start::start_ui(ui, state, commands),
    }
    let bottom = if state.song().is_some() { 76.0 } else { 0.0 };
    toasts::toasts_ui(ui.ctx(), state, bottom, commands);
    dialogs::dialogs_ui(ui.ctx(), state, commands);
}

fn looks_like(results: &mut SnapshotResults, name: &str, size: Vec2, dark: bool, state: State) {
    let mut harness = harness(size, dark, state, |ui, state| {
        window(ui, state, &mut Vec::new());
    });
    harness.run_ok();
    snapshot(&mut harness, name);
    results.extend_harness(&mut harness);
}

#[test]
fn start() {
    let mut results = SnapshotResults::new();
    looks_like(&mut results, "start-dark", LARGE, true, start_state());
    looks_like(&mut results, "start-light", LARGE, false, start_state());
    looks_like(&mut results, "start-small", SMALL, true, start_state());
}

#[test]
fn start_first_time() {
    let mut results = SnapshotResults::new();
    let mut state = start_state();
    state.recent.clear();
    looks_like(&mut results, "start-first-time", vec2(1180.0, 760.0), true, state);
}

#[test]
fn start_with_a_file_that_cannot_be_opened() {
    let mut results = SnapshotResults::new();
    let mut state = start_state();
    let error = Error::new(
        ErrorKind::Protected,
        "The shop that sold it locked it (DRM), so only its own player can read it",
    )
    .advice("A copy without the lock would work");
    state.open_error = Some(OpenError { name: "Track 07.m4p".into(), error: Arc::new(error) });
    looks_like(&mut results, "start-open-error", LARGE, true, state);
}

#[test]
fn export() {
    let mut results = SnapshotResults::new();
    looks_like(&mut results, "export-dark", LARGE, true, export_state());
    looks_like(&mut results, "export-light", LARGE, false, export_state());
    looks_like(&mut results, "export-small", SMALL, true, export_state());
}

#[test]
fn settings() {
    let mut results = SnapshotResults::new();
    let mut state = start_state();
    state.dialog = Some(Dialog::Settings);
    looks_like(&mut results, "settings-dark", LARGE, true, state.clone());
    looks_like(&mut results, "settings-light", LARGE, false, state);
}

#[test]
fn keys_and_palette() {
    let mut results = SnapshotResults::new();
    let mut state = testing::state(Some(41));
    state.dialog = Some(Dialog::Shortcuts);
    looks_like(&mut results, "keys", LARGE, true, state.clone());
    state.dialog = Some(Dialog::Palette);
    state.palette_query = "lo".into();
    looks_like(&mut results, "palette", LARGE, true, state);
}

#[test]
fn messages() {
    let mut results = SnapshotResults::new();
    let mut state = testing::state(Some(41));
    state.exports = vec![ExportRun { key: 1, title: "Lithium".into(), fraction: 0.37, files: 5 }];
    let toast = |key, tone, title: &str, text: &str| Toast {
        key,
        tone,
        title: title.into(),
        text: Some(text.into()),
        kept: None,
        buttons: Vec::new(),
        left_secs: Some(8.0),
    };
    let mut done = toast(2, Tone::Good, "5 files exported", "433 MB in Music / Stems / Lithium");
    done.buttons = vec![("Show folder".into(), Command::ShowFolder("/tmp".into()))];
    done.left_secs = None;
    let mut full =
        toast(3, Tone::Error, "The disk is full", "12 MB are left where stems are kept.");
    full.kept = Some("55 pieces are done and saved".into());
    full.buttons = vec![("Continue".into(), Command::PauseOrContinue)];
    full.left_secs = None;
    state.toasts = vec![done, full];
    looks_like(&mut results, "messages-dark", LARGE, true, state.clone());
    looks_like(&mut results, "messages-light", LARGE, false, state);
}

#[test]
fn failed_stretch() {
    let mut state = testing::state(Some(41));
    let song = state.song_mut().expect("a song");
    let mut job = (**song.job.as_ref().expect("a job")).clone();
    let error = Error::new(ErrorKind::Internal, "The worker gave up on it three times");
    job.chunks[5] = engine::job::ChunkState::Failed(Arc::new(error));
    song.job = Some(Arc::new(job));
    let mut harness = harness(vec2(840.0, 140.0), true, state, |ui, state| {
        errors::failed_pieces_ui(ui, state, &mut Vec::new());
    });
    harness.run_ok();
    snapshot(&mut harness, "failed-stretch");
}
