//! Handmade weight files: pickles written instruction by instruction, and zips around them.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::Write;

/// Instructions of a pickle, without the protocol at the start and the stop at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pickle(pub(crate) Vec<u8>);

impl Pickle {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn op(mut self, instructions: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(instructions.as_ref());
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.op(b"X").op((text.len() as u32).to_le_bytes()).op(text)
    }

    pub(crate) fn int(self, value: i64) -> Self {
        self.op(b"\x8a\x08").op(value.to_le_bytes())
    }

    pub(crate) fn global(self, module: &str, name: &str) -> Self {
        self.op(format!("c{module}\n{name}\n"))
    }

    pub(crate) fn put(self, key: u32) -> Self {
        self.op(b"r").op(key.to_le_bytes())
    }

    pub(crate) fn get(self, key: u32) -> Self {
        self.op(b"j").op(key.to_le_bytes())
    }

    pub(crate) fn tuple(self, numbers: &[i64]) -> Self {
        numbers.iter().fold(self.op(b"("), |pickle, &n| pickle.int(n)).op(b"t")
    }

    /// A tensor over the storage `data/<key>`.
    pub(crate) fn tensor(self, key: &str, view: &View<'_>) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .op(b"((")
            .text("storage")
            .global("torch", view.storage)
            .text(key)
            .text("cpu")
            .int(view.count)
            .op(b"tQ")
            .int(view.offset)
            .tuple(view.shape)
            .tuple(view.strides)
            .op(b"\x89")
            .global("collections", "OrderedDict")
            .op(b")RtR")
    }

    /// The whole pickle.
    pub(crate) fn finish(self) -> Vec<u8> {
        Self::new().op(b"\x80\x02").op(self.0).op(b".").0
    }
}

/// What a tensor says about its storage and itself.
pub(crate) struct View<'a> {
    pub(crate) storage: &'a str,
    pub(crate) count: i64,
    pub(crate) offset: i64,
    pub(crate) shape: &'a [i64],
    pub(crate) strides: &'a [i64],
}

impl Default for View<'_> {
    /// Four single-precision numbers in a row.
    fn default() -> Self {
        Self { storage: "FloatStorage", count: 4, offset: 0, shape: &[4], strides: &[1] }
    }
}

/// A Demucs package: `kwargs` pushes one object, `state` names and tensors in turn.
pub(crate) fn package(kwargs: Pickle, state: Pickle) -> Pickle {
    Pickle::new()
        .op(b"}(")
        .text("klass")
        .global("demucs.htdemucs", "HTDemucs")
        .text("args")
        .op(b")")
        .text("kwargs")
        .op(kwargs.0)
        .text("state")
        .op(b"}(")
        .op(state.0)
        .op(b"uu")
}

pub(crate) fn no_kwargs() -> Pickle {
    Pickle::new().op(b"}")
}

/// A zip archive with these entries in the folder “archive”, stored.
pub(crate) fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut zip = rawzip::ZipArchiveWriter::new(&mut bytes);
    for (name, content) in entries {
        let path = format!("archive/{name}");
        let (mut entry, config) = zip.new_file(&path).start().expect("an entry");
        let mut writer = config.wrap(&mut entry);
        writer.write_all(content).expect("memory");
        let (_, descriptor) = writer.finish().expect("memory");
        entry.finish(descriptor).expect("memory");
    }
    zip.finish().expect("memory");
    bytes
}

/// An archive of `pickle` and one storage of the numbers 0 to 3, single precision.
pub(crate) fn with_numbers(pickle: Pickle) -> Vec<u8> {
    let numbers: Vec<u8> = [0.0_f32, 1.0, 2.0, 3.0].iter().flat_map(|n| n.to_le_bytes()).collect();
    archive(&[("data.pkl", &pickle.finish()), ("data/0", &numbers)])
}
