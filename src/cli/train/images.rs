//! The images of a training: where they are, which part is used, how they are prepared.

use crate::cli::progress::Progress;
use crate::cli::{interrupt, output};
use crate::data::{Crop, Facing, Fit, ImageSet, Preparation, PreparedSet, Treatment};
use crate::{Error, Picture, Result};
use clap::{Args, ValueEnum};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Mutex;

/// The seed of the split into parts: the same in every run, so that `--part 0/2` and `--part 1/2` never meet.
const SPLIT_SEED: u64 = 1;
/// The default of `--margin`.
pub const MARGIN: f32 = 0.05;

/// Where the images of a training come from.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Images")]
pub struct ImageOptions {
    /// A folder of images, an IDX file (also .gz), or an NPZ file; may be given several times
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub images: Vec<PathBuf>,
    /// Uses the part K of N, counted from 0; parts of one set have no image in common
    #[arg(long, value_name = "K/N", default_value = "0/1")]
    pub part: Part,
    /// Uses at most so many images
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// How an image that is not square comes into the square
    #[arg(long, value_enum, default_value = "contain")]
    pub fit: FitChoice,
    /// Which part of an image is used: all of it, or what is shown on a plain background
    #[arg(long, value_enum, default_value = "whole")]
    pub crop: CropChoice,
    /// With --crop content: the share of the side that stays free around it
    #[arg(long, value_name = "SHARE", default_value_t = MARGIN)]
    pub margin: f32,
    /// Mirrors images so that all things face one way
    #[arg(long, value_enum, default_value = "as-is")]
    pub facing: FacingChoice,
    /// Exchanges light and dark first
    #[arg(long)]
    pub invert: bool,
}

/// One of several parts of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    index: usize,
    count: usize,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err("a part is written K/N with K from 0 to N - 1, for example 0/2".to_owned()),
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// `--fit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FitChoice {
    /// All of it is seen, the rest is white.
    Contain,
    /// The square is filled, what sticks out is cut.
    Cover,
}

impl From<FitChoice> for Fit {
    fn from(choice: FitChoice) -> Self {
        match choice {
            FitChoice::Contain => Self::Contain,
            FitChoice::Cover => Self::Cover,
        }
    }
}

/// `--crop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CropChoice {
    /// All of the image.
    Whole,
    /// The square around what is shown on a plain background.
    Content,
}

impl CropChoice {
    /// The crop, content with so much free space around it.
    pub fn with_margin(self, margin: f32) -> Crop {
        match self {
            Self::Whole => Crop::Whole,
            Self::Content => Crop::Content { margin },
        }
    }
}

/// `--facing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FacingChoice {
    /// As they are.
    AsIs,
    /// The low end (a shoe's toe) to the left.
    Left,
    /// The low end to the right.
    Right,
}

impl From<FacingChoice> for Facing {
    fn from(choice: FacingChoice) -> Self {
        match choice {
            FacingChoice::AsIs => Self::AsIs,
            FacingChoice::Left => Self::Left,
            FacingChoice::Right => Self::Right,
        }
    }
}

/// Images that are ready for a training, and what to say of them in the manifest.
pub struct Prepared {
    /// The images, squares of one size.
    pub pictures: Vec<Picture>,
    /// What they are called.
    pub title: String,
    /// How they were prepared, the treatment left out.
    pub preparation: Preparation,
}

impl ImageOptions {
    /// How images are prepared, before any treatment.
    pub fn preparation(&self, size: usize) -> Preparation {
        Preparation {
            size,
            fit: self.fit.into(),
            crop: self.crop.with_margin(self.margin),
            facing: self.facing.into(),
            invert: self.invert,
            ..Preparation::default()
        }
    }

    /// Opens sets as one and takes a part of it.
    ///
    /// # Errors
    /// When there are no images, or fewer than `least` in the part.
    pub fn open_part(paths: &[PathBuf], part: Part, least: usize) -> Result<ImageSet> {
        let mut sets = paths.iter().map(ImageSet::open).collect::<Result<Vec<_>>>()?.into_iter();
        let first = sets.next().ok_or_else(|| Error::new("No images were named."))?;
        let Part { index, count } = part;
        let place = |i: usize| i as f64 / count as f64;
        let set = sets.fold(first, ImageSet::join).part(place(index)..place(index + 1), SPLIT_SEED);
        set.require(least)?;
        Ok(set)
    }

    /// Reads and prepares the images. Files that cannot be read are named on standard error and passed over.
    ///
    /// # Errors
    /// When fewer than `least` images can be read.
    pub fn prepare(&self, size: usize, treatment: Treatment, least: usize) -> Result<Prepared> {
        if !(0.0..0.5).contains(&self.margin) {
            return Err(Error::new("--margin is a share of the side, from 0 to below 0.5."));
        }
        let set = Self::open_part(&self.images, self.part, least)?;
        let set = self.limit.map_or(set.clone(), |limit| set.first(limit));
        set.require(least)?;
        let preparation = self.preparation(size);
        let pictures = prepare_set(&set, &Preparation { treatment, ..preparation.clone() }, least)?.pictures;
        let title = match self.part {
            Part { count: 1, .. } => set.title().to_owned(),
            part => format!("{}, part {part}", set.title()),
        };
        Ok(Prepared { pictures, title, preparation })
    }
}

/// Reads and prepares the images of a set. Files that cannot be read are named on standard error and passed over.
///
/// # Errors
/// When fewer than `least` images can be read, or Ctrl-C was pressed.
pub fn prepare_set(set: &ImageSet, how: &Preparation, least: usize) -> Result<PreparedSet> {
    let progress = Mutex::new(Progress::new("Preparing images", "images", 0, set.len() as u64));
    let prepared = set.prepare_all(how, |_| {
        if let Ok(mut progress) = progress.lock() {
            progress.step(String::new);
        }
        if interrupt::happened() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    drop(progress);
    if interrupt::happened() {
        return Err(Error::new("Stopped before all images were prepared."));
    }
    for failure in prepared.failures.iter().take(5) {
        output::note(&format!("passed over: {failure}"));
    }
    if prepared.failures.len() > 5 {
        output::note(&format!("passed over: {} more", prepared.failures.len() - 5));
    }
    if prepared.pictures.len() < least {
        let (title, count) = (set.title(), prepared.pictures.len());
        return Err(Error::new(format!("Only {count} images of {title} could be read; {least} are needed here.")));
    }
    Ok(prepared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_and_written() {
        for text in ["0/1", "1/2", "9/10"] {
            assert_eq!(text.parse::<Part>().unwrap().to_string(), text);
        }
        for text in ["", "1", "2/2", "-1/2", "0/0", "a/b"] {
            assert!(text.parse::<Part>().is_err(), "{text:?}");
        }
    }
}
