//! What comes out of the mixer core, sample by sample.

mod playback_rig;

use engine::{
    mix::{LaneControl, stereo_gains},
    playback::{FADE_FRAMES, Listen, MIN_LOOP_FRAMES},
};
use playback_rig::{MIXTURE, Rig, STEREO, Song, noise, original, stems};
use std::sync::atomic::Ordering;

const LANES: usize = 4;
const FRAMES: u64 = 30_000;

fn ready_song() -> Song {
    let song = Song::new(FRAMES, LANES, noise);
    song.make_ready(0..FRAMES);
    song
}

/// Asserts that `out` is `expected` from `first` on.
#[track_caller]
fn assert_plays(out: &[[f32; 2]], first: u64, expected: impl Fn(u64) -> [f32; 2]) {
    for (i, (got, frame)) in out.iter().zip(first..).enumerate() {
        assert_eq!(*got, expected(frame), "at {i}, frame {frame} of the song");
    }
}

#[test]
fn unity_gains_give_the_exact_sum_of_the_stems_to_the_last_frame() {
    for callback in [64, 441, 2048] {
        let song = ready_song();
        let mut rig = Rig::playing(song.with_stems());
        let out = rig.run(FRAMES as usize + 5000, callback);
        let (sound, after) = out.split_at(FRAMES as usize);
        assert_plays(sound, 0, |frame| stems(LANES, frame));
        assert!(after.iter().all(|frame| *frame == [0.0; 2]));
        assert_eq!(rig.player.underruns(), 0);
    }
}

#[test]
fn the_original_is_the_exact_mixture() {
    let song = ready_song();
    let mut rig = Rig::new(STEREO);
    rig.player.load(song.with_stems());
    rig.player.set_listen(Listen::Original);
    rig.player.play();
    assert_plays(&rig.run(FRAMES as usize, 500), 0, original);
    assert_eq!(rig.player.listen(), Listen::Original);
}

#[test]
fn without_stems_the_mixture_plays() {
    let song = ready_song();
    let mut rig = Rig::playing(song.without_stems());
    assert_plays(&rig.run(FRAMES as usize, 500), 0, original);
}

#[test]
fn a_mono_mixture_plays_on_both_sides_and_averages_back() {
    let song = Song::growing(1, FRAMES, 0, noise);
    song.decode(0..FRAMES);
    song.complete.store(true, Ordering::SeqCst);
    for channels in [1u16, 2, 4] {
        let mut rig = Rig::new(engine::audio::StreamSpec { channels, ..STEREO });
        rig.player.load(song.without_stems());
        rig.player.play();
        let out = rig.interleaved(3000, 512);
        for (frame, got) in (0..).zip(out.chunks(usize::from(channels))) {
            let x = noise(MIXTURE, 0, frame);
            let expected: &[f32] = &[x, x, 0.0, 0.0][..usize::from(channels)];
            assert_eq!(got, expected);
        }
    }
}

#[test]
fn mono_output_hears_the_average() {
    let song = ready_song();
    let mut rig = Rig::new(engine::audio::StreamSpec { channels: 1, ..STEREO });
    rig.player.load(song.with_stems());
    rig.player.play();
    for (frame, got) in (0..).zip(rig.interleaved(3000, 512)) {
        let [left, right] = stems(LANES, frame);
        assert_eq!(got, (left + right) * 0.5);
    }
}

#[test]
fn solo_mute_gain_and_pan_follow_the_mix_rules() {
    let on = LaneControl::default();
    let cases = [
        [on, LaneControl { mute: true, ..on }, on, on],
        [on, LaneControl { solo: true, ..on }, on, LaneControl { solo: true, mute: true, ..on }],
        [LaneControl { gain_db: -6.0, ..on }, LaneControl { pan: -0.5, ..on }, on, on],
        [LaneControl { mute: true, ..on }; 4],
    ];
    for lanes in cases {
        let song = ready_song();
        let mut rig = Rig::new(STEREO);
        rig.player.load(song.with_stems());
        rig.player.set_lanes(&lanes);
        rig.player.play();
        let gains = stereo_gains(&lanes);
        assert_plays(&rig.run(4000, 512), 0, |frame| {
            [0, 1].map(|side| {
                (0..LANES).fold(0.0, |sum, lane| sum + noise(lane, side, frame) * gains[lane][side])
            })
        });
    }
}

#[test]
fn master_gain_scales_everything_and_minus_sixty_is_silence() {
    let song = ready_song();
    let mut rig = Rig::playing(song.with_stems());
    rig.player.set_master_gain_db(-6.0);
    let factor = engine::mix::linear_gain(-6.0);
    assert_plays(&rig.run(1000, 512), 0, |frame| stems(LANES, frame).map(|x| x * factor));
    rig.player.set_master_gain_db(-60.0);
    let out = rig.run(1024, 512);
    assert!(out[FADE_FRAMES..].iter().all(|frame| *frame == [0.0; 2]));
}

#[test]
fn the_original_button_switches_at_the_same_frame() {
    let song = ready_song();
    let mut rig = Rig::playing(song.with_stems());
    rig.run(1000, 500);
    rig.player.set_listen(Listen::Original);
    let out = rig.run(1000, 500);
    for (i, got) in out.iter().enumerate().take(FADE_FRAMES) {
        let (from, to) = (stems(LANES, 1000 + i as u64), original(1000 + i as u64));
        let share = (i + 1) as f32 / FADE_FRAMES as f32;
        for side in 0..2 {
            let expected = from[side] + (to[side] - from[side]) * share;
            assert!((got[side] - expected).abs() < 1e-6, "at {i}");
        }
    }
    assert_plays(&out[FADE_FRAMES..], 1000 + FADE_FRAMES as u64, original);
    rig.player.set_listen(Listen::Stems);
    let out = rig.run(1000, 500);
    assert_plays(&out[FADE_FRAMES..], 2000 + FADE_FRAMES as u64, |frame| stems(LANES, frame));
}

/// Asserts that `out` goes from `before` on to `first`, the start of a loop: every frame is there,
/// and the step between the two dies away within the fade.
#[track_caller]
fn assert_loops(out: &[[f32; 2]], before: [f32; 2], first: u64) {
    let fade = FADE_FRAMES.min(out.len());
    let start = stems(LANES, first);
    for (i, (got, frame)) in out.iter().zip(first..).enumerate().take(fade) {
        let left = 1.0 - (i + 1) as f32 / (FADE_FRAMES + 1) as f32;
        for side in 0..2 {
            let expected = stems(LANES, frame)[side] + (before[side] - start[side]) * left;
            assert!((got[side] - expected).abs() < 1e-6, "at {i}, frame {frame} of the song");
        }
    }
    assert_plays(&out[fade..], first + fade as u64, |frame| stems(LANES, frame));
}

#[test]
fn a_loop_repeats_to_the_frame() {
    // Longer and shorter than a block, and not a multiple of anything.
    for (start, end) in [(5000, 11_111), (2000, 2000 + MIN_LOOP_FRAMES), (0, 1501)] {
        let song = ready_song();
        let mut rig = Rig::playing(song.with_stems());
        rig.player.set_loop(Some(start..end));
        let out = rig.run(40_000, 333);
        let (first_lap, laps) = out.split_at(end as usize);
        assert_plays(first_lap, 0, |frame| stems(LANES, frame));
        for lap in laps.chunks((end - start) as usize) {
            assert_loops(lap, stems(LANES, end - 1), start);
        }
        assert_eq!(rig.player.underruns(), 0);
    }
}

#[test]
fn a_loop_set_and_cleared_while_playing_loses_no_frame() {
    let song = ready_song();
    let mut rig = Rig::playing(song.with_stems());
    assert_plays(&rig.run(3000, 300), 0, |frame| stems(LANES, frame));
    rig.player.set_loop(Some(4000..6000));
    let out = rig.run(6000, 300);
    assert_plays(&out[..3000], 3000, |frame| stems(LANES, frame));
    assert_loops(&out[3000..5000], stems(LANES, 5999), 4000);
    assert_loops(&out[5000..], stems(LANES, 5999), 4000);
    rig.player.set_loop(None);
    assert_plays(&rig.run(6000, 300), 5000, |frame| stems(LANES, frame));
}

#[test]
fn a_loop_that_ends_before_the_playhead_pulls_it_to_its_start() {
    let song = ready_song();
    let mut rig = Rig::playing(song.with_stems());
    rig.run(9000, 300);
    rig.player.set_loop(Some(4000..8000));
    let out = rig.run(4500, 300);
    assert_plays(&out[FADE_FRAMES..4000], 4000 + FADE_FRAMES as u64, |frame| stems(LANES, frame));
    assert_loops(&out[4000..], stems(LANES, 7999), 4000);
}

#[test]
fn a_loop_past_the_end_ends_with_the_song() {
    let song = ready_song();
    let mut rig = Rig::playing(song.with_stems());
    rig.player.set_loop(Some(FRAMES - 3000..FRAMES + 9000));
    rig.player.seek(FRAMES - 2000);
    let out = rig.run(6000, 300);
    assert_plays(&out[FADE_FRAMES..2000], FRAMES - 2000 + FADE_FRAMES as u64, |frame| {
        stems(LANES, frame)
    });
    assert_loops(&out[2000..5000], stems(LANES, FRAMES - 1), FRAMES - 3000);
    assert!(!rig.player.ended());
    assert_eq!(rig.player.loop_range(), Some(FRAMES - 3000..FRAMES));
}

#[test]
fn seeking_while_playing_crossfades_and_lands_on_the_frame() {
    let song = ready_song();
    let mut rig = Rig::playing(song.with_stems());
    rig.run(2000, 500);
    rig.player.seek(20_000);
    assert_eq!(rig.player.position_frame(), 20_000, "the target at once");
    let out = rig.run(3000, 500);
    for (i, got) in out.iter().enumerate().take(FADE_FRAMES) {
        let (from, to) = (stems(LANES, 2000 + i as u64), stems(LANES, 20_000 + i as u64));
        let share = (i + 1) as f32 / FADE_FRAMES as f32;
        for side in 0..2 {
            let expected = from[side] + (to[side] - from[side]) * share;
            assert!((got[side] - expected).abs() < 1e-6, "at {i}");
        }
    }
    let faded = FADE_FRAMES as u64;
    assert_plays(&out[FADE_FRAMES..], 20_000 + faded, |frame| stems(LANES, frame));
}

#[test]
fn of_many_seeks_only_the_last_counts() {
    let song = ready_song();
    let mut rig = Rig::playing(song.with_stems());
    rig.run(2000, 500);
    for frame in [100, 29_000, 7, 15_000] {
        rig.player.seek(frame);
        rig.feeder.fill();
    }
    // The pool is full of outdated blocks; they come back with the next callback.
    let out = rig.run(2000, 500);
    let settled = out.len() - 500;
    let first = (15_000..).find(|frame| stems(LANES, *frame) == out[settled]).unwrap();
    assert!(first <= 15_000 + settled as u64);
    assert_plays(&out[settled..], first, |frame| stems(LANES, frame));
}

#[test]
fn pausing_fades_out_and_playing_goes_on_with_the_next_frame() {
    let song = ready_song();
    let mut rig = Rig::playing(song.with_stems());
    rig.run(2000, 500);
    rig.player.pause();
    assert!(!rig.player.is_playing());
    let out = rig.run(1000, 500);
    for (i, got) in out.iter().enumerate().take(FADE_FRAMES) {
        let gain = 1.0 - (i + 1) as f32 / FADE_FRAMES as f32;
        let expected = stems(LANES, 2000 + i as u64);
        assert!((got[0] - expected[0] * gain).abs() < 1e-6, "at {i}");
    }
    assert!(out[FADE_FRAMES..].iter().all(|frame| *frame == [0.0; 2]));
    let stopped = 2000 + FADE_FRAMES as u64;
    assert_eq!(rig.player.position_frame(), stopped);
    rig.player.play();
    let out = rig.run(1000, 500);
    let faded = FADE_FRAMES as u64;
    assert_plays(&out[FADE_FRAMES..], stopped + faded, |frame| stems(LANES, frame));
}

#[test]
fn seeking_while_paused_stays_silent_and_starts_there() {
    let song = ready_song();
    let mut rig = Rig::new(STEREO);
    rig.player.load(song.with_stems());
    rig.player.seek(12_345);
    let out = rig.run(1000, 500);
    assert!(out.iter().all(|frame| *frame == [0.0; 2]));
    assert_eq!(rig.player.position_frame(), 12_345);
    rig.player.play();
    let out = rig.run(1000, 500);
    let faded = FADE_FRAMES as u64;
    assert_plays(&out[FADE_FRAMES..], 12_345 + faded, |frame| stems(LANES, frame));
}

#[test]
fn where_stems_are_not_ready_the_original_plays_with_a_crossfade_at_the_border() {
    // The stems hold NaN where they are not ready: reading them there would be heard.
    let song = Song::new(FRAMES, LANES, noise);
    song.make_ready(3000..9001);
    song.make_ready(12_000..12_100);
    song.make_ready(25_000..FRAMES);
    let mut rig = Rig::playing(song.with_stems());
    let out = rig.run(FRAMES as usize, 700);
    let fade = FADE_FRAMES as f32;
    let share = |frame: u64| -> f32 {
        let within = |start: u64, end: u64| {
            let rising = (frame - start + 1) as f32 / fade;
            let falling = if end == FRAMES { 1.0 } else { (end - frame) as f32 / fade };
            rising.min(falling).min(1.0)
        };
        match frame {
            3000..9001 => within(3000, 9001),
            12_000..12_100 => within(12_000, 12_100),
            25_000.. => within(25_000, FRAMES),
            _ => 0.0,
        }
    };
    for (frame, got) in (0..).zip(&out) {
        let (from, to, share) = (original(frame), stems(LANES, frame), share(frame));
        for side in 0..2 {
            let expected = match share {
                0.0 => from[side],
                1.0 => to[side],
                share => from[side] + (to[side] - from[side]) * share,
            };
            assert_eq!(got[side], expected, "frame {frame}");
        }
    }
}

#[test]
fn stems_that_become_ready_while_playing_are_heard_soon() {
    let song = Song::new(FRAMES, LANES, noise);
    let mut rig = Rig::playing(song.with_stems());
    assert_plays(&rig.run(1000, 500), 0, original);
    song.make_ready(0..FRAMES);
    let out = rig.run(FRAMES as usize - 1000, 500);
    // No later than what had been read ahead, half a second.
    let late = 22_050;
    assert_plays(&out[late..], 1000 + late as u64, |frame| stems(LANES, frame));
}

#[test]
fn stems_that_became_ready_while_paused_are_heard_at_once() {
    let song = Song::new(FRAMES, LANES, noise);
    let mut rig = Rig::new(STEREO);
    rig.player.load(song.with_stems());
    rig.run(1000, 500);
    song.make_ready(0..FRAMES);
    rig.player.play();
    assert_plays(&rig.run(5000, 500), 0, |frame| stems(LANES, frame));
}

#[test]
fn new_stems_take_over_without_a_gap() {
    let song = ready_song();
    let mut rig = Rig::playing(song.without_stems());
    assert_plays(&rig.run(2000, 500), 0, original);
    rig.player.set_source(song.with_stems());
    let out = rig.run(2000, 500);
    for (i, got) in out.iter().enumerate().take(FADE_FRAMES) {
        let (from, to) = (original(2000 + i as u64), stems(LANES, 2000 + i as u64));
        let share = (i + 1) as f32 / FADE_FRAMES as f32;
        let expected = from[0] + (to[0] - from[0]) * share;
        assert!((got[0] - expected).abs() < 1e-6, "at {i}");
    }
    let faded = FADE_FRAMES as u64;
    assert_plays(&out[FADE_FRAMES..], 2000 + faded, |frame| stems(LANES, frame));
}

#[test]
fn the_end_stops_and_playing_again_starts_over() {
    let song = ready_song();
    let mut rig = Rig::playing(song.with_stems());
    rig.player.seek(FRAMES - 1000);
    rig.run(900, 300);
    assert!(rig.player.is_playing() && !rig.player.ended());
    rig.run(900, 300);
    assert!(!rig.player.is_playing() && rig.player.ended());
    assert_eq!(rig.player.position_frame(), FRAMES);
    // A seek after the end does not start it again.
    rig.player.seek(100);
    assert!(!rig.player.ended());
    assert!(rig.run(600, 300).iter().all(|frame| *frame == [0.0; 2]));
    rig.player.seek(FRAMES);
    rig.run(600, 300);
    rig.player.play();
    assert_plays(&rig.run(600, 300), 0, |frame| stems(LANES, frame));
    assert_eq!(rig.player.underruns(), 0);
}

#[test]
fn another_song_begins_stopped_at_its_start() {
    let (first, second) = (ready_song(), Song::new(5000, 0, |_, _, frame| frame as f32 / 8192.0));
    let mut rig = Rig::playing(first.with_stems());
    rig.player.set_loop(Some(1000..3000));
    rig.run(2000, 500);
    rig.player.load(second.without_stems());
    assert_eq!((rig.player.position_frame(), rig.player.loop_range()), (0, None));
    rig.run(1000, 500);
    assert!(!rig.player.is_playing());
    rig.player.play();
    assert_plays(&rig.run(5000, 500), 0, |frame| [frame as f32 / 8192.0; 2]);
    rig.player.unload();
    rig.player.play();
    assert!(!rig.player.is_playing());
    assert!(rig.run(600, 300).iter().all(|frame| *frame == [0.0; 2]));
}

#[test]
fn a_song_that_is_still_decoding_waits_at_the_edge_and_goes_on() {
    let code = |_: usize, _: usize, frame: u64| (frame + 1) as f32 / 65_536.0;
    let song = Song::growing(2, 40_000, 0, code);
    song.decode(0..10_000);
    let mut rig = Rig::playing(song.without_stems());
    let mut out = rig.run(20_000, 500);
    assert!(!rig.player.ended() && rig.player.is_playing());
    assert_eq!(rig.player.underruns(), 1);
    song.decode(10_000..40_000);
    song.complete.store(true, Ordering::SeqCst);
    out.extend(rig.run(40_000, 500));
    assert!(rig.player.ended());
    // Every frame sounds once and in order: outside the two fades its value says which it is.
    let exact: Vec<u64> = out
        .iter()
        .map(|frame| f64::from(frame[0]) * 65_536.0 - 1.0)
        .filter(|frame| *frame >= 0.0 && frame.fract() == 0.0)
        .map(|frame| frame as u64)
        .collect();
    let in_order = exact.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
    assert!(in_order > 40_000 - 3 * FADE_FRAMES, "only {in_order}");
    assert_eq!(exact.last(), Some(&39_999));
    let sounding = out.iter().filter(|frame| frame[0] != 0.0).count();
    assert!((39_990..=40_000).contains(&sounding), "{sounding} frames sounded");
}

#[test]
fn running_dry_fades_out_counts_once_and_recovers() {
    let song = ready_song();
    let mut rig = Rig::playing(song.with_stems());
    rig.feeder.fill();
    let mut out = Vec::new();
    for _ in 0..60 {
        out.extend(rig.run_dry(500));
    }
    assert_eq!(rig.player.underruns(), 1);
    let silent_from = out.iter().rposition(|frame| *frame != [0.0; 2]).unwrap() + 1;
    let next = rig.player.position_frame();
    assert!((silent_from as u64).abs_diff(next) <= 1, "{silent_from} {next}");
    let again = rig.run(2000, 500);
    let faded = FADE_FRAMES as u64;
    assert_plays(&again[FADE_FRAMES..], next + faded, |frame| stems(LANES, frame));
    assert_eq!(rig.player.underruns(), 1);
}

#[test]
fn meters_show_the_peaks_since_the_last_look() {
    let song = ready_song();
    let mut rig = Rig::playing(song.with_stems());
    let mute = LaneControl { mute: true, ..LaneControl::default() };
    rig.player.set_lanes(&[LaneControl::default(), mute]);
    let out = rig.run(1000, 500);
    let meters = rig.player.meters();
    let peak = |values: &mut dyn Iterator<Item = f32>| values.fold(0f32, |a, b| a.max(b.abs()));
    for side in 0..2 {
        assert_eq!(meters.master[side], peak(&mut out.iter().map(|frame| frame[side])));
        let lane = peak(&mut (0..1000).map(|frame| noise(0, side, frame)));
        assert_eq!(meters.lanes[0][side], lane);
        assert_eq!(meters.lanes[1][side], 0.0);
    }
    assert_eq!(meters.lanes.len(), LANES);
    assert!(!meters.clipped);
    assert_eq!(rig.player.meters().master, [0.0; 2], "read and started over");
    rig.player.set_lanes(&[LaneControl { gain_db: 12.0, ..LaneControl::default() }; LANES]);
    rig.run(2000, 500);
    assert!(rig.player.meters().clipped);
}

#[test]
fn the_position_allows_for_the_devices_delay() {
    let song = ready_song();
    let mut rig = Rig::playing(song.with_stems());
    let mut buffer = vec![0.0; 2 * 1000];
    let latency = std::time::Duration::from_nanos(1_000_000_000 / 44_100 * 600);
    for _ in 0..4 {
        rig.feeder.fill();
        rig.renderer.render(&mut buffer, latency);
    }
    // 3000 frames were mixed when the last callback began, 600 of them still to be heard; what
    // has been mixed since bounds how far the position can have moved.
    let position = rig.player.position_frame();
    assert!((2400..=4000).contains(&position), "{position}");
    rig.player.set_loop(Some(1000..3000));
    rig.player.pause();
    rig.run(3000, 500);
    let position = rig.player.position_frame();
    assert_eq!(position, 1000, "the old place faded out, then the playhead went to the loop");
}

#[test]
fn a_stem_that_cannot_be_read_is_reported_once_and_the_original_plays() {
    let song = ready_song();
    let path = song.dir.path().join("lane2.1.f32");
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4 * 5000).unwrap();
    let mut rig = Rig::playing(song.with_stems());
    let out = rig.run(FRAMES as usize, 500);
    assert_plays(&out[..4000], 0, |frame| stems(LANES, frame));
    assert_plays(&out[6000..], 6000, original);
    let error = rig.player.take_error().expect("an error");
    assert!(error.what.contains("lane2.1.f32"), "{error}");
    assert!(rig.player.take_error().is_none());
}
