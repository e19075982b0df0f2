//! `counterpart inspect`: what a model file, or a file with one network, says of itself.

use super::options::Json;
use super::{loss, output};
use crate::data::YKind;
use crate::model_file::{About, Manifest, Model, Network, Part, TrainingRecord, is_model};
use crate::nets::{GeneratorConfig, PerceptualConfig};
use crate::{Because, Result};
use candle_core::Device;
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Prints the manifest of a model file, after the same checks as when it is used.
#[derive(Args, Debug)]
pub struct Inspect {
    /// The file; also one with a generator or a perceptual student alone, or the name of a model that comes with the
    /// program
    model: PathBuf,
    #[command(flatten)]
    json: Json,
}

impl Inspect {
    pub(super) fn run(self) -> Result<()> {
        let option = super::model::ModelOption { model: Some(self.model.clone()) };
        let error = match option.open(&Device::Cpu) {
            Ok(model) => return self.model(&model),
            Err(error) if is_model(&self.model) => return Err(error),
            Err(error) => error,
        };
        if let Ok(part) = Part::<GeneratorConfig>::open(&self.model, &Device::Cpu) {
            return self.part(&part);
        }
        if let Ok(part) = Part::<PerceptualConfig>::open(&self.model, &Device::Cpu) {
            return self.part(&part);
        }
        Err(error)
    }

    fn model(&self, model: &Model) -> Result<()> {
        let manifest = &model.manifest;
        let Manifest { title, domain_x, domain_y, size, channels_x, channels_y, latent, .. } = manifest;
        let json = &self.json;
        json.say(&format!("{title}: {domain_y} to {domain_x} (format {})", manifest.format_version))?;
        json.say(&format!(
            "  images      {size}x{size}, {channels_x} channels of X, {channels_y} of Y ({}); {} samples",
            manifest.y_kind.name(),
            model.samples.len()
        ))?;
        let generator = values(&manifest.generator)?;
        let mapping = values(&manifest.mapping)?;
        let encoder = manifest.encoder.as_ref().map(values).transpose()?;
        let perceptual = manifest.perceptual.as_ref().map(values).transpose()?;
        json.say(&format!("  generator   f = {}, nz = {latent}, {generator} values", manifest.generator.width))?;
        json.say(&format!("  mapping     F = {}, {mapping} values", manifest.mapping.width))?;
        if let (Some(config), Some(values)) = (&manifest.encoder, encoder) {
            json.say(&format!("  encoder     f = {}, {values} values", config.width))?;
        }
        if let (Some(config), Some(values)) = (&manifest.perceptual, perceptual) {
            json.say(&format!("  perceptual  {} levels, {values} values", config.levels()))?;
        }
        json.say(&format!("  loss        {}", loss::format(&manifest.loss)))?;
        let held_out = &manifest.held_out;
        if let (Some(middle), Some(high)) = (held_out.percentiles.get(50), held_out.percentiles.get(95)) {
            let images = held_out.images;
            json.say(&format!("  held out    {images} images: median loss {middle:.4}, 95th percentile {high:.4}"))?;
        }
        self.records(&manifest.training)?;
        if !manifest.licence.is_empty() {
            json.say(&format!("  licence     {}", manifest.licence))?;
        }
        let mut report = serde_json::to_value(manifest).because(|| "The manifest cannot be written as JSON.")?;
        report["samples"] = json!(model.samples.len());
        report["values"] = json!(generator + mapping + encoder.unwrap_or(0) + perceptual.unwrap_or(0));
        json.write(&report)
    }

    fn part<N: Network>(&self, part: &Part<N>) -> Result<()> {
        let config = serde_json::to_value(&part.config).because(|| "The shape cannot be written as JSON.")?;
        self.json.say(&format!("{}: a {} alone, {} values", shown(&self.model), N::NAME, part.weights.elements()))?;
        self.json.say(&format!("  shape       {config}"))?;
        let About { training, licence, .. } = &part.about;
        self.records(training)?;
        if !licence.is_empty() {
            self.json.say(&format!("  licence     {licence}"))?;
        }
        let about: Value = serde_json::to_value(&part.about).because(|| "The record cannot be written as JSON.")?;
        self.json.write(&json!({ "part": N::NAME, "config": config, "about": about }))
    }

    fn records(&self, training: &[TrainingRecord]) -> Result<()> {
        for record in training {
            let TrainingRecord { stage, method, data, images, seed, steps, batch, seconds, .. } = record;
            let took = output::duration(*seconds);
            self.json.say(&format!(
                "  {stage:<11} {method}, {images} images of {data}, {steps} steps of {batch}, seed {seed}, {took}"
            ))?;
            for (name, value) in &record.quality {
                self.json.say(&format!("              {name}: {value:.4}"))?;
            }
        }
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

impl YKind {
    /// The name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Edges => "edges",
            Self::AsIs => "as-is",
            Self::Grey => "grey",
            Self::Levelled => "levelled",
        }
    }
}

/// The values of a network.
fn values(config: &impl Network) -> Result<usize> {
    Ok(config.shapes()?.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum())
}
