//! What a step consists of: dispatches, and the buffers that they read and write.

use super::device::Gpu;
use super::programs::{Pipeline, Program};
use crate::Result;
use crate::gpu::wgpu;
use crate::ops::Activation;
use half::f16;
use std::sync::Arc;

/// Invocations of a workgroup of the simple kernels.
pub const THREADS: usize = 64;

/// One dispatch.
pub struct Dispatch {
    pipeline: Arc<Pipeline>,
    bindings: wgpu::BindGroup,
    groups: Groups,
}

/// How many workgroups a dispatch has for a number of pictures.
#[derive(Clone, Copy, Debug)]
pub enum Groups {
    /// Outputs of a picture, those of a workgroup, and the workgroups of the other two sides.
    Pixels(usize, usize, usize, usize),
    /// Workgroups of each picture.
    Each(usize),
    /// One for each picture.
    One,
    /// Blocks of a picture, in pieces of 1024 workgroups, and the workgroups of the third side.
    Pieces(usize, usize),
}

impl Groups {
    fn of(self, count: usize) -> [u32; 3] {
        let groups = match self {
            Self::Pixels(area, pixels, y, z) => [(count * area).div_ceil(pixels), y, z],
            Self::Each(groups) => [groups, count, 1],
            Self::One => [count, 1, 1],
            Self::Pieces(blocks, z) => {
                let groups = (count * blocks).div_ceil(THREADS);
                [groups.min(1024), groups.div_ceil(1024), z]
            }
        };
        groups.map(|side| side as u32)
    }
}

impl Dispatch {
    /// Runs it for a number of pictures.
    pub fn run(&self, pass: &mut wgpu::ComputePass<'_>, count: usize) {
        let [x, y, z] = self.groups.of(count);
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

/// What happens to a value before it is stored, as the shaders have it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finish {
    /// What lies there is added.
    pub add: bool,
    /// Of which activation the slope is multiplied with.
    pub slope: Activation,
    /// Which activation follows.
    pub activation: Activation,
}

impl Finish {
    /// The shaders' `Finish`.
    pub fn words(&self) -> [u32; 4] {
        let kind = |activation| match activation {
            Activation::None => (0, 0.0),
            Activation::Relu => (1, 0.0),
            Activation::LeakyRelu(leak) => (2, leak),
            Activation::Tanh => (3, 0.0),
        };
        let ((slope, a), (activation, b)) = (kind(self.slope), kind(self.activation));
        [u32::from(self.add), slope, activation, f32::to_bits(a + b)]
    }
}

/// The bytes of words, one after the other.
pub(super) fn bytes_of(words: impl IntoIterator<Item = [u8; 4]>) -> Vec<u8> {
    words.into_iter().flatten().collect()
}

impl Gpu {
    /// A dispatch of a program with its uniforms and buffers.
    pub(super) fn dispatch(
        &self,
        program: Program,
        uniforms: &[u32],
        buffers: &[&wgpu::Buffer],
        groups: Groups,
    ) -> Result<Dispatch> {
        let pipeline = self.pipeline(program);
        let words = bytes_of(uniforms.iter().map(|word| word.to_le_bytes()));
        let uniforms = self.filled(wgpu::BufferUsages::UNIFORM, &words)?;
        let bindings = pipeline.bind(&self.device, &uniforms, buffers);
        Ok(Dispatch { pipeline, bindings, groups })
    }

    /// A buffer of zeros that kernels read and write.
    pub(super) fn storage(&self, label: &'static str, bytes: u64) -> Result<wgpu::Buffer> {
        let size = bytes.max(16).next_multiple_of(16);
        self.check_size(size)?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        Ok(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        }))
    }

    /// A buffer of these bytes, which stay.
    pub(super) fn filled(&self, usage: wgpu::BufferUsages, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let size = (bytes.len() as u64).max(16).next_multiple_of(16);
        self.check_size(size)?;
        let usage = usage | wgpu::BufferUsages::COPY_DST;
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("constants"),
            size,
            usage,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// A buffer that results are read from.
    pub(super) fn staging(&self, bytes: u64) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let label = Some("staging");
        self.device.create_buffer(&wgpu::BufferDescriptor { label, size: bytes, usage, mapped_at_creation: false })
    }

    /// Records commands and sends them off.
    pub(super) fn submit(&self, record: impl FnOnce(&mut wgpu::CommandEncoder)) {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some("solver") };
        let mut encoder = self.device.create_command_encoder(&descriptor);
        record(&mut encoder);
        self.queue.submit([encoder.finish()]);
    }

    /// Values as maps and kernels hold them.
    pub(super) fn stored(&self, values: &[f32]) -> Vec<u8> {
        match self.half {
            true => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            false => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}
