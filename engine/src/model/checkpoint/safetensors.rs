//! Demucs's package in safetensors, as the Demucs authors publish it on Hugging Face: the class
//! under `klass` and, as JSON, `args` and `kwargs` in the file's metadata.

use std::collections::BTreeMap;

use safetensors::{Dtype, tensor::Metadata};

use super::{
    Checkpoint, MAX_NAME_BYTES, Value,
    fault::{Fault, Found, shown},
    tensor::{Budget, ElementType, Layout, Tensor},
};

/// Longest header that is read, in bytes; that of HTDemucs has about 60 kB.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// Whether a file begins like safetensors: the header's length, then the header, a JSON object.
pub(super) fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{')
}

/// Reads a safetensors file that has one text about itself, under `key`.
pub(super) fn read_own(bytes: &[u8], key: &str) -> Found<(Checkpoint, String)> {
    let (header, data) = open(bytes)?;
    let text = header.metadata().as_ref().and_then(|fields| fields.get(key)).cloned();
    let text = text.ok_or_else(|| Fault::unsupported(format!("it has no “{key}”")))?;
    let tensors = tensors(&header, data, Budget::of(bytes.len()))?;
    let checkpoint =
        Checkpoint { class: key.to_owned(), args: Vec::new(), kwargs: BTreeMap::new(), tensors };
    Ok((checkpoint, text))
}

/// The header of a file, and its data.
fn open(bytes: &[u8]) -> Found<(Metadata, &[u8])> {
    let (header, data) = split(bytes)?;
    // The crate checks that the tensors follow each other without a gap and that each is as long as
    // its shape says. Its own reading of a whole file allows far longer headers and adds up
    // untrusted numbers unchecked.
    let header: Metadata = serde_json::from_slice(header)
        .map_err(|error| Fault::damaged(format!("its header cannot be read ({error})")))?;
    if header.data_len() != data.len() {
        return Err(Fault::damaged(format!(
            "its tensors take {} bytes, but {} are there",
            header.data_len(),
            data.len()
        )));
    }
    Ok((header, data))
}

/// Reads a package.
pub(super) fn read(bytes: &[u8]) -> Found<Checkpoint> {
    let (header, data) = open(bytes)?;
    let field = |name: &str| {
        let value = header.metadata().as_ref().and_then(|fields| fields.get(name));
        value.ok_or_else(|| {
            Fault::unsupported(format!("it is no Demucs package: it has no “{name}”"))
        })
    };
    if field("structure").is_ok() {
        return Err(Fault::unsupported("its weights are quantized by DiffQ"));
    }
    let argument = |name: &str| {
        let within = |fault: Fault| fault.within(&format!("in its “{name}”"));
        let json = serde_json::from_str(field(name)?)
            .map_err(|error| within(Fault::damaged(format!("it is no JSON ({error})"))))?;
        Value::from_json(json).map_err(within)
    };
    let class = field("klass")?;
    if class.len() > MAX_NAME_BYTES {
        return Err(Fault::unsupported(format!("its “klass” is {}", shown(class))));
    }
    let Value::List(args) = argument("args")? else {
        return Err(Fault::damaged("its “args” are no list"));
    };
    let Value::Map(kwargs) = argument("kwargs")? else {
        return Err(Fault::damaged("its “kwargs” are no object"));
    };
    let tensors = tensors(&header, data, Budget::of(bytes.len()))?;
    Ok(Checkpoint { class: class.clone(), args, kwargs, tensors })
}

/// Header and data of a file.
fn split(bytes: &[u8]) -> Found<(&[u8], &[u8])> {
    let cut_short = || Fault::damaged("it is cut short");
    let (length, rest) = bytes.split_first_chunk().ok_or_else(cut_short)?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER_BYTES {
        return Err(Fault::too_large(format!(
            "its header has {length} bytes; no more than {MAX_HEADER_BYTES} are read"
        )));
    }
    rest.split_at_checked(length as usize).ok_or_else(cut_short)
}

fn tensors(header: &Metadata, data: &[u8], mut budget: Budget) -> Found<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for (name, info) in header.tensors() {
        if name.len() > MAX_NAME_BYTES {
            return Err(Fault::too_large(format!("a tensor is called {}", shown(&name))));
        }
        let within = |fault: Fault| fault.within(&format!("in its tensor {}", shown(&name)));
        let element = match info.dtype {
            Dtype::F16 => ElementType::F16,
            Dtype::BF16 => ElementType::BF16,
            Dtype::F32 => ElementType::F32,
            other => return Err(within(Fault::unsupported(format!("elements of type {other}")))),
        };
        let (start, end) = info.data_offsets;
        let storage = data.get(start..end).ok_or_else(|| Fault::damaged("it is cut short"));
        let layout = Layout::contiguous(info.shape.clone());
        let tensor = storage
            .and_then(|storage| layout?.gather(element, storage, &mut budget))
            .map_err(within)?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}
