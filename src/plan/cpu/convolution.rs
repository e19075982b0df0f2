//! A planned convolution: its kernels packed once, its geometry in tables, its work shared out over threads.

use super::super::layout::{LANES, Layout};
use super::geometry::{Grid, Tap, grids};
use super::pack::{Destination, MOST_TAPS, Packed, Source, Unit, What, units};
use super::winograd::{self, Squares};
use crate::ops::simd::prefetch::prefetch_line;
use crate::ops::simd::tiles::{Finish, Kernels, MOST_PIXELS, Places, Segment, Segments, TileSize};
use crate::ops::simd::{Floats, Share, Sharing};
use crate::ops::{Activation, ConvSpec, threads};
use std::ops::Range;

/// Tiles of a task of the direct way.
const TILES: usize = 12;

/// Which way a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The one that is estimated to be faster. Depends on shapes alone, never on how many pictures there are.
    Fastest,
    /// The same for kernels that are packed anew for every run.
    Learning,
    /// Product by product.
    Direct,
    /// Winograd's, where the shape allows it.
    Winograd,
}

/// A convolution that is ready to run.
pub struct Convolution {
    pub(super) kernels: &'static Kernels,
    pub(super) from: Layout,
    /// The blocks that are read.
    pub(super) inputs: Range<usize>,
    /// The layout of the map that is written.
    pub(super) to: Layout,
    /// The first block that is written.
    pub(super) first: usize,
    pub(super) units: Vec<Unit>,
    spec: ConvSpec,
    parts: Vec<Part>,
}

enum Part {
    Direct(Direct),
    Winograd(Squares),
}

/// A grid of outputs, product by product.
struct Direct {
    segments: Segments<'static>,
    /// Where each output reads and writes, in the planes of one picture.
    places: Vec<(u32, u32)>,
    taps: Vec<Tap>,
    packed: Packed,
}

/// Where results go.
pub struct Output<'a> {
    /// The map that is written.
    pub values: &'a mut [f32],
    /// What is done to the values of every block.
    pub finish: &'a [Finish],
    /// Sixteen values a block, or nothing.
    pub bias: &'a [f32],
    /// The activated values whose slopes are asked for, laid out as the map that is written, or nothing.
    pub seen: &'a [f32],
}

/// [`Output`] as all tasks share it. Tasks have different pixels or units, so they write different places: in one grid by
/// how [`Direct::tasks`] and [`Squares::run`] cut it, and grids lie between one another.
pub(super) struct Sink<'a> {
    pub values: Sharing<'a>,
    pub finish: &'a [Finish],
    pub bias: &'a [f32],
    pub seen: &'a [f32],
}

impl Sink<'_> {
    /// Finishes vectors of 16 and stores them at these places, counted from `at`, of a block, counted from the first that is
    /// written.
    #[inline]
    pub fn store(&self, conv: &Convolution, to: Share, block: usize, values: &[f32], (at, places): (usize, &Places)) {
        let plane = at + (conv.first + block) * conv.to.plane();
        let bias = if self.bias.is_empty() { &[] } else { &self.bias[block * LANES..] };
        conv.kernels.finish(&self.finish[block], bias, values, (to, plane), places, self.seen);
    }

    /// Asks for what [`Sink::store`] will look at and write.
    #[inline]
    pub fn prefetch(&self, conv: &Convolution, to: Share, block: usize, (at, places): (usize, &[usize])) {
        let plane = at + (conv.first + block) * conv.to.plane();
        places.iter().for_each(|place| to.prefetch(plane + place));
        if self.finish[block].slope != Activation::None {
            places.iter().for_each(|place| prefetch_line::<false>(self.seen, plane + place));
        }
    }
}

impl Convolution {
    /// Plans a convolution from a group of one map to a group of another, or, without a group, of all groups; `None`
    /// where its geometry does not fit.
    pub fn new(
        kernels: &'static Kernels,
        spec: &ConvSpec,
        weight: &[f32],
        (from, group): (&Layout, Option<usize>),
        (to, to_group): (&Layout, Option<usize>),
        way: Way,
    ) -> Option<Self> {
        let blocks = |layout: &Layout, group: Option<usize>| {
            group.map_or(0..layout.lanes.len(), |group| layout.groups[group].clone())
        };
        let (inputs, blocks) = (blocks(from, group), blocks(to, to_group));
        let lanes = &to.lanes[blocks.clone()];
        let fits = from.lanes[inputs.clone()].iter().sum::<usize>() == spec.inputs
            && lanes.iter().sum::<usize>() == spec.outputs;
        if !fits || (spec.output_side(from.height).ok()?, spec.output_side(from.width).ok()?) != (to.height, to.width) {
            return None;
        }
        let source = Source { spec: *spec, values: weight, from: &from.lanes[inputs.clone()], to: lanes };
        let units = units(kernels, lanes.len());
        let grids = grids(spec, (from.height, from.width))?;
        let parts = grids.iter().map(|grid| part(&source, &units, grid, (from, &inputs), to, way)).collect();
        let (from, to, first) = (from.clone(), to.clone(), blocks.start);
        Some(Self { kernels, from, inputs, to, first, units, spec: *spec, parts })
    }

    /// Takes other kernels, of the same shape.
    ///
    /// # Panics
    /// When there are too few values.
    pub fn repack(&mut self, weight: &[f32]) {
        assert!(weight.len() >= self.spec.weight_shape().iter().product());
        let blocks: usize = self.units.iter().map(|unit| unit.blocks).sum();
        let to = &self.to.lanes[self.first..self.first + blocks];
        let source = Source { spec: self.spec, values: weight, from: &self.from.lanes[self.inputs.clone()], to };
        let destinations = self.parts.iter_mut().map(|part| match part {
            Part::Direct(direct) => Destination { what: What::Taps(&direct.taps), packed: &mut direct.packed },
            Part::Winograd(squares) => squares.destination(),
        });
        source.pack(&self.units, destinations.collect());
    }

    /// The bytes of the packed kernels.
    pub fn bytes(&self) -> usize {
        let of = |part: &Part| match part {
            Part::Direct(direct) => direct.packed.bytes(),
            Part::Winograd(squares) => squares.kernels.bytes(),
        };
        self.parts.iter().map(of).sum()
    }

    /// Floats of memory that all threads share, for so many pictures.
    pub fn shared(&self, count: usize) -> usize {
        let of = |part: &Part| match part {
            Part::Direct(_) => 0,
            Part::Winograd(squares) => squares.shared(self, count),
        };
        self.parts.iter().map(of).max().unwrap_or(0)
    }

    /// Convolves the first `count` pictures of `x`.
    ///
    /// # Panics
    /// When a slice is shorter than the layouts say.
    pub fn run(&self, count: usize, x: &[f32], output: Output, shared: &mut Floats) {
        let Output { values, finish, bias, seen } = output;
        let blocks: usize = self.units.iter().map(|unit| unit.blocks).sum();
        assert!(x.len() >= count * self.from.image() && values.len() >= count * self.to.image());
        assert!(finish.len() >= blocks && (bias.is_empty() || bias.len() >= blocks * LANES));
        let all = count * self.to.image();
        let seen = if seen.is_empty() { seen } else { &seen[..all] };
        let sink = Sink { values: Sharing::new(&mut values[..all]), finish, bias, seen };
        // The grids of a transposed convolution are small and many: their tasks are shared out together.
        let mut tasks = Vec::new();
        for part in &self.parts {
            match part {
                Part::Direct(direct) => direct.tasks(self, count, self.parts.len(), |task| tasks.push((direct, task))),
                Part::Winograd(squares) => squares.run(self, count, x, &sink, shared),
            }
        }
        threads::for_each(tasks.len(), |i| {
            let (direct, task) = &tasks[i];
            direct.run(self, task, x, &sink, sink.values.task(i));
        });
    }
}

fn part(
    source: &Source,
    units: &[Unit],
    grid: &Grid,
    (from, inputs): (&Layout, &Range<usize>),
    to: &Layout,
    way: Way,
) -> Part {
    if way != Way::Direct
        && source.spec.kernel * source.spec.kernel <= MOST_TAPS
        && let Some((r, views)) = grid.views()
    {
        let fits = |side: &usize| grid.size.0.is_multiple_of(*side) && grid.size.1.is_multiple_of(*side);
        let sides: &[usize] = if r == 3 { &[4] } else { &[4, 2] };
        let setting = winograd::Setting::of(way);
        let cost = |side: usize| winograd::cost(source, units, grid, (side + r - 1, r, side), views.len(), setting);
        let limit =
            if way == Way::Winograd { f64::INFINITY } else { winograd::direct_cost(source, units, grid, setting) };
        let best = sides.iter().copied().filter(fits).min_by(|a, b| cost(*a).total_cmp(&cost(*b)));
        if let Some(side) = best.filter(|&side| cost(side) < limit) {
            let points = side + r - 1;
            let packed = match winograd::transforms_late(source, units, grid, (points, side), views.len(), setting) {
                true => winograd::Kernels::Late(source.packed(units, What::Views(&views))),
                false => winograd::Kernels::Ready(source.packed(units, What::Winograd(&views, points, r))),
            };
            return Part::Winograd(Squares::new((from, source.from), to, grid, (points, side), views, packed));
        }
    }
    let offset = |dy: isize, dx: isize| dy * from.row() as isize + dx * LANES as isize;
    let blocks = || inputs.clone().zip(source.from);
    let segment = |(tap, (block, &length)): (&Tap, (usize, &usize))| Segment {
        offset: offset(tap.dy, tap.dx) + (block * from.plane()) as isize,
        length,
    };
    let segments: Vec<Segment> =
        grid.taps.iter().flat_map(|tap| blocks().map(move |block| (tap, block))).map(segment).collect();
    let segments = Segments::new(segments);
    let place = |(y, x): (usize, usize)| {
        let read = from.at((y * grid.step_in) as isize, (x * grid.step_in) as isize);
        let (row, column) = (grid.offset.0 + y * grid.step_out, grid.offset.1 + x * grid.step_out);
        (read as u32, to.at(row as isize, column as isize) as u32)
    };
    let places = (0..grid.size.0).flat_map(|y| (0..grid.size.1).map(move |x| (y, x))).map(place).collect();
    Part::Direct(Direct {
        segments,
        places,
        packed: source.packed(units, What::Taps(&grid.taps)),
        taps: grid.taps.clone(),
    })
}

/// Outputs `pixels` (counted over all pictures) of some units.
struct Task {
    pixels: (usize, usize),
    units: (usize, usize),
}

impl Direct {
    fn tasks(&self, conv: &Convolution, count: usize, parts: usize, mut add: impl FnMut(Task)) {
        let all = count * self.places.len();
        let pixels = TILES * conv.kernels.pixels;
        let (chunks, threads) = (all.div_ceil(pixels), threads::count());
        // With few pixels the outputs are shared out as well.
        let split = if threads == 1 { 1 } else { (3 * threads).div_ceil((chunks * parts).max(1)) };
        let height = conv.units.len().div_ceil(split);
        for start in (0..all).step_by(pixels) {
            for unit in (0..conv.units.len()).step_by(height) {
                let last = conv.units.len().min(unit + height);
                add(Task { pixels: (start, all.min(start + pixels)), units: (unit, last) });
            }
        }
    }

    fn run(&self, conv: &Convolution, task: &Task, x: &[f32], sink: &Sink, to: Share) {
        let width = conv.kernels.pixels;
        let (start, end) = task.pixels;
        let mut read = [[0usize; MOST_PIXELS]; TILES];
        let mut write = [[0usize; MOST_PIXELS]; TILES];
        let area = self.places.len();
        for i in 0..(end - start).next_multiple_of(width) {
            // A tile that is not full computes its last pixel more than once.
            let pixel = (start + i).min(end - 1);
            let (picture, (from, to)) = (pixel / area, self.places[pixel % area]);
            read[i / width][i % width] = picture * conv.from.image() + from as usize;
            write[i / width][i % width] = picture * conv.to.image() + to as usize;
        }
        let used = |i: usize| width.min((end - start).saturating_sub(i * width));
        let places: [Places; TILES] = std::array::from_fn(|i| Places::new(&write[i][..used(i)]));
        let mut sums = Sums([0.0; 2 * MOST_PIXELS * LANES]);
        for unit in task.units.0..task.units.1 {
            let weights = self.packed.unit(unit);
            let Unit { block, blocks } = conv.units[unit];
            for (i, first) in (start..end).step_by(width).enumerate() {
                let count = width.min(end - first);
                let size = TileSize { blocks, pixels: count, add: false };
                conv.kernels.tile(size, x, &read[i], &self.segments, weights, &mut sums.0, MOST_PIXELS * LANES);
                for b in 0..blocks {
                    sink.store(conv, to, block + b, &sums.0[b * MOST_PIXELS * LANES..], (0, &places[i]));
                }
            }
        }
    }
}

/// A tile of results, on its own cache lines.
#[repr(align(64))]
pub(super) struct Sums(pub [f32; 2 * MOST_PIXELS * LANES]);
