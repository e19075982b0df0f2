//! Getting at the values of candle tensors on the CPU.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor};

/// The values of a contiguous f32 operand.
pub fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        (CpuStorage::F32(_), None) => candle_core::bail!("the operand is not contiguous"),
        _ => candle_core::bail!("the operand is not f32"),
    }
}

/// Calls `work` with the values of a contiguous f32 tensor on the CPU.
pub fn with_values<R>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(values(storage, layout)?),
        _ => candle_core::bail!("the tensor is not on the CPU"),
    }
}

/// Whether the kernels of this crate can work on these tensors.
pub fn ours(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| tensor.device().is_cpu() && tensor.dtype() == DType::F32)
}
