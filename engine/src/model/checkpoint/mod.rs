//! Weight files as they are published: PyTorch's `.th` archives and safetensors, read as data.
//!
//! Both come from the network, so nothing in them is trusted: no code of a file is ever run, every
//! size is checked before memory is reserved for it, and whatever does not fit is an error that
//! names the file, the place and the fault.
//!
//! | file | idea |
//! |---|---|
//! | `torch` | the layout of a Demucs package inside a PyTorch archive |
//! | `archive` | the zip around it: stored entries, checksums |
//! | `pickle` | the stack machine that reads `data.pkl` |
//! | `globals` | the few names a pickle may mention and what calling them means |
//! | `safetensors` | the same package as its author publishes it in safetensors |
//! | `tensor` | element types and strided layouts → contiguous `f32` |
//! | `value` | arguments of the network's constructor |
//! | `fault` | what can be wrong with a file |

mod archive;
mod fault;
mod globals;
mod pickle;
mod safetensors;
mod tensor;
mod torch;
mod value;

use std::{collections::BTreeMap, fs, io::Read, path::Path};

use self::fault::{Fault, Found};
pub use self::{tensor::Tensor, value::Value};
use crate::{Error, ErrorKind, Result};

/// Longest file that is read, in bytes. The largest released Demucs network is 84 MB in half
/// precision; this leaves room for one twelve times its size.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Most memory that the tensors of one file may take as `f32`: a file of [`MAX_FILE_BYTES`] in half
/// precision.
pub const MAX_TENSOR_BYTES: u64 = 2 << 30;

/// Most `f32` bytes per byte of file. Half precision doubles; the rest is for tensors that share a
/// storage. Without it a file of a few bytes could repeat one element into gigabytes.
pub const MAX_GROWTH: u64 = 8;

/// Most dimensions of a tensor; a two-dimensional convolution has four.
pub const MAX_DIMENSIONS: usize = 8;

/// Longest name of a tensor, in bytes; Demucs's longest is about 60.
pub const MAX_NAME_BYTES: usize = 256;

/// A weight file as read: which network, how it was configured, its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The network's Python class with its module ("demucs.htdemucs.HTDemucs").
    pub class: String,
    /// Positional arguments of its constructor. Official files have none: there even `sources` is
    /// among `kwargs`.
    pub args: Vec<Value>,
    /// Named arguments of its constructor.
    pub kwargs: BTreeMap<String, Value>,
    /// Parameters and buffers by their names in the network.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Reads the weight file at `path`, PyTorch archive or safetensors by its content. Holds the
    /// file's bytes and the result at the same time, nothing more of that size.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] for a file that is cut short or contradicts itself,
    /// [`ErrorKind::Unsupported`] for one of another kind or one that asks for what a weight file
    /// has no need of, [`ErrorKind::TooLarge`] beyond the limits of this module, and what opening
    /// and reading it may give.
    pub fn read(path: &Path) -> Result<Self> {
        let trouble = |error| Error::io("read", path, error);
        // Asked before opening, because opening a pipe waits for its other end.
        let facts = fs::metadata(path).map_err(trouble)?;
        let name = path.display().to_string();
        if !facts.is_file() {
            return Err(Fault::unsupported("it is not a file").about(&name));
        }
        if facts.len() > MAX_FILE_BYTES {
            return Err(too_long(facts.len()).about(&name));
        }
        let mut bytes = Vec::new();
        let room = usize::try_from(facts.len()).unwrap_or(usize::MAX);
        bytes.try_reserve_exact(room).map_err(|_| fault::no_memory(facts.len()).about(&name))?;
        // One byte more than expected, so that a file which grew meanwhile is not taken for whole.
        let mut file = fs::File::open(path).map_err(trouble)?.take(facts.len() + 1);
        file.read_to_end(&mut bytes).map_err(trouble)?;
        if bytes.len() as u64 != facts.len() {
            return Err(Fault::damaged("it changed while it was read").about(&name));
        }
        Self::from_bytes(&bytes, &name)
    }

    /// Reads a weight file from memory; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Checkpoint::read`], but for those of the file system.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self> {
        parse(bytes).map_err(|fault| fault.about(name))
    }

    /// Reads a safetensors file of this project's own making, without class or arguments: its tensors
    /// and the text under `key` in its metadata.
    ///
    /// # Errors
    /// As [`Checkpoint::from_bytes`].
    pub(super) fn own(bytes: &[u8], key: &str, name: &str) -> Result<(Self, String)> {
        safetensors::read_own(bytes, key).map_err(|fault| fault.about(name))
    }

    /// Takes the tensor called `name` out, checking that it has the shape that the network wants.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] naming the tensor, and both shapes where they differ; a tensor of
    /// another shape stays.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let wrong = |what| Err(Error::new(ErrorKind::Damaged, what));
        match self.tensors.remove(name) {
            Some(tensor) if tensor.shape == shape => Ok(tensor),
            Some(tensor) => {
                let what = format!(
                    "The weights “{name}” have the shape {:?} where the network needs {shape:?}",
                    tensor.shape
                );
                self.tensors.insert(name.to_owned(), tensor);
                wrong(what)
            }
            None => wrong(format!("The weights “{name}”, of shape {shape:?}, are missing")),
        }
    }
}

fn too_long(bytes: u64) -> Fault {
    Fault::too_large(format!("it has {bytes} bytes; no more than {MAX_FILE_BYTES} are read"))
}

fn parse(bytes: &[u8]) -> Found<Checkpoint> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(too_long(bytes.len() as u64));
    }
    if torch::is_archive(bytes) {
        torch::read(bytes)
    } else if torch::is_legacy(bytes) {
        Err(Fault::unsupported(
            "it has the format of PyTorch before 1.6, which is not read; \
             PyTorch's torch.save writes it anew",
        ))
    } else if safetensors::is_safetensors(bytes) {
        safetensors::read(bytes)
    } else {
        Err(Fault::unsupported("it is neither a PyTorch archive (.th) nor a safetensors file"))
    }
}
