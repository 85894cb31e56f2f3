//! Any sequence of commands, at any pace: no panic, no unready stem, no click, and never stuck.

mod playback_rig;

use std::sync::atomic::Ordering;

use engine::{
    audio::StreamSpec,
    mix::LaneControl,
    playback::{FADE_FRAMES, Listen},
};
use playback_rig::{Rig, STEREO, Song};
use proptest::prelude::*;

const FRAMES: u64 = 30_000;
const LANES: usize = 3;
const AMPLITUDE: f32 = 0.25;

/// A slow sine in every track that rises from nothing and falls to nothing at the song's ends: any
/// jump in what is heard is a click of ours.
fn sine(track: usize, side: usize, frame: u64) -> f32 {
    let turns = frame as f64 * 60.0 / 44_100.0 + track as f64 * 0.1 + side as f64 * 0.25;
    let edge = frame.min(FRAMES.saturating_sub(frame + 1)) as f32 / 500.0;
    (turns * std::f64::consts::TAU).sin() as f32 * AMPLITUDE * edge.min(1.0)
}

#[derive(Debug, Clone)]
enum Step {
    Play,
    Pause,
    Seek(u64),
    Loop(Option<(u64, u64)>),
    Lane(usize, LaneControl),
    Listen(bool),
    Master(f32),
    Ready(u64, u64),
    Decode(u64),
    Stems(bool),
    Load,
    Render { frames: usize, fed: bool },
}

fn lane() -> impl Strategy<Value = LaneControl> {
    (-70f32..0.0, -1.5f32..1.5, any::<bool>(), any::<bool>())
        .prop_map(|(gain_db, pan, mute, solo)| LaneControl { gain_db, pan, mute, solo })
}

fn step() -> impl Strategy<Value = Step> {
    let frame = || prop_oneof![8 => 0..FRAMES + 2000, 1 => Just(u64::MAX)];
    prop_oneof![
        2 => Just(Step::Play),
        1 => Just(Step::Pause),
        2 => frame().prop_map(Step::Seek),
        2 => prop::option::of((frame(), frame())).prop_map(Step::Loop),
        2 => (0..LANES, lane()).prop_map(|(lane, control)| Step::Lane(lane, control)),
        1 => any::<bool>().prop_map(Step::Listen),
        1 => (-70f32..0.0).prop_map(Step::Master),
        2 => (0..FRAMES, 0..12_000u64).prop_map(|(start, frames)| Step::Ready(start, frames)),
        1 => (0..9000u64).prop_map(Step::Decode),
        1 => any::<bool>().prop_map(Step::Stems),
        1 => Just(Step::Load),
        8 => (1usize..3000, prop::bool::weighted(0.9))
            .prop_map(|(frames, fed)| Step::Render { frames, fed }),
    ]
}

struct Run {
    rig: Rig,
    song: Song,
    lanes: [LaneControl; LANES],
    decoded: u64,
    out: Vec<f32>,
}

impl Run {
    fn new(output: StreamSpec) -> Self {
        let song = Song::growing(2, FRAMES, LANES, sine);
        let mut rig = Rig::new(output);
        rig.player.load(song.with_stems());
        let lanes = [LaneControl::default(); LANES];
        Self { rig, song, lanes, decoded: 0, out: Vec::new() }
    }

    fn decode(&mut self, more: u64) {
        let end = FRAMES.min(self.decoded + more);
        self.song.decode(self.decoded..end);
        self.decoded = end;
        if end == FRAMES {
            self.song.complete.store(true, Ordering::SeqCst);
        }
    }

    fn take(&mut self, step: &Step) {
        let player = &mut self.rig.player;
        match step.clone() {
            Step::Play => player.play(),
            Step::Pause => player.pause(),
            Step::Seek(frame) => player.seek(frame),
            Step::Loop(range) => player.set_loop(range.map(|(start, end)| start..end)),
            Step::Lane(lane, control) => {
                self.lanes[lane] = control;
                player.set_lanes(&self.lanes);
            }
            Step::Listen(original) => {
                player.set_listen(if original { Listen::Original } else { Listen::Stems });
            }
            Step::Master(gain_db) => player.set_master_gain_db(gain_db),
            Step::Ready(start, frames) => {
                self.song.make_ready(start.min(self.decoded)..(start + frames).min(self.decoded));
            }
            Step::Decode(more) => self.decode(more),
            Step::Stems(true) => player.set_source(self.song.with_stems()),
            Step::Stems(false) => player.set_source(self.song.without_stems()),
            Step::Load => player.load(self.song.with_stems()),
            Step::Render { frames, fed: true } => {
                let more = self.rig.interleaved(frames, 512);
                self.out.extend(more);
            }
            Step::Render { frames, fed: false } => {
                let mut more = vec![f32::NAN; frames * 2];
                self.rig.renderer.render(&mut more, std::time::Duration::ZERO);
                self.out.extend(more);
            }
        }
        let player = &self.rig.player;
        assert!(player.length_frames() == self.decoded);
        assert!(self.decoded < FRAMES || player.position_frame() <= FRAMES);
        assert!(!(player.is_playing() && player.ended()));
        player.meters();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn never_panics_clicks_reads_unready_stems_or_gets_stuck(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut run = Run::new(STEREO);
        run.rig.player.play();
        steps.iter().for_each(|step| run.take(step));

        // Whatever came before, the rest of the song plays and ends.
        run.decode(FRAMES);
        run.rig.player.set_loop(None);
        run.rig.player.play();
        run.rig.player.seek(FRAMES - 2000);
        run.take(&Step::Render { frames: 4500, fed: true });
        prop_assert!(run.rig.player.ended());

        // NaN, which lies where stems are not ready, would fail here too. The steepest changes:
        // three in-phase sines, a gain ramp, a crossfade between opposite phases, each in
        // FADE_FRAMES.
        let steepest = 1.5 * (4.0 * 2.0 * AMPLITUDE * LANES as f32) / FADE_FRAMES as f32;
        for side in 0..2 {
            let samples: Vec<f32> = run.out.iter().skip(side).step_by(2).copied().collect();
            for (i, pair) in samples.windows(2).enumerate() {
                prop_assert!(pair.iter().all(|sample| sample.is_finite()), "not ready at {i}");
                prop_assert!((pair[1] - pair[0]).abs() < steepest, "a click at {i}: {pair:?}");
            }
        }
    }

    #[test]
    fn other_rates_survive_the_same(
        steps in prop::collection::vec(step(), 1..40),
        sample_rate_hz in prop::sample::select(vec![8000u32, 22_050, 44_099, 48_000, 192_000]),
    ) {
        let mut run = Run::new(StreamSpec { sample_rate_hz, channels: 2 });
        run.rig.player.play();
        steps.iter().for_each(|step| run.take(step));
        run.decode(FRAMES);
        run.rig.player.set_loop(None);
        run.rig.player.play();
        run.rig.player.seek(FRAMES - 2000);
        let frames = 4500 * sample_rate_hz as usize / 44_100;
        run.take(&Step::Render { frames, fed: true });
        prop_assert!(run.rig.player.ended());
        prop_assert!(run.out.iter().all(|sample| sample.is_finite()));
    }
}
