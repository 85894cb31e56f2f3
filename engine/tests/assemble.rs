//! Joining chunks: whatever the order, and however often it is begun again, the same samples.

mod common;

use std::sync::Arc;

use common::{TestSeparator, expected, samples, song, spec};
use engine::{
    ErrorKind,
    assemble::{Assembler, Stems, hash_cell, hash_chunk, write_chunk},
    audio::Planar,
    model::{ChunkInput, NoProgress, Separator, Stem},
    plan::Plan,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_repetition_gives_the_weighted_mean(
        (frames, segment, stride) in (1u64..20_000, 500u64..6_000, 1u64..6_000)
            .prop_map(|(f, segment, stride)| (f, segment, stride.clamp(segment.div_ceil(5), segment))),
        channels in 1usize..=2,
        order in any::<proptest::sample::Index>().prop_map(|i| i.index(usize::MAX)),
    ) {
        let home = tempfile::tempdir().unwrap();
        let song = song(home.path(), channels, frames);
        let separator = TestSeparator::new(spec(segment, stride));
        let plan = Arc::new(Plan::new(frames, separator.info.chunks).unwrap());
        for chunk in 0..plan.segments().len() {
            let input = plan.input(chunk);
            let segment = &plan.segments()[chunk];
            let range = input.start as usize..input.end as usize;
            let channel = |n: usize| song.channels[n % channels][range.clone()].to_vec();
            let input = ChunkInput {
                audio: Planar::from_channels(vec![channel(0), channel(1)]),
                context_before_frames: (segment.start - input.start) as usize,
                segment_frames: (segment.end - segment.start) as usize,
                start_frame: segment.start,
                song: song.song.stats,
            };
            let stems = separator.separate(&input, &NoProgress).unwrap();
            let path = Assembler::chunk_path(home.path(), chunk);
            let hash = write_chunk(&path, &stems.iter().collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(hash_chunk(&path).unwrap(), hash);
        }
        let stems = Stems::create(home.path(), &separator.info.stems, channels, frames).unwrap();
        let stems = Arc::new(stems);
        let mixture = Arc::clone(&song.song.mixture);
        let mut assembler =
            Assembler::new(Arc::clone(&plan), home.path(), mixture, Arc::clone(&stems));
        let cells = plan.cells().len();
        let mut facts = vec![None; cells];
        for n in 0..2 * cells {
            // Every cell twice, in an order that depends on the case.
            let cell = (n * 7 + order) % cells;
            assembler.join(cell).unwrap();
            let found = assembler.inspect(cell).unwrap();
            prop_assert_eq!(*facts[cell].get_or_insert(found), found);
        }
        for (cell, facts) in facts.iter_mut().enumerate() {
            assembler.join(cell).unwrap();
            let hash = facts.get_or_insert(assembler.inspect(cell).unwrap()).hash;
            prop_assert_eq!(hash_cell(&stems, &plan.cells()[cell].frames).unwrap(), hash);
        }
        for (track, expected) in stems.tracks.iter().zip(expected(&song, separator.info.chunks)) {
            prop_assert_eq!(samples(track), expected);
        }
        let residual: f64 = facts.iter().flatten().map(|facts| facts.sums.residual).sum();
        let mixture: f64 = facts.iter().flatten().map(|facts| facts.sums.mixture).sum();
        prop_assert!(residual <= mixture * 1e-12);
        let energy: f64 =
            song.channels.iter().flatten().map(|&x| f64::from(x) * f64::from(x)).sum();
        prop_assert!((mixture - energy).abs() <= energy * 1e-9);
    }
}

#[test]
fn a_chunk_that_is_missing_or_cut_short_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let song = song(home.path(), 2, 1_000);
    let plan = Arc::new(Plan::new(1_000, spec(1_000, 1_000)).unwrap());
    let stems = Arc::new(Stems::create(home.path(), &[Stem::Bass], 2, 1_000).unwrap());
    let mixture = Arc::clone(&song.song.mixture);
    let assembler = Assembler::new(plan, home.path(), mixture, stems);
    assert_eq!(assembler.join(0).unwrap_err().kind, ErrorKind::NotFound);
    let path = Assembler::chunk_path(home.path(), 0);
    write_chunk(&path, &[&Planar::silence(2, 999)]).unwrap();
    assert_eq!(assembler.join(0).unwrap_err().kind, ErrorKind::Damaged);
    write_chunk(&path, &[&Planar::silence(2, 1_000)]).unwrap();
    assembler.join(0).unwrap();
}
