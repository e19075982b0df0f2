//! What all our shaders have in common: one triangle over the viewport, no vertex buffers, one bind group.

use eframe::wgpu;

/// A shader, ready for pipelines.
pub(super) struct Program<'a> {
    device: &'a wgpu::Device,
    name: &'static str,
    module: wgpu::ShaderModule,
    layout: wgpu::PipelineLayout,
}

impl<'a> Program<'a> {
    /// The shader of a name and a source, with the layout of its bind group.
    pub(super) fn new(
        device: &'a wgpu::Device,
        (name, source): (&'static str, &'static str),
        bind_group: &wgpu::BindGroupLayout,
    ) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(bind_group)],
            immediate_size: 0,
        });
        Self { device, name, module, layout }
    }

    /// A pipeline from the entry point `vertex` to one for fragments, with the shader's constants.
    pub(super) fn pipeline(
        &self,
        fragment: &str,
        constants: &[(&str, f64)],
        target: wgpu::ColorTargetState,
    ) -> wgpu::RenderPipeline {
        self.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some(self.name),
            layout: Some(&self.layout),
            vertex: wgpu::VertexState {
                module: &self.module,
                entry_point: Some("vertex"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &self.module,
                entry_point: Some(fragment),
                compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
                targets: &[Some(target)],
            }),
            multiview_mask: None,
            cache: None,
        })
    }
}

/// The layout's entry for uniforms of so many bytes, read by fragments.
pub(super) fn uniforms(binding: u32, bytes: usize) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: false,
            min_binding_size: wgpu::BufferSize::new(bytes as u64),
        },
        count: None,
    }
}

/// A buffer for uniforms of so many bytes.
pub(super) fn uniform_buffer(device: &wgpu::Device, name: &str, bytes: usize) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(name),
        size: bytes as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}
