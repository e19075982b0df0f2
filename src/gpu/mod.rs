//! How pictures come onto the screen: the choice of adapter, and image views drawn by our own shader. Also devices to
//! compute on ([`compute`]); what is computed there is the business of [`crate::plan::wgpu`].
//!
//! Knows no tensors: a view shows an [`Image`], a [`Picture`] in memory or one that a search has left on the window's own
//! device. Neither changes while somebody holds it, so another one is another revision, and only then is anything
//! uploaded or bound anew.

mod adapter;
pub mod compute;
mod fill;
mod image;
mod program;
mod software;
mod views;

pub use adapter::setup;
pub use compute::{OpenDevice, Screen};
pub use eframe::wgpu;
pub use image::{Image, Sheet};
pub use software::render;
pub use views::{Painter, SHADERS};

#[cfg(doc)]
use crate::Picture;

/// What a view shows of its pictures a and b.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Mode {
    /// a alone.
    #[default]
    Picture,
    /// The signed difference of brightness, b minus a, in the difference colours.
    Difference {
        /// What the difference is multiplied with before it is cut to [-1, 1].
        gain: f32,
    },
    /// The mean absolute difference of the channels, as heat.
    Heat {
        /// What the difference is multiplied with before it is cut to [0, 1].
        gain: f32,
    },
    /// a left of a divider, b right of it.
    Split {
        /// Where the divider is, from 0 at the left to 1 at the right.
        at: f32,
    },
}

/// Colours that a view adds to its pictures, in gamma space.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colours {
    /// b is darker than a.
    pub negative: [u8; 4],
    /// b equals a.
    pub neutral: [u8; 4],
    /// b is brighter than a.
    pub positive: [u8; 4],
    /// The divider of a split view.
    pub divider: [u8; 4],
}

/// How a view looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// What it shows.
    pub mode: Mode,
    /// Whether pixels blend into each other; else each is visible, with clean edges.
    pub smooth: bool,
    /// Radius of the corners, in points.
    pub radius: f32,
    /// Half the width of the divider, in points.
    pub divider_half: f32,
    /// Colours beside the pictures' own.
    pub colours: Colours,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            mode: Mode::Picture,
            smooth: true,
            radius: 0.0,
            divider_half: 1.0,
            colours: Colours {
                negative: [0x2f, 0x7e, 0xd8, 0xff],
                neutral: [0xff, 0xff, 0xff, 0xff],
                positive: [0xe0, 0x5a, 0x2b, 0xff],
                divider: [0x80, 0x80, 0x80, 0xff],
            },
        }
    }
}
