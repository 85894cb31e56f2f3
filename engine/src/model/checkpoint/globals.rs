//! The names that a weight file may mention, and what calling them gives. A pickle can name any
//! function of Python and have it called; here a name is a case of an enum, or refused.

use super::{
    fault::{Fault, Found, shown},
    pickle::{Heap, Id, Object},
    tensor::ElementType,
};

/// Everything that a Demucs package written by `torch.save` mentions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// A network, by its dotted name; only ever named, never called.
    Network(&'static str),
    Fraction,
    OrderedDict,
    RebuildTensor,
    Storage(ElementType),
    /// Scores of the finished training are NumPy numbers: a type, raw bytes, and below pickle
    /// protocol 3 the bytes as Latin-1 text.
    NumpyScalar,
    NumpyType,
    EncodeText,
}

const ALLOWED: [(&str, &str, Global); 12] = [
    ("demucs.htdemucs", "HTDemucs", Global::Network("demucs.htdemucs.HTDemucs")),
    ("demucs.hdemucs", "HDemucs", Global::Network("demucs.hdemucs.HDemucs")),
    ("fractions", "Fraction", Global::Fraction),
    ("collections", "OrderedDict", Global::OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensor),
    ("torch", "HalfStorage", Global::Storage(ElementType::F16)),
    ("torch", "BFloat16Storage", Global::Storage(ElementType::BF16)),
    ("torch", "FloatStorage", Global::Storage(ElementType::F32)),
    ("numpy.core.multiarray", "scalar", Global::NumpyScalar),
    ("numpy._core.multiarray", "scalar", Global::NumpyScalar),
    ("numpy", "dtype", Global::NumpyType),
    ("_codecs", "encode", Global::EncodeText),
];

/// Longest number of NumPy that is read, in bytes, and the longest fraction in digits: far beyond
/// what occurs, short enough that repeating it costs nothing.
const MAX_NUMBER_BYTES: usize = 16;
const MAX_FRACTION_CHARS: usize = 40;

impl Global {
    /// The global called `name` in `module`.
    pub(super) fn named(module: &str, name: &str) -> Found<Self> {
        let allowed = ALLOWED.iter().find(|&&(m, n, _)| m == module && n == name);
        allowed.map(|&(_, _, global)| global).ok_or_else(|| {
            Fault::unsupported(format!(
                "it asks for {} of {}, which no weight file needs; nothing of it was run",
                shown(name),
                shown(module)
            ))
        })
    }

    /// What calling it with `args` gives.
    pub(super) fn call<'a>(self, args: &[Id], heap: &Heap<'a>) -> Found<Object<'a>> {
        let strange = || Fault::unsupported(format!("a call of {self:?} is not as expected"));
        let mut objects = [&Object::None; 3];
        for (object, &id) in objects.iter_mut().zip(args) {
            *object = heap.get(id);
        }
        match (self, args.len(), objects) {
            (Self::OrderedDict, 0, _) => Ok(Object::Dict(Vec::new())),
            (Self::Fraction, 1, [Object::Text(text), ..]) => fraction(text).ok_or_else(strange),
            (Self::Fraction, 2, [&Object::Int(above), &Object::Int(below), _]) if below > 0 => {
                Ok(Object::Fraction(above, below))
            }
            // Storage, offset, shape, strides, requires_grad, hooks and, of late, metadata.
            (Self::RebuildTensor, 6 | 7, [Object::Storage(_), &Object::Int(offset), _]) => {
                let offset = u64::try_from(offset)
                    .map_err(|_| Fault::damaged("a tensor starts before its storage"))?;
                let (&[storage, _, shape, strides], _) =
                    args.split_first_chunk().ok_or_else(strange)?;
                Ok(Object::Tensor { storage, offset, shape, strides })
            }
            (Self::NumpyType, 3, [&Object::Text(code), ..]) => Ok(Object::NumpyType(code)),
            (Self::EncodeText, 2, [&Object::Text(text), Object::Text("latin1"), _]) => {
                latin1(text).map(Object::Bytes).ok_or_else(strange)
            }
            (Self::NumpyScalar, 2, [Object::NumpyType(code), Object::Bytes(bytes), _]) => {
                number(code, bytes).ok_or_else(strange)
            }
            _ => Err(strange()),
        }
    }
}

/// Python before 3.11 pickles a fraction as text, "39/5" or "10".
fn fraction<'a>(text: &str) -> Option<Object<'a>> {
    if text.len() > MAX_FRACTION_CHARS {
        return None;
    }
    let (above, below) = text.split_once('/').unwrap_or((text, "1"));
    let (above, below) = (above.parse().ok()?, below.parse().ok()?);
    (below > 0).then_some(Object::Fraction(above, below))
}

fn latin1(text: &str) -> Option<Vec<u8>> {
    if text.len() > 2 * MAX_NUMBER_BYTES {
        return None;
    }
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// A number of NumPy from its type code and little-endian bytes.
fn number<'a>(code: &str, bytes: &[u8]) -> Option<Object<'a>> {
    Some(match code {
        "f8" => Object::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
        "f4" => Object::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
        "i8" => Object::Int(i64::from_le_bytes(bytes.try_into().ok()?)),
        "i4" => Object::Int(i32::from_le_bytes(bytes.try_into().ok()?).into()),
        "b1" => Object::Bool(bytes == [1]),
        _ => return None,
    })
}
