//! The products of transformed squares with transformed kernels, and their transform back to outputs.

use super::super::convolution::{Convolution, Sink, Sums};
use super::super::pack::{Packed, Unit};
use super::{AHEAD, Kernels, Squares, Transformed};
use crate::ops::simd::tiles::{Columns, MOST_PIXELS, Places, Segment, Segments};
use crate::ops::simd::transform::{FEW_COLUMNS, FewColumns, KernelTransform, row_groups};
use crate::ops::simd::wide::run;
use crate::ops::simd::{LANES, Share};
use std::ops::Range;

/// Squares that a task multiplies with the kernels of some units.
pub(super) struct Piece<'a> {
    pub conv: &'a Convolution,
    pub squares: &'a Squares,
    pub units: Range<usize>,
    /// All transformed squares.
    pub values: &'a [f32],
    pub form: Transformed,
    /// The column of the first square among them, and which squares.
    pub column: usize,
    pub range: Range<usize>,
}

/// Channels that are multiplied at a time.
struct Channels<'a> {
    /// Where their tiles begin in a point of the transformed squares, and the floats between tiles.
    x: (usize, usize),
    segments: &'a Segments<'a>,
    /// The first of them, and how many.
    first: usize,
    depth: usize,
}

impl Piece<'_> {
    /// Multiplies and stores, with [`Squares::room`].
    pub fn run(&self, sink: &Sink, to: Share, room: &mut [f32]) {
        let (products, rows) = room.split_at_mut(self.units.len() * self.unit());
        match &self.squares.kernels {
            Kernels::Ready(packed) => self.ready(packed, products),
            Kernels::Late(packed) if self.few() => self.late_few(packed, products),
            Kernels::Late(packed) => self.late(packed, products, rows),
        }
        self.store(sink, to, products);
    }

    /// Whether kernels are transformed for few columns alone, which are of one tile.
    fn few(&self) -> bool {
        let late = matches!(self.squares.kernels, Kernels::Late(_));
        late && self.squares.side == 4 && self.range.len() <= FEW_COLUMNS.min(self.conv.kernels.pixels)
    }

    /// Columns of a unit's products.
    fn columns(&self) -> usize {
        if self.few() { self.range.len() } else { self.conv.kernels.computed(self.range.len()) }
    }

    /// Floats of a unit's products.
    fn unit(&self) -> usize {
        self.squares.products(self.conv, self.columns())
    }

    /// Floats between the products at one point and at the next.
    fn point(&self, unit: usize) -> usize {
        (self.conv.units[unit].blocks * self.columns() + 1) * LANES
    }

    /// The views and blocks of a chunk, and where their tiles lie: see [`Channels::x`].
    fn chunks(&self) -> impl Iterator<Item = (&[usize], (usize, usize))> {
        let (chunks, width) = (self.squares.chunks(), self.conv.kernels.pixels);
        self.squares.lanes.chunks(chunks).enumerate().map(move |(i, lanes)| {
            let tile = self.squares.tile(i * chunks, self.column / width, self.form.tiles);
            (lanes, (tile * width * LANES, lanes.len() * width * LANES))
        })
    }

    /// The segments of a chunk in a tile.
    fn segments(&self, lanes: &[usize]) -> impl ExactSizeIterator<Item = Segment> {
        let width = self.conv.kernels.pixels;
        lanes.iter().enumerate().map(move |(i, &length)| Segment { offset: (i * width * LANES) as isize, length })
    }

    fn ready(&self, packed: &Packed, products: &mut [f32]) {
        let points = self.squares.points;
        for (lanes, x) in self.chunks() {
            let depth = lanes.iter().sum();
            with_segments(self.segments(lanes), |segments| {
                let channels = Channels { x, segments, first: 0, depth };
                for (unit, row) in self.units.clone().flat_map(|unit| (0..points).map(move |row| (unit, row))) {
                    let size = depth * self.conv.units[unit].blocks * LANES;
                    let (weights, next) = packed.units_from(unit)[row * points * size..].split_at(points * size);
                    let ahead = &next[..next.len().min(points * size)];
                    self.multiply(unit, row..row + 1, &channels, (weights, size), ahead, products);
                }
            });
        }
    }

    fn late(&self, packed: &Packed, products: &mut [f32], rows: &mut [f32]) {
        let mut first = 0;
        for (lanes, x) in self.chunks() {
            with_segments(self.segments(lanes), |segments| {
                let channels = Channels { x, segments, first, depth: lanes.iter().sum() };
                self.transform_and_multiply(packed, &channels, products, rows);
                first += channels.depth;
            });
        }
    }

    fn late_few(&self, packed: &Packed, products: &mut [f32]) {
        let (points, taps) = (self.squares.points, self.squares.points + 1 - self.squares.side);
        products.fill(0.0);
        for (products, unit) in products.chunks_mut(self.unit()).zip(self.units.clone()) {
            let (blocks, mut kernels) = (self.conv.units[unit].blocks, packed.units_from(unit));
            for (lanes, x) in self.chunks() {
                for Segment { offset, length: channels } in self.segments(lanes) {
                    let x = (&self.values[x.0 + offset as usize..], self.form.point);
                    let to = (&mut *products, self.point(unit), self.columns() * LANES);
                    let columns = self.range.len();
                    run(self.conv.kernels, FewColumns { points, columns, x, channels, kernels, blocks, to });
                    kernels = &kernels[channels * taps * taps * blocks * LANES..];
                }
            }
        }
    }

    /// Transforms the kernels of some channels, a group of rows of points at a time, and multiplies them.
    fn transform_and_multiply(
        &self,
        packed: &Packed,
        channels: &Channels,
        products: &mut [f32],
        transformed: &mut [f32],
    ) {
        let (points, taps) = (self.squares.points, self.squares.points + 1 - self.squares.side);
        let groups = row_groups(points).iter();
        for (rows, unit) in groups.flat_map(|rows| self.units.clone().map(move |unit| (rows, unit))) {
            let width = self.conv.units[unit].blocks * LANES;
            let size = taps * taps * width;
            let (from, rest) = packed.unit(unit)[channels.first * size..].split_at(channels.depth * size);
            // After the last channels, the first ones of the units that follow these.
            let following = (unit + self.units.len()).min(self.conv.units.len());
            let next = if rest.is_empty() { packed.units_from(following) } else { rest };
            let next = &next[..next.len().min(channels.depth * size)];
            let part = |row: usize| next.len() * row / points;
            let stride = channels.depth * width + LANES;
            let to = &mut transformed[..rows.len() * points * stride];
            run(self.conv.kernels, KernelTransform { points, rows: rows.clone(), width, from, to });
            let ahead = &next[part(rows.start)..part(rows.end)];
            self.multiply(unit, rows.clone(), channels, (transformed, stride), ahead, products);
        }
    }

    /// Multiplies some channels with a unit's kernels at some rows of points, and asks for what is needed next.
    fn multiply(
        &self,
        unit: usize,
        rows: Range<usize>,
        channels: &Channels,
        weights: (&[f32], usize),
        ahead: &[f32],
        products: &mut [f32],
    ) {
        let (first, points) = (rows.start * self.squares.points, rows.len() * self.squares.points);
        let columns = Columns {
            points,
            count: self.range.len(),
            x: (&self.values[first * self.form.point + channels.x.0..], self.form.point, channels.x.1),
            segments: channels.segments,
            weights,
            blocks: self.conv.units[unit].blocks,
            add: channels.first > 0,
            ahead,
        };
        let (point, block) = (self.point(unit), self.columns() * LANES);
        let to = &mut products[(unit - self.units.start) * self.unit() + first * point..];
        // The columns beyond the last square hold anything.
        self.conv.kernels.columns(&columns, (to, point, block));
    }

    /// Transforms the products back and stores them.
    fn store(&self, sink: &Sink, to: Share, products: &[f32]) {
        let Self { conv, squares, .. } = self;
        let pixels = &squares.pixels[..squares.side * squares.side];
        let places = Places::new(pixels);
        let mut sums = Sums([0.0; 2 * MOST_PIXELS * LANES]);
        for (products, unit) in products.chunks(self.unit()).zip(self.units.clone()) {
            let Unit { block, blocks } = conv.units[unit];
            let (columns, point) = (self.columns(), self.point(unit));
            for (i, square) in self.range.clone().enumerate() {
                if square + AHEAD < self.range.end {
                    let first = self.written(square + AHEAD);
                    (block..block + blocks).for_each(|block| sink.prefetch(conv, to, block, (first, pixels)));
                }
                let first = self.written(square);
                for b in 0..blocks {
                    let at = (b * columns + i) * LANES;
                    conv.kernels.output(squares.points, &products[at..], point, &mut sums.0);
                    sink.store(conv, to, block + b, &sums.0, (first, &places));
                }
            }
        }
    }

    /// Where a square begins in the first plane that is written.
    #[inline]
    fn written(&self, square: usize) -> usize {
        let writes = &self.squares.writes;
        square / writes.len() * self.conv.to.image() + writes[square % writes.len()] as usize
    }
}

/// Segments on the stack where they fit.
fn with_segments<R>(segments: impl ExactSizeIterator<Item = Segment>, work: impl FnOnce(&Segments) -> R) -> R {
    const MOST: usize = 128;
    let count = segments.len();
    if count > MOST {
        return work(&Segments::new(segments.collect::<Vec<_>>()));
    }
    let mut room = [Segment { offset: 0, length: 0 }; MOST];
    room.iter_mut().zip(segments).for_each(|(room, segment)| *room = segment);
    work(&Segments::new(&room[..count]))
}
