//! Weight files made to do harm: each is refused with a clear word, and cheaply. An allocator that
//! counts proves that no file makes the reader reserve memory by a number it merely claims.

mod checkpoint_rig;
mod measuring_allocator;

use checkpoint_rig::{Pickle, View, archive, no_kwargs, package, with_numbers};
use engine::{
    ErrorKind::{self, Damaged, TooLarge, Unsupported},
    model::checkpoint::Checkpoint,
};
use measuring_allocator::peak_of;

/// Reads a file and tells how much memory that took at most.
fn measured(bytes: &[u8]) -> (engine::Result<Checkpoint>, isize) {
    peak_of(|| Checkpoint::from_bytes(bytes, "x.th"))
}

/// Whatever a short file claims, reading it takes less than this.
const FRUGAL_BYTES: isize = 1 << 20;
/// The longest pickle that is read at all, of a mebibyte, takes less than this.
const LONGEST_PICKLE_BYTES: isize = 96 << 20;

#[track_caller]
fn refused(bytes: &[u8], kind: ErrorKind, words: &str) {
    let limit = if bytes.len() < 100_000 { FRUGAL_BYTES } else { LONGEST_PICKLE_BYTES };
    let (result, taken) = measured(bytes);
    let error = result.map(|_| "it was read").expect_err(words);
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.what.contains(words), "“{words}” is not in: {error}");
    assert!(error.what.chars().count() < 500, "a long message: {error}");
    assert!(taken < limit, "{error}: took {taken} bytes");
}

#[track_caller]
fn refused_pickle(pickle: Pickle, kind: ErrorKind, words: &str) {
    refused(&with_numbers(pickle), kind, words);
}

#[track_caller]
fn refused_kwargs(kwargs: Pickle, kind: ErrorKind, words: &str) {
    refused_pickle(package(kwargs, Pickle::new()), kind, words);
}

#[track_caller]
fn refused_tensor(view: &View<'_>, kind: ErrorKind, words: &str) {
    let state = Pickle::new().text("x").tensor("0", view);
    refused_pickle(package(no_kwargs(), state), kind, words);
}

#[test]
fn nothing_but_the_known_names_can_be_asked_for() {
    let call = |module, name| Pickle::new().global(module, name).text("true").op(b"\x85R");
    refused_pickle(call("os", "system"), Unsupported, "“system” of “os”");
    refused_pickle(call("builtins", "eval"), Unsupported, "“eval” of “builtins”");
    refused_pickle(call("torch", "load"), Unsupported, "“load” of “torch”");
    refused_pickle(call("torch.storage", "_load_from_bytes"), Unsupported, "_load_from_bytes");
    refused_pickle(call("demucs.htdemucs", "HTDemucs.forward"), Unsupported, "HTDemucs.forward");
    let by_stack = Pickle::new().text("posix").text("system").op(b"\x93").text("true").op(b"\x85R");
    refused_pickle(by_stack, Unsupported, "“system” of “posix”");
    let with_nonsense = Pickle::new().global("a\u{1b}[2J", &"b".repeat(100_000));
    refused_pickle(with_nonsense, Unsupported, "\\u{1b}");
}

#[test]
fn a_known_name_gives_only_what_it_is_for() {
    refused_pickle(
        Pickle::new().global("demucs.htdemucs", "HTDemucs").op(b")R"),
        Unsupported,
        "HTDemucs",
    );
    let fraction = |args: Pickle| Pickle::new().global("fractions", "Fraction").op(args.0).op(b"R");
    refused_kwargs(fraction(Pickle::new().tuple(&[1, 0])), Unsupported, "Fraction");
    refused_kwargs(fraction(Pickle::new().tuple(&[1, 2, 3])), Unsupported, "Fraction");
    refused_kwargs(
        fraction(Pickle::new().text("1e999999999").op(b"\x85")),
        Unsupported,
        "Fraction",
    );
    let scalar = Pickle::new().global("numpy.core.multiarray", "scalar").tuple(&[1, 2]).op(b"R");
    refused_kwargs(scalar, Unsupported, "NumpyScalar");
    // A list that is called, and one whose state is set.
    refused_pickle(Pickle::new().op(b"])R"), Damaged, "cannot be called");
    refused_pickle(Pickle::new().op(b"]}b"), Unsupported, "sets the state");
    // Objects that are made or inherit by other instructions.
    refused_pickle(Pickle::new().global("fractions", "Fraction").op(b")\x81"), Unsupported, "0x81");
    refused_pickle(Pickle::new().op(b"ios\nsystem\n"), Unsupported, "0x69");
}

#[test]
fn lengths_are_not_believed() {
    refused_pickle(Pickle::new().op(b"X\xff\xff\xff\xff"), Damaged, "cut short");
    refused_pickle(Pickle::new().op(b"\x8a\xff"), Damaged, "cut short");
    refused_pickle(Pickle::new().op(b"\x8a\x09123456789"), Unsupported, "64 bits");
    refused_pickle(Pickle::new().op(b"\x8b\xff\xff\xff\x7f"), Unsupported, "0x8b");
    refused_pickle(Pickle::new().op(b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f"), Unsupported, "0x8d");
    refused_pickle(Pickle::new().op(b"cos"), Damaged, "cut short");
    // A memo of four billion places, all but one empty.
    refused_pickle(Pickle::new().op(b"N").put(u32::MAX).get(u32::MAX - 1), Damaged, "remembered");
}

#[test]
fn instructions_need_their_operands() {
    for lonely in [
        &b"\x85"[..],
        b"a",
        b"Na",
        b"e",
        b"(e",
        b"u",
        b"}(Nu",
        b"t",
        b"R",
        b"b",
        b"Q",
        b"q\0",
        b"(a",
    ] {
        refused_pickle(Pickle::new().op(lonely), Damaged, "data.pkl: at byte");
    }
    // What lies below an open mark is out of reach.
    refused_pickle(Pickle::new().op(b"]N(a"), Damaged, "nothing to work on");
    refused_pickle(Pickle::new().op(b"NN"), Damaged, "something is left");
}

#[test]
fn other_pickles_are_refused() {
    let data = |pickle: &[u8]| archive(&[("data.pkl", pickle)]);
    refused(&data(b""), Damaged, "cut short");
    refused(&data(b"\x80\x02"), Damaged, "cut short");
    refused(&data(b"\x80\x09N."), Unsupported, "protocol 9");
    refused(&data(b"\x80\x02}.N"), Damaged, "something is left");
    refused(&data(b"\x80\x02N."), Unsupported, "no Demucs package");
    refused(&data(b"\x80\x02}."), Unsupported, "no “klass”");
    refused(&data(&vec![b'N'; (1 << 20) + 1]), TooLarge, "1048577 bytes");
}

#[test]
fn deep_and_circular_data_is_refused_where_it_is_needed_and_harmless_elsewhere() {
    let deep = Pickle::new().op(b"N").op(vec![0x85; 900_000]);
    refused_kwargs(deep.clone(), TooLarge, "nested too deeply");
    let unused =
        package(no_kwargs(), Pickle::new()).op(b"(").text("training_args").op(deep.0).op(b"u");
    let (result, taken) = measured(&with_numbers(unused));
    result.expect("a package");
    assert!(taken < LONGEST_PICKLE_BYTES, "took {taken} bytes");

    let circle = Pickle::new().op(b"]").put(7).get(7).op(b"a");
    refused_kwargs(circle, TooLarge, "nested too deeply");
}

#[test]
fn the_longest_pickles_take_little_memory() {
    for filler in
        [&b"N"[..], b"(", b"]\x94", b"}N\x94\x94", b"\x88\x85", b"h\0", b"C\0", b"X\0\0\0\0"]
    {
        let filled = Pickle::new().op(b"Nq\0").op(filler.repeat(1_000_000 / filler.len()));
        refused_pickle(filled, Damaged, "at byte 1000005");
    }
}

#[test]
fn short_data_that_unfolds_is_refused() {
    // A list of lists, each of which holds the one before it ten times: 10^12 values.
    let mut lists = Pickle::new().op(b"](]").put(0);
    for level in 0..12 {
        lists = (0..10).fold(lists.op(b"]("), |lists, _| lists.get(level)).op(b"e").put(level + 1);
    }
    refused_kwargs(lists.op(b"e"), TooLarge, "too many");

    // One long text, many times over.
    let text = "x".repeat(60_000);
    let long = Pickle::new().op(b"](").text(&text[..1000]).put(0);
    refused_kwargs((0..1000).fold(long, |long, _| long.get(0)).op(b"e"), TooLarge, "too long");
    let name = Pickle::new().text(&text).tensor("0", &View::default());
    refused_pickle(package(no_kwargs(), name), TooLarge, "is called “xxx");
    let key = Pickle::new().text("x").tensor(&text, &View::default());
    refused_pickle(package(no_kwargs(), key), Damaged, "is called “xxx");

    // One tensor under many names.
    let state = Pickle::new().text("0").tensor("0", &View::default()).put(0);
    let state = (1..3000).fold(state, |state, n| state.text(&n.to_string()).get(0));
    let (result, taken) = measured(&with_numbers(package(no_kwargs(), state)));
    assert_eq!(result.expect("a package").tensors.len(), 3000);
    assert!(taken < FRUGAL_BYTES, "took {taken} bytes");
}

#[test]
fn tensors_lie_within_their_storages() {
    let view = |shape, strides, offset| View { shape, strides, offset, ..View::default() };
    for outside in [
        view(&[5], &[1], 0),
        view(&[4], &[1], 1),
        view(&[2, 2], &[3, 1], 0),
        view(&[1], &[1], 4),
        view(&[], &[], i64::MAX),
        view(&[2], &[i64::MAX], i64::MAX),
        view(&[1 << 62, 4, 4], &[0, 1, 0], 0),
        view(&[1 << 40, 1 << 40], &[0, 0], 0),
        view(&[i64::MAX, i64::MAX], &[i64::MAX, 1], 0),
    ] {
        refused_tensor(&outside, Damaged, "in its tensor “x”: its shape");
    }
    refused_tensor(&view(&[4], &[-1], 3), Damaged, "negative");
    refused_tensor(&view(&[-4], &[1], 0), Damaged, "negative");
    refused_tensor(&view(&[4], &[1], -1), Damaged, "before its storage");
    refused_tensor(&view(&[2, 2], &[1], 0), Damaged, "strides");
    refused_tensor(&view(&[1; 9], &[1; 9], 0), Unsupported, "9 dimensions");
    refused_tensor(&view(&[1; 5000], &[1; 5000], 0), Unsupported, "5000 dimensions");
    // One element repeated into a gigabyte.
    refused_tensor(&view(&[1 << 28], &[0], 0), TooLarge, "larger than a file of this size");

    let count = |storage, count| View { storage, count, ..View::default() };
    refused_tensor(&count("FloatStorage", 5), Damaged, "5 elements has 16 bytes");
    refused_tensor(&count("HalfStorage", 4), Damaged, "4 elements has 16 bytes");
    refused_tensor(&count("FloatStorage", i64::MAX), Damaged, "has 16 bytes");
    refused_tensor(&count("FloatStorage", -4), Damaged, "negative");
    refused_tensor(&count("LongStorage", 2), Unsupported, "LongStorage");

    let missing = Pickle::new().text("x").tensor("1", &View::default());
    refused_pickle(package(no_kwargs(), missing), Damaged, "“1” is missing");
    let number = Pickle::new().text("x").int(1);
    refused_pickle(package(no_kwargs(), number), Damaged, "no tensor");
    let quantized = Pickle::new().text("__quantized").op(b"\x88");
    refused_pickle(package(no_kwargs(), quantized), Unsupported, "DiffQ");
}

/// Where the directory's entry number `index` begins.
fn directory_entry(zip: &[u8], index: usize) -> usize {
    let starts = (0..zip.len()).filter(|&at| zip[at..].starts_with(b"PK\x01\x02"));
    starts.clone().nth(index).expect("an entry")
}

#[test]
fn zips_that_lie_are_refused() {
    let state = Pickle::new().text("x").tensor("0", &View::default());
    let good = with_numbers(package(no_kwargs(), state));
    // Fields of a directory entry: method, checksum, sizes, and where its content is.
    let changed = |entry, field, value: &[u8]| {
        let mut zip = good.clone();
        let start = directory_entry(&zip, entry) + field;
        zip[start..start + value.len()].copy_from_slice(value);
        zip
    };
    refused(&changed(1, 10, &[8]), Unsupported, "“data/0”: is compressed");
    refused(&changed(1, 8, &[1]), Unsupported, "“data/0”: is compressed or encrypted");
    refused(&changed(1, 16, &[0]), Damaged, "“data/0”: the checksum");
    refused(
        &changed(1, 20, &[0xf0, 0xff, 0xff, 0x7f, 0xf0, 0xff, 0xff, 0x7f]),
        Damaged,
        "claim more",
    );
    refused(&changed(1, 24, &[0xf0, 0xff, 0xff, 0x7f]), Unsupported, "“data/0”: is compressed");
    refused(&changed(1, 42, &[0xf0, 0xff, 0xff, 0x7f]), Damaged, "“data/0”: cannot be found");
    refused(&changed(1, 42, &[0]), Damaged, "“data/0”");
    refused(&changed(1, 0, b"XX"), Damaged, "directory");

    // Many entries that share one content: what they claim together is more than there is.
    let content = vec![0_u8; 4000];
    let entries: Vec<(String, &[u8])> =
        (0..10).map(|n| (format!("data/{n}"), if n == 0 { &content[..] } else { b"" })).collect();
    let entries: Vec<(&str, &[u8])> =
        entries.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    let mut shared = archive(&entries);
    let first = directory_entry(&shared, 0);
    for index in 1..entries.len() {
        let start = directory_entry(&shared, index);
        shared.copy_within(first + 16..first + 28, start + 16);
        shared.copy_within(first + 42..first + 46, start + 42);
    }
    refused(&shared, Damaged, "claim more bytes");

    let twice = archive(&[("data.pkl", b"\x80\x02}."), ("data/0", b""), ("data/0", b"")]);
    refused(&twice, Damaged, "“archive/data/0” twice");
    refused(&archive(&[("code.py", b"")]), Unsupported, "no PyTorch data.pkl");
    refused(&archive(&[]), Unsupported, "neither");
    let many = vec![("x", &b""[..]); 20_001];
    refused(&archive(&many), TooLarge, "20000 entries");
    let big = archive(&[("byteorder", b"big"), ("data.pkl", b"\x80\x02}.")]);
    refused(&big, Unsupported, "big-endian");
}

/// A safetensors file with this header and so much data.
fn safetensors(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + data_bytes, 0);
    file
}

fn with_metadata(metadata: &str, tensors: &str) -> String {
    format!(r#"{{"__metadata__":{{{metadata}}}{tensors}}}"#)
}

#[test]
fn safetensors_that_lie_are_refused() {
    const GOOD: &str = r#""klass":"demucs.htdemucs.HTDemucs","args":"[]","kwargs":"{}""#;
    let tensor = |kind: &str, shape: &str, end: u64| {
        let tensor =
            format!(r#","x":{{"dtype":"{kind}","shape":{shape},"data_offsets":[0,{end}]}}"#);
        with_metadata(GOOD, &tensor)
    };
    assert!(measured(&safetensors(&tensor("F32", "[2]", 8), 8)).0.is_ok());
    refused(&safetensors(&tensor("F32", "[2]", 8), 7), Damaged, "take 8 bytes, but 7");
    refused(&safetensors(&tensor("F32", "[2]", 8), 9), Damaged, "take 8 bytes, but 9");
    refused(&safetensors(&tensor("F32", "[3]", 8), 8), Damaged, "header");
    refused(&safetensors(&tensor("I64", "[1]", 8), 8), Unsupported, "type I64");
    refused(&safetensors(&tensor("F33", "[1]", 8), 8), Damaged, "header");
    let wide = format!("[{}1]", "1,".repeat(8));
    refused(&safetensors(&tensor("F32", &wide, 4), 4), Unsupported, "9 dimensions");
    let huge = (1_u64 << 61) - 1;
    refused(&safetensors(&tensor("U8", &format!("[{huge}]"), huge), 0), Damaged, "but 0");
    refused(&safetensors(&tensor("F32", &format!("[{huge},9]"), huge), 0), Damaged, "header");
    // Eight of them end seven bytes before 2^64, where adding the header would overflow.
    let ends: Vec<u64> = (0..=8).map(|n| n * huge).collect();
    let tensors: String = ends
        .windows(2)
        .map(|w| {
            format!(
                r#","{0}":{{"dtype":"U8","shape":[{huge}],"data_offsets":[{0},{1}]}}"#,
                w[0], w[1]
            )
        })
        .collect();
    refused(&safetensors(&with_metadata(GOOD, &tensors), 0), Damaged, "but 0");

    let metadata = |metadata: &str| safetensors(&with_metadata(metadata, ""), 0);
    assert!(measured(&metadata(GOOD)).0.is_ok());
    refused(&safetensors("{}", 0), Unsupported, "no “klass”");
    refused(&metadata(r#""klass":"x","args":"[]""#), Unsupported, "no “kwargs”");
    refused(&metadata(r#""klass":"x","args":"{}","kwargs":"{}""#), Damaged, "no list");
    refused(&metadata(r#""klass":"x","args":"[]","kwargs":"{""#), Damaged, "in its “kwargs”");
    let zero = r#"{\"a\":{\"_type\":\"fraction\",\"numerator\":1,\"denominator\":0}}"#;
    refused(
        &metadata(&format!(r#""klass":"x","args":"[]","kwargs":"{zero}""#)),
        Damaged,
        "fraction",
    );
    let deep = format!(r#""klass":"x","args":"{}","kwargs":"{{}}""#, "[".repeat(50_000));
    refused(&metadata(&deep), Damaged, "in its “args”");
    refused(&metadata(&format!(r#"{GOOD},"structure":"{{}}""#)), Unsupported, "DiffQ");

    // Almost the longest header that is read, full of empty lists.
    let lists = format!(r#""klass":"x","args":"[{}[]]","kwargs":"{{}}""#, "[],".repeat(340_000));
    let (result, taken) = measured(&metadata(&lists));
    assert_eq!(result.expect("a package").args.len(), 340_001);
    assert!(taken < LONGEST_PICKLE_BYTES, "took {taken} bytes");

    let mut long = safetensors("{}", 0);
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(&long, TooLarge, "header has 18446744073709551615 bytes");
    long[..8].copy_from_slice(&1000_u64.to_le_bytes());
    refused(&long, Damaged, "cut short");
}
