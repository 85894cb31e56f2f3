//! Prints what one frame of the song screen costs the window's thread for a one-hour song, at
//! every zoom, still and moving: `cargo run --release -p stemhive --example frame_times`.
//!
//! The time is that of running the views and of tessellating what they drew; the graphics card's
//! share is not in it. The goal is 8 ms. Wall time: on a busy machine the worst frames are those that
//! waited for a processor.

use std::{sync::Arc, time::Instant};

use egui::{Context, Pos2, RawInput, Rect, Vec2};
use stemhive::{
    keymap,
    state::State,
    theme::Theme,
    views::{song::song_ui, testing},
};

const FRAMES: usize = 60;

fn main() {
    let secs = 3600;
    let wave = testing::waves_of(secs, 1).remove(0);
    let waves: Vec<_> = (0..5).map(|_| Arc::clone(&wave)).collect();
    println!("one hour, {FRAMES} frames each                        median      95 %     worst");
    for (size, scale) in [(Vec2::new(1440.0, 900.0), 1.0), (Vec2::new(1920.0, 1080.0), 2.0)] {
        for (name, done) in [("separating", 200), ("separated", 10_000)] {
            let mut state = State {
                models: vec![testing::model()],
                songs: vec![testing::song_of(secs, &waves, Some(done))],
                ..State::default()
            };
            state.current = Some(0);
            for zoom in [1.0, 4.0, 30.0, 300.0, 3000.0] {
                for moving in [false, true] {
                    let times = measure(&mut state, size, scale, zoom, moving);
                    let kind = if moving { "scrolling" } else { "playing" };
                    println!(
                        "{:>4}×{:<4} @{scale} {name:<11} zoom {zoom:>5} {kind:<10} {:>6.2} ms {:>6.2} ms {:>6.2} ms",
                        size.x,
                        size.y,
                        times[FRAMES / 2],
                        times[FRAMES * 95 / 100],
                        times[FRAMES - 1],
                    );
                }
            }
        }
    }
}

/// Milliseconds of every frame, sorted.
fn measure(state: &mut State, size: Vec2, scale: f32, zoom: f64, moving: bool) -> Vec<f64> {
    let ctx = Context::default();
    Theme::install(&ctx);
    ctx.set_theme(egui::Theme::Dark);
    ctx.set_pixels_per_point(scale);
    let song = &mut state.songs[0];
    let length = song.frames as f64 / zoom;
    let start = (song.frames as f64 - length) / 3.0;
    song.view = start..start + length;
    let mut times = Vec::with_capacity(FRAMES);
    // The first frames load fonts and icons.
    for frame in 0..FRAMES + 5 {
        let song = &mut state.songs[0];
        song.playhead = (start + length * frame as f64 / 100.0) as u64;
        if moving {
            let by = length / 500.0;
            song.view = song.view.start + by..song.view.end + by;
        }
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, size)),
            time: Some(frame as f64 / 60.0),
            ..RawInput::default()
        };
        let mut commands = Vec::new();
        let began = Instant::now();
        let mut output = ctx.run_ui(input, |ui| {
            keymap::take_keys(ui, state, &mut commands);
            song_ui(ui, state, &mut commands);
        });
        output.textures_delta.clear();
        let meshes = ctx.tessellate(output.shapes, output.pixels_per_point);
        let ms = began.elapsed().as_secs_f64() * 1000.0;
        assert!(!meshes.is_empty());
        if frame >= 5 {
            times.push(ms);
        }
    }
    times.sort_by(f64::total_cmp);
    times
}
