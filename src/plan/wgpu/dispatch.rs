//! What a step consists of: dispatches, and the buffers that they read and write.

use super::device::Gpu;
use super::pace;
use super::programs::{Pipeline, Program};
use crate::gpu::wgpu;
use crate::ops::Activation;
use crate::{Error, Result};
use half::f16;
use std::sync::Arc;

/// Invocations of a workgroup of the simple kernels.
pub const THREADS: usize = 64;

/// One dispatch.
pub struct Dispatch {
    pipeline: Arc<Pipeline>,
    bindings: wgpu::BindGroup,
    groups: Groups,
    /// Multiplications and additions of a picture, in pairs; 0 where they hardly count.
    work: f64,
}

/// How many workgroups a dispatch has for a number of pictures.
#[derive(Clone, Copy, Debug)]
pub enum Groups {
    /// Outputs of a picture, those of a workgroup, and the workgroups of the other two sides.
    Pixels(usize, usize, usize, usize),
    /// Workgroups of each picture.
    Each(usize),
    /// Workgroups of each picture and each of its two results.
    Pairs(usize),
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
            Self::Pairs(groups) => [groups, count, 2],
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
    /// Says how many multiplications and additions, in pairs, a picture takes.
    pub fn with_work(self, work: f64) -> Self {
        Self { work, ..self }
    }

    /// Those of so many pictures.
    pub fn work(&self, count: usize) -> f64 {
        self.work * count as f64
    }

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
        let uniforms = self.uniforms(uniforms)?;
        let bindings = pipeline.bind(&self.place.device, &uniforms, buffers, None);
        Ok(Dispatch { pipeline, bindings, groups, work: 0.0 })
    }

    /// A dispatch that writes a texture.
    pub(super) fn dispatch_to(
        &self,
        program: Program,
        uniforms: &[u32],
        buffer: &wgpu::Buffer,
        texture: &wgpu::TextureView,
        groups: Groups,
    ) -> Result<Dispatch> {
        let pipeline = self.pipeline(program);
        let uniforms = self.uniforms(uniforms)?;
        let bindings = pipeline.bind(&self.place.device, &uniforms, &[buffer], Some(texture));
        Ok(Dispatch { pipeline, bindings, groups, work: 0.0 })
    }

    fn uniforms(&self, words: &[u32]) -> Result<wgpu::Buffer> {
        self.filled(wgpu::BufferUsages::UNIFORM, &bytes_of(words.iter().map(|word| word.to_le_bytes())))
    }

    /// A buffer of zeros that kernels read and write.
    pub(super) fn storage(&self, label: &'static str, bytes: u64) -> Result<wgpu::Buffer> {
        let size = bytes.max(16).next_multiple_of(16);
        self.check_size(size)?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        Ok(self.place.device.create_buffer(&wgpu::BufferDescriptor {
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
        let buffer = self.place.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("constants"),
            size,
            usage,
            mapped_at_creation: false,
        });
        self.place.queue.write_buffer(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// A buffer that results are read from.
    pub(super) fn staging(&self, bytes: u64) -> Result<wgpu::Buffer> {
        self.check_most(bytes, self.place.device.limits().max_buffer_size)?;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let label = Some("staging");
        let descriptor = wgpu::BufferDescriptor { label, size: bytes, usage, mapped_at_creation: false };
        Ok(self.place.device.create_buffer(&descriptor))
    }

    /// Records commands and sends them off.
    pub(super) fn submit(&self, record: impl FnOnce(&mut wgpu::CommandEncoder)) -> wgpu::SubmissionIndex {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some("solver") };
        let mut encoder = self.place.device.create_command_encoder(&descriptor);
        record(&mut encoder);
        self.place.queue.submit([encoder.finish()])
    }

    /// Sends dispatches off, each with its number of pictures, and what `finish` records behind them: in one submission
    /// where that takes short, else in slices, and on the window's device in such between which its frames find room.
    pub(super) fn send(
        &self,
        work: &[(&Dispatch, usize)],
        finish: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<wgpu::SubmissionIndex> {
        let amounts: Vec<f64> = work.iter().map(|(dispatch, count)| dispatch.work(*count)).collect();
        let longest = if self.place.draws { pace::BETWEEN_FRAMES } else { pace::BEFORE_RESET };
        let slices = self.pace().slices(&amounts, longest);
        let record = |slice: &[(&Dispatch, usize)], encoder: &mut wgpu::CommandEncoder| {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            slice.iter().for_each(|(dispatch, count)| dispatch.run(&mut pass, *count));
        };
        let Some((last, others)) = slices.split_last() else { return Err(Error::new("There is nothing to compute.")) };
        // One that runs and one that waits: the device is never idle, and a frame never has more than these before it.
        let mut before = None;
        for slice in others {
            let sent = self.submit(|encoder| record(&work[slice.clone()], encoder));
            if let Some(before) = before.replace(sent) {
                self.place.wait(Some(before))?;
            }
        }
        Ok(self.submit(|encoder| {
            record(&work[last.clone()], encoder);
            finish(encoder);
        }))
    }

    /// Values as maps and kernels hold them.
    pub(super) fn stored(&self, values: &[f32]) -> Vec<u8> {
        match self.half {
            true => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            false => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}
