//! Large areas of one colour, cheaper than egui's own rectangles on a software driver.

use super::program::{self, Program};
use eframe::egui_wgpu::{CallbackResources, CallbackTrait, ScreenDescriptor};
use eframe::{egui, wgpu};
use std::collections::HashMap;

/// The shader.
pub(super) const SHADER: (&str, &str) = ("flat_fill", include_str!("../../shaders/flat_fill.wgsl"));

/// Bytes of a colour in the shader.
const COLOUR_BYTES: usize = 16;

/// What all areas share, and the colour of each that was drawn.
pub(super) struct Shared {
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    linear: bool,
    colours: HashMap<egui::Color32, wgpu::BindGroup>,
}

impl Shared {
    pub(super) fn new(device: &wgpu::Device, target: wgpu::TextureFormat) -> Self {
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(SHADER.0),
            entries: &[program::uniforms(0, COLOUR_BYTES)],
        });
        let pipeline = Program::new(device, SHADER, &layout).pipeline("fragment", &[], target.into());
        Self { pipeline, layout, linear: target.is_srgb(), colours: HashMap::new() }
    }

    fn bind_group(&self, device: &wgpu::Device, queue: &wgpu::Queue, colour: egui::Color32) -> wgpu::BindGroup {
        let values = if self.linear { egui::Rgba::from(colour).to_array() } else { colour.to_normalized_gamma_f32() };
        let mut bytes = [0; COLOUR_BYTES];
        for (slot, value) in bytes.chunks_exact_mut(4).zip(values) {
            slot.copy_from_slice(&value.to_ne_bytes());
        }
        let buffer = program::uniform_buffer(device, SHADER.0, COLOUR_BYTES);
        queue.write_buffer(&buffer, 0, &bytes);
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(SHADER.0),
            layout: &self.layout,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
        })
    }
}

/// One area in one frame; its rectangle is that of the callback.
pub(super) struct Fill(pub egui::Color32);

impl CallbackTrait for Fill {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        _: &ScreenDescriptor,
        _: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if let Some(shared) = resources.get_mut::<Shared>()
            && !shared.colours.contains_key(&self.0)
        {
            let bind_group = shared.bind_group(device, queue, self.0);
            shared.colours.insert(self.0, bind_group);
        }
        Vec::new()
    }

    fn paint(&self, _: egui::PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, resources: &CallbackResources) {
        let Some(shared) = resources.get::<Shared>() else { return };
        let Some(colour) = shared.colours.get(&self.0) else { return };
        pass.set_pipeline(&shared.pipeline);
        pass.set_bind_group(0, colour, &[]);
        pass.draw(0..3, 0..1);
    }
}
