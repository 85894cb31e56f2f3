//! The chunk grid: it covers every song without holes, and what is cut is joined again unchanged.

use engine::{
    ErrorKind,
    model::{ChunkSpec, JoinWindow},
    plan::Plan,
};
use proptest::prelude::*;

fn spec(segment: u64, stride: u64, context: u64, window: JoinWindow) -> ChunkSpec {
    ChunkSpec { segment_frames: segment, stride_frames: stride, context_frames: context, window }
}

fn specs() -> impl Strategy<Value = (u64, ChunkSpec)> {
    let window = prop_oneof![Just(JoinWindow::Triangle), Just(JoinWindow::LinearFades)];
    (1u64..200, 1u64..60, 0u64..300, window, 0u64..1500).prop_map(
        |(segment, stride, context, window, frames)| {
            let stride = stride.min(segment).max(segment.div_ceil(64));
            (frames, spec(segment, stride, context, window))
        },
    )
}

fn weights(plan: &Plan, chunk: usize, frames: std::ops::Range<u64>) -> Vec<f64> {
    let mut weights = vec![f64::NAN; (frames.end - frames.start) as usize];
    plan.weights(chunk, frames, &mut weights);
    weights
}

proptest! {
    #[test]
    fn cells_partition_the_song_and_know_their_chunks((frames, spec) in specs()) {
        let plan = Plan::new(frames, spec).unwrap();
        let mut at = 0;
        for cell in plan.cells() {
            prop_assert_eq!(cell.frames.start, at);
            prop_assert!(cell.frames.end > at);
            at = cell.frames.end;
            for (chunk, segment) in plan.segments().iter().enumerate() {
                let covers = segment.start <= cell.frames.start && cell.frames.end <= segment.end;
                let touches = segment.start < cell.frames.end && cell.frames.start < segment.end;
                prop_assert_eq!(covers, touches);
                prop_assert_eq!(covers, cell.chunks.contains(&chunk));
            }
        }
        prop_assert_eq!(at, frames);
        for chunk in 0..plan.segments().len() {
            let cells = plan.cells_of_chunk(chunk);
            for (index, cell) in plan.cells().iter().enumerate() {
                prop_assert_eq!(cell.chunks.contains(&chunk), cells.contains(&index));
            }
        }
        let advance: u64 = (0..plan.segments().len()).map(|c| plan.advance_frames(c)).sum();
        prop_assert_eq!(advance, frames);
    }

    #[test]
    fn inputs_hold_the_segment_its_context_and_a_full_length((frames, spec) in specs()) {
        let plan = Plan::new(frames, spec).unwrap();
        for (chunk, segment) in plan.segments().iter().enumerate() {
            let input = plan.input(chunk);
            prop_assert!(input.start <= segment.start.saturating_sub(spec.context_frames));
            prop_assert!(input.end >= frames.min(segment.end + spec.context_frames));
            prop_assert!(input.end <= frames);
            let full = spec.segment_frames + 2 * spec.context_frames;
            prop_assert!(input.end - input.start <= full);
            if input.start > 0 && input.end < frames {
                prop_assert_eq!(input.end - input.start, full);
            }
        }
    }

    #[test]
    fn joining_what_was_cut_gives_the_song_back((frames, spec) in specs(), seed in any::<u32>()) {
        let plan = Plan::new(frames, spec).unwrap();
        let song: Vec<f32> = (0..frames as u32)
            .map(|n| n.wrapping_mul(2_654_435_761).wrapping_add(seed) as i32 as f32 / 2f32.powi(31))
            .collect();
        let mut sum = vec![0.0; song.len()];
        let mut total = vec![0.0; song.len()];
        for (chunk, segment) in plan.segments().iter().enumerate() {
            let span = segment.start as usize..segment.end as usize;
            for (at, weight) in span.zip(weights(&plan, chunk, segment.clone())) {
                prop_assert!(weight > 0.0 && weight <= 1.0, "weight {weight} at {at}");
                sum[at] += weight * f64::from(song[at]);
                total[at] += weight;
            }
        }
        for at in 0..song.len() {
            let joined = (sum[at] / total[at]) as f32;
            prop_assert!((joined - song[at]).abs() <= song[at].abs() * f32::EPSILON);
        }
    }
}

/// `weight = cat(arange(1, L//2 + 1), arange(L - L//2, 0, -1)); weight / weight.max()`, cut to the
/// chunk's length, as `demucs/apply.py` has it.
#[test]
fn the_triangle_is_the_one_of_demucs() {
    for (length, expected) in [(5u64, [1.0, 2.0, 3.0, 2.0, 1.0]), (4, [1.0, 2.0, 2.0, 1.0, 0.0])] {
        let peak = expected.iter().copied().fold(0.0, f64::max);
        let plan = Plan::new(3 * length, spec(length, length, 0, JoinWindow::Triangle)).unwrap();
        let expected: Vec<f64> = expected[..length as usize].iter().map(|w| w / peak).collect();
        assert_eq!(weights(&plan, 1, length..2 * length), expected);
    }
    let short = Plan::new(12, spec(5, 5, 0, JoinWindow::Triangle)).unwrap();
    assert_eq!(weights(&short, 2, 10..12), [1.0 / 3.0, 2.0 / 3.0]);
}

#[test]
fn fades_are_complementary_and_flat_at_the_songs_ends() {
    let plan = Plan::new(16, spec(10, 6, 0, JoinWindow::LinearFades)).unwrap();
    assert_eq!(weights(&plan, 0, 0..10), [1., 1., 1., 1., 1., 1., 0.8, 0.6, 0.4, 0.2]);
    assert_eq!(weights(&plan, 1, 6..16), [0.2, 0.4, 0.6, 0.8, 1., 1., 1., 1., 1., 1.]);
}

/// HTDemucs's own numbers: 343 980 frames every 257 985, and a short last segment centred in a full
/// one (`start = offset - delta // 2`).
#[test]
fn the_grid_of_htdemucs_is_the_official_one() {
    let (segment, stride) = (343_980, 257_985);
    let frames = 2 * stride + 60_001;
    let plan = Plan::new(frames, spec(segment, stride, 0, JoinWindow::Triangle)).unwrap();
    // The song ends inside the second segment already, and a third starts all the same.
    assert_eq!(**plan.segments(), [0..segment, stride..frames, 2 * stride..frames]);
    let delta = segment - 60_001;
    assert_eq!(plan.input(2), 2 * stride - delta / 2..frames);
    assert_eq!(plan.input(0), 0..segment);
}

#[test]
fn senseless_specs_are_refused() {
    for (segment, stride) in [(0, 0), (0, 1), (1, 0), (10, 11)] {
        let error = Plan::new(100, spec(segment, stride, 0, JoinWindow::Triangle)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{segment} every {stride}");
    }
    let error = Plan::new(1000, spec(1000, 1, 0, JoinWindow::Triangle)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let error = Plan::new(u64::MAX, spec(8, 8, 0, JoinWindow::Triangle)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(Plan::new(0, spec(8, 8, 0, JoinWindow::Triangle)).unwrap().segments().is_empty());
}
