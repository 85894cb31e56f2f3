//! HTDemucs computes what PyTorch computes from the same weights, the same bits with any vector
//! instructions and threads; and refuses weights that are not of such a network.

mod htdemucs_rig;

use std::sync::Mutex;

use engine::{
    Error, ErrorKind,
    model::{
        NoProgress, Progress,
        checkpoint::{Checkpoint, Tensor, Value},
        htdemucs::Network,
        nn::Kernels,
    },
};
use htdemucs_rig::{Digest, FORWARD_SEEDS, expected, path, samples, song};

fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::read(&path(&format!("{name}.th"))).expect("a checkpoint")
}

fn network(name: &str, kernels: Kernels) -> Network {
    Network::load(checkpoint(name), kernels).expect("a network")
}

fn forward(network: &Network, seed: u32, wanted: &[usize]) -> Vec<[Vec<f32>; 2]> {
    let audio = samples(&song(network.config().segment_frames, seed, 2));
    network.forward([&audio[0], &audio[1]], wanted, &NoProgress).expect("a forward")
}

#[test]
fn forwards_are_those_of_pytorch() {
    let expected = expected();
    for (name, expected) in [("four", expected.four), ("six", expected.six)] {
        for kernels in Kernels::available() {
            let network = network(name, kernels);
            let all: Vec<usize> = (0..network.config().sources.len()).collect();
            for (seed, expected) in FORWARD_SEEDS.into_iter().zip(&expected.forward) {
                let stems = forward(&network, seed, &all);
                assert_eq!(stems.len(), expected.len());
                for (source, (expected, stem)) in expected.iter().zip(&stems).enumerate() {
                    let what =
                        format!("source {source} of {name}, song {seed}, {}", kernels.name());
                    expected.check(&what, &Digest::of_audio(stem));
                }
            }
        }
    }
}

#[test]
fn bits_depend_on_neither_vector_width_nor_threads() {
    for name in ["four", "six"] {
        // One result for all processors that fuse, one for those that do not.
        let mut results = [None, None];
        for kernels in Kernels::available() {
            let network = network(name, kernels);
            for threads in 1..=3 {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let stems = pool.expect("threads").install(|| forward(&network, 1, &[0, 1, 2, 3]));
                let first =
                    results[usize::from(kernels.fused())].get_or_insert_with(|| stems.clone());
                assert!(*first == stems, "{name}, {}, {threads} threads", kernels.name());
            }
        }
    }
}

/// BLAKE3 of what the networks make of the same noise, with fused multiply-add and without: what
/// AVX-512, AVX2 and NEON (under emulation) gave. Other values where nothing in the network was
/// changed mean that computers of different kinds no longer agree.
const BITS: [(&str, [&str; 2]); 2] = [
    (
        "four",
        [
            "d6356ffa05af0006a1600573c3de1e11f063dab8ed497d6ceb49d235dee471d6",
            "f992e94e8fcc7e7395a4d1120f37bbf0dc51ec18f71d6689dd1d3ffd171c2a28",
        ],
    ),
    (
        "six",
        [
            "d428da20accf97770fbf3359b8280b97064eddb15d5e080071ca77638994e923",
            "7ba0539b41d8a5dfc125ca7472a79767c304c7052e8b183541c711afe3c8fba6",
        ],
    ),
];

#[test]
fn bits_are_those_of_every_other_processor() {
    // Integers only, so that the input is the same everywhere, too.
    let noise = |frames: usize, side: u32| -> Vec<f32> {
        let hashed = |n: u32| {
            n.wrapping_mul(2_654_435_761).wrapping_add(side).wrapping_mul(0x85eb_ca6b) >> 8
        };
        (0..frames as u32).map(|n| (hashed(n) as f32 / 8_388_608.0 - 1.0) * 0.3).collect()
    };
    for (name, [fused, portable]) in BITS {
        for kernels in Kernels::available() {
            let network = network(name, kernels);
            let frames = network.config().segment_frames;
            let all: Vec<usize> = (0..network.config().sources.len()).collect();
            let (left, right) = (noise(frames, 1), noise(frames, 2));
            let stems = network.forward([&left, &right], &all, &NoProgress).expect("a forward");
            let mut hash = blake3::Hasher::new();
            for sample in stems.iter().flatten().flatten() {
                hash.update(&sample.to_le_bytes());
            }
            let expected = if kernels.fused() { fused } else { portable };
            assert_eq!(hash.finalize().to_string(), expected, "{name}, {}", kernels.name());
        }
    }
}

#[test]
fn wanted_sources_are_the_same_alone_and_in_any_order() {
    let network = network("six", Kernels::detect());
    let all = forward(&network, 1, &[0, 1, 2, 3, 4, 5]);
    let some = forward(&network, 1, &[5, 0, 3]);
    assert!(some == [5, 0, 3].map(|source| all[source].clone()));
    assert_eq!(forward(&network, 1, &[]).len(), 0);
}

#[test]
fn silence_stays_silence() {
    let network = network("four", Kernels::detect());
    let silence = vec![0.0; network.config().segment_frames];
    let stems = network.forward([&silence, &silence], &[0, 1, 2, 3], &NoProgress).expect("stems");
    assert!(stems.iter().flatten().flatten().all(|x| *x == 0.0));
}

/// Cancels when so many steps were reported.
struct Limit {
    limit: usize,
    reports: Mutex<Vec<f32>>,
}

impl Progress for Limit {
    fn report(&self, done: f32) {
        self.reports.lock().expect("not poisoned").push(done);
    }

    fn is_cancelled(&self) -> bool {
        self.reports.lock().expect("not poisoned").len() >= self.limit
    }
}

#[test]
fn a_forward_tells_how_far_it_is_and_stops_at_every_step() {
    let network = network("four", Kernels::detect());
    let audio = samples(&song(network.config().segment_frames, 1, 2));
    let run = |limit| {
        let progress = Limit { limit, reports: Mutex::default() };
        let result = network.forward([&audio[0], &audio[1]], &[0], &progress);
        (result, progress.reports.into_inner().expect("not poisoned"))
    };
    let (whole, reports) = run(usize::MAX);
    assert!(whole.is_ok());
    // Eight layers of encoders, three of the transformer, eight of decoders.
    assert_eq!(reports.len(), 19);
    assert!(reports.is_sorted() && reports.iter().all(|done| (0.0..=1.0).contains(done)));
    assert_eq!(reports.last(), Some(&1.0));
    for limit in 0..reports.len() {
        let (result, given) = run(limit);
        assert_eq!(result.expect_err("cancelled").kind, ErrorKind::Cancelled);
        assert_eq!(given, reports[..limit]);
    }
}

fn refusal(checkpoint: Checkpoint) -> Error {
    Network::load(checkpoint, Kernels::detect()).err().expect("refused")
}

#[test]
fn every_missing_or_misshapen_tensor_is_named() {
    for net in ["four", "six"] {
        let whole = checkpoint(net);
        for (name, tensor) in &whole.tensors {
            let mut missing = whole.clone();
            missing.tensors.remove(name);
            let error = refusal(missing);
            assert_eq!(error.kind, ErrorKind::Damaged);
            assert!(error.what.contains(&format!("“{name}”")), "{}", error.what);

            // As many values in another shape.
            let mut misshapen = whole.clone();
            let shape = [&[1], &tensor.shape[..]].concat();
            let tensor = Tensor { shape: shape.clone(), values: tensor.values.clone() };
            misshapen.tensors.insert(name.clone(), tensor);
            let error = refusal(misshapen);
            assert_eq!(error.kind, ErrorKind::Damaged);
            assert!(error.what.contains(&format!("“{name}”")), "{}", error.what);
            assert!(error.what.contains(&format!("{shape:?}")), "{}", error.what);
        }
    }
}

#[test]
fn a_tensor_too_many_is_named() {
    for name in ["encoder.4.conv.weight", "channel_upsampler.scale", "a"] {
        let mut checkpoint = checkpoint("six");
        checkpoint.tensors.insert(name.to_owned(), Tensor { shape: vec![1], values: vec![0.5] });
        let error = refusal(checkpoint);
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.what.ends_with(name), "{}", error.what);
    }
}

/// Arguments that decide sizes: another value does not fit the tensors.
const SIZES: [&str; 6] =
    ["channels", "depth", "bottom_channels", "t_layers", "t_hidden_scale", "dconv_comp"];

/// Arguments that only training looks at, or only what other arguments switch off, or that another
/// value of cannot be seen in the tensors.
const FREE: [&str; 24] = [
    "segment",
    "t_heads",
    "wiener_iters",
    "end_iters",
    "wiener_residual",
    "multi_freqs_depth",
    "emb_smooth",
    "time_stride",
    "norm_groups",
    "dconv_init",
    "t_dropout",
    "t_max_positions",
    "t_cape_mean_normalize",
    "t_cape_augment",
    "t_cape_glob_loc_scale",
    "t_weight_decay",
    "t_lr",
    "t_mask_type",
    "t_mask_random_seed",
    "t_sparse_attn_window",
    "t_global_window",
    "t_sparsity",
    "t_auto_sparsity",
    "rescale",
];

/// Another value of the same kind.
fn another(name: &str, value: &Value) -> Value {
    match value {
        Value::Int(n) if name == "depth" || name == "norm_starts" => Value::Int(n - 1),
        Value::Int(n) if name == "bottom_channels" || name == "t_heads" => Value::Int(n * 2),
        Value::Int(n) if name == "dconv_comp" => Value::Int(n / 2),
        Value::Int(n) => Value::Int(2 * n + 1),
        Value::Float(x) => Value::Float(x * 2.0 + 1.0),
        Value::Bool(flag) => Value::Bool(!flag),
        Value::Text(_) => Value::Text("cape".to_owned()),
        Value::List(_) => Value::List(vec![Value::Int(3)]),
        _ => Value::Int(3),
    }
}

#[test]
fn every_argument_that_shapes_the_network_is_heeded() {
    let whole = checkpoint("four");
    assert_eq!(whole.args, []);
    for (name, value) in &whole.kwargs {
        let mut changed = whole.clone();
        changed.kwargs.insert(name.clone(), another(name, value));
        let name = &name[..];
        if SIZES.contains(&name) {
            let error = refusal(changed);
            assert!(
                error.what.contains("weights “") || error.what.contains("a part"),
                "{name}: {}",
                error.what
            );
        } else if FREE.contains(&name) {
            assert!(Network::load(changed, Kernels::detect()).is_ok(), "{name}");
        } else {
            let error = refusal(changed);
            assert_eq!(error.kind, ErrorKind::Unsupported);
            let what = error.what;
            assert!(what.contains(name) || name == "sources" && what.contains("source"), "{what}");
        }
    }
    let missing = |name: &str| {
        let mut changed = whole.clone();
        changed.kwargs.remove(name);
        changed
    };
    assert!(refusal(missing("sources")).what.contains("sources"));
    // Without it the default holds, which is another network.
    assert!(refusal(missing("channels")).what.contains("weights “"));
    assert!(Network::load(missing("cac"), Kernels::detect()).is_ok());

    let mut positional = whole.clone();
    positional.args.extend(whole.kwargs.get("sources").cloned());
    assert!(Network::load(positional.clone(), Kernels::detect()).is_ok());
    positional.args.push(Value::Int(1));
    assert!(refusal(positional).what.contains("audio_channels"));
}

#[test]
fn other_networks_are_named() {
    let mut other = checkpoint("four");
    other.class = "demucs.hdemucs.HDemucs".to_owned();
    let error = refusal(other);
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.what.contains("demucs.hdemucs.HDemucs"), "{}", error.what);
}
