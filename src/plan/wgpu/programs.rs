//! The kernels: which shader each is, how its text is put together, and the pipeline that comes of it.

use crate::gpu::{Sheet, wgpu};

macro_rules! shader {
    ($name:literal) => {
        include_str!(concat!("../../../shaders/solve_", $name, ".wgsl"))
    };
}

/// How a workgroup shares out a tile of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Invocations side by side in the blocks of channels, and in the pixels.
    pub threads: (usize, usize),
    /// Pixels and blocks of channels in each invocation's registers.
    pub registers: (usize, usize),
}

impl Tile {
    /// Pixels of a tile.
    pub const fn pixels(&self) -> usize {
        self.threads.1 * self.registers.0
    }

    /// Blocks of four channels of a tile.
    pub const fn blocks(&self) -> usize {
        self.threads.0 * self.registers.1
    }

    const fn invocations(&self) -> usize {
        self.threads.0 * self.threads.1
    }
}

/// The tiles there are, the widest first: all within the shared memory that every device has.
pub const TILES: [Tile; 4] = [
    Tile { threads: (16, 16), registers: (8, 2) },
    Tile { threads: (16, 16), registers: (4, 1) },
    Tile { threads: (8, 32), registers: (4, 1) },
    Tile { threads: (4, 32), registers: (4, 1) },
];

/// A kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// A convolution without shared memory.
    Direct,
    /// A convolution by tiles; of a share of its sums alone where `share` is set.
    Tiled {
        /// Which.
        tile: Tile,
        /// Whether the sums are stored as they are.
        share: bool,
    },
    /// What adds the shares up.
    Sum,
    /// One of the changes of size and sums.
    Elementwise(&'static str),
    /// Gram matrices.
    Gram,
    /// A part of the loss.
    Compare,
    /// The losses, and the gradients' way to the codes.
    Total,
    /// Adam.
    Update,
    /// The codes' way into the graph.
    Load,
    /// The results' way out of the graph.
    Show,
    /// The pictures of the best losses.
    Keep,
    /// The pictures' way to the window, on its device.
    Sheet,
}

impl Program {
    /// How many buffers it reads, and how many buffers or textures it writes.
    const fn bindings(self) -> (u32, u32) {
        match self {
            Self::Direct | Self::Tiled { .. } | Self::Sum => (4, 1),
            Self::Elementwise(_) => (3, 1),
            Self::Compare | Self::Total => (3, 2),
            Self::Update | Self::Sheet => (1, 1),
            Self::Load | Self::Gram => (2, 1),
            Self::Show | Self::Keep => (3, 1),
        }
    }

    fn entry(self) -> &'static str {
        match self {
            Self::Show => "show",
            Self::Keep => "keep",
            _ => "main",
        }
    }

    /// The whole text of its shader.
    pub fn source(self, half: bool) -> String {
        let (common, convolution) = (shader!("common"), shader!("convolution"));
        let stored = if half { "vec4<f16>" } else { "vec4<f32>" };
        let mut text = if half { "enable f16;\n".to_owned() } else { String::new() };
        text += &format!("alias Stored = {stored};\n");
        let (input, output) = match self {
            Self::Sum => ("vec4<f32>", stored),
            Self::Tiled { share: true, .. } => (stored, "vec4<f32>"),
            _ => (stored, stored),
        };
        text += &format!("alias Input = {input};\nalias Output = {output};\n");
        let parts: &[&str] = match self {
            Self::Direct => &[common, convolution, shader!("convolution_direct")],
            Self::Tiled { share: false, .. } => {
                &[common, convolution, shader!("convolution_whole"), shader!("convolution_tiled")]
            }
            Self::Tiled { share: true, .. } => {
                &[common, convolution, shader!("convolution_share"), shader!("convolution_tiled")]
            }
            Self::Sum => &[common, convolution, shader!("convolution_sum")],
            Self::Elementwise(_) => &[common, shader!("elementwise")],
            Self::Gram => &[common, shader!("gram")],
            Self::Compare => &[common, shader!("compare")],
            Self::Total => &[shader!("total")],
            Self::Update => &[shader!("decision"), shader!("update")],
            Self::Load => &[shader!("load")],
            Self::Show | Self::Keep => &[shader!("decision"), shader!("pictures")],
            Self::Sheet => &[shader!("sheet")],
        };
        text += &parts.concat();
        match self {
            Self::Tiled { tile, .. } => {
                let threads = tile.invocations();
                let constants = [
                    ("THREADS", threads),
                    ("THREADS_X", tile.threads.0),
                    ("THREADS_Y", tile.threads.1),
                    ("PIXELS", tile.pixels()),
                    ("BLOCKS", tile.blocks()),
                ];
                for (name, value) in constants {
                    text += &format!("const {name}: u32 = {value}u;\n");
                }
                let counts = [
                    ("ROWS", tile.registers.0),
                    ("COLUMNS", tile.registers.1),
                    ("LOADS", tile.pixels() * 4 / threads),
                    ("KERNEL_LOADS", (16 * tile.blocks()).div_ceil(threads)),
                ];
                expand(&text, &counts)
            }
            Self::Direct | Self::Gram => expand(&text, &[]),
            Self::Elementwise(name) => text + &format!("fn made(item: Item) -> vec4<f32> {{ return {name}(item); }}\n"),
            _ => text,
        }
    }
}

/// Writes out the repetitions in a shader: the lines from `//$i:COUNT` to `//$` stand for themselves with every `$i`
/// replaced by 0, 1, ... below the count, a number or a name. So sums stay in registers on every driver.
fn expand(text: &str, counts: &[(&str, usize)]) -> String {
    // Of every open repetition: its letter, its count, and its lines so far.
    let mut open = vec![(String::new(), 1, String::new())];
    for line in text.lines() {
        let marker = line.trim_start();
        if let Some((letter, count)) = marker.strip_prefix("//$").and_then(|rest| rest.split_once(':')) {
            let named = counts.iter().find(|(name, _)| *name == count).map(|(_, count)| *count);
            open.push((format!("${letter}"), named.or_else(|| count.parse().ok()).unwrap_or(0), String::new()));
        } else if marker == "//$" && open.len() > 1 {
            let Some((letter, count, lines)) = open.pop() else { continue };
            let written: String = (0..count).map(|i| lines.replace(&letter, &i.to_string())).collect();
            open.last_mut().into_iter().for_each(|outer| outer.2 += &written);
        } else if let Some((_, _, lines)) = open.last_mut() {
            *lines += line;
            lines.push('\n');
        }
    }
    open.swap_remove(0).2
}

/// A compiled kernel.
pub struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    bindings: (u32, u32),
}

impl Pipeline {
    /// Compiles a kernel.
    #[allow(unsafe_code)]
    pub(super) fn new(device: &wgpu::Device, program: Program, half: bool) -> Self {
        let source = program.source(half);
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some("solver"), source: wgpu::ShaderSource::Wgsl(source.into()) };
        // SAFETY: every loop of our shaders ends, and every index follows from the geometry that the plan made, which
        // has also sized the buffers.
        let module = unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
        let bindings = program.bindings();
        let entry = |binding: u32| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: match binding {
                _ if program == Program::Sheet && binding > bindings.0 => wgpu::BindingType::StorageTexture {
                    access: wgpu::StorageTextureAccess::WriteOnly,
                    format: Sheet::FORMAT,
                    view_dimension: wgpu::TextureViewDimension::D2Array,
                },
                _ => wgpu::BindingType::Buffer {
                    ty: match binding {
                        0 => wgpu::BufferBindingType::Uniform,
                        _ => wgpu::BufferBindingType::Storage { read_only: binding <= bindings.0 },
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
            },
            count: None,
        };
        let entries: Vec<_> = (0..=bindings.0 + bindings.1).map(entry).collect();
        let label = Some("solver");
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(program.entry()),
            compilation_options: wgpu::PipelineCompilationOptions {
                // What a workgroup reads of its memory it has written before.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        Self { pipeline, layout, bindings }
    }

    /// Binds uniforms, the buffers in their order, first those that are read, and what else there is.
    pub(super) fn bind(
        &self,
        device: &wgpu::Device,
        uniforms: &wgpu::Buffer,
        buffers: &[&wgpu::Buffer],
        texture: Option<&wgpu::TextureView>,
    ) -> wgpu::BindGroup {
        let all = std::iter::once(uniforms).chain(buffers.iter().copied()).map(wgpu::Buffer::as_entire_binding);
        let all = all.chain(texture.map(wgpu::BindingResource::TextureView));
        let entries: Vec<_> =
            all.enumerate().map(|(i, resource)| wgpu::BindGroupEntry { binding: i as u32, resource }).collect();
        debug_assert_eq!(entries.len() as u32, 1 + self.bindings.0 + self.bindings.1);
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("solver"),
            layout: &self.layout,
            entries: &entries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::naga;

    /// Every kernel there is.
    fn all() -> Vec<Program> {
        use Program::{Compare, Direct, Gram, Keep, Load, Sheet, Show, Sum, Total, Update};
        let entries = [
            "average",
            "average_back",
            "maximum",
            "maximum_back",
            "bilinear",
            "bilinear_back",
            "unfold",
            "unfold_back",
            "gram_back",
            "add",
            "add_back",
        ];
        let tiled = TILES.iter().flat_map(|&tile| [false, true].map(|share| Program::Tiled { tile, share }));
        let fixed = [Direct, Sum, Gram, Compare, Total, Update, Load, Show, Keep, Sheet];
        fixed.into_iter().chain(tiled).chain(entries.map(Program::Elementwise)).collect()
    }

    #[test]
    fn every_kernel_is_valid_and_keeps_to_the_shared_memory_of_every_device() {
        for (program, half) in all().into_iter().flat_map(|program| [(program, false), (program, true)]) {
            let source = program.source(half);
            let module = naga::front::wgsl::parse_str(&source)
                .unwrap_or_else(|error| panic!("{program:?}: {}", error.emit_to_string(&source)));
            let capabilities =
                if half { naga::valid::Capabilities::SHADER_FLOAT16 } else { naga::valid::Capabilities::empty() };
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
                .validate(&module)
                .unwrap_or_else(|error| panic!("{program:?}: {}", error.emit_to_string(&source)));
            assert!(module.entry_points.iter().any(|entry| entry.name == program.entry()), "{program:?}");
            let shared = module.global_variables.iter().filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
            let bytes: u32 = shared.map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx())).sum();
            assert!(bytes <= wgpu::Limits::default().max_compute_workgroup_storage_size, "{program:?}: {bytes}");
            assert!(!source.contains('$'), "{program:?} has repetitions that were not written out");
        }
    }

    #[test]
    fn every_shader_file_of_the_solver_is_used() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let sources: Vec<String> = all().into_iter().map(|program| program.source(false)).collect();
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let first = std::fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
            if name.starts_with("solve_") {
                assert!(sources.iter().any(|source| source.contains(&first)), "{name} is not used");
            }
        }
    }

    #[test]
    fn repetitions_nest() {
        let text = "a\n//$i:N\n//$j:2\nb$i$j\n//$\nc$i\n//$\nd\n";
        assert_eq!(expand(text, &[("N", 2)]), "a\nb00\nb01\nc0\nb10\nb11\nc1\nd\n");
    }
}
