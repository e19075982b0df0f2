//! How a map lies in memory: `[n][blocks][height + 2][width + 2][16]`, channels in blocks of sixteen, every group
//! beginning a block of its own. The frame of zeros around each plane is the padding of the convolutions, so that no
//! kernel knows of edges; lanes without a channel are zero.

use super::graph::MapShape;
use crate::ops::threads;
use std::ops::Range;

pub use crate::ops::simd::LANES;

/// Floats of a map whose frames one task clears.
const TOGETHER: usize = 1 << 16;

/// The layout of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Rows without the frame.
    pub height: usize,
    /// Columns without the frame.
    pub width: usize,
    /// The channels in every block.
    pub lanes: Vec<usize>,
    /// The blocks of every group.
    pub groups: Vec<Range<usize>>,
}

impl Layout {
    /// Lays out a map.
    pub fn new(shape: &MapShape) -> Self {
        let (mut lanes, mut groups) = (Vec::new(), Vec::new());
        for &channels in &shape.groups {
            let first = lanes.len();
            lanes.extend((0..channels.div_ceil(LANES)).map(|block| LANES.min(channels - block * LANES)));
            groups.push(first..lanes.len());
        }
        Self { height: shape.height, width: shape.width, lanes, groups }
    }

    /// Floats of a row with its frame.
    pub fn row(&self) -> usize {
        (self.width + 2) * LANES
    }

    /// Floats of a block.
    pub fn plane(&self) -> usize {
        (self.height + 2) * self.row()
    }

    /// Floats of a picture.
    pub fn image(&self) -> usize {
        self.lanes.len() * self.plane()
    }

    /// Where a pixel lies in its plane; rows and columns count from -1.
    pub fn at(&self, y: isize, x: isize) -> usize {
        ((y + 1) * self.row() as isize + (x + 1) * LANES as isize) as usize
    }

    /// Makes the frames of the first `count` pictures zero, whatever lies there, on all threads.
    pub fn clear_frames(&self, count: usize, map: &mut [f32]) {
        let row = self.row();
        let planes = (TOGETHER / self.plane()).max(1);
        threads::for_each_chunk(&mut map[..count * self.image()], planes * self.plane(), |_, planes| {
            for plane in planes.chunks_exact_mut(self.plane()) {
                plane[..row].fill(0.0);
                plane[(self.height + 1) * row..].fill(0.0);
                for line in plane[row..(self.height + 1) * row].chunks_exact_mut(row) {
                    line[..LANES].fill(0.0);
                    line[row - LANES..].fill(0.0);
                }
            }
        });
    }

    /// Puts pictures `[n, channels, height, width]` into a group of a map, on all threads.
    pub fn pack(&self, group: usize, from: &[f32], to: &mut [f32]) {
        let area = self.height * self.width;
        let blocks = self.groups[group].clone();
        let channels: usize = self.lanes[blocks.clone()].iter().sum();
        let count = (from.len() / (channels * area)).min(to.len() / self.image());
        threads::for_each_chunk(&mut to[..count * self.image()], self.image(), |picture, to| {
            let from = &from[picture * channels * area..][..channels * area];
            for (i, block) in blocks.clone().enumerate() {
                let plane = &mut to[block * self.plane()..][..self.plane()];
                for y in 0..self.height {
                    let at = self.at(y as isize, 0);
                    let row = plane[at..at + self.width * LANES].as_chunks_mut::<LANES>().0;
                    row.fill([0.0; LANES]);
                    for lane in 0..self.lanes[block] {
                        let from = &from[(i * LANES + lane) * area + y * self.width..][..self.width];
                        row.iter_mut().zip(from).for_each(|(pixel, value)| pixel[lane] = *value);
                    }
                }
            }
        });
    }

    /// Takes pictures `[n, channels, height, width]` out of a group of a map, on all threads.
    pub fn unpack(&self, group: usize, from: &[f32], to: &mut [f32]) {
        let area = self.height * self.width;
        let blocks = self.groups[group].clone();
        let channels: usize = self.lanes[blocks.clone()].iter().sum();
        let count = (to.len() / (channels * area)).min(from.len() / self.image());
        threads::for_each_chunk(&mut to[..count * channels * area], channels * area, |picture, to| {
            let from = &from[picture * self.image()..][..self.image()];
            for (i, block) in blocks.clone().enumerate() {
                let plane = &from[block * self.plane()..][..self.plane()];
                for lane in 0..self.lanes[block] {
                    let to = &mut to[(i * LANES + lane) * area..][..area];
                    for (y, to) in to.chunks_exact_mut(self.width).enumerate() {
                        let at = self.at(y as isize, 0);
                        let pixels = plane[at..at + self.width * LANES].as_chunks::<LANES>().0;
                        to.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = pixel[lane]);
                    }
                }
            }
        });
    }
}
