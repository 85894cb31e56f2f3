//! Weight files that PyTorch and safetensors wrote are read exactly; damaged ones are refused.
//! tests/data/checkpoint/make.py made the files.

mod checkpoint_rig;

use std::{collections::BTreeMap, path::PathBuf};

use checkpoint_rig::{Pickle, View, archive, no_kwargs, package, with_numbers};
use engine::{
    ErrorKind,
    model::checkpoint::{Checkpoint, Tensor, Value},
};
use proptest::prelude::*;
use serde::Deserialize;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoint").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).expect("a fixture")
}

fn read(bytes: &[u8]) -> engine::Result<Checkpoint> {
    Checkpoint::from_bytes(bytes, "x.th")
}

/// A tensor as PyTorch reads it; the bits of its values.
#[derive(Deserialize)]
struct Expected {
    shape: Vec<usize>,
    bits: Vec<i32>,
}

fn bits(tensor: &Tensor) -> Vec<i32> {
    tensor.values.iter().map(|value| value.to_bits() as i32).collect()
}

fn check_package(checkpoint: &Checkpoint) {
    assert_eq!(checkpoint.class, "demucs.htdemucs.HTDemucs");
    assert_eq!(checkpoint.args, []);

    let expected: BTreeMap<String, Expected> =
        serde_json::from_slice(&bytes("expected.json")).expect("JSON");
    assert_eq!(checkpoint.tensors.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, expected) in expected {
        let tensor = &checkpoint.tensors[&name];
        assert_eq!(tensor.shape, expected.shape, "{name}");
        assert_eq!(bits(tensor), expected.bits, "{name}");
    }

    let text = |text: &str| Value::Text(text.to_owned());
    let map = |items: Vec<(&str, Value)>| {
        items.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>()
    };
    let inner = map(vec![("b", Value::List(vec![Value::Int(1), text("zwei")]))]);
    let expected = map(vec![
        ("sources", Value::List(["drums", "bass", "other", "vocals"].map(text).to_vec())),
        ("segment", Value::Fraction(39, 5)),
        ("audio_channels", Value::Int(2)),
        ("samplerate", Value::Int(44100)),
        ("channels_time", Value::None),
        ("cac", Value::Bool(true)),
        ("rewrite", Value::Bool(false)),
        ("freq_emb", Value::Float(0.2)),
        ("t_max_period", Value::Float(10000.0)),
        ("multi_freqs", Value::List(vec![])),
        ("t_cape_glob_loc_scale", Value::List([5000.0, 1.0, 1.4].map(Value::Float).to_vec())),
        ("negative", Value::Int(-70000)),
        ("large", Value::Int(1 << 40)),
        ("small", Value::Int(i64::MIN)),
        ("nested", Value::Map(map(vec![("a", Value::Map(inner)), ("c", Value::Fraction(-1, 3))]))),
        ("t_emb", text("sin")),
        ("name", text("großer Flügel")),
    ]);
    assert_eq!(checkpoint.kwargs, expected);
}

#[test]
fn a_package_of_pytorch_is_read_as_pytorch_reads_it() {
    check_package(&Checkpoint::read(&path("package.th")).expect("a package"));
}

#[test]
fn a_newer_pickle_gives_the_same() {
    check_package(&Checkpoint::read(&path("package_protocol4.th")).expect("a package"));
}

#[test]
fn a_package_in_safetensors_gives_the_same() {
    check_package(&Checkpoint::read(&path("package.safetensors")).expect("a package"));
}

#[test]
fn the_old_format_is_refused_by_name() {
    let error = Checkpoint::read(&path("legacy.th")).expect_err("old");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.what.contains("PyTorch before 1.6"), "{error}");
}

#[test]
fn errors_name_the_file() {
    for (name, kind) in [("nowhere.th", ErrorKind::NotFound), ("", ErrorKind::Unsupported)] {
        let path = path(name);
        let error = Checkpoint::read(&path).expect_err("no file");
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.what.contains(&path.display().to_string()), "{error}");
    }
    let error = read(b"<!DOCTYPE html>").expect_err("a web page");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.what.contains("x.th") && error.advice.is_some(), "{error}");
}

#[test]
fn taking_a_tensor_checks_its_shape() {
    let mut checkpoint = Checkpoint::read(&path("package.th")).expect("a package");
    let error = checkpoint.take("number", &[1]).expect_err("another shape");
    assert!(error.what.contains("“number”") && error.what.contains("[1]"), "{error}");
    let number = checkpoint.take("number", &[]).expect("there");
    assert_eq!((number.shape, number.values), (vec![], vec![0.25]));
    let error = checkpoint.take("number", &[]).expect_err("taken");
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert!(error.what.contains("“number”") && error.what.contains("missing"), "{error}");
}

/// Scores of a finished training, as files of 2022 have them: NumPy 1, pickle protocol 2.
#[test]
fn numbers_of_old_numpy_do_not_disturb() {
    let metrics = Pickle::new()
        .global("numpy.core.multiarray", "scalar")
        .global("numpy", "dtype")
        .text("f8")
        .op(b"\x89\x88\x87R(K\x03")
        .text("<")
        .op(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb")
        .global("_codecs", "encode")
        .text("\0\0\0\0\0\0\u{21}\u{40}")
        .text("latin1")
        .op(b"\x86R\x86R");
    let pickle = package(no_kwargs(), Pickle::new()).op(b"(").text("metrics").op(metrics.0.clone());
    read(&with_numbers(pickle.op(b"u"))).expect("a package");

    let kwargs = Pickle::new().op(b"}(").text("x").op(metrics.0).op(b"u");
    let checkpoint = read(&with_numbers(package(kwargs, Pickle::new()))).expect("a package");
    assert_eq!(checkpoint.kwargs["x"], Value::Float(8.5));
}

#[test]
fn a_storage_may_serve_many_tensors_in_any_order() {
    let view = |shape, strides, offset| View { shape, strides, offset, ..View::default() };
    let state = Pickle::new()
        .text("all")
        .tensor("0", &View::default())
        .text("square")
        .tensor("0", &view(&[2, 2], &[1, 2], 0))
        .text("last")
        .tensor("0", &view(&[], &[], 3))
        .text("windows")
        .tensor("0", &view(&[3, 2], &[1, 1], 0))
        // A dimension of one may have any stride.
        .text("far")
        .tensor("0", &view(&[1, 2], &[i64::MAX, 2], 1));
    let checkpoint = read(&with_numbers(package(no_kwargs(), state))).expect("a package");
    let values = |name: &str| checkpoint.tensors[name].values.clone();
    assert_eq!(values("all"), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(values("square"), [0.0, 2.0, 1.0, 3.0]);
    assert_eq!(values("last"), [3.0]);
    assert_eq!(values("windows"), [0.0, 1.0, 1.0, 2.0, 2.0, 3.0]);
    assert_eq!(values("far"), [1.0, 3.0]);
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    for name in ["package.th", "package_protocol4.th", "package.safetensors"] {
        let whole = bytes(name);
        for length in 0..whole.len() {
            let error = read(&whole[..length]).expect_err("cut short");
            assert!(
                matches!(error.kind, ErrorKind::Damaged | ErrorKind::Unsupported),
                "{name} at {length}: {error}"
            );
        }
    }
}

/// Every entry has a checksum, so a changed byte is found or lies where nothing is read.
#[test]
fn a_changed_byte_never_changes_a_weight() {
    for name in ["package.th", "package_protocol4.th"] {
        let mut file = bytes(name);
        let whole = read(&file).expect("a package");
        for place in 0..file.len() {
            for flip in [1 << (place % 8), 0xff] {
                file[place] ^= flip;
                if let Ok(checkpoint) = read(&file) {
                    assert_eq!(bits_of(&checkpoint), bits_of(&whole), "{name} at {place}");
                    assert_eq!(checkpoint.kwargs, whole.kwargs, "{name} at {place}");
                }
                file[place] ^= flip;
            }
        }
    }
}

fn bits_of(checkpoint: &Checkpoint) -> Vec<(&String, Vec<i32>)> {
    checkpoint.tensors.iter().map(|(name, tensor)| (name, bits(tensor))).collect()
}

/// Instructions and arguments that a reader knows, so that chance gets past the first byte.
fn instruction() -> impl Strategy<Value = Pickle> {
    let any_text = prop::sample::select(vec![
        "klass", "args", "kwargs", "state", "storage", "0", "cpu", "f8", "<", "latin1", "39/5",
    ]);
    let any_global = prop::sample::select(vec![
        ("demucs.htdemucs", "HTDemucs"),
        ("fractions", "Fraction"),
        ("collections", "OrderedDict"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch", "FloatStorage"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    ]);
    prop_oneof![
        8 => prop::sample::select(b"()]}taesubRQN\x85\x86\x87\x88\x89\x93\x94.".to_vec())
            .prop_map(|op| Pickle::new().op([op])),
        3 => any_text.prop_map(|text| Pickle::new().text(text)),
        3 => any_global.prop_map(|(module, name)| Pickle::new().global(module, name)),
        2 => prop_oneof![0..6_i64, any::<i64>()].prop_map(|n| Pickle::new().int(n)),
        2 => (0..8_u32).prop_map(|key| Pickle::new().get(key)),
        1 => (0..8_u32).prop_map(|key| Pickle::new().put(key)),
        1 => Just(Pickle::new().tensor("0", &View::default())),
        1 => any::<(u8, u8)>().prop_map(|(a, b)| Pickle::new().op([a, b])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_instructions_never_panic(
        instructions in prop::collection::vec(instruction(), 0..60),
        place in 0..3,
    ) {
        let random = Pickle::new().op(instructions.into_iter().flat_map(|p| p.0).collect::<Vec<_>>());
        let pickle = match place {
            0 => random,
            1 => package(random, Pickle::new()),
            _ => package(no_kwargs(), random),
        };
        let _ = read(&with_numbers(pickle));
    }

    #[test]
    fn random_bytes_never_panic(
        random in prop::collection::vec(any::<u8>(), 0..400),
        begin in prop::sample::select(vec![&b"PK\x03\x04"[..], b"\x40\0\0\0\0\0\0\0{", b""]),
    ) {
        let _ = read(&[begin, &random].concat());
        let _ = read(&archive(&[("data.pkl", &random)]));
    }

    #[test]
    fn views_are_read_within_their_storage_or_not_at_all(
        shape in prop::collection::vec(0..4_i64, 0..4),
        strides in prop::collection::vec(0..4_i64, 0..4),
        offset in 0..5_i64,
    ) {
        let view = View { shape: &shape, strides: &strides, offset, ..View::default() };
        let state = Pickle::new().text("x").tensor("0", &view);
        let read = read(&with_numbers(package(no_kwargs(), state)));
        // The storage holds its own indices, so the values are where they were found.
        let mut indices = vec![offset];
        for (&n, &stride) in shape.iter().zip(&strides) {
            indices = indices.iter().flat_map(|at| (0..n).map(move |i| at + i * stride)).collect();
        }
        let fits = shape.len() == strides.len() && indices.iter().all(|&at| at < 4);
        prop_assert_eq!(read.is_ok(), fits);
        if let Ok(checkpoint) = read {
            let values: Vec<i64> =
                checkpoint.tensors["x"].values.iter().map(|&value| value as i64).collect();
            prop_assert_eq!(values, indices);
        }
    }

    #[test]
    fn safetensors_of_any_shape_come_back(
        shapes in prop::collection::vec(prop::collection::vec(0..5_usize, 0..4), 0..5),
        changed in any::<(prop::sample::Index, u8)>(),
    ) {
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
            .into_iter()
            .enumerate()
            .map(|(index, shape)| {
                let count = shape.iter().product::<usize>();
                let values = (0..count).flat_map(|i| ((i * 7 + index) as f32).to_le_bytes());
                (format!("t{index}"), shape, values.collect())
            })
            .collect();
        let views = tensors.iter().map(|(name, shape, data)| {
            let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data);
            (name, view.expect("a view"))
        });
        let fields = [("klass", "demucs.htdemucs.HTDemucs"), ("args", "[]"), ("kwargs", "{}")];
        let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut file = safetensors::serialize(views, Some(fields.into_iter().collect())).expect("fits");
        let checkpoint = read(&file).expect("a package");
        prop_assert_eq!(checkpoint.tensors.len(), tensors.len());
        for (name, shape, data) in tensors {
            let tensor = &checkpoint.tensors[&name];
            prop_assert_eq!(&tensor.shape, &shape);
            let read: Vec<u8> = tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            prop_assert_eq!(read, data);
        }
        // There are no checksums in this format, so a change may pass; it must not break anything.
        let place = changed.0.index(file.len());
        file[place] ^= changed.1;
        let _ = read(&file);
    }
}
