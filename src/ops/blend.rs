//! Moving averages of weights.

use super::{cpu, threads};
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var};

struct Blend(f32);

impl InplaceOp2 for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<()> {
        const PIECE: usize = 1 << 15;
        let now = cpu::values(s2, l2)?;
        let (CpuStorage::F32(average), Some((start, end))) = (s1, l1.contiguous_offsets()) else {
            candle_core::bail!("an average must be contiguous f32")
        };
        threads::for_each_chunk(&mut average[start..end], PIECE, |i, average| {
            let now = &now[i * PIECE..][..average.len()];
            average.iter_mut().zip(now).for_each(|(average, now)| *average += self.0 * (now - *average));
        });
        Ok(())
    }
}

/// Moves `average` towards `now` by a share of their difference, in place; of one shape.
///
/// # Errors
/// When the shapes differ.
pub fn blend(average: &Var, now: &Tensor, share: f32) -> Result<()> {
    if average.shape() != now.shape() {
        candle_core::bail!("an average {:?} of {:?}", average.shape(), now.shape());
    }
    if cpu::ours(&[average.as_tensor(), now]) {
        return average.inplace_op2(&now.contiguous()?, &Blend(share));
    }
    average.set(&(average.as_detached_tensor() + ((now - average.as_detached_tensor())? * f64::from(share))?)?)
}
