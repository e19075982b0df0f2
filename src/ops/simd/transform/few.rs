//! Products of few columns: kernels are transformed a register at a time and multiplied at once, without a way through
//! memory.
//!
//! # Safety
//! As of the folder.

use super::super::prefetch::line;
use super::super::vector::Simd;
use super::super::wide::Work;
use super::super::{LANES, unroll};
use super::kernels::{line5, line6, rows5, rows6, taps};

/// The most columns that are few.
pub const FEW_COLUMNS: usize = 4;

/// The products of up to [`FEW_COLUMNS`] columns at all points with kernels that are transformed for them alone: to every
/// `to[point][block][column][16]` the sum over the channels of `x[point][column][channel]` and the transformed kernels is
/// added.
pub struct FewColumns<'a> {
    /// Points along each axis: those of squares of 4x4 outputs.
    pub points: usize,
    /// Columns.
    pub columns: usize,
    /// Where the first column of the first point lies; columns lie sixteen floats apart, points so many.
    pub x: (&'a [f32], usize),
    /// Channels, sixteen at the most.
    pub channels: usize,
    /// Their kernels, `[channel][taps * taps][blocks * 16]`, and those that follow, which are asked for.
    pub kernels: &'a [f32],
    /// Blocks of outputs, two at the most.
    pub blocks: usize,
    /// The sums, and the floats between points and between blocks.
    pub to: (&'a mut [f32], usize, usize),
}

impl Work for FewColumns<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { points, columns, x: (x, x_point), channels, kernels, blocks, to: (to, point, block) } = self;
        assert!([5, 6].contains(&points) && (1..=FEW_COLUMNS).contains(&columns) && channels <= LANES);
        assert!((1..=2).contains(&blocks) && block <= to.len());
        let (step, size) = (blocks * LANES, taps(points) * taps(points) * blocks * LANES);
        let last = points * points - 1;
        assert!(x.len() >= columns * LANES && (x.len() - columns * LANES) / last >= x_point);
        assert!(kernels.len() / size >= channels);
        let plane = (blocks - 1) * block + columns * LANES;
        assert!(to.len() >= plane && (to.len() - plane) / last >= point);
        for (b, lane) in (0..blocks).flat_map(|b| (0..LANES).step_by(S::LANES).map(move |lane| (b, lane))) {
            let mut channel = 0;
            while channel < channels {
                let pair = channel + 2 <= channels;
                let mut column = 0;
                while column < columns {
                    // SAFETY: asserted: the taps of all channels, the columns of all points, and the sums of all of them.
                    unsafe {
                        let from = kernels.as_ptr().add(channel * size + b * LANES + lane);
                        let x = x.as_ptr().add(column * LANES + channel);
                        let to = to.as_mut_ptr().add(b * block + column * LANES + lane);
                        let at = At { from, size, step, x, x_point, to, point };
                        // Other numbers are rare, and all of them together would take long to compile.
                        column += match (pair, columns - column) {
                            (true, 4..) => at.multiply::<S, 2, 4>(points),
                            (true, _) => at.multiply::<S, 2, 1>(points),
                            (false, _) => at.multiply::<S, 1, 1>(points),
                        };
                    }
                }
                channel += if pair { 2 } else { 1 };
            }
        }
    }
}

/// A register of outputs: its kernels, the floats between channels and between taps; its columns and sums, and the floats
/// between points.
#[derive(Clone, Copy)]
struct At {
    from: *const f32,
    size: usize,
    step: usize,
    x: *const f32,
    x_point: usize,
    to: *mut f32,
    point: usize,
}

impl At {
    /// Multiplies some channels and columns, and says how many columns they were.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const CHANNELS: usize, const COLUMNS: usize>(self, points: usize) -> usize {
        unsafe {
            match points {
                6 => self.multiply6::<S, CHANNELS, COLUMNS>(),
                _ => self.multiply5::<S, CHANNELS, COLUMNS>(),
            }
        }
        COLUMNS
    }
}

/// [`At::multiply`] for a number of points and taps along each axis; the first and how many rows of each of the groups that
/// `row_groups` has.
macro_rules! multiply {
    ($name:ident, $points:literal, $taps:literal, $rows:ident, $line:ident, $([$first:literal, $count:literal])*) => {
        impl At {
            #[inline(always)]
            unsafe fn $name<S: Simd, const CHANNELS: usize, const COLUMNS: usize>(mut self) {
                unsafe {
                    $({
                        let mut lines = [[[S::zero(); $points]; 2]; CHANNELS];
                        unroll!(C in [0 1] {
                            if C < CHANNELS {
                                let from = self.from.wrapping_add(C * self.size);
                                let [one, two] = $rows::<S>($first, from, self.step);
                                lines[C] = [$line::<S>(one), $line::<S>(two)];
                                // Those of the next sixteen channels, a part with each group of rows.
                                let ahead = from.wrapping_add(LANES * self.size);
                                const AREA: usize = $taps * $taps;
                                for tap in $first * AREA / $points..($first + $count) * AREA / $points {
                                    line::<false>(ahead.wrapping_add(tap * self.step));
                                }
                            }
                        });
                        self.add_rows::<S, CHANNELS, COLUMNS, $points>(&lines, $count);
                    })*
                }
            }
        }
    };
}

multiply!(multiply6, 6, 3, rows6, line6, [0, 1] [1, 2] [3, 2] [5, 1]);
multiply!(multiply5, 5, 2, rows5, line5, [0, 2] [2, 2] [4, 1]);

impl At {
    /// Adds the products at one row of points or two, and goes on to the next.
    #[inline(always)]
    unsafe fn add_rows<S: Simd, const CHANNELS: usize, const COLUMNS: usize, const POINTS: usize>(
        &mut self,
        lines: &[[[S::Vector; POINTS]; 2]; CHANNELS],
        rows: usize,
    ) {
        unroll!(R in [0 1] {
            unroll!(P in [0 1 2 3 4 5] {
                if R < rows && P < POINTS {
                    for column in 0..COLUMNS {
                        // SAFETY: `FewColumns` asserted that all columns of all points are there.
                        unsafe {
                            let x = self.x.wrapping_add(column * LANES);
                            let to = self.to.wrapping_add(column * LANES);
                            let mut sum = S::load(to);
                            unroll!(C in [0 1] {
                                if C < CHANNELS {
                                    sum = S::multiply_add(S::splat(*x.wrapping_add(C)), lines[C][R][P], sum);
                                }
                            });
                            S::store(to, sum);
                        }
                    }
                    (self.x, self.to) = (self.x.wrapping_add(self.x_point), self.to.wrapping_add(self.point));
                }
            });
        });
    }
}
