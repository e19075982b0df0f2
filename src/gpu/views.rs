//! Image views as paint callbacks: a bind group per view, and a texture where its picture comes from memory, written only
//! when the picture changed. One on the window's device is sampled where it lies.

use super::program::{self, Program};
use super::{Colours, Image, Look, Mode, OpenDevice, fill, software};
use crate::Picture;
use eframe::egui_wgpu::{self, CallbackResources, CallbackTrait, RenderState, ScreenDescriptor};
use eframe::{egui, wgpu};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Every shader of the program by name, for the test that validates them.
pub const SHADERS: [(&str, &str); 2] = [("image_view", include_str!("../../shaders/image_view.wgsl")), fill::SHADER];

/// Bytes of the shader's `View`.
const UNIFORM_BYTES: usize = 4 * 4 * 5 + 4 * 8;

/// Pixels on a side up to which views are computed on the CPU when there is no shader.
const SOFTWARE_LIMIT: f32 = 512.0;

/// Draws image views: by the shader when the window has wgpu (Vulkan, Metal, DirectX or OpenGL below it), else from
/// pictures computed on the CPU.
pub struct Painter {
    /// What the shader runs on.
    device: Option<OpenDevice>,
    software: HashMap<egui::Id, Drawn>,
}

/// A view computed on the CPU, and what it was computed from.
struct Drawn {
    texture: egui::TextureHandle,
    a: Image,
    b: Image,
    look: Look,
    size: [usize; 2],
}

impl Painter {
    /// A painter for a window, with its wgpu state when it has one.
    pub fn new(render_state: Option<&RenderState>) -> Self {
        let device = render_state.map(OpenDevice::of_window);
        if let Some((state, device)) = render_state.zip(device.as_ref()) {
            let shared = Shared::new(device.clone(), state.target_format);
            let fills = fill::Shared::new(&state.device, state.target_format);
            let mut renderer = state.renderer.write();
            renderer.callback_resources.insert(shared);
            renderer.callback_resources.insert(fills);
        }
        Self { device, software: HashMap::new() }
    }

    /// The window's device, where it has one that others can use as well.
    pub fn device(&self) -> Option<&OpenDevice> {
        self.device.as_ref()
    }

    /// Fills a large rectangle (points) with one opaque colour.
    pub fn fill(&self, ui: &egui::Ui, rectangle: egui::Rect, colour: egui::Color32) {
        if self.device.is_some() {
            ui.painter().add(egui_wgpu::Callback::new_paint_callback(rectangle, fill::Fill(colour)));
        } else {
            ui.painter().rect_filled(rectangle, 0.0, colour);
        }
    }

    /// Paints a view into `rectangle` (points). `key` names the view from frame to frame; without `b` the view shows
    /// `a` twice.
    pub fn paint(
        &mut self,
        ui: &egui::Ui,
        rectangle: egui::Rect,
        key: egui::Id,
        (a, b): (&Image, Option<&Image>),
        look: &Look,
    ) {
        if !ui.is_rect_visible(rectangle) || rectangle.width() < 1.0 || rectangle.height() < 1.0 {
            return;
        }
        let (a, b) = (a.clone(), b.unwrap_or(a).clone());
        if self.device.is_some() {
            let callback = View { key, rectangle, a, b, look: *look };
            ui.painter().add(egui_wgpu::Callback::new_paint_callback(rectangle, callback));
        } else {
            self.paint_software(ui, rectangle, key, a, b, look);
        }
    }

    fn paint_software(&mut self, ui: &egui::Ui, rectangle: egui::Rect, key: egui::Id, a: Image, b: Image, look: &Look) {
        // Without a shader there is no device either on which pictures could lie.
        let (Image::Memory(of_a), Image::Memory(of_b)) = (&a, &b) else { return };
        let scale =
            (SOFTWARE_LIMIT / (rectangle.size() * ui.pixels_per_point()).max_elem()).min(1.0) * ui.pixels_per_point();
        let size = [rectangle.width(), rectangle.height()].map(|side| (side * scale).round().max(1.0) as usize);
        let fresh = self
            .software
            .get(&key)
            .is_some_and(|drawn| drawn.a.is(&a) && drawn.b.is(&b) && drawn.look == *look && drawn.size == size);
        if !fresh {
            let picture = software::render(look, of_a, of_b, size[0], size[1], scale);
            let image = egui::ColorImage::from_rgba_unmultiplied(size, picture.rgba());
            let options = egui::TextureOptions::LINEAR;
            match self.software.get_mut(&key) {
                Some(drawn) if drawn.size == size => {
                    drawn.texture.set_partial([0, 0], image, options);
                    (drawn.a, drawn.b, drawn.look) = (a, b, *look);
                }
                _ => {
                    let texture = ui.ctx().load_texture("image view", image, options);
                    self.software.insert(key, Drawn { texture, a, b, look: *look, size });
                }
            }
        }
        let uv = egui::Rect::from_min_max(egui::Pos2::ZERO, egui::Pos2::new(1.0, 1.0));
        ui.painter().image(self.software[&key].texture.id(), rectangle, uv, egui::Color32::WHITE);
    }
}

/// What all views share, and each view's own resources.
struct Shared {
    device: OpenDevice,
    /// One for each mode, of pictures that are not shrunk; then the same for all.
    pipelines: [[wgpu::RenderPipeline; 4]; 2],
    layout: wgpu::BindGroupLayout,
    sampler: wgpu::Sampler,
    views: HashMap<egui::Id, Resources>,
}

/// One view's resources on the device.
struct Resources {
    uniforms: wgpu::Buffer,
    written: [u8; UNIFORM_BYTES],
    a: Source,
    b: Source,
    bind_group: wgpu::BindGroup,
}

/// What a view samples, and the image that it shows by that.
struct Source {
    view: wgpu::TextureView,
    /// The view's own texture, for pictures in memory.
    texture: Option<wgpu::Texture>,
    image: Image,
}

impl Source {
    /// `None` for an image on another device.
    fn new(opened: &OpenDevice, image: &Image) -> Option<Self> {
        let OpenDevice { device, queue, .. } = opened;
        let picture = match image {
            Image::Memory(picture) => picture,
            Image::Sheet(sheet, layer) => {
                return Some(Self { view: sheet.layer(opened, *layer)?, texture: None, image: image.clone() });
            }
        };
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("image view"),
            size: extent(picture),
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        write(queue, &texture, picture);
        let view = texture.create_view(&Default::default());
        Some(Self { view, texture: Some(texture), image: image.clone() })
    }

    /// Makes this show an image; `false` when it takes another one.
    fn update(&mut self, queue: &wgpu::Queue, image: &Image) -> bool {
        if self.image.is(image) {
            return true;
        }
        let (Some(texture), Image::Memory(picture)) = (&self.texture, image) else { return false };
        if texture.size() != extent(picture) {
            return false;
        }
        write(queue, texture, picture);
        self.image = image.clone();
        true
    }
}

fn write(queue: &wgpu::Queue, texture: &wgpu::Texture, picture: &Picture) {
    let size = extent(picture);
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * size.width), rows_per_image: None };
    queue.write_texture(texture.as_image_copy(), &over_white(picture), layout, size);
}

/// The bytes with transparency over white, as the networks see it; those of an opaque picture as they are.
fn over_white(picture: &Picture) -> std::borrow::Cow<'_, [u8]> {
    if picture.rgba().chunks_exact(4).all(|pixel| pixel[3] == 255) {
        return picture.rgba().into();
    }
    let mut rgba = picture.rgba().to_vec();
    for pixel in rgba.chunks_exact_mut(4) {
        let alpha = u16::from(pixel[3]);
        pixel[..3].iter_mut().for_each(|c| *c = ((u16::from(*c) * alpha + 255 * (255 - alpha)) / 255) as u8);
        pixel[3] = 255;
    }
    rgba.into()
}

fn extent(picture: &Picture) -> wgpu::Extent3d {
    wgpu::Extent3d { width: picture.width() as u32, height: picture.height() as u32, depth_or_array_layers: 1 }
}

impl Shared {
    fn new(opened: OpenDevice, target: wgpu::TextureFormat) -> Self {
        let device = &opened.device;
        let name = SHADERS[0].0;
        let texture = |binding| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty: wgpu::BindingType::Texture {
                sample_type: wgpu::TextureSampleType::Float { filterable: true },
                view_dimension: wgpu::TextureViewDimension::D2,
                multisampled: false,
            },
            count: None,
        };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(name),
            entries: &[
                program::uniforms(0, UNIFORM_BYTES),
                texture(1),
                texture(2),
                wgpu::BindGroupLayoutEntry {
                    binding: 3,
                    visibility: wgpu::ShaderStages::FRAGMENT,
                    ty: wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering),
                    count: None,
                },
            ],
        });
        let sampler = device.create_sampler(&wgpu::SamplerDescriptor {
            label: Some(name),
            mag_filter: wgpu::FilterMode::Linear,
            min_filter: wgpu::FilterMode::Linear,
            ..Default::default()
        });
        let fragment = if target.is_srgb() { "fragment_linear" } else { "fragment_gamma" };
        let program = Program::new(device, SHADERS[0], &layout);
        let pipeline = |mode: f64, shrinks: f64| {
            let blend = Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING);
            let target = wgpu::ColorTargetState { format: target, blend, write_mask: wgpu::ColorWrites::ALL };
            program.pipeline(fragment, &[("MODE", mode), ("SHRINKS", shrinks)], target)
        };
        let pipelines = [0.0, 1.0].map(|shrinks| [0.0, 1.0, 2.0, 3.0].map(|mode| pipeline(mode, shrinks)));
        Self { device: opened, pipelines, layout, sampler, views: HashMap::new() }
    }

    /// Makes a view show its images; what it has is used again as far as it serves. `None` for images on another device.
    fn show(&mut self, shown: &View) -> Option<&mut Resources> {
        let opened = &self.device;
        let OpenDevice { device, queue, .. } = opened;
        let entry = match self.views.entry(shown.key) {
            Entry::Occupied(entry) => {
                let resources = entry.into_mut();
                let kept = [resources.a.update(queue, &shown.a), resources.b.update(queue, &shown.b)];
                if !kept[0] {
                    resources.a = Source::new(opened, &shown.a)?;
                }
                if !kept[1] {
                    resources.b = Source::new(opened, &shown.b)?;
                }
                if kept != [true; 2] {
                    let Resources { uniforms, a, b, .. } = &*resources;
                    resources.bind_group = bind(device, (&self.layout, &self.sampler), uniforms, [&a.view, &b.view]);
                }
                resources
            }
            Entry::Vacant(entry) => {
                let a = Source::new(opened, &shown.a)?;
                let b = Source::new(opened, &shown.b)?;
                let uniforms = program::uniform_buffer(device, "image view", UNIFORM_BYTES);
                let bind_group = bind(device, (&self.layout, &self.sampler), &uniforms, [&a.view, &b.view]);
                entry.insert(Resources { uniforms, written: [0; UNIFORM_BYTES], a, b, bind_group })
            }
        };
        Some(entry)
    }
}

fn bind(
    device: &wgpu::Device,
    (layout, sampler): (&wgpu::BindGroupLayout, &wgpu::Sampler),
    uniforms: &wgpu::Buffer,
    [a, b]: [&wgpu::TextureView; 2],
) -> wgpu::BindGroup {
    device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("image view"),
        layout,
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: uniforms.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(a) },
            wgpu::BindGroupEntry { binding: 2, resource: wgpu::BindingResource::TextureView(b) },
            wgpu::BindGroupEntry { binding: 3, resource: wgpu::BindingResource::Sampler(sampler) },
        ],
    })
}

/// One view in one frame.
struct View {
    key: egui::Id,
    rectangle: egui::Rect,
    a: Image,
    b: Image,
    look: Look,
}

impl View {
    /// The shader's `View`, byte for byte.
    fn uniforms(&self, pixels_per_point: f32) -> [u8; UNIFORM_BYTES] {
        let Look { mode, smooth, radius, divider_half, colours } = self.look;
        let Colours { negative, neutral, positive, divider } = colours;
        let (gain, split) = match mode {
            Mode::Picture => (1.0, 0.0),
            Mode::Difference { gain } | Mode::Heat { gain } => (gain, 0.0),
            Mode::Split { at } => (1.0, at),
        };
        let place = [self.rectangle.left(), self.rectangle.top(), self.rectangle.width(), self.rectangle.height()];
        let floats = place
            .map(|value| value * pixels_per_point)
            .into_iter()
            .chain([negative, neutral, positive, divider].into_iter().flatten().map(|value| f32::from(value) / 255.0))
            .chain([f32::from(u8::from(smooth)), gain, split])
            .chain([radius * pixels_per_point, divider_half * pixels_per_point, 0.0, 0.0, 0.0]);
        let mut bytes = [0; UNIFORM_BYTES];
        for (slot, value) in bytes.chunks_exact_mut(4).zip(floats) {
            slot.copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }
}

impl CallbackTrait for View {
    fn prepare(
        &self,
        _: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        _: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let Some(shared) = resources.get_mut::<Shared>() else { return Vec::new() };
        let uniforms = self.uniforms(screen.pixels_per_point);
        if let Some(view) = shared.show(self).filter(|view| view.written != uniforms) {
            queue.write_buffer(&view.uniforms, 0, &uniforms);
            view.written = uniforms;
        }
        Vec::new()
    }

    fn paint(
        &self,
        info: egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        resources: &CallbackResources,
    ) {
        let Some(shared) = resources.get::<Shared>() else { return };
        let Some(view) = shared.views.get(&self.key) else { return };
        let pipeline = match self.look.mode {
            Mode::Picture => 0,
            Mode::Difference { .. } => 1,
            Mode::Heat { .. } => 2,
            Mode::Split { .. } => 3,
        };
        let shown = self.rectangle.size() * info.pixels_per_point;
        let shrinks = [&self.a, &self.b]
            .iter()
            .any(|image| image.width() as f32 > 2.0 * shown.x || image.height() as f32 > 2.0 * shown.y);
        pass.set_pipeline(&shared.pipelines[usize::from(shrinks)][pipeline]);
        pass.set_bind_group(0, &view.bind_group, &[]);
        pass.draw(0..3, 0..1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::naga;

    #[test]
    fn every_shader_is_valid_within_the_smallest_limits() {
        for (name, source) in SHADERS {
            let module = naga::front::wgsl::parse_str(source)
                .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
            let storage = module
                .global_variables
                .iter()
                .any(|(_, variable)| matches!(variable.space, naga::AddressSpace::Storage { .. }));
            assert!(!storage, "{name}: OpenGL has no storage buffers");
        }
    }

    #[test]
    fn every_shader_file_is_validated() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let name = |file: std::fs::DirEntry| file.file_name().to_string_lossy().into_owned();
        let files = std::fs::read_dir(folder).unwrap().map(|file| name(file.unwrap()));
        // Those of the solver are put together from several files, and validated there.
        assert_eq!(files.filter(|name| !name.starts_with("solve_")).count(), SHADERS.len());
    }

    #[test]
    fn the_uniforms_have_the_shaders_size() {
        let module = naga::front::wgsl::parse_str(SHADERS[0].1).unwrap();
        let (_, view) = module.types.iter().find(|(_, kind)| kind.name.as_deref() == Some("View")).unwrap();
        let naga::TypeInner::Struct { span, .. } = view.inner else { panic!("View is a struct") };
        assert_eq!(span as usize, UNIFORM_BYTES);
    }
}
