//! The audio callback allocates and frees nothing, whatever happens around it.

mod playback_rig;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::Duration,
};

use engine::{audio::StreamSpec, mix::LaneControl, playback::Listen};
use playback_rig::{Rig, STEREO, Song, noise};

/// Counts what the guarded thread asks of the allocator.
struct Counting;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    if GUARDED.get() {
        CALLS.set(CALLS.get() + 1);
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn guarded(render: impl FnOnce()) -> usize {
    CALLS.set(0);
    GUARDED.set(true);
    render();
    GUARDED.set(false);
    CALLS.get()
}

#[test]
fn the_guard_sees_an_allocation() {
    assert_eq!(guarded(|| drop(std::hint::black_box(Box::new(1)))), 2);
}

#[test]
fn thousands_of_callbacks_never_touch_the_allocator() {
    for (rate_hz, channels) in [(44_100, 2), (48_000, 2), (96_000, 1), (22_050, 6)] {
        let song = Song::new(60_000, 4, noise);
        song.make_ready(10_000..40_000);
        let mut rig = Rig::new(StreamSpec { sample_rate_hz: rate_hz, channels });
        rig.player.load(song.without_stems());
        rig.player.play();
        let mut buffer = vec![0.0; 700 * usize::from(channels)];
        for round in 0..4000u64 {
            // Everything the user can do, at a different rhythm each, with dry spells between.
            if round % 7 == 0 {
                rig.player.seek(round * 7919 % 61_000);
            }
            if round % 11 == 0 {
                let gain_db = -((round % 60) as f32);
                rig.player.set_lanes(&[LaneControl { gain_db, ..LaneControl::default() }; 4]);
            }
            if round % 13 == 0 {
                let start = round * 104_729 % 50_000;
                rig.player.set_loop((round % 2 == 0).then_some(start..start + 3000));
            }
            match round % 40 {
                3 => rig.player.pause(),
                5 | 30 => rig.player.play(),
                9 => rig.player.set_listen(Listen::Original),
                19 => rig.player.set_listen(Listen::Stems),
                21 => rig.player.set_source(song.with_stems()),
                33 => rig.player.set_source(song.without_stems()),
                38 => rig.player.load(song.with_stems()),
                39 => rig.player.play(),
                _ => {}
            }
            if round % 50 < 40 {
                rig.feeder.fill();
            }
            let length = buffer.len() - (round % 3) as usize * usize::from(channels);
            let calls = guarded(|| rig.renderer.render(&mut buffer[..length], Duration::ZERO));
            assert_eq!(calls, 0, "in callback {round} at {rate_hz} Hz");
        }
    }
}

#[test]
fn ragged_and_empty_buffers_are_filled_without_panic() {
    let song = Song::new(60_000, 0, noise);
    let mut rig = Rig::playing(song.without_stems());
    assert_eq!(rig.renderer.output(), STEREO);
    for length in [0, 1, 3, 4001] {
        let mut buffer = vec![f32::NAN; length];
        rig.feeder.fill();
        rig.renderer.render(&mut buffer, Duration::ZERO);
        assert!(buffer.iter().all(|sample| sample.is_finite()));
    }
}
