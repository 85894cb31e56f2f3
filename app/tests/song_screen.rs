//! The song screen without a window: what each control asks for, and how the screens look.

mod common;

use egui::{Rect, UiBuilder, Vec2};
use egui_kittest::Harness;
use stemhive::{
    command::Command,
    keymap,
    state::{Device, Opening, State, ThemeChoice},
    views::{song::song_ui, testing},
};

/// The screen's state and what was asked for since the last look.
struct Screen {
    state: State,
    commands: Vec<Command>,
}

fn screen(state: State, size: Vec2) -> Harness<'static, Screen> {
    let dark = state.settings.theme != ThemeChoice::Light;
    let screen = Screen { state, commands: Vec::new() };
    common::harness(size, dark, screen, move |ui, screen: &mut Screen| {
        keymap::take_keys(ui, &screen.state, &mut screen.commands);
        screen.state.narrow = size.x < 1180.0;
        let window = Rect::from_min_size(egui::Pos2::ZERO, size);
        let mut ui = ui.new_child(UiBuilder::new().max_rect(window));
        ui.set_clip_rect(window);
        song_ui(&mut ui, &screen.state, &mut screen.commands);
    })
}

const USUAL: Vec2 = Vec2::new(1440.0, 900.0);

fn look(name: &str, state: State, size: Vec2) {
    let mut harness = screen(state, size);
    harness.run();
    common::snapshot(&mut harness, name);
}

#[test]
fn the_tile_shows_the_cover() {
    let colour = egui::Color32::from_rgb(12, 200, 34);
    let pixels = |state: State| {
        let mut harness = screen(state, USUAL);
        harness.run();
        let picture = harness.render().expect("a picture");
        picture.pixels().filter(|pixel| pixel.0 == colour.to_array()).count()
    };
    let mut state = testing::state(Some(15));
    assert_eq!(pixels(state.clone()), 0);
    state.songs[0].cover = Some(egui::ColorImage::filled([96; 2], colour).into());
    // 34 by 34 points, but for the rounded corners.
    assert!((1_050..=1_156).contains(&pixels(state)));
}

#[test]
fn separating() {
    let mut state = testing::state(Some(15));
    state.songs[0].playhead = 52 * 44_100 + 17_640;
    state.transport.playing = true;
    feed_meters(&mut state);
    look("separating", state, USUAL);
}

/// The mock-ups' mixer: zoomed in, a loop, a selection, bass muted.
fn mixer() -> State {
    let mut state = testing::state(Some(1000));
    let song = &mut state.songs[0];
    let at = |secs: f64| (secs * 44_100.0) as u64;
    song.view = at(171.6) as f64..at(219.6) as f64;
    song.playhead = at(191.4);
    (song.loop_range, song.loop_on) = (Some(at(184.0)..at(200.0)), true);
    song.selection = Some(at(204.2)..at(211.8));
    song.lanes[1].control.mute = true;
    song.lanes[2].control.gain_db = -4.0;
    song.lanes[2].control.pan = -0.32;
    song.lanes[3].control.gain_db = 1.5;
    state.transport.playing = true;
    feed_meters(&mut state);
    state
}

fn feed_meters(state: &mut State) {
    for lane in &mut state.songs[0].lanes {
        if !lane.control.mute {
            lane.meter.feed([0.35, 0.25], 0.1);
            lane.meter.feed([0.12, 0.1], 0.3);
        }
    }
    state.transport.meter.feed([0.5, 0.4], 0.1);
    state.transport.meter.feed([0.2, 0.18], 0.2);
}

#[test]
fn mixer_dark() {
    look("mixer", mixer(), USUAL);
}

#[test]
fn mixer_light() {
    let mut state = mixer();
    state.settings.theme = ThemeChoice::Light;
    look("light", state, USUAL);
}

/// The mock-ups' small window: vocals soloed, no key hints, the side panel away.
#[test]
fn small() {
    let mut state = mixer();
    state.songs[0].lanes[1].control.mute = false;
    state.songs[0].lanes[3].control.solo = true;
    look("small", state, Vec2::new(960.0, 640.0));
}

#[test]
fn smallest() {
    let mut state = testing::state(Some(15));
    feed_meters(&mut state);
    look("smallest", state, Vec2::new(800.0, 560.0));
}

#[test]
fn no_device() {
    let mut state = testing::state(Some(15));
    state.transport.device = Device::Missing { reason: "none is plugged in".into() };
    look("no-device", state, USUAL);
}

#[test]
fn reading() {
    let mut state = testing::state(None);
    let song = &mut state.songs[0];
    song.opening = Opening::Decoding;
    song.decoded_frames = song.frames / 3;
    song.playhead = 0;
    look("reading", state, USUAL);
}

#[test]
fn failed_piece() {
    let mut state = testing::state(Some(1000));
    let song = &mut state.songs[0];
    song.view = 0.0..120.0 * 44_100.0;
    let mut job = engine::job::JobStatus::clone(song.job.as_ref().expect("a job"));
    let error = engine::Error::new(engine::ErrorKind::Internal, "The model gave no samples");
    job.chunks[5] = engine::job::ChunkState::Failed(error.into());
    let mut ready = engine::audio::RangeSet::new();
    ready.insert(0..job.grid[5].start);
    ready.insert(job.grid[5].end..song.frames);
    job.ready = ready.into();
    song.job = Some(job.into());
    look("failed-piece", state, USUAL);
}
