//! A device of its own for computing, beside the one that the window may have.

use super::adapter;
use crate::{Because, Error, Result};
use eframe::wgpu;

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
pub fn open(adapter: &wgpu::Adapter, limits: Option<wgpu::Limits>) -> Result<(wgpu::Device, wgpu::Queue)> {
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("counterpart solver"),
        required_features: adapter.features() & wgpu::Features::SHADER_F16,
        required_limits: limits.unwrap_or_else(|| adapter.limits()),
        memory_hints: wgpu::MemoryHints::Performance,
        ..Default::default()
    };
    wait(adapter.request_device(&descriptor))
        .because(|| format!("{} could not be opened for computing; use the CPU.", adapter.get_info().name))
}

/// Whether a device with these limits can run the solver's kernels at all: what every device with WebGPU can.
pub fn can_compute(limits: &wgpu::Limits) -> bool {
    let least = wgpu::Limits::default();
    limits.max_storage_buffers_per_shader_stage >= 6
        && limits.max_compute_workgroup_storage_size >= least.max_compute_workgroup_storage_size
        && limits.max_compute_invocations_per_workgroup >= least.max_compute_invocations_per_workgroup
        && limits.max_compute_workgroups_per_dimension >= least.max_compute_workgroups_per_dimension
}
