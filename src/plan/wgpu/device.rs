//! A graphics processor that solves: its device, its kernels, and what went wrong with it.

use super::programs::{Pipeline, Program};
use crate::gpu::{compute, wgpu};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest that a step may take before the device counts as hung.
const PATIENCE: Duration = Duration::from_secs(120);

/// Workgroups that keep the widest graphics processors busy.
const ENOUGH: usize = 256;

/// Which kernels compute the convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Tiles in shared memory: for graphics processors.
    Tiled {
        /// Workgroups that keep the whole processor busy; sums are split where there are fewer.
        enough: usize,
    },
    /// Registers alone: for processors that pretend to be one.
    Direct,
}

/// A device with the kernels that were compiled for it. Shared by all plans on it.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) style: Style,
    pub(super) half: bool,
    info: wgpu::AdapterInfo,
    pipelines: Mutex<HashMap<Program, Arc<Pipeline>>>,
    lost: Arc<Mutex<Option<String>>>,
}

/// The value behind a lock, whatever happened to those who held it before.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the device had against something, in a sentence.
fn refused(name: &str, error: wgpu::Error) -> Error {
    let sentence = match error {
        wgpu::Error::OutOfMemory { .. } => format!("{name} has no room for this model with so many starts."),
        _ => format!("{name} failed at its work."),
    };
    Error::because(sentence, error)
}

impl Gpu {
    /// Opens the adapter that computes best.
    ///
    /// # Errors
    /// When there is none, or its driver refuses.
    pub fn open() -> Result<Self> {
        Self::on(&compute::adapter()?, None)
    }

    /// Opens an adapter, with all that it can or with the limits that are given.
    ///
    /// # Errors
    /// When its driver refuses, or the limits are too small.
    pub fn on(adapter: &wgpu::Adapter, limits: Option<wgpu::Limits>) -> Result<Self> {
        let (device, queue) = compute::open(adapter, limits)?;
        Self::with(device, queue)
    }

    /// Computes on a device that is there, the window's for example.
    ///
    /// # Errors
    /// When its limits are too small.
    pub fn with(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let info = device.adapter_info();
        if !compute::can_compute(&device.limits()) {
            return Err(Error::new(format!("{} is too limited to solve on.", info.name)));
        }
        let lost = Arc::<Mutex<Option<String>>>::default();
        let told = lost.clone();
        device.set_device_lost_callback(move |reason, message| {
            *locked(&told) = Some(format!("{reason:?}: {message}"));
        });
        let style =
            if info.device_type == wgpu::DeviceType::Cpu { Style::Direct } else { Style::Tiled { enough: ENOUGH } };
        Ok(Self { device, queue, style, half: false, info, pipelines: Mutex::default(), lost })
    }

    /// Computes convolutions with other kernels than those that suit the adapter.
    #[must_use]
    pub fn with_style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// Keeps maps and kernels in f16, where the device has it; sums stay f32.
    ///
    /// # Errors
    /// When it has not.
    pub fn with_half(mut self) -> Result<Self> {
        if !self.device.features().contains(wgpu::Features::SHADER_F16) {
            return Err(Error::new(format!("{} does not compute in f16.", self.info.name)));
        }
        self.half = true;
        Ok(self)
    }

    /// What the adapter is called.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Names the adapter and its driver: what a measurement belongs to.
    pub fn identity(&self) -> String {
        let wgpu::AdapterInfo { name, driver, driver_info, backend, .. } = &self.info;
        format!("{name}, {driver} {driver_info}, {backend}")
    }

    /// Whether this is a processor that pretends to be a graphics processor.
    pub fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Gives the device up: whatever is computed on it from now on fails as when a driver is reset.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// Bytes of four values of a map.
    pub(super) fn block_bytes(&self) -> u64 {
        if self.half { 8 } else { 16 }
    }

    /// The pipeline of a program, compiled when it is first needed.
    pub(super) fn pipeline(&self, program: Program) -> Arc<Pipeline> {
        let mut pipelines = locked(&self.pipelines);
        pipelines.entry(program).or_insert_with(|| Arc::new(Pipeline::new(&self.device, program, self.half))).clone()
    }

    /// Does something with the device, and tells what the device had against it.
    pub(super) fn checked<T>(&self, doing: impl FnOnce() -> Result<T>) -> Result<T> {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        let scopes = [OutOfMemory, Validation, Internal].map(|filter| self.device.push_error_scope(filter));
        let done = doing();
        let errors = scopes.into_iter().rev().filter_map(|scope| compute::wait(scope.pop()));
        let error = errors.last();
        self.check_lost()?;
        match error {
            None => done,
            Some(error) => Err(refused(self.name(), error)),
        }
    }

    /// Whether the connection to the device was lost.
    pub fn is_lost(&self) -> bool {
        locked(&self.lost).is_some()
    }

    fn check_lost(&self) -> Result<()> {
        match &*locked(&self.lost) {
            None => Ok(()),
            Some(cause) => Err(Error::because(format!("The connection to {} was lost.", self.name()), cause.clone())),
        }
    }

    /// Refuses a buffer that the device cannot have or bind.
    pub(super) fn check_size(&self, bytes: u64) -> Result<()> {
        let limits = self.device.limits();
        let most = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        if bytes <= most {
            return Ok(());
        }
        Err(Error::new(format!(
            "{} takes at most {} MB in one piece, where this model needs {} MB.",
            self.name(),
            most >> 20,
            bytes.div_ceil(1 << 20)
        )))
    }

    /// Reads so many bytes of a buffer that can be mapped, after everything that was submitted.
    pub(super) fn read(&self, staging: &wgpu::Buffer, bytes: u64) -> Result<Vec<f32>> {
        let slice = staging.slice(..bytes);
        let answer = Arc::new(Mutex::new(None));
        let told = answer.clone();
        slice.map_async(wgpu::MapMode::Read, move |outcome| *locked(&told) = Some(outcome));
        let waited = self.device.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) });
        self.check_lost()?;
        let failed = || format!("{} gave no answer.", self.name());
        waited.map_err(|cause| Error::because(failed(), cause))?;
        match locked(&answer).take() {
            Some(Ok(())) => {}
            Some(Err(cause)) => return Err(Error::because(failed(), cause)),
            None => return Err(Error::new(failed())),
        }
        let values = {
            let view = slice.get_mapped_range().map_err(|cause| Error::because(failed(), cause))?;
            view.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
        };
        staging.unmap();
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_memory_is_told_from_other_failures() {
        let full = refused("The card", wgpu::Error::OutOfMemory { source: "full".into() });
        assert!(full.to_string().contains("no room") && !full.causes().is_empty());
        let wrong = wgpu::Error::Validation { source: "wrong".into(), description: "a mistake".into() };
        let wrong = refused("The card", wrong);
        assert!(wrong.to_string().contains("failed") && wrong.causes()[0].contains("a mistake"));
    }

    #[test]
    fn mistakes_are_caught_and_later_work_goes_on() {
        let gpu = Gpu::open().expect("the tests need a Vulkan driver, a software one will do");
        let wrong = gpu.checked(|| {
            // A buffer that may be mapped for reading cannot be storage, too.
            let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE;
            let descriptor = wgpu::BufferDescriptor { label: None, size: 16, usage, mapped_at_creation: false };
            drop(gpu.device.create_buffer(&descriptor));
            Ok(())
        });
        assert!(wrong.unwrap_err().to_string().contains("failed at its work"));
        assert!(gpu.checked(|| gpu.storage("map", 64)).is_ok() && !gpu.is_lost());
        assert!(gpu.check_size(u64::MAX).unwrap_err().to_string().contains("in one piece"));
    }
}
