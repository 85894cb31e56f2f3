//! Tensors of a checkpoint, taken by name and packed for the kernels.

use crate::{
    error::{Error, ErrorKind, Result},
    model::{
        checkpoint::Checkpoint,
        nn::{Affine, Kernels, Matrix},
    },
};

/// Hands out the tensors of a checkpoint, each once, under a common prefix.
pub(super) struct Weights<'a> {
    pub(super) checkpoint: &'a mut Checkpoint,
    pub(super) kernels: Kernels,
}

impl Weights<'_> {
    /// The values of tensor `name`, which must have this shape.
    pub(super) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Ok(self.checkpoint.take(name, shape)?.values)
    }

    /// `prefix.weight` of `shape` (rows first) and `prefix.bias`, as a matrix.
    pub(super) fn matrix(&mut self, prefix: &str, shape: &[usize]) -> Result<Matrix> {
        let (weight, bias) = self.weight_and_bias(prefix, shape)?;
        Ok(Matrix::new(self.kernels, weight.len() / shape[0], &weight, &bias))
    }

    /// The same for the input of a gated linear unit.
    pub(super) fn gated(&mut self, prefix: &str, shape: &[usize]) -> Result<Matrix> {
        let (weight, bias) = self.weight_and_bias(prefix, shape)?;
        Ok(Matrix::gated(self.kernels, weight.len() / shape[0], &weight, &bias))
    }

    /// The same with every row multiplied by `scale` (a layer scale behind it).
    pub(super) fn scaled(
        &mut self,
        prefix: &str,
        shape: &[usize],
        scale: &[f32],
    ) -> Result<Matrix> {
        let (mut weight, mut bias) = self.weight_and_bias(prefix, shape)?;
        let depth = weight.len() / shape[0];
        for ((row, bias), scale) in weight.chunks_exact_mut(depth).zip(&mut bias).zip(scale) {
            row.iter_mut().for_each(|w| *w *= scale);
            *bias *= scale;
        }
        Ok(Matrix::new(self.kernels, depth, &weight, &bias))
    }

    /// Gain and bias of a norm over `channels`.
    pub(super) fn norm(&mut self, prefix: &str, channels: usize) -> Result<Affine> {
        Ok(Affine {
            gain: self.tensor(&format!("{prefix}.weight"), &[channels])?,
            bias: self.tensor(&format!("{prefix}.bias"), &[channels])?,
        })
    }

    /// `prefix.weight` of `shape` and `prefix.bias` of its first length.
    pub(super) fn weight_and_bias(
        &mut self,
        prefix: &str,
        shape: &[usize],
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        let weight = self.tensor(&format!("{prefix}.weight"), shape)?;
        let bias = self.tensor(&format!("{prefix}.bias"), &shape[..1])?;
        Ok((weight, bias))
    }

    /// That nothing is left: a tensor nobody asked for means another network.
    pub(super) fn finish(self) -> Result<()> {
        match self.checkpoint.tensors.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("The model has a part this program does not know: {name}"),
            )),
        }
    }
}
