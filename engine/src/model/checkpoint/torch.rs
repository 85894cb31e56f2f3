//! Demucs's package inside a PyTorch archive: `data.pkl` is a dict of `klass`, `args`, `kwargs`
//! and `state` (names → tensors), with `training_args` and `metrics` that nobody here needs; the
//! elements of the tensors are the entries `data/0`, `data/1`, …

use std::collections::{BTreeMap, HashMap};

use super::{
    Checkpoint, MAX_DIMENSIONS, MAX_NAME_BYTES,
    archive::Archive,
    fault::{Fault, Found, shown},
    globals::Global,
    pickle::{self, Heap, Id, Object, Storage},
    tensor::{Budget, Layout, Tensor},
    value::{Allowance, Value},
};

/// Longest key of a storage, in bytes; PyTorch counts them up from 0, older ones took an address.
const MAX_KEY_BYTES: usize = 20;

/// Whether a file begins like a zip archive.
pub(super) fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Whether a file begins like those of PyTorch before 1.6: a pickle of their magic number.
pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")
}

/// Reads a PyTorch archive.
pub(super) fn read(bytes: &[u8]) -> Found<Checkpoint> {
    let archive = Archive::open(bytes)?;
    // Written since PyTorch 2.1; whatever is older is little-endian.
    if archive.entry("byteorder")?.is_some_and(|order| order != b"little") {
        return Err(Fault::unsupported("its numbers are big-endian"));
    }
    let data = archive.entry("data.pkl")?.unwrap_or_default();
    let (heap, root) = pickle::read(data).map_err(|fault| fault.within("in its data.pkl"))?;
    let package = Package::new(&heap, root)?;

    let Object::Global(Global::Network(class)) = package.field("klass")? else {
        return Err(Fault::unsupported("its “klass” is no network"));
    };
    let mut allowance = Allowance::new();
    let mut argument = |name| {
        let value = Value::from_pickle(&heap, package.id(name)?, &mut allowance);
        value.map_err(|fault| fault.within(&format!("in its “{name}”")))
    };
    let Value::List(args) = argument("args")? else {
        return Err(Fault::damaged("its “args” are no list"));
    };
    let Value::Map(kwargs) = argument("kwargs")? else {
        return Err(Fault::damaged("its “kwargs” are no dict"));
    };
    let mut storages = Storages {
        archive: &archive,
        heap: &heap,
        read: HashMap::new(),
        budget: Budget::of(bytes.len()),
    };
    Ok(Checkpoint {
        class: (*class).to_owned(),
        args,
        kwargs,
        tensors: storages.tensors(package.field("state")?)?,
    })
}

/// The outermost dict.
struct Package<'h, 'a> {
    heap: &'h Heap<'a>,
    items: &'h [(Id, Id)],
}

impl<'h, 'a> Package<'h, 'a> {
    fn new(heap: &'h Heap<'a>, root: Id) -> Found<Self> {
        match heap.get(root) {
            Object::Dict(items) => Ok(Self { heap, items }),
            _ => Err(Fault::unsupported("its data.pkl holds no Demucs package")),
        }
    }

    fn id(&self, name: &str) -> Found<Id> {
        let is_name = |key| matches!(self.heap.get(key), Object::Text(text) if *text == name);
        let found = self.items.iter().rev().find(|&&(key, _)| is_name(key));
        found.map(|&(_, value)| value).ok_or_else(|| {
            Fault::unsupported(format!("it is no Demucs package: it has no “{name}”"))
        })
    }

    fn field(&self, name: &str) -> Found<&'h Object<'a>> {
        Ok(self.heap.get(self.id(name)?))
    }
}

/// The tensors' elements, each entry looked up and verified once.
struct Storages<'z, 'h, 'a> {
    archive: &'z Archive<'a>,
    heap: &'h Heap<'a>,
    read: HashMap<&'a str, &'z [u8]>,
    budget: Budget,
}

impl Storages<'_, '_, '_> {
    fn tensors(&mut self, state: &Object<'_>) -> Found<BTreeMap<String, Tensor>> {
        let Object::Dict(items) = state else {
            return Err(Fault::damaged("its “state” is no dict"));
        };
        let mut tensors = BTreeMap::new();
        for &(name, tensor) in items {
            let Object::Text(name) = *self.heap.get(name) else {
                return Err(Fault::damaged("a tensor's name is no text"));
            };
            if name == "__quantized" {
                return Err(Fault::unsupported("its weights are quantized by DiffQ"));
            }
            if name.len() > MAX_NAME_BYTES {
                return Err(Fault::too_large(format!("a tensor is called {}", shown(name))));
            }
            let tensor = self
                .tensor(tensor)
                .map_err(|fault| fault.within(&format!("in its tensor {}", shown(name))))?;
            tensors.insert(name.to_owned(), tensor);
        }
        Ok(tensors)
    }

    fn tensor(&mut self, id: Id) -> Found<Tensor> {
        let &Object::Tensor { storage, offset, shape, strides } = self.heap.get(id) else {
            return Err(Fault::damaged("it is no tensor"));
        };
        let &Object::Storage(storage) = self.heap.get(storage) else {
            return Err(Fault::damaged("it has no storage"));
        };
        let layout = Layout {
            shape: self.lengths(shape)?,
            strides: self.lengths(strides)?,
            offset: usize::try_from(offset).map_err(|_| Fault::damaged("it starts too far"))?,
        };
        let bytes = self.bytes(storage)?;
        layout.gather(storage.element, bytes, &mut self.budget)
    }

    /// A tuple of lengths or strides.
    fn lengths(&self, id: Id) -> Found<Vec<usize>> {
        let Object::Tuple(items) = self.heap.get(id) else {
            return Err(Fault::damaged("its shape or strides are no tuple"));
        };
        if items.len() > MAX_DIMENSIONS {
            return Err(Fault::unsupported(format!("it has {} dimensions", items.len())));
        }
        let length = |&item| match *self.heap.get(item) {
            Object::Int(length) => usize::try_from(length)
                .map_err(|_| Fault::damaged("its shape or strides are negative")),
            _ => Err(Fault::damaged("its shape or strides are no whole numbers")),
        };
        items.iter().map(length).collect()
    }
}

impl<'z, 'a> Storages<'z, '_, 'a> {
    /// The bytes of a storage, exactly as many as it says.
    fn bytes(&mut self, storage: Storage<'a>) -> Found<&'z [u8]> {
        let Storage { element, key, count } = storage;
        let bytes = match self.read.get(key) {
            Some(&bytes) => bytes,
            None if key.len() > MAX_KEY_BYTES => {
                return Err(Fault::damaged(format!("its storage is called {}", shown(key))));
            }
            None => {
                let bytes = self.archive.entry(&format!("data/{key}"))?.ok_or_else(|| {
                    Fault::damaged(format!("its storage {} is missing", shown(key)))
                })?;
                self.read.insert(key, bytes);
                bytes
            }
        };
        if count.checked_mul(element.bytes() as u64) != Some(bytes.len() as u64) {
            return Err(Fault::damaged(format!(
                "its storage of {count} elements has {} bytes",
                bytes.len()
            )));
        }
        Ok(bytes)
    }
}
