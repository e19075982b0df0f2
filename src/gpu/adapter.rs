//! The choice of graphics adapter, with modest demands so that old and software ones serve as well; what more they have
//! for computing is asked for where it is.

use super::compute;
use eframe::egui_wgpu::{WgpuSetup, WgpuSetupCreateNew};
use eframe::wgpu;
use std::sync::Arc;

/// The setup for the window. `WGPU_BACKEND` and `WGPU_POWER_PREF` are respected, and `WGPU_ADAPTER_NAME` picks an
/// adapter by a part of its name.
pub fn setup() -> WgpuSetup {
    let mut setup = WgpuSetupCreateNew::without_display_handle();
    let low_power = setup.power_preference == wgpu::PowerPreference::LowPower;
    setup.native_adapter_selector = Some(Arc::new(move |adapters, surface| select(adapters, surface, low_power)));
    setup.device_descriptor = Arc::new(|adapter| {
        // OpenGL's context belongs to the window's thread; any other device may solve as well.
        let (base, required_features) = match adapter.get_info().backend {
            wgpu::Backend::Gl => (wgpu::Limits::downlevel_webgl2_defaults(), wgpu::Features::empty()),
            _ => compute::for_computing(wgpu::Limits::downlevel_defaults(), adapter),
        };
        // The window may be as large as the adapter can draw.
        let required_limits = base.using_resolution(adapter.limits());
        wgpu::DeviceDescriptor { label: Some("counterpart"), required_features, required_limits, ..Default::default() }
    });
    WgpuSetup::CreateNew(setup)
}

pub(super) fn select(
    adapters: &[wgpu::Adapter],
    surface: Option<&wgpu::Surface<'_>>,
    low_power: bool,
) -> Result<wgpu::Adapter, String> {
    let wanted = std::env::var("WGPU_ADAPTER_NAME").ok().map(|name| name.to_lowercase());
    adapters
        .iter()
        .filter(|adapter| surface.is_none_or(|surface| adapter.is_surface_supported(surface)))
        .filter(|adapter| {
            let name = adapter.get_info().name.to_lowercase();
            wanted.as_ref().is_none_or(|wanted| name.contains(wanted))
        })
        .min_by_key(|adapter| {
            let info = adapter.get_info();
            (kind_rank(info.device_type, low_power), backend_rank(info.backend))
        })
        .cloned()
        .ok_or_else(|| "no graphics adapter can draw into this window".to_owned())
}

/// Real hardware before software, whatever its interface.
fn kind_rank(kind: wgpu::DeviceType, low_power: bool) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => u8::from(low_power),
        wgpu::DeviceType::IntegratedGpu => u8::from(!low_power),
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

fn backend_rank(backend: wgpu::Backend) -> u8 {
    match backend {
        wgpu::Backend::Vulkan | wgpu::Backend::Metal | wgpu::Backend::Dx12 => 0,
        wgpu::Backend::Gl => 1,
        wgpu::Backend::BrowserWebGpu | wgpu::Backend::Noop => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_comes_before_software_and_power_is_respected() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other};
        assert!(kind_rank(Other, false) < kind_rank(Cpu, false));
        assert!(kind_rank(DiscreteGpu, false) < kind_rank(IntegratedGpu, false));
        assert!(kind_rank(IntegratedGpu, true) < kind_rank(DiscreteGpu, true));
        assert!(backend_rank(wgpu::Backend::Vulkan) < backend_rank(wgpu::Backend::Gl));
    }
}
