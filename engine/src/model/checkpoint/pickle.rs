//! Python's pickle, as far as `torch.save` uses it: a stack machine that builds plain data.
//!
//! Objects live in one list and refer to each other by position, so cycles, deep nesting and
//! millions of references to one object cost nothing: nothing here recurses, not even dropping.
//! Every instruction takes at least a byte of the pickle and makes at most one object, copying no
//! text, so stack, marks, memo and objects are all bounded by the pickle's length, which
//! [`MAX_PICKLE_BYTES`] bounds.

use std::collections::HashMap;

use super::{
    fault::{Fault, Found},
    globals::Global,
    tensor::ElementType,
};

/// Longest pickle that is read, in bytes. That of HTDemucs, with 533 tensors, has 65 kB.
const MAX_PICKLE_BYTES: usize = 1 << 20;

/// The place of an object in its [`Heap`], the only one that gives them out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(u32);

/// What a pickle can hold.
#[derive(Debug)]
pub(super) enum Object<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Bytes(Vec<u8>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    /// In the order of the file; of equal keys the last one counts.
    Dict(Vec<(Id, Id)>),
    Fraction(i64, i64),
    Global(Global),
    Storage(Storage<'a>),
    /// A view of a storage: `offset` in elements, `shape` and `strides` tuples.
    Tensor {
        storage: Id,
        offset: u64,
        shape: Id,
        strides: Id,
    },
    NumpyType(&'a str),
}

/// The content of `data/<key>`, `count` elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    pub(super) element: ElementType,
    pub(super) key: &'a str,
    pub(super) count: u64,
}

/// All objects of a pickle.
#[derive(Debug, Default)]
pub(super) struct Heap<'a>(Vec<Object<'a>>);

impl<'a> Heap<'a> {
    pub(super) fn get(&self, id: Id) -> &Object<'a> {
        &self.0[id.0 as usize]
    }

    fn get_mut(&mut self, id: Id) -> &mut Object<'a> {
        &mut self.0[id.0 as usize]
    }

    fn add(&mut self, object: Object<'a>) -> Id {
        // At most one object per byte of a pickle that is far shorter than 2^32.
        let id = Id(self.0.len() as u32);
        self.0.push(object);
        id
    }
}

/// Reads a pickle: its objects and which of them is the whole.
pub(super) fn read(bytes: &[u8]) -> Found<(Heap<'_>, Id)> {
    if bytes.len() > MAX_PICKLE_BYTES {
        return Err(Fault::too_large(format!(
            "it has {} bytes; no more than {MAX_PICKLE_BYTES} are read",
            bytes.len()
        )));
    }
    let mut machine = Machine {
        bytes,
        at: 0,
        heap: Heap::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let start = machine.at;
        let done = machine.step().map_err(|fault| fault.within(&format!("at byte {start}")))?;
        if let Some(root) = done {
            return Ok((machine.heap, root));
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    heap: Heap<'a>,
    stack: Vec<Id>,
    /// Heights of the stack at open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// Runs one instruction; the last one gives the result.
    fn step(&mut self) -> Found<Option<Id>> {
        let object = match self.byte()? {
            // PROTO
            0x80 => match self.byte()? {
                2..=5 => return Ok(None),
                version => {
                    return Err(Fault::unsupported(format!("pickle protocol {version}")));
                }
            },
            // FRAME: a hint of how much to read at once
            0x95 => {
                self.array::<8>()?;
                return Ok(None);
            }
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(None);
            }
            b'.' => return self.stop().map(Some),

            b'N' => Object::None,
            0x88 => Object::Bool(true),
            0x89 => Object::Bool(false),
            b'K' => Object::Int(self.byte()?.into()),
            b'M' => Object::Int(u16::from_le_bytes(self.array()?).into()),
            b'J' => Object::Int(i32::from_le_bytes(self.array()?).into()),
            0x8a => self.long()?,
            b'G' => Object::Float(f64::from_be_bytes(self.array()?)),
            b'X' => {
                let length = u32::from_le_bytes(self.array()?);
                self.text(length as usize)?
            }
            0x8c => {
                let length = self.byte()?;
                self.text(length.into())?
            }
            b'C' => {
                let length = self.byte()?;
                Object::Bytes(self.take(length.into())?.to_vec())
            }

            b')' => Object::Tuple(Vec::new()),
            0x85 => Object::Tuple(vec![self.pop()?]),
            0x86 => {
                let second = self.pop()?;
                Object::Tuple(vec![self.pop()?, second])
            }
            0x87 => {
                let (third, second) = (self.pop()?, self.pop()?);
                Object::Tuple(vec![self.pop()?, second, third])
            }
            b't' => Object::Tuple(self.pop_to_mark()?),
            b']' => Object::List(Vec::new()),
            b'}' => Object::Dict(Vec::new()),
            b'a' => {
                let item = self.pop()?;
                return self.extend_list(&[item]);
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                return self.extend_list(&items);
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                return self.extend_dict(&[key, value]);
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                return self.extend_dict(&items);
            }

            b'q' => {
                let key = self.byte()?.into();
                return self.put(key);
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                return self.put(key);
            }
            // MEMOIZE
            0x94 => return self.put(self.memo.len() as u32),
            b'h' => {
                let key = self.byte()?.into();
                return self.recall(key);
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                return self.recall(key);
            }

            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                Object::Global(Global::named(module, name)?)
            }
            // STACK_GLOBAL
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.heap.get(module), self.heap.get(name)) {
                    (Object::Text(module), Object::Text(name)) => {
                        Object::Global(Global::named(module, name)?)
                    }
                    _ => return Err(Fault::damaged("a global is not named by text")),
                }
            }
            b'R' => {
                let (args, callee) = (self.pop()?, self.pop()?);
                match (self.heap.get(callee), self.heap.get(args)) {
                    (Object::Global(global), Object::Tuple(args)) => {
                        global.call(args, &self.heap)?
                    }
                    _ => return Err(Fault::damaged("it calls what cannot be called")),
                }
            }
            b'b' => return self.build(),
            b'Q' => {
                let id = self.pop()?;
                self.storage(id)?
            }
            other => {
                return Err(Fault::unsupported(format!("the pickle instruction 0x{other:02x}")));
            }
        };
        let id = self.heap.add(object);
        self.stack.push(id);
        Ok(None)
    }

    fn stop(&mut self) -> Found<Id> {
        let root = self.pop()?;
        if self.at == self.bytes.len() && self.stack.is_empty() {
            Ok(root)
        } else {
            Err(Fault::damaged("it ends, but something is left"))
        }
    }

    /// A whole number of up to eight bytes, two's complement; none is zero.
    fn long(&mut self) -> Found<Object<'a>> {
        let length = usize::from(self.byte()?);
        let bytes = self.take(length)?;
        let fill = if bytes.last().is_some_and(|&b| b >= 0x80) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        match wide.get_mut(..length) {
            Some(low) => low.copy_from_slice(bytes),
            None => return Err(Fault::unsupported("a whole number beyond 64 bits")),
        }
        Ok(Object::Int(i64::from_le_bytes(wide)))
    }

    /// NumPy tells a type's byte order only by setting its state: (3, "<", …).
    fn build(&mut self) -> Found<Option<Id>> {
        let state = self.pop()?;
        let order = match self.heap.get(state) {
            Object::Tuple(items) => items.get(1).map(|&id| self.heap.get(id)),
            _ => None,
        };
        match (self.heap.get(self.top()?), order) {
            (Object::NumpyType(_), Some(Object::Text("<" | "|"))) => Ok(None),
            _ => Err(Fault::unsupported("it sets the state of an object")),
        }
    }

    /// A reference to content outside the pickle, which for PyTorch is a tensor's storage:
    /// ("storage", type, key, device, count).
    fn storage(&self, id: Id) -> Found<Object<'a>> {
        let strange = || Fault::unsupported("it refers to something else than a storage");
        let Object::Tuple(parts) = self.heap.get(id) else { return Err(strange()) };
        let &[kind, element, key, _, count] = parts.as_slice() else { return Err(strange()) };
        match [kind, element, key, count].map(|id| self.heap.get(id)) {
            [
                Object::Text("storage"),
                &Object::Global(Global::Storage(element)),
                &Object::Text(key),
                &Object::Int(count),
            ] => {
                let count = u64::try_from(count)
                    .map_err(|_| Fault::damaged("a storage has a negative length"))?;
                Ok(Object::Storage(Storage { element, key, count }))
            }
            _ => Err(strange()),
        }
    }

    fn extend_list(&mut self, more: &[Id]) -> Found<Option<Id>> {
        match self.heap.get_mut(self.top()?) {
            Object::List(items) => items.extend_from_slice(more),
            _ => return Err(Fault::damaged("it appends to what is no list")),
        }
        Ok(None)
    }

    fn extend_dict(&mut self, more: &[Id]) -> Found<Option<Id>> {
        let (pairs, rest) = more.as_chunks();
        match self.heap.get_mut(self.top()?) {
            Object::Dict(items) if rest.is_empty() => {
                items.extend(pairs.iter().map(|&[key, value]| (key, value)));
            }
            _ => return Err(Fault::damaged("it adds items to what is no dict")),
        }
        Ok(None)
    }

    fn put(&mut self, key: u32) -> Found<Option<Id>> {
        let id = self.top()?;
        self.memo.insert(key, id);
        Ok(None)
    }

    fn recall(&mut self, key: u32) -> Found<Option<Id>> {
        let id = *self
            .memo
            .get(&key)
            .ok_or_else(|| Fault::damaged(format!("nothing was remembered as {key}")))?;
        self.stack.push(id);
        Ok(None)
    }

    fn top(&self) -> Found<Id> {
        let above_mark = self.stack.len() > self.marks.last().copied().unwrap_or(0);
        self.stack.last().copied().filter(|_| above_mark).ok_or_else(empty)
    }

    fn pop(&mut self) -> Found<Id> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_to_mark(&mut self) -> Found<Vec<Id>> {
        let height = self.marks.pop().ok_or_else(empty)?;
        Ok(self.stack.split_off(height))
    }

    fn byte(&mut self) -> Found<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Found<[u8; N]> {
        let rest = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
        let array = *rest.ok_or_else(cut_short)?;
        self.at += N;
        Ok(array)
    }

    fn take(&mut self, length: usize) -> Found<&'a [u8]> {
        let rest = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        let bytes = rest.ok_or_else(cut_short)?;
        self.at += length;
        Ok(bytes)
    }

    fn text(&mut self, length: usize) -> Found<Object<'a>> {
        Ok(Object::Text(utf8(self.take(length)?)?))
    }

    fn line(&mut self) -> Found<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&b| b == b'\n').ok_or_else(cut_short)?;
        self.at += length + 1;
        utf8(&rest[..length])
    }
}

fn utf8(bytes: &[u8]) -> Found<&str> {
    std::str::from_utf8(bytes).map_err(|_| Fault::damaged("a text is not UTF-8"))
}

fn cut_short() -> Fault {
    Fault::damaged("it is cut short")
}

fn empty() -> Fault {
    Fault::damaged("an instruction finds nothing to work on")
}
