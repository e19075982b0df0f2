//! How a map lies on the device: `[n][height][width][blocks][4]`, channels in blocks of four, every group beginning a
//! block of its own. Lanes without a channel are zero. There is no frame: the kernels know where a picture ends.

use crate::plan::graph::{Graph, MapShape, Place};

/// The layout of a map, of a group of it, or of all pixels of a map taken for the channels of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Blocks of a pixel of the map.
    pub pixel: usize,
    /// Those before the first of this view.
    pub first: usize,
    /// The channel of every lane of this view, with the pixel that it is of where pixels are taken for channels.
    pub lanes: Vec<Option<Lane>>,
}

/// A channel that lies in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The channel.
    pub channel: usize,
    /// Row and column, where pixels are taken for channels.
    pub at: (usize, usize),
}

impl View {
    /// A whole map.
    pub fn map(shape: &MapShape) -> Self {
        let mut lanes = Vec::new();
        let mut before = 0;
        for &channels in &shape.groups {
            let lane = |lane: usize| (lane < channels).then_some(Lane { channel: before + lane, at: (0, 0) });
            lanes.extend((0..channels.next_multiple_of(4)).map(lane));
            before += channels;
        }
        Self { height: shape.height, width: shape.width, pixel: lanes.len() / 4, first: 0, lanes }
    }

    /// A group of a map.
    pub fn place(graph: &Graph, place: Place) -> Self {
        let shape = &graph.maps[place.map];
        let first = shape.groups[..place.group].iter().map(|channels| channels.div_ceil(4)).sum();
        let alone = MapShape { groups: vec![shape.groups[place.group]], ..shape.clone() };
        Self { pixel: Self::map(shape).pixel, first, ..Self::map(&alone) }
    }

    /// All pixels as the channels of one; `None` where the view is a part of its map.
    pub fn flat(&self) -> Option<Self> {
        if self.pixel != self.blocks() {
            return None;
        }
        let pixels = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (y, x)));
        let lanes: Vec<Option<Lane>> =
            pixels.flat_map(|at| self.lanes.iter().map(move |lane| lane.map(|lane| Lane { at, ..lane }))).collect();
        Some(Self { height: 1, width: 1, pixel: lanes.len() / 4, first: 0, lanes })
    }

    /// Blocks of a pixel of this view.
    pub fn blocks(&self) -> usize {
        self.lanes.len() / 4
    }

    /// Blocks of a picture of this view.
    pub fn size(&self) -> usize {
        self.height * self.width * self.blocks()
    }

    /// Blocks of a picture of the map.
    pub fn image(&self) -> usize {
        self.height * self.width * self.pixel
    }

    /// Pictures `[n, channels, height, width]` as the map holds them, with zeros beside this view.
    pub fn pack(&self, pictures: &[f32]) -> Vec<f32> {
        let area = self.height * self.width;
        let size = (self.channels() * area).max(1);
        let mut map = vec![0.0; pictures.len() / size * self.image() * 4];
        for (map, picture) in map.chunks_exact_mut(self.image() * 4).zip(pictures.chunks_exact(size)) {
            for (pixel, values) in map.chunks_exact_mut(self.pixel * 4).enumerate() {
                for (value, lane) in values[self.first * 4..].iter_mut().zip(&self.lanes) {
                    *value = lane.map_or(0.0, |lane| picture[lane.channel * area + pixel]);
                }
            }
        }
        map
    }

    /// The pictures `[n, channels, height, width]` of this view, which lies by itself, without the rest of its map.
    pub fn unpack(&self, packed: &[f32]) -> Vec<f32> {
        let area = self.height * self.width;
        let channels = self.channels();
        let count = packed.len() / (area * self.lanes.len()).max(1);
        let mut pictures = vec![0.0; count * channels * area];
        for (picture, packed) in
            pictures.chunks_exact_mut((channels * area).max(1)).zip(packed.chunks_exact(area * self.lanes.len()))
        {
            for (pixel, values) in packed.chunks_exact(self.lanes.len()).enumerate() {
                for (lane, value) in self.lanes.iter().zip(values) {
                    if let Some(lane) = lane {
                        picture[lane.channel * area + pixel] = *value;
                    }
                }
            }
        }
        pictures
    }

    /// Channels of this view.
    pub fn channels(&self) -> usize {
        self.lanes.iter().flatten().count()
    }
}
