//! Gram matrices of maps, and the gradients in these. Safe code over vectors of sixteen.

use super::elementwise::{Plane, Source, Target, rows, seen_row, store};
use crate::ops::simd::tiles::{Finish, Kernels};
use crate::ops::simd::wide::{Wide, Work, run};
use crate::ops::simd::{LANES, Simd};

/// A map of one picture.
#[derive(Clone)]
struct Features<'a> {
    planes: Vec<Plane<'a>>,
    channels: usize,
    height: usize,
}

impl<'a> Features<'a> {
    fn new(from: &Source<'a>, picture: usize) -> Self {
        let layout = from.layout;
        let blocks = layout.groups[from.group].clone();
        let channels = layout.lanes[blocks.clone()].iter().sum();
        let planes = (0..blocks.len()).map(|block| from.plane(picture, block)).collect();
        Self { planes, channels, height: layout.height }
    }

    /// What a sum of products over all pixels is divided by.
    fn divisor(&self) -> f32 {
        (self.channels * self.height * self.planes[0].width) as f32
    }
}

/// The rows of a Gram matrix, of one block of columns.
struct Products<'a> {
    features: Features<'a>,
    block: usize,
    to: &'a mut [f32],
    finish: Finish,
    seen: Plane<'a>,
}

impl Work for Products<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { features, block, to, finish, seen } = self;
        let factor = Wide::<S>::splat(1.0 / features.divisor());
        let own = features.planes[block];
        for (channel, to) in rows(to, 1).enumerate() {
            let (other, lane) = (features.planes[channel / LANES], channel % LANES);
            let mut sum = Wide::<S>::splat(0.0);
            // Row by row, so that long sums round less.
            for y in 0..features.height {
                let mut line = Wide::<S>::splat(0.0);
                for (own, other) in own.row(y).iter().zip(other.row(y)) {
                    line = Wide::load(own).times_plus(other[lane], line);
                }
                sum = sum.add(line);
            }
            store(&finish, to, seen_row(&seen, channel), 0, sum.multiply(factor));
        }
    }
}

/// The Gram matrices of the first `count` pictures.
pub fn gram(kernels: &Kernels, count: usize, from: Source, to: Target) {
    let finish = to.finish;
    to.for_each(count, |picture, block, to, seen| {
        run(kernels, Products { features: Features::new(&from, picture), block, to, finish, seen });
    });
}

/// The gradient in one block of a map.
struct Back<'a> {
    features: Features<'a>,
    /// The gradient in the matrix: all rows of this block's columns.
    gradient: Plane<'a>,
    to: &'a mut [f32],
    finish: Finish,
    seen: Plane<'a>,
}

impl Work for Back<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { features, gradient, to, finish, seen } = self;
        let width = features.planes[0].width;
        // The matrix has every product twice.
        let factor = Wide::<S>::splat(2.0 / features.divisor());
        for (y, to) in rows(to, width).enumerate() {
            let seen = seen_row(&seen, y);
            for x in 0..width {
                let mut sum = Wide::<S>::splat(0.0);
                for channel in 0..features.channels {
                    let value = features.planes[channel / LANES].row(y)[x][channel % LANES];
                    sum = Wide::load(&gradient.row(channel)[0]).times_plus(value, sum);
                }
                store(&finish, to, seen, x, sum.multiply(factor));
            }
        }
    }
}

/// Brings the gradients in the Gram matrices of the first `count` pictures, symmetric as they are, back to the maps
/// `origin` that these are of.
pub fn gram_back(kernels: &Kernels, count: usize, gradient: Source, origin: Source, to: Target) {
    let finish = to.finish;
    to.for_each(count, |picture, block, to, seen| {
        let features = Features::new(&origin, picture);
        run(kernels, Back { features, gradient: gradient.plane(picture, block), to, finish, seen });
    });
}
