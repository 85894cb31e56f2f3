//! What flows between the parts of the network against what PyTorch's hooks saw there
//! (tests/data/htdemucs/make.py).

use std::{cell::RefCell, collections::BTreeMap};

use super::{network::Network, spectrum::Spectrum};
use crate::model::{
    NoProgress,
    checkpoint::Checkpoint,
    nn::{Kernels, Map},
};

#[path = "../../../tests/htdemucs_rig/mod.rs"]
mod rig;

use rig::Digest;

/// Spectrograms as `[channels][rows][frames]`, lines as `[channels][frames]`.
fn digest(map: &Map, is_line: bool) -> Digest {
    let tiles = map.tiles();
    let mut values = Vec::new();
    for channel in 0..map.channels() {
        for tile in 0..tiles {
            values.extend(&map.tile(tile)[channel * map.width()..][..map.valid(tile)]);
        }
    }
    if is_line {
        Digest::of(&[map.channels(), map.frames()], &values)
    } else {
        Digest::of(&[map.channels(), tiles, map.frames()], &values)
    }
}

fn check_layers(name: &str, expected: &rig::Network) {
    for kernels in Kernels::available() {
        let checkpoint = Checkpoint::read(&rig::path(&format!("{name}.th"))).expect("a checkpoint");
        let network = Network::load(checkpoint, kernels).expect("a network");
        let frames = network.config().segment_frames;
        let audio = rig::samples(&rig::song(frames, rig::FORWARD_SEEDS[0], 2));
        let audio = [&audio[0][..], &audio[1][..]];

        let seen = RefCell::new(BTreeMap::new());
        let last = RefCell::new(None);
        let watch = |part: &'static str, index: usize, map: &Map| {
            let is_line = part.ends_with("_t") || part.starts_with('t') && part.ends_with("coder");
            let is_line = is_line || part == "waveform";
            let before = seen.borrow_mut().insert(format!("{part}.{index}"), digest(map, is_line));
            assert!(before.is_none(), "{part}.{index} twice");
            if part == "decoder" {
                last.replace(Some(map.clone()));
            }
        };
        network.forward_watched(audio, &[], &NoProgress, &watch).expect("a forward");
        let mut seen = seen.into_inner();

        let spectrum = Spectrum::new();
        let (_, level) = spectrum.analyse(kernels, audio);
        let map = last.into_inner().expect("a decoder");
        for source in 0..network.config().sources.len() {
            let mut stem = vec![vec![0.0; frames]; 2];
            let [left, right] = &mut stem[..] else { unreachable!("two channels") };
            spectrum.synthesise(&map, level, source, [left, right]);
            seen.insert(format!("istft.{source}"), Digest::of_audio(&stem));
        }

        assert_eq!(seen.keys().collect::<Vec<_>>(), expected.layers.keys().collect::<Vec<_>>());
        for (part, expected) in &expected.layers {
            expected.check(&format!("{part} of {name} by {}", kernels.name()), &seen[part]);
        }
    }
}

#[test]
fn every_layer_computes_what_pytorch_computes() {
    let expected = rig::expected();
    check_layers("four", &expected.four);
    check_layers("six", &expected.six);
}
