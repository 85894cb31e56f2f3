//! Arguments of a network's constructor.

use std::collections::BTreeMap;

use super::{
    fault::{Fault, Found},
    pickle::{Heap, Id, Object},
};

/// One argument, as Python had it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Python's `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A string.
    Text(String),
    /// A list or a tuple.
    List(Vec<Value>),
    /// A dictionary, whose keys are strings.
    Map(BTreeMap<String, Value>),
    /// Numerator and denominator, the latter positive; perhaps not in lowest terms.
    Fraction(i64, i64),
}

/// Deepest nesting of arguments; those of HTDemucs have lists of numbers.
const MAX_DEPTH: usize = 16;

/// Most values of all arguments together, a string counting its bytes too; HTDemucs needs less than
/// 2000. A pickle of a kilobyte can hold one list a billion times.
const MAX_COST: usize = 1 << 14;

/// What is left to convert arguments with.
pub(super) struct Allowance(usize);

impl Allowance {
    pub(super) fn new() -> Self {
        Self(MAX_COST)
    }

    fn spend(&mut self, cost: usize) -> Found<()> {
        self.0 = self.0.checked_sub(cost).ok_or_else(too_many)?;
        Ok(())
    }
}

fn too_many() -> Fault {
    Fault::too_large("it has too many or too long arguments")
}

impl Value {
    /// The object `id` of a pickle.
    pub(super) fn from_pickle(heap: &Heap<'_>, id: Id, allowance: &mut Allowance) -> Found<Self> {
        Self::nested(heap, id, allowance, 0)
    }

    fn nested(heap: &Heap<'_>, id: Id, allowance: &mut Allowance, depth: usize) -> Found<Self> {
        if depth > MAX_DEPTH {
            return Err(Fault::too_large("its arguments are nested too deeply"));
        }
        allowance.spend(1)?;
        Ok(match heap.get(id) {
            Object::None => Self::None,
            &Object::Bool(value) => Self::Bool(value),
            &Object::Int(value) => Self::Int(value),
            &Object::Float(value) => Self::Float(value),
            Object::Text(text) => {
                allowance.spend(text.len())?;
                Self::Text((*text).to_owned())
            }
            &Object::Fraction(above, below) => Self::Fraction(above, below),
            Object::Tuple(items) | Object::List(items) => {
                let values =
                    items.iter().map(|&item| Self::nested(heap, item, allowance, depth + 1));
                Self::List(values.collect::<Found<_>>()?)
            }
            Object::Dict(items) => {
                let mut map = BTreeMap::new();
                for &(key, value) in items {
                    let Object::Text(key) = heap.get(key) else {
                        return Err(Fault::unsupported("an argument's key is no text"));
                    };
                    allowance.spend(key.len())?;
                    let value = Self::nested(heap, value, allowance, depth + 1)?;
                    map.insert((*key).to_owned(), value);
                }
                Self::Map(map)
            }
            _ => return Err(Fault::unsupported("an argument is not plain data")),
        })
    }

    /// A value as Demucs writes it to JSON, where a fraction is an object
    /// `{"_type": "fraction", "numerator": 39, "denominator": 5}`. The depth of `json` is bounded
    /// by the parser, its size by the text.
    pub(super) fn from_json(json: serde_json::Value) -> Found<Self> {
        use serde_json::Value as Json;
        Ok(match json {
            Json::Null => Self::None,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Self::Int(whole),
                (None, Some(value)) => Self::Float(value),
                (None, None) => return Err(Fault::unsupported("an argument beyond 64 bits")),
            },
            Json::String(text) => Self::Text(text),
            Json::Array(items) => {
                Self::List(items.into_iter().map(Self::from_json).collect::<Found<_>>()?)
            }
            Json::Object(items) if items.get("_type").is_some_and(|kind| kind == "fraction") => {
                let part = |name| items.get(name).and_then(Json::as_i64);
                match (part("numerator"), part("denominator")) {
                    (Some(above), Some(below)) if below > 0 => Self::Fraction(above, below),
                    _ => return Err(Fault::damaged("an argument is an impossible fraction")),
                }
            }
            Json::Object(items) => {
                let items = items.into_iter().map(|(key, item)| Ok((key, Self::from_json(item)?)));
                Self::Map(items.collect::<Found<_>>()?)
            }
        })
    }
}
