//! Filling panels with pixels: which run of which row goes to which lanes.

use crate::ops::simd::panels::{Kernels, Run};

/// A batch of pictures whose channels consist of one or more planes: `[batch, channels, planes, height, width]`.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The values.
    pub data: &'a [f32],
    /// Channels of a picture.
    pub channels: usize,
    /// Planes of a channel: 1, or stride * stride where the picture was split by [`split`].
    pub planes: usize,
    /// Rows of a plane.
    pub height: usize,
    /// Columns of a plane.
    pub width: usize,
}

/// Where a row of the gathered matrix comes from, relative to the output pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Which plane of the channel.
    pub plane: usize,
    /// Rows below the output's row.
    pub dy: isize,
    /// Columns right of the output's column.
    pub dx: isize,
}

/// The output pixels as columns of the matrix: column `(n * rows + row) * columns + column`.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Pictures.
    pub batch: usize,
    /// Output rows of a picture.
    pub rows: usize,
    /// Output columns of a picture.
    pub columns: usize,
}

impl Grid {
    /// All columns of the matrix.
    pub fn len(&self) -> usize {
        self.batch * self.rows * self.columns
    }

    /// Calls `each(lane, n, row, first column, length)` for the parts of `start..start + count` that lie in one row.
    pub fn for_each_row(&self, start: usize, count: usize, mut each: impl FnMut(usize, usize, usize, usize, usize)) {
        let mut at = start;
        while at < start + count {
            let (row, column) = (at / self.columns, at % self.columns);
            let length = (self.columns - column).min(start + count - at);
            each(at - start, row / self.rows, row % self.rows, column, length);
            at += length;
        }
    }
}

/// Fills `out: [channels * taps, row_length]` with what the columns `start..start + count` of the matrix need from the
/// channels `first..first + channels` of the source; what lies outside the pictures is 0. Only the first `vectors`
/// vectors of a row are written.
#[allow(clippy::too_many_arguments)]
pub fn gather(
    kernels: &Kernels,
    source: &Source,
    taps: &[Tap],
    (first, channels): (usize, usize),
    grid: &Grid,
    (start, count): (usize, usize),
    (vectors, row_length): (usize, usize),
    out: &mut [f32],
) {
    let lanes = kernels.lanes;
    let (height, width) = (source.height as isize, source.width as isize);
    let plane_size = source.height * source.width;
    let channel_size = source.planes * plane_size;
    assert!(
        count <= vectors * lanes && vectors * lanes <= row_length && out.len() >= channels * taps.len() * row_length
    );
    assert!(source.data.len() >= grid.batch * source.channels * channel_size && first + channels <= source.channels);
    let mut runs: Vec<Run> = Vec::with_capacity(2 * vectors);
    for (t, tap) in taps.iter().enumerate() {
        assert!(tap.plane < source.planes);
        runs.clear();
        grid.for_each_row(start, count, |lane, n, row, column, length| {
            let y = row as isize + tap.dy;
            if !(0..height).contains(&y) {
                return;
            }
            let base = ((n * source.channels + first) * channel_size + tap.plane * plane_size) as isize + y * width;
            // The part of the run whose pixels exist: column + i + dx in 0..width.
            let x = column as isize + tap.dx;
            let low = lane + (-x).max(0) as usize;
            let high = lane + (width - x).clamp(0, length as isize) as usize;
            let mut at = low;
            while at < high {
                let vector = at / lanes;
                let end = high.min((vector + 1) * lanes);
                let offset = base + x + (vector * lanes) as isize - lane as isize;
                runs.push(Run { vector, low: at - vector * lanes, high: end - vector * lanes, offset });
                at = end;
            }
        });
        let to = &mut out[t * row_length..];
        // The runs were clipped to the pictures.
        kernels.gather(&runs, vectors, channels, source.data, channel_size, to, taps.len() * row_length);
    }
}

/// Splits pictures `[count, height, width]` into `stride * stride` planes each, so that a strided convolution becomes
/// one of stride 1: plane `(y % stride) * stride + x % stride` holds pixel `(y / stride, x / stride)`. Returns the
/// planes with their height and width; missing pixels are 0.
pub fn split(data: &[f32], height: usize, width: usize, stride: usize) -> (Vec<f32>, usize, usize) {
    let (rows, columns) = (height.div_ceil(stride), width.div_ceil(stride));
    let size = stride * stride * rows * columns;
    let count = data.len() / (height * width).max(1);
    let mut planes = vec![0.0; count * size];
    let group = (1usize << 14).div_ceil(size).max(1);
    crate::ops::threads::for_each_chunk(&mut planes, group * size, |g, planes| {
        for (i, planes) in planes.chunks_mut(size).enumerate() {
            let picture = &data[(g * group + i) * height * width..][..height * width];
            for (y, row) in picture.chunks(width).enumerate() {
                for px in 0..stride {
                    let to = ((y % stride * stride + px) * rows + y / stride) * columns;
                    if stride == 2 && width.is_multiple_of(2) {
                        let pairs = row.as_chunks::<2>().0;
                        planes[to..to + columns].iter_mut().zip(pairs).for_each(|(to, pair)| *to = pair[px]);
                    } else {
                        let pixels = row.iter().skip(px).step_by(stride);
                        planes[to..to + columns].iter_mut().zip(pixels).for_each(|(to, from)| *to = *from);
                    }
                }
            }
        }
    });
    (planes, rows, columns)
}
