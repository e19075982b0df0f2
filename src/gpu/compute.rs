//! Devices: one of its own for computing, or the window's, where both are the same adapter.

use super::adapter;
use crate::{Because, Error, Result};
use eframe::egui_wgpu::RenderState;
use eframe::wgpu;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest that a device may take for what was sent to it before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(120);

/// A device that draws or computes, and what became of it.
#[derive(Clone)]
pub struct OpenDevice {
    /// The device.
    pub device: wgpu::Device,
    /// Where its work is sent.
    pub queue: wgpu::Queue,
    /// Whether the window draws with it: then its frames wait for what is sent before them.
    pub draws: bool,
    lost: Arc<Mutex<Option<String>>>,
}

impl OpenDevice {
    /// Takes note of the device's loss from now on.
    pub fn new(device: wgpu::Device, queue: wgpu::Queue, draws: bool) -> Self {
        let lost = Arc::<Mutex<Option<String>>>::default();
        let told = lost.clone();
        device.set_device_lost_callback(move |reason, message| {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{reason:?}: {message}"));
        });
        Self { device, queue, draws, lost }
    }

    /// The window's device.
    pub(super) fn of_window(state: &RenderState) -> Self {
        Self::new(state.device.clone(), state.queue.clone(), true)
    }

    /// Whether this is the very same opening of a device.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.lost, &other.lost)
    }

    /// Why the connection to the device was lost; `None`: it was not.
    pub fn loss(&self) -> Option<String> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the device up: whatever is sent to it from now on fails as when a driver is reset.
    pub fn destroy(&self) {
        // The device itself says so only when nothing is under way any more.
        let given_up = Some("it was given up".to_owned());
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = given_up;
        self.device.destroy();
    }

    /// Waits until what was sent is done, everything or up to a submission.
    ///
    /// # Errors
    /// When that does not come to an end.
    pub fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let until = |submission_index| wgpu::PollType::Wait { submission_index, timeout: Some(PATIENCE) };
        let waited = self.device.poll(until(submission));
        if waited.is_err() {
            // A device that was lost knows nothing of a submission; that it was lost it tells when all others are done.
            _ = self.device.poll(until(None));
        }
        waited.map(|_| ()).because(|| self.no_answer())
    }

    fn no_answer(&self) -> String {
        format!("{} gave no answer.", self.device.adapter_info().name)
    }

    /// The first bytes of a buffer that can be mapped, once what was sent up to a submission is done.
    ///
    /// # Errors
    /// When the device gives no answer.
    pub fn read(
        &self,
        staging: &wgpu::Buffer,
        bytes: u64,
        submission: Option<wgpu::SubmissionIndex>,
    ) -> Result<Vec<u8>> {
        let slice = staging.slice(..bytes);
        let answer = Arc::new(Mutex::new(None));
        let told = answer.clone();
        slice.map_async(wgpu::MapMode::Read, move |outcome| {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        });
        self.wait(submission)?;
        match answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(Ok(())) => {}
            Some(Err(cause)) => return Err(Error::because(self.no_answer(), cause)),
            None => return Err(Error::new(self.no_answer())),
        }
        let found = slice.get_mapped_range().because(|| self.no_answer())?.to_vec();
        staging.unmap();
        Ok(found)
    }
}

/// Which device the window draws with at the moment, if it has one: what others may use as well. All copies say the same.
#[derive(Clone, Default)]
pub struct Screen(Arc<Mutex<Option<OpenDevice>>>);

impl Screen {
    /// The device.
    pub fn device(&self) -> Option<OpenDevice> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A window draws with this device from now on.
    pub fn set(&self, device: Option<OpenDevice>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = device;
    }

    /// Whether the window's device was lost, so that nothing is drawn any more.
    pub fn is_lost(&self) -> bool {
        self.device().is_some_and(|device| device.loss().is_some())
    }

    /// The same once all that was sent to the device is done: only then is a loss certain to be known.
    pub fn is_lost_after_all(&self) -> bool {
        self.device().is_some_and(|device| device.wait(None).is_err() || device.loss().is_some())
    }
}

/// Waits for what is ready at once on every native backend.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}

/// The adapter that computes best: as for the window, `WGPU_BACKEND`, `WGPU_POWER_PREF` and `WGPU_ADAPTER_NAME` are
/// respected.
///
/// # Errors
/// When there is none, with a sentence.
pub fn adapter() -> Result<wgpu::Adapter> {
    // OpenGL is left to the window, whose thread its context belongs to.
    let backends = wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY) & wgpu::Backends::PRIMARY;
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    let mut adapters = wait(wgpu::Instance::new(descriptor).enumerate_adapters(backends));
    adapters.retain(|adapter| can_compute(&adapter.limits()));
    let low_power = wgpu::PowerPreference::from_env() == Some(wgpu::PowerPreference::LowPower);
    adapter::select(&adapters, None, low_power).map_err(|_| {
        Error::new("There is no graphics processor here that computes; install its Vulkan driver, or use the CPU.")
    })
}

/// Opens an adapter for computing, with all that it can or with the limits that are given.
///
/// # Errors
/// When the driver refuses.
pub fn open(adapter: &wgpu::Adapter, limits: Option<wgpu::Limits>) -> Result<OpenDevice> {
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("counterpart solver"),
        required_features: adapter.features() & wgpu::Features::SHADER_F16,
        required_limits: limits.unwrap_or_else(|| adapter.limits()),
        memory_hints: wgpu::MemoryHints::Performance,
        ..Default::default()
    };
    let opened = wait(adapter.request_device(&descriptor))
        .because(|| format!("{} could not be opened for computing; use the CPU.", adapter.get_info().name))?;
    Ok(OpenDevice::new(opened.0, opened.1, false))
}

/// What the solver's kernels can make use of, of all that an adapter has: limits above `base`, and features.
pub(super) fn for_computing(base: wgpu::Limits, adapter: &wgpu::Adapter) -> (wgpu::Limits, wgpu::Features) {
    let all = adapter.limits();
    if !can_compute(&all) {
        return (base, wgpu::Features::empty());
    }
    let limits = wgpu::Limits {
        max_buffer_size: all.max_buffer_size,
        max_storage_buffer_binding_size: all.max_storage_buffer_binding_size,
        max_storage_buffers_per_shader_stage: all.max_storage_buffers_per_shader_stage,
        max_compute_workgroup_storage_size: all.max_compute_workgroup_storage_size,
        max_compute_invocations_per_workgroup: all.max_compute_invocations_per_workgroup,
        max_compute_workgroups_per_dimension: all.max_compute_workgroups_per_dimension,
        ..base
    };
    (limits, adapter.features() & wgpu::Features::SHADER_F16)
}

/// Whether two are the same adapter, by the same interface.
pub fn same_adapter(a: &wgpu::AdapterInfo, b: &wgpu::AdapterInfo) -> bool {
    let what = |info: &wgpu::AdapterInfo| {
        let wgpu::AdapterInfo { name, vendor, device, device_pci_bus_id, backend, .. } = info.clone();
        (name, vendor, device, device_pci_bus_id, backend)
    };
    what(a) == what(b)
}

/// Whether a device with these limits can run the solver's kernels at all: what every device with WebGPU can.
pub fn can_compute(limits: &wgpu::Limits) -> bool {
    let least = wgpu::Limits::default();
    limits.max_storage_buffers_per_shader_stage >= 6
        && limits.max_compute_workgroup_storage_size >= least.max_compute_workgroup_storage_size
        && limits.max_compute_invocations_per_workgroup >= least.max_compute_invocations_per_workgroup
        && limits.max_compute_workgroups_per_dimension >= least.max_compute_workgroups_per_dimension
}
