//! The networks of a training that are there already, and the model that all of them make together.

use super::folder::Times;
use super::recipe::Recipe;
use crate::Result;
use crate::data::{Images, pictures_of};
use crate::model_file::{About, HeldOut, LossConfig, Manifest, Model, Part, Parts, TrainingRecord, embedded};
use crate::nets::{EncoderConfig, Generator, GeneratorConfig, MappingConfig, Params, Perceptual, PerceptualConfig};
use candle_core::Device;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pictures of Y that a model carries as samples.
const SAMPLES: usize = 12;

/// The perceptual network of the first embedded model, with its licence: trained on photographs and line drawings, it
/// serves other domains as well.
pub(super) fn perceptual_part(device: &Device) -> Result<Option<Part<PerceptualConfig>>> {
    let Some(first) = embedded::all().first() else { return Ok(None) };
    let mut part: Part<PerceptualConfig> = Part::from_bytes(first.id, first.bytes, device)?;
    let About { licence, .. } = &mut part.about;
    *licence = format!("perceptual network of {}: {licence}", first.id);
    Ok(Some(part))
}

/// The loss that all stages descend.
pub(super) fn loss_of(perceptual: Option<&Part<PerceptualConfig>>) -> LossConfig {
    LossConfig::perceptual(perceptual.map_or(0, |part| part.config.levels()))
}

pub(super) fn frozen_perceptual(part: Option<&Part<PerceptualConfig>>) -> Result<Option<Arc<Perceptual>>> {
    let network = part.map(|part| Perceptual::new(&part.config, &Params::frozen(part.weights.clone())));
    Ok(network.transpose()?.map(Arc::new))
}

pub(super) fn frozen_generator(part: &Part<GeneratorConfig>) -> Result<Arc<Generator>> {
    Ok(Arc::new(Generator::new(&part.config, &Params::frozen(part.weights.clone()))?))
}

/// Whether G learned to reconstruct pictures (VAE, GLO): it then draws well wherever the code of one lies; a GAN only where
/// N(0, I) is dense.
pub(super) fn reconstructs(prior: &Part<GeneratorConfig>) -> bool {
    let last = prior.about.training.iter().rev().find(|record| record.stage == "prior");
    last.is_some_and(|record| matches!(record.method.as_str(), "vae" | "glo"))
}

/// What a finished stage says of itself.
pub(super) fn record(
    stage: &str,
    method: &str,
    data: &str,
    numbers: [usize; 3],
    recipe: &Recipe,
    times: &Times,
) -> TrainingRecord {
    // A mapping by VAE-NAM learned together with its encoder, in that stage.
    let place = match (stage, method) {
        ("mapping", "nam") => 1,
        ("mapping" | "encoder", _) => 2,
        _ => 0,
    };
    let [images, steps, batch] = numbers;
    TrainingRecord {
        stage: stage.into(),
        method: method.into(),
        data: data.into(),
        images,
        seed: recipe.seed,
        steps,
        batch,
        seconds: times.seconds[place],
        program: env!("CARGO_PKG_VERSION").into(),
        settings: BTreeMap::new(),
        quality: BTreeMap::new(),
    }
}

/// What a model is put together from.
pub(super) struct Assembly<'a> {
    pub recipe: &'a Recipe,
    pub prior: &'a Part<GeneratorConfig>,
    pub mapping: &'a Part<MappingConfig>,
    pub encoder: Option<&'a Part<EncoderConfig>>,
    pub perceptual: Option<&'a Part<PerceptualConfig>>,
    pub held: &'a Images,
    pub held_out: HeldOut,
}

impl Assembly<'_> {
    /// The model.
    pub fn model(self, device: &Device) -> Result<Model> {
        let Self { recipe, prior, mapping, encoder, perceptual, held, held_out } = self;
        let parts = Parts { prior, mapping, encoder, perceptual };
        let manifest = Manifest {
            title: recipe.title.trim().to_owned(),
            domain_x: recipe.domain_x.clone(),
            domain_y: recipe.domain_y.clone(),
            loss: loss_of(perceptual),
            y_kind: recipe.y_kind,
            preparation: recipe.plain_preparation(mapping.config.size),
            held_out,
            ..parts.manifest(&recipe.licence)
        };
        let rows: Vec<usize> = (0..SAMPLES.min(held.len())).collect();
        parts.model(manifest, pictures_of(&held.batch(&rows, &Device::Cpu)?)?, device)
    }
}
