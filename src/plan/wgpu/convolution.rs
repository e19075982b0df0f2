//! A convolution on the device: which sum it is (see `shaders/solve_convolution.wgsl`), which kernel computes it, and
//! how its weights are packed for that.

use super::device::Style;
use super::layout::View;
use super::programs::{Program, TILES, Tile};
use crate::ops::ConvSpec;

/// Blocks of kernels in a share of a sum, at least: shorter ones are not worth their start.
const SHORTEST_SHARE: usize = 32;

/// How one convolution, forward or backward, is computed.
pub struct Convolution {
    /// What computes it.
    pub program: Program,
    /// Invocations' uniforms.
    pub uniforms: Vec<u32>,
    /// The kernels, `[phase][tap][channel][outputs]`.
    pub kernels: Vec<f32>,
    /// Outputs of a phase in a picture, and those of a workgroup.
    pub grid: (usize, usize),
    /// Workgroups for the blocks of outputs, and for phases and shares.
    pub groups: (usize, usize),
    /// Shares that its sums are split into.
    pub splits: usize,
    /// Blocks that the shares take in all, for as many pictures as fit.
    pub scratch: usize,
    /// Phases.
    pub phases: usize,
    /// Pixels of the output that are taken for channels of one; 1: none are.
    pub flattened: usize,
    /// Multiplications and additions of a picture, in pairs.
    pub work: f64,
}

/// The square of taps that an output gathers, for every phase of its row.
struct Taps {
    side: usize,
    lead: usize,
    shift: usize,
    in_step: usize,
    out_step: usize,
}

impl Taps {
    fn new(spec: &ConvSpec) -> Self {
        let ConvSpec { kernel, stride, padding, .. } = *spec;
        if spec.transposed {
            let side = kernel.div_ceil(stride);
            Self { side, lead: padding, shift: side - 1, in_step: 1, out_step: stride }
        } else {
            Self { side: kernel, lead: 0, shift: padding, in_step: stride, out_step: 1 }
        }
    }

    /// The kernel's row (or column) at a tap of a phase; `None` beyond the kernel.
    fn kernel_at(&self, spec: &ConvSpec, phase: usize, tap: usize) -> Option<usize> {
        let at = match spec.transposed {
            true => (phase + spec.padding) % spec.stride + spec.stride * (self.side - 1 - tap),
            false => tap,
        };
        (at < spec.kernel).then_some(at)
    }
}

impl Convolution {
    /// Plans a convolution between two views for so many pictures; `None` where the kernels cannot do it.
    pub fn new(spec: &ConvSpec, weights: &[f32], from: &View, to: &View, count: usize, style: Style) -> Option<Self> {
        // A convolution whose input or output is one pixel is a plain product of matrices.
        let plain = spec.padding == 0;
        let square = |view: &View| (view.height, view.width) == (spec.kernel, spec.kernel);
        let point = |view: &View| (view.height, view.width) == (1, 1);
        let flat_from = (plain && !spec.transposed && point(to) && square(from)).then(|| from.flat()).flatten();
        let flat_to = (plain && spec.transposed && point(from) && square(to)).then(|| to.flat()).flatten();
        let flat = flat_from.is_some() || flat_to.is_some();
        let flattened = if flat_to.is_some() { to.height * to.width } else { 1 };
        let (from, to) = (flat_from.as_ref().unwrap_or(from), flat_to.as_ref().unwrap_or(to));
        let taps = match flat {
            true => Taps { side: 1, lead: 0, shift: 0, in_step: 1, out_step: 1 },
            false => Taps::new(spec),
        };
        let phases = taps.out_step * taps.out_step;
        let grid = (to.height.div_ceil(taps.out_step), to.width.div_ceil(taps.out_step));
        let area = grid.0 * grid.1;
        let blocks = taps.side * taps.side * from.blocks();
        let tile = tile_for(style, to.blocks(), count * area, phases);
        let (pixels, out_blocks) = tile.map_or((256, 1), |tile| (tile.pixels(), tile.blocks()));
        let groups = to.blocks().div_ceil(out_blocks);
        let workgroups = (count * area).div_ceil(pixels) * groups * phases;
        let splits = match style {
            Style::Tiled { enough } if tile.is_some() => {
                (enough / workgroups.max(1)).min(blocks / SHORTEST_SHARE).max(1)
            }
            _ => 1,
        };
        let share = blocks.div_ceil(splits).next_multiple_of(4);
        let splits = blocks.div_ceil(share);
        let kernel_blocks = blocks.next_multiple_of(4);
        let kernel_columns = to.blocks().next_multiple_of(out_blocks);
        let program = match tile {
            None => Program::Direct,
            Some(tile) => Program::Tiled { tile, share: splits > 1 },
        };
        let place = |phase: usize, tap: usize, from_at: usize, to_at: usize| match flat {
            true => Some(from_at + to_at),
            false => taps.kernel_at(spec, phase, tap),
        };
        let kernels = pack(spec, weights, (from, to), (phases, taps.side), (kernel_blocks, kernel_columns), &place);
        let uniforms = [
            [count * area, grid.0, grid.1, taps.out_step],
            [from.height, from.width, from.pixel, from.first],
            [from.blocks(), taps.in_step, to.height, to.width],
            [to.pixel, to.first, to.blocks(), taps.side],
            [taps.lead, taps.shift, kernel_blocks, kernel_columns],
            [splits, share, 0, 0],
        ];
        let uniforms = uniforms.into_iter().flatten().map(u32::try_from).collect::<Result<_, _>>().ok()?;
        let scratch = if splits > 1 { splits * phases * count * area * to.blocks() } else { 0 };
        let groups = (groups, phases * splits);
        let work = 16.0 * (phases * area * blocks * to.blocks()) as f64;
        Some(Self {
            program,
            uniforms,
            kernels,
            grid: (area, pixels),
            groups,
            splits,
            scratch,
            phases,
            flattened,
            work,
        })
    }
}

/// The widest tile that the outputs fill without too few workgroups; `None`: no tile is worth it.
fn tile_for(style: Style, blocks: usize, pixels: usize, phases: usize) -> Option<Tile> {
    let Style::Tiled { enough } = style else { return None };
    let [wide, medium, narrow, slim] = TILES;
    let workgroups = |tile: &Tile| pixels.div_ceil(tile.pixels()) * blocks.div_ceil(tile.blocks()) * phases;
    match blocks {
        0..=2 => None,
        3..=4 => Some(slim),
        5..=8 => Some(narrow),
        17.. if workgroups(&wide) >= enough => Some(wide),
        _ => Some(medium),
    }
}

/// Packs the kernels for both phases of rows and columns. `place` gives the kernel's row (or column) for a phase, a tap
/// and what the lanes of input and output say.
fn pack(
    spec: &ConvSpec,
    weights: &[f32],
    (from, to): (&View, &View),
    (phases, side): (usize, usize),
    (kernel_blocks, kernel_columns): (usize, usize),
    place: &dyn Fn(usize, usize, usize, usize) -> Option<usize>,
) -> Vec<f32> {
    let ConvSpec { inputs, outputs, kernel, transposed, .. } = *spec;
    let columns = 4 * kernel_columns;
    let mut packed = vec![0.0; phases * 4 * kernel_blocks * columns];
    let phase_side = if phases == 1 { 1 } else { spec.stride };
    for (phase, kernels) in packed.chunks_exact_mut(4 * kernel_blocks * columns).enumerate() {
        let phase = (phase / phase_side, phase % phase_side);
        for tap in 0..side * side {
            let lines = &mut kernels[tap * from.lanes.len() * columns..];
            for (line, input) in lines.chunks_exact_mut(columns).zip(&from.lanes) {
                let Some(input) = input else { continue };
                for (value, output) in line.iter_mut().zip(&to.lanes) {
                    let Some(output) = output else { continue };
                    let y = place(phase.0, tap / side, input.at.0, output.at.0);
                    let x = place(phase.1, tap % side, input.at.1, output.at.1);
                    if let (Some(y), Some(x)) = (y, x) {
                        let (i, o) = (input.channel, output.channel);
                        let pair = if transposed { i * outputs + o } else { o * inputs + i };
                        *value = weights[(pair * kernel + y) * kernel + x];
                    }
                }
            }
        }
    }
    packed
}
