//! The networks of a training that are there already, and the model that all of them make together.

use super::folder::Times;
use super::recipe::Recipe;
use crate::data::Images;
use crate::model_file::{About, HeldOut, LossConfig, Manifest, Model, Part, TrainingRecord, embedded};
use crate::nets::Weights;
use crate::nets::{EncoderConfig, Generator, GeneratorConfig, MappingConfig, Params, Perceptual, PerceptualConfig};
use crate::{Picture, Result};
use candle_core::{Device, Tensor};
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

/// What a finished stage says of itself.
pub(super) fn record(
    stage: &str,
    method: &str,
    data: &str,
    numbers: [usize; 3],
    recipe: &Recipe,
    times: &Times,
) -> TrainingRecord {
    let place = ["prior", "mapping", "encoder"].iter().position(|name| *name == stage).unwrap_or(0);
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
        let mut weights = Weights::default();
        weights.extend_below("generator.", &prior.weights);
        weights.extend_below("mapping.", &mapping.weights);
        encoder.iter().for_each(|part| weights.extend_below("encoder.", &part.weights));
        perceptual.iter().for_each(|part| weights.extend_below("perceptual.", &part.weights));
        let abouts = [Some(&prior.about), perceptual.map(|part| &part.about), Some(&mapping.about)];
        let abouts = abouts.into_iter().chain([encoder.map(|part| &part.about)]).flatten();
        let mut licences: Vec<&str> =
            abouts.clone().map(|about| about.licence.as_str()).chain([&*recipe.licence]).collect();
        licences.retain(|licence| !licence.is_empty());
        licences.dedup();
        let manifest = Manifest {
            title: recipe.title.trim().to_owned(),
            domain_x: recipe.domain_x.clone(),
            domain_y: recipe.domain_y.clone(),
            loss: loss_of(perceptual),
            y_kind: recipe.y_kind,
            preparation: recipe.plain_preparation(mapping.config.size),
            training: abouts.clone().flat_map(|about| about.training.clone()).collect(),
            held_out,
            licence: licences.join("; "),
            ..Manifest::new(
                prior.config.clone(),
                mapping.config,
                encoder.map(|part| part.config),
                perceptual.map(|part| part.config.clone()),
            )
        };
        let rows: Vec<usize> = (0..SAMPLES.min(held.len())).collect();
        Model::new(manifest, weights, pictures_of(&held.batch(&rows, &Device::Cpu)?)?, device)
    }
}

/// Tensors `[n, c, h, w]` in [-1, 1] as pictures.
pub(super) fn pictures_of(images: &Tensor) -> Result<Vec<Picture>> {
    let (_, channels, height, width) = images.dims4()?;
    let rows = images.flatten_from(1)?.to_vec2::<f32>()?;
    rows.iter().map(|row| Picture::from_planes(row, channels, width, height)).collect()
}
