//! What a convolution comes to: interleaved grids of output pixels, each with its taps, and for Winograd's algorithm
//! the squares of input pixels that a square of 4x4 outputs needs.

use crate::ops::ConvSpec;

/// Where a product's input pixel lies, relative to the output's place in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Rows below.
    pub dy: isize,
    /// Columns right.
    pub dx: isize,
    /// Index in the kernel, `ky * k + kx`.
    pub index: usize,
}

/// One grid of outputs: output `(offset + step_out * y, ...)` reads inputs `(step_in * y + dy, ...)`.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The products of every output.
    pub taps: Vec<Tap>,
    /// Step between the input places of neighbouring outputs.
    pub step_in: usize,
    /// Step between neighbouring outputs.
    pub step_out: usize,
    /// The first output's row and column.
    pub offset: (usize, usize),
    /// Rows and columns of the grid.
    pub size: (usize, usize),
}

/// A plane of the input, every `step`-th pixel from `origin`, and the part of the kernel that it meets.
#[derive(Clone, Debug)]
pub struct View {
    /// Row and column of the first input pixel of output 0.
    pub origin: (isize, isize),
    /// The kernel indices `[r][r]`.
    pub indices: Vec<usize>,
}

impl Grid {
    /// The taps as dense correlations of 3x3 or 2x2, with their size r; `None` where they are none.
    pub fn views(&self) -> Option<(usize, Vec<View>)> {
        let step = self.step_in as isize;
        let mut views: Vec<(View, Vec<Tap>)> = Vec::new();
        for tap in &self.taps {
            let same = |other: &Tap| (tap.dy - other.dy) % step == 0 && (tap.dx - other.dx) % step == 0;
            match views.iter_mut().find(|(_, taps)| same(&taps[0])) {
                Some((view, taps)) => {
                    view.origin = (view.origin.0.min(tap.dy), view.origin.1.min(tap.dx));
                    taps.push(*tap);
                }
                None => views.push((View { origin: (tap.dy, tap.dx), indices: Vec::new() }, vec![*tap])),
            }
        }
        let r = match views[0].1.len() {
            9 => 3,
            4 => 2,
            _ => return None,
        };
        for (view, taps) in &mut views {
            for (a, b) in (0..r as isize).flat_map(|a| (0..r as isize).map(move |b| (a, b))) {
                let wanted = (view.origin.0 + a * step, view.origin.1 + b * step);
                view.indices.push(taps.iter().find(|tap| (tap.dy, tap.dx) == wanted)?.index);
            }
            if taps.len() != r * r {
                return None;
            }
        }
        Some((r, views.into_iter().map(|(view, _)| view).collect()))
    }
}

/// The grids of a convolution of maps `[h, w]` whose frame is one pixel wide; `None` where it needs a wider frame or
/// does not fit.
pub fn grids(spec: &ConvSpec, (h, w): (usize, usize)) -> Option<Vec<Grid>> {
    let ConvSpec { kernel: k, stride, padding, transposed, .. } = *spec;
    let (out_h, out_w) = (spec.output_side(h).ok()?, spec.output_side(w).ok()?);
    let all = || (0..k).flat_map(|ky| (0..k).map(move |kx| (ky, kx)));
    let (pad, step) = (padding as isize, stride as isize);
    let grids: Vec<Grid> = if !transposed {
        let tap = |(ky, kx): (usize, usize)| Tap { dy: ky as isize - pad, dx: kx as isize - pad, index: ky * k + kx };
        vec![Grid {
            taps: all().map(tap).collect(),
            step_in: stride,
            step_out: 1,
            offset: (0, 0),
            size: (out_h, out_w),
        }]
    } else if (h, w) == (1, 1) && padding == 0 {
        // A single pixel makes every output by itself.
        let grid = |(ky, kx)| Grid {
            taps: vec![Tap { dy: 0, dx: 0, index: ky * k + kx }],
            step_in: 1,
            step_out: 1,
            offset: (ky, kx),
            size: (1, 1),
        };
        all().map(grid).collect()
    } else {
        let phases = (0..stride).flat_map(|py| (0..stride).map(move |px| (py, px)));
        let along = |phase: usize, tap: usize| {
            let at = phase as isize + pad - tap as isize;
            (at.rem_euclid(step) == 0).then_some(at.div_euclid(step))
        };
        let grid = |(py, px): (usize, usize)| {
            let taps =
                all().filter_map(|(ky, kx)| Some(Tap { dy: along(py, ky)?, dx: along(px, kx)?, index: ky * k + kx }));
            let count = |out: usize, phase: usize| (out - phase.min(out)).div_ceil(stride);
            Grid {
                taps: taps.collect(),
                step_in: 1,
                step_out: stride,
                offset: (py, px),
                size: (count(out_h, py), count(out_w, px)),
            }
        };
        phases.map(grid).collect()
    };
    let reaches = |step: usize, count: usize, d: isize, side: usize| {
        count == 0 || (d >= -1 && ((count - 1) * step) as isize + d <= side as isize)
    };
    let fits = |grid: &Grid| {
        !grid.taps.is_empty()
            && grid.taps.iter().all(|tap| {
                reaches(grid.step_in, grid.size.0, tap.dy, h) && reaches(grid.step_in, grid.size.1, tap.dx, w)
            })
    };
    grids.iter().all(fits).then_some(grids)
}
