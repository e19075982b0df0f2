//! What the kernels need of the operations.

#[path = "../../src/ops/activation.rs"]
mod activation;
#[path = "../../src/ops/kernels/mod.rs"]
pub(crate) mod kernels;
#[path = "../../src/ops/simd/mod.rs"]
pub(crate) mod simd;
#[path = "../../src/ops/threads.rs"]
pub mod threads;

pub use activation::Activation;

/// As in the program, without tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    pub inputs: usize,
    pub outputs: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub transposed: bool,
}

impl ConvSpec {
    pub fn conv(inputs: usize, outputs: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        Self { inputs, outputs, kernel, stride, padding, transposed: false }
    }

    pub fn transposed(inputs: usize, outputs: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        Self { inputs, outputs, kernel, stride, padding, transposed: true }
    }

    pub fn weight_shape(&self) -> [usize; 4] {
        let (first, second) = if self.transposed { (self.inputs, self.outputs) } else { (self.outputs, self.inputs) };
        [first, second, self.kernel, self.kernel]
    }

    pub(crate) fn reversed(&self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, transposed: !self.transposed, ..*self }
    }

    pub(crate) fn output_side(&self, side: usize) -> Result<usize, String> {
        let Self { kernel, stride, padding, .. } = *self;
        let found = if self.transposed { (side.max(1) - 1) * stride + kernel } else { side + 2 * padding + stride };
        let found = found.checked_sub(if self.transposed { 2 * padding } else { kernel }).ok_or("does not fit")?;
        Ok(if self.transposed { found } else { found / stride })
    }
}
