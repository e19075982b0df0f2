//! What the inner loops are asked for.

use super::super::LANES;
use super::super::sharing::Share;
use crate::ops::Activation;
use std::borrow::Cow;
use std::ops::Range;

/// Channels that are read one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where they begin, in floats from the place of the pixel.
    pub offset: isize,
    /// How many.
    pub length: usize,
}

/// Segments, and which floats they take in.
pub struct Segments<'a> {
    pub(super) list: Cow<'a, [Segment]>,
    /// The first float, and one past the last, from the place of the pixel.
    pub(super) reach: (isize, isize),
    /// All channels.
    pub(super) channels: usize,
}

impl<'a> Segments<'a> {
    /// Looks through segments.
    pub fn new(list: impl Into<Cow<'a, [Segment]>>) -> Self {
        let list = list.into();
        let (mut reach, mut channels) = ((0, 0), 0usize);
        for segment in list.iter().filter(|segment| segment.length > 0) {
            let end = segment.offset.saturating_add_unsigned(segment.length);
            reach = (segment.offset.min(reach.0), end.max(reach.1));
            channels = channels.saturating_add(segment.length);
        }
        Self { list, reach, channels }
    }
}

/// Places of vectors, and the last of them.
pub struct Places<'a> {
    pub(super) list: &'a [usize],
    pub(super) last: usize,
}

impl<'a> Places<'a> {
    /// Looks through places.
    #[inline]
    pub fn new(list: &'a [usize]) -> Self {
        Self { list, last: list.iter().fold(0, |last, &place| last.max(place)) }
    }
}

/// How squares are transformed, and which floats that takes in.
pub struct InputTransform {
    pub(super) points: usize,
    pub(super) steps: (usize, usize),
    pub(super) stride: usize,
    /// The floats that are read, from the first on, and those among which the result is written.
    pub(super) reads: usize,
    pub(super) writes: usize,
}

impl InputTransform {
    /// Squares of `points * points` vectors of sixteen (3, 5 or 6 points), rows and columns `steps` floats apart, to as
    /// many vectors `stride` floats apart.
    ///
    /// # Panics
    /// For other numbers of points, and for steps beyond all bounds.
    pub fn new(points: usize, steps: (usize, usize), stride: usize) -> Self {
        const MOST: usize = 1 << 48;
        assert!([3, 5, 6].contains(&points) && steps.0 < MOST && steps.1 < MOST && stride < MOST);
        let reads = (points - 1) * (steps.0 + steps.1) + LANES;
        Self { points, steps, stride, reads, writes: (points * points - 1) * stride + LANES }
    }
}

/// [`InputTransform`] for the transpose of what [`super::Kernels::output`] does.
pub struct SpreadTransform(pub(super) InputTransform);

impl SpreadTransform {
    /// From squares of 2x2 (of 3 points) or 4x4 vectors of sixteen, whose rows are `row` floats apart, to
    /// `points * points` vectors `stride` floats apart.
    ///
    /// # Panics
    /// As [`InputTransform::new`].
    pub fn new(points: usize, row: usize, stride: usize) -> Self {
        let how = InputTransform::new(points, (row, LANES), stride);
        let side = if points == 3 { 2 } else { 4 };
        Self(InputTransform { reads: (side - 1) * (row + LANES) + LANES, ..how })
    }
}

/// What is done to a value before it is stored: what lies there is added, then the bias; then the activation, or the
/// slope of the activation at the value that it once gave.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Finish {
    /// Whether what lies there is added.
    pub add: bool,
    /// The activation of the forward pass.
    pub activation: Activation,
    /// The activation whose slope the value is multiplied by.
    pub slope: Activation,
}

/// What a tile covers.
#[derive(Clone, Copy, Debug)]
pub struct TileSize {
    /// Blocks of outputs.
    pub blocks: usize,
    /// Pixels that are asked for, at most [`super::Kernels::pixels`]: where they are few, nothing is done for the others.
    pub pixels: usize,
    /// Whether the sums are added to what lies there.
    pub add: bool,
}

/// Sums of outer products: see [`super::Kernels::outer`].
#[derive(Clone, Copy)]
pub struct Outer<'a> {
    /// The left side: where its first vector lies, and the floats between one and the next.
    pub left: (&'a [f32], usize, usize),
    /// The same of the right side.
    pub right: (&'a [f32], usize, usize),
    /// Floats between the blocks of the right side.
    pub block: usize,
    /// How many products are summed.
    pub count: usize,
    /// The sum: where its first row lies, and the floats between its rows.
    pub to: (Share<'a>, usize, usize),
    /// Whether what lies there is added.
    pub add: bool,
    /// More such sums.
    pub repeat: Repeat,
}

/// How many sums there are, and the floats from one to the next: of the left side, the right side and the sum itself.
#[derive(Clone, Copy)]
pub struct Repeat {
    /// Sums.
    pub times: usize,
    /// Floats between their left sides.
    pub left: usize,
    /// Between their right sides.
    pub right: usize,
    /// Between the sums.
    pub to: usize,
}

impl Repeat {
    /// One sum.
    pub const NONE: Self = Self { times: 1, left: 0, right: 0, to: 0 };
}

/// [`Outer`] for so many times [`super::Kernels::rows`] rows, with pointers.
pub(super) struct Products {
    pub(super) left: (*const f32, usize),
    pub(super) right: (*const f32, usize),
    pub(super) block: usize,
    pub(super) count: usize,
    pub(super) to: (*mut f32, usize),
    pub(super) add: bool,
    pub(super) repeat: Repeat,
    pub(super) groups: usize,
}

/// Values that are needed soon, which a tile asks for in between: a few lines of the cache with every segment, so that they
/// do not wait for one another.
pub(super) struct Ahead {
    pub(super) at: *const f32,
    pub(super) end: *const f32,
    /// Lines for each segment.
    pub(super) lines: usize,
}

impl Ahead {
    #[inline(always)]
    pub(super) fn new(values: &[f32], segments: usize) -> Self {
        let Range { start: at, end } = values.as_ptr_range();
        Self { at, end, lines: values.len().div_ceil(LANES).div_ceil(segments.max(1)) }
    }
}

/// Products at several points: see [`super::Kernels::columns`].
pub struct Columns<'a> {
    /// Points.
    pub points: usize,
    /// Columns of each point.
    pub count: usize,
    /// Where the first tile of the first point lies, and the floats between points and between tiles.
    pub x: (&'a [f32], usize, usize),
    /// The channels, from the place of a column on.
    pub segments: &'a Segments<'a>,
    /// `[all channels][blocks * 16]` for every point, and the floats between points.
    pub weights: (&'a [f32], usize),
    /// Blocks of outputs.
    pub blocks: usize,
    /// Whether the sums are added to what lies there.
    pub add: bool,
    /// What is needed soon, and asked for meanwhile.
    pub ahead: &'a [f32],
}

/// [`Columns`] with pointers.
pub(super) struct ColumnsAt<'a> {
    pub(super) points: usize,
    pub(super) count: usize,
    pub(super) x: (*const f32, usize, usize),
    pub(super) segments: &'a [Segment],
    pub(super) weights: (*const f32, usize),
    pub(super) blocks: usize,
    pub(super) add: bool,
    pub(super) to: (*mut f32, usize, usize),
    pub(super) ahead: Ahead,
}
