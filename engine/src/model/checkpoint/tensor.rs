//! Tensors: element types and strided layouts of files, made contiguous `f32`.

use super::{
    MAX_DIMENSIONS, MAX_GROWTH, MAX_TENSOR_BYTES,
    fault::{Fault, Found, no_memory},
};

/// A tensor in row-major order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor {
    /// Length of each dimension, outermost first; empty for a single number.
    pub shape: Vec<usize>,
    /// The elements, as many as the product of `shape`; half precision widened exactly.
    pub values: Vec<f32>,
}

/// Element types that weights are stored in, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElementType {
    F16,
    BF16,
    F32,
}

impl ElementType {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
        }
    }

    /// Appends the elements of `bytes`, a whole number of them, to `values`.
    fn append(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F16 => values
                .extend(bytes.as_chunks().0.iter().map(|&b| half::f16::from_le_bytes(b).to_f32())),
            Self::BF16 => values
                .extend(bytes.as_chunks().0.iter().map(|&b| half::bf16::from_le_bytes(b).to_f32())),
            Self::F32 => values.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
        }
    }
}

/// How much more memory the tensors of one file may take.
pub(super) struct Budget {
    left_bytes: u64,
}

impl Budget {
    /// What a file of `file_bytes` may have.
    pub(super) fn of(file_bytes: usize) -> Self {
        Self { left_bytes: (file_bytes as u64).saturating_mul(MAX_GROWTH).min(MAX_TENSOR_BYTES) }
    }

    /// Room for `count` values, reserved.
    fn reserve(&mut self, count: usize) -> Found<Vec<f32>> {
        let bytes = (count as u64).saturating_mul(4);
        self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or_else(|| {
            Fault::too_large("its tensors are larger than a file of this size can mean")
        })?;
        let mut values = Vec::new();
        values.try_reserve_exact(count).map_err(|_| no_memory(bytes))?;
        Ok(values)
    }
}

/// Where the elements of a tensor lie in its storage; lengths, steps and offset in elements.
pub(super) struct Layout {
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) offset: usize,
}

impl Layout {
    /// The layout of a tensor that fills its storage in row-major order.
    pub(super) fn contiguous(shape: Vec<usize>) -> Found<Self> {
        let strides = row_major(&shape)?;
        Ok(Self { shape, strides, offset: 0 })
    }

    /// Number of elements, once every one of them is known to lie within `available` elements.
    fn count_within(&self, available: usize) -> Found<usize> {
        if self.shape.len() > MAX_DIMENSIONS {
            return Err(Fault::unsupported(format!("it has {} dimensions", self.shape.len())));
        }
        if self.shape.len() != self.strides.len() {
            return Err(Fault::damaged("it has another number of strides than of dimensions"));
        }
        if self.shape.contains(&0) {
            return Ok(0);
        }
        let mut steps = self.shape.iter().zip(&self.strides).map(|(&n, &s)| (n - 1).checked_mul(s));
        let last = steps.try_fold(self.offset, |at, step| at.checked_add(step?));
        let count = self.shape.iter().try_fold(1_usize, |count, &n| count.checked_mul(n));
        match (count, last) {
            (Some(count), Some(last)) if last < available => Ok(count),
            _ => Err(Fault::damaged(format!(
                "its shape {:?} with strides {:?} from {} lies outside its storage of {available}",
                self.shape, self.strides, self.offset
            ))),
        }
    }

    /// Copies the elements of `storage` that this layout names, row by row.
    pub(super) fn gather(
        mut self,
        element: ElementType,
        storage: &[u8],
        budget: &mut Budget,
    ) -> Found<Tensor> {
        let size = element.bytes();
        let count = self.count_within(storage.len() / size)?;
        let mut values = budget.reserve(count)?;
        // A dimension of one is never stepped along, so its stride may say anything.
        for (stride, &n) in self.strides.iter_mut().zip(&self.shape) {
            *stride = if n == 1 { 0 } else { *stride };
        }
        if count > 0 && self.strides == row_major(&self.shape)? {
            element.append(&storage[self.offset * size..][..count * size], &mut values);
        } else if count > 0 {
            let mut index = vec![0; self.shape.len()];
            let mut at = self.offset;
            for _ in 0..count {
                element.append(&storage[at * size..][..size], &mut values);
                for (d, position) in index.iter_mut().enumerate().rev() {
                    *position += 1;
                    at += self.strides[d];
                    if *position < self.shape[d] {
                        break;
                    }
                    at -= *position * self.strides[d];
                    *position = 0;
                }
            }
        }
        Ok(Tensor { shape: self.shape, values })
    }
}

/// Strides of a contiguous tensor of that shape, 0 for dimensions of one.
fn row_major(shape: &[usize]) -> Found<Vec<usize>> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1_usize;
    for (stride, &n) in strides.iter_mut().zip(shape).rev() {
        *stride = if n == 1 { 0 } else { step };
        step = step
            .checked_mul(n)
            .ok_or_else(|| Fault::damaged(format!("its shape {shape:?} is impossible")))?;
    }
    Ok(strides)
}
