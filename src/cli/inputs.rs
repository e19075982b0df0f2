//! The images that a person names on the command line, as the model sees them.

use super::train::images::{CropChoice, FacingChoice, FitChoice};
use crate::data::{Crop, Facing, Fit, ImageSet, Preparation, YKind, looks_like_drawing, prepare};
use crate::model_file::Manifest;
use crate::{Error, Picture, Result};
use candle_core::{Device, Tensor};
use clap::Args;
use std::path::PathBuf;

/// Images and how they become what the model sees.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Images")]
pub struct Inputs {
    /// An image; or a folder, an IDX file or an NPZ file of images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// The images are photographs: y is the line drawing of each
    #[arg(long)]
    pub from_photo: bool,
    #[command(flatten)]
    pub overrides: Overrides,
}

/// What is prepared otherwise than in training.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Images")]
pub struct Overrides {
    /// How an image that is not square comes into the square [default: as in training]
    #[arg(long, value_enum, hide_possible_values = true, value_name = "contain|cover")]
    pub fit: Option<FitChoice>,
    /// Which part of an image is used [default: as in training]
    #[arg(long, value_enum, hide_possible_values = true, value_name = "whole|content")]
    pub crop: Option<CropChoice>,
    /// Which way things are turned [default: as in training]
    #[arg(long, value_enum, hide_possible_values = true, value_name = "as-is|left|right")]
    pub facing: Option<FacingChoice>,
    /// Exchanges light and dark first: for white lines on black
    #[arg(long)]
    pub invert: bool,
}

impl Overrides {
    /// The preparation of the model's training, with these changes.
    pub fn apply(&self, manifest: &Manifest, from_photo: bool) -> Preparation {
        let trained = manifest.preparation.clone();
        let margin = match trained.crop {
            Crop::Content { margin } => margin,
            _ => super::train::images::MARGIN,
        };
        Preparation {
            fit: self.fit.map_or(trained.fit, Fit::from),
            crop: self.crop.map_or(trained.crop, |crop| crop.with_margin(margin)),
            facing: self.facing.map_or(trained.facing, Facing::from),
            treatment: manifest.y_kind.treatment(from_photo),
            invert: self.invert,
            ..trained
        }
    }
}

/// An image under its name.
pub struct Input {
    /// What it is called.
    pub name: String,
    /// What the model sees.
    pub y: Picture,
}

impl Inputs {
    /// Reads and prepares all images.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn read(&self, manifest: &Manifest) -> Result<Vec<Input>> {
        let how = self.overrides.apply(manifest, self.from_photo);
        let mut inputs = Vec::new();
        for path in &self.images {
            let set = ImageSet::open(path)?;
            for i in 0..set.len() {
                let (name, picture) = (set.name(i), set.picture(i)?);
                if manifest.y_kind == YKind::Edges && !self.from_photo && !looks_like_drawing(&picture) {
                    super::output::note(&format!(
                        "{name} looks like a photograph; --from-photo takes its line drawing."
                    ));
                }
                inputs.push(Input { y: prepare(&picture, &how), name });
            }
        }
        Ok(inputs)
    }
}

/// Pictures of one size as a tensor `[n, channels, s, s]` in [-1, 1].
///
/// # Errors
/// When there are none, or they differ in size.
pub fn tensor_of(pictures: &[&Picture], channels: usize, device: &Device) -> Result<Tensor> {
    let first = pictures.first().ok_or_else(|| Error::new("There are no images."))?;
    let values: Vec<f32> = pictures.iter().flat_map(|picture| picture.to_planes(channels)).collect();
    Ok(Tensor::from_vec(values, (pictures.len(), channels, first.height(), first.width()), device)?)
}
