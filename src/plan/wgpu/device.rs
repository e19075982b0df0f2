//! A graphics processor that solves: its device, its kernels, and what went wrong with it.

use super::pace::Pace;
use super::programs::{Pipeline, Program};
use crate::gpu::{OpenDevice, compute, wgpu};
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    pub(super) place: OpenDevice,
    pub(super) style: Style,
    pub(super) half: bool,
    info: wgpu::AdapterInfo,
    pipelines: Mutex<HashMap<Program, Arc<Pipeline>>>,
    pace: Mutex<Pace>,
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
        Self::beside(None)
    }

    /// The adapter that computes best: by the window's device where it draws with that adapter, so that pictures need
    /// not leave it, else by one of its own.
    ///
    /// # Errors
    /// When there is none, or its driver refuses.
    pub fn beside(window: Option<&OpenDevice>) -> Result<Self> {
        let adapter = compute::adapter()?;
        let same = |window: &&OpenDevice| {
            window.loss().is_none()
                && compute::same_adapter(&window.device.adapter_info(), &adapter.get_info())
                && compute::can_compute(&window.device.limits())
        };
        match window.filter(same) {
            Some(window) => Self::on(window.clone()),
            None => Self::on(compute::open(&adapter, None)?),
        }
    }

    /// Computes on a device that is there, the window's for example.
    ///
    /// # Errors
    /// When its limits are too small.
    pub fn on(place: OpenDevice) -> Result<Self> {
        let info = place.device.adapter_info();
        if !compute::can_compute(&place.device.limits()) {
            return Err(Error::new(format!("{} is too limited to solve on.", info.name)));
        }
        let style =
            if info.device_type == wgpu::DeviceType::Cpu { Style::Direct } else { Style::Tiled { enough: ENOUGH } };
        Ok(Self { place, style, half: false, info, pipelines: Mutex::default(), pace: Mutex::default() })
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
        if !self.place.device.features().contains(wgpu::Features::SHADER_F16) {
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

    /// The device.
    pub fn place(&self) -> &OpenDevice {
        &self.place
    }

    /// How fast it is, as far as that is known.
    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        locked(&self.pace)
    }

    /// Bytes of four values of a map.
    pub(super) fn block_bytes(&self) -> u64 {
        if self.half { 8 } else { 16 }
    }

    /// The pipeline of a program, compiled when it is first needed.
    pub(super) fn pipeline(&self, program: Program) -> Arc<Pipeline> {
        let mut pipelines = locked(&self.pipelines);
        pipelines
            .entry(program)
            .or_insert_with(|| Arc::new(Pipeline::new(&self.place.device, program, self.half)))
            .clone()
    }

    /// Does something with the device, and tells what the device had against it.
    pub(super) fn checked<T>(&self, doing: impl FnOnce() -> Result<T>) -> Result<T> {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        let scopes = [OutOfMemory, Validation, Internal].map(|filter| self.place.device.push_error_scope(filter));
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
        self.place.loss().is_some()
    }

    fn check_lost(&self) -> Result<()> {
        match self.place.loss() {
            None => Ok(()),
            Some(cause) => Err(Error::because(format!("The connection to {} was lost.", self.name()), cause)),
        }
    }

    /// Refuses a buffer that the device cannot have or bind.
    pub(super) fn check_size(&self, bytes: u64) -> Result<()> {
        let limits = self.place.device.limits();
        self.check_most(bytes, limits.max_buffer_size.min(limits.max_storage_buffer_binding_size))
    }

    /// Refuses what is more than the device has in one piece.
    pub(super) fn check_most(&self, bytes: u64, most: u64) -> Result<()> {
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

    /// The first numbers of a buffer that can be mapped, once what was sent up to a submission is done.
    pub(super) fn read(
        &self,
        staging: &wgpu::Buffer,
        bytes: u64,
        submission: wgpu::SubmissionIndex,
    ) -> Result<Vec<f32>> {
        let found = self.place.read(staging, bytes, Some(submission));
        // Why there is no answer, where the device knows.
        self.check_lost()?;
        let number = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(found?.chunks_exact(4).map(number).collect())
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
            drop(gpu.place.device.create_buffer(&descriptor));
            Ok(())
        });
        assert!(wrong.unwrap_err().to_string().contains("failed at its work"));
        assert!(gpu.checked(|| gpu.storage("map", 64)).is_ok() && !gpu.is_lost());
        assert!(gpu.check_size(u64::MAX).unwrap_err().to_string().contains("in one piece"));
    }
}
