//! What a model is made from, and the settings of each stage that follow.

use super::folder::Folder;
use crate::data::{Augmentation, Crop, Facing, ImageSet, Preparation, Treatment, YKind};
use crate::model_file::LossConfig;
use crate::nam::train::{Contrast, NamSettings, VaeNamSettings};
use crate::nets::{EncoderConfig, GeneratorConfig, MappingConfig};
use crate::{Error, Picture, Result, prior};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// How much time a training takes for how good a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thoroughness {
    /// An hour or so on two cores: shows whether the two domains have anything to say to each other.
    #[default]
    Quick,
    /// As the models that come with the program: a night on two cores.
    Thorough,
}

/// Where the generator of X comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prior {
    /// It is trained on the pictures of these folders or files.
    Train(Vec<PathBuf>),
    /// It is there: what `train prior` or `import prior` wrote, a model file, or what `import prior` reads.
    File(PathBuf),
}

/// What a model is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recipe {
    /// What the model is called.
    pub title: String,
    /// What the generator draws.
    pub domain_x: String,
    /// What a person gives.
    pub domain_y: String,
    /// Where the generator comes from.
    pub prior: Prior,
    /// Folders or files of the pictures of Y.
    pub y: Vec<PathBuf>,
    /// What is made of them.
    pub y_kind: YKind,
    /// Whether the pictures of Y are drawings already, where Y consists of line drawings.
    pub drawings: bool,
    /// Rows and columns, 32 or 64; that of the generator where there is one.
    pub size: usize,
    /// How much time is taken.
    pub thoroughness: Thoroughness,
    /// Whether what is shown on a plain background is cut out of the pictures and centred.
    pub crop: bool,
    /// Which way the things of both domains are turned: T tells what is where, so that both must face alike.
    pub facing: Facing,
    /// The licence of the pictures, for the manifest.
    pub licence: String,
    /// The seed of everything random.
    pub seed: u64,
    /// Steps of prior, mapping and encoder; those of the thoroughness where there are none.
    pub steps: Option<[usize; 3]>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            title: "Untitled".into(),
            domain_x: "X".into(),
            domain_y: "Y".into(),
            prior: Prior::Train(Vec::new()),
            y: Vec::new(),
            y_kind: YKind::AsIs,
            drawings: false,
            size: 64,
            thoroughness: Thoroughness::default(),
            crop: false,
            facing: Facing::default(),
            licence: String::new(),
            seed: 1,
            steps: None,
        }
    }
}

/// What files of generators may end in.
pub const GENERATORS: [&str; 4] = ["safetensors", "pth", "pt", "bin"];

/// One of the two domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// What G draws.
    X,
    /// What T maps it to.
    Y,
}

/// Fewer pictures than this are too few to learn anything from.
pub const FEWEST: usize = 16;
/// The share of the side that stays free around what is cut out.
const MARGIN: f32 = 0.05;

impl Recipe {
    /// What is missing or makes no sense, as a sentence for the person; `Ok` when it can be started. Looks at no file.
    ///
    /// # Errors
    /// With that sentence.
    pub fn check(&self) -> Result<()> {
        let missing = |what: &str| Err(Error::new(format!("{what} is missing; choose one.")));
        match &self.prior {
            Prior::Train(x) if x.is_empty() => return missing("A folder of pictures for X, what is to be found,"),
            Prior::File(path) if path.as_os_str().is_empty() => return missing("The file of the generator"),
            _ => {}
        }
        if self.y.is_empty() {
            return missing("A folder of pictures for Y, what a person will give,");
        }
        if self.title.trim().is_empty() {
            return Err(Error::new("The model needs a name."));
        }
        if ![32, 64].contains(&self.size) {
            return Err(Error::new(format!("Models have 32 or 64 pixels a side, not {}.", self.size)));
        }
        if self.steps.is_some_and(|steps| steps.contains(&0)) {
            return Err(Error::new("Every stage needs at least one step."));
        }
        Ok(())
    }

    /// `count` pictures of a domain, evenly spread over its files, as the networks will see them; for X none where the
    /// generator is there already.
    ///
    /// # Errors
    /// When there are no pictures, or too few for a training.
    pub fn look(&self, domain: Domain, count: usize) -> Result<Vec<Picture>> {
        let Some(set) = self.images(domain)? else { return Ok(Vec::new()) };
        let count = count.min(set.len());
        let chosen = (0..count).map(|i| i * set.len() / count);
        let preparation = self.preparation(domain, self.side()?);
        // One that cannot be read is no reason to show none.
        let pictures = chosen.filter_map(|i| set.picture(i).ok());
        Ok(pictures.map(|picture| crate::data::prepare(&picture, &preparation)).collect())
    }

    /// The recipe of a training that was stopped or broke off, by the model file that it was to become; `None` where
    /// there is no such training.
    pub fn of_training(out: &Path) -> Option<Self> {
        Folder::of(out).recipe().ok()
    }

    /// Rows and columns of the pictures that are learned from: those of the generator, where there is one.
    pub(super) fn side(&self) -> Result<usize> {
        match &self.prior {
            Prior::Train(_) => Ok(self.size),
            Prior::File(path) => Ok(self.mapped(&prior::import::open(path, &Device::Cpu)?.config)),
        }
    }

    /// The size of T for a generator; what is drawn in another is brought to it by T's sampler.
    fn mapped(&self, generator: &GeneratorConfig) -> usize {
        if [32, 64].contains(&generator.size) { generator.size } else { self.size }
    }

    fn images(&self, domain: Domain) -> Result<Option<ImageSet>> {
        let paths = match (domain, &self.prior) {
            (Domain::X, Prior::File(_)) => return Ok(None),
            (Domain::X, Prior::Train(paths)) => paths,
            (Domain::Y, _) => &self.y,
        };
        let sets = paths.iter().map(ImageSet::open).collect::<Result<Vec<_>>>()?;
        let set = sets.into_iter().reduce(ImageSet::join).ok_or_else(|| Error::new("No pictures were chosen."))?;
        set.require(FEWEST)?;
        Ok(Some(set))
    }

    /// All pictures of a domain, prepared, and what the set is called; `None` for X where the generator is there.
    /// `go_on(done, all)` may stop it.
    pub(super) fn prepare(
        &self,
        domain: Domain,
        size: usize,
        go_on: &(dyn Fn(usize, usize) -> bool + Sync),
    ) -> Result<Option<(Vec<Picture>, String)>> {
        let Some(set) = self.images(domain)? else { return Ok(None) };
        // More drawings than these make a step no better, only the first epochs longer.
        let set = if domain == Domain::Y { set.first(MOST_Y) } else { set };
        let all = set.len();
        let progress = |done| if go_on(done, all) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        let prepared = set.prepare_all(&self.preparation(domain, size), progress);
        if prepared.pictures.len() + prepared.failures.len() < all {
            return Err(Error::new("Stopped before all pictures were prepared."));
        }
        if prepared.pictures.len() < FEWEST {
            let (title, count) = (set.title(), prepared.pictures.len());
            return Err(Error::new(format!(
                "Only {count} pictures of {title} could be read; {FEWEST} at least are needed."
            )));
        }
        Ok(Some((prepared.pictures, set.title().to_owned())))
    }

    /// How pictures of Y are prepared, the treatment left out: what the model file says.
    pub(super) fn plain_preparation(&self, size: usize) -> Preparation {
        let crop = if self.crop { Crop::Content { margin: MARGIN } } else { Crop::Whole };
        Preparation { size, crop, facing: self.facing, ..Preparation::default() }
    }

    fn preparation(&self, domain: Domain, size: usize) -> Preparation {
        let treatment = match domain {
            Domain::X => Treatment::AsIs,
            Domain::Y => self.y_kind.treatment(!self.drawings),
        };
        Preparation { treatment, ..self.plain_preparation(size) }
    }

    /// Channels of Y.
    pub(super) fn channels(&self) -> usize {
        if self.y_kind == YKind::AsIs { 3 } else { 1 }
    }

    fn is_quick(&self) -> bool {
        self.thoroughness == Thoroughness::Quick
    }

    /// Steps of the stages: prior, mapping, encoder, for a G of so many channels.
    pub(super) fn stage_steps(&self, channels: usize) -> [usize; 3] {
        let preset = if self.is_quick() { [4000, 1000, 1000] } else { [13_000, 1800, 1800] };
        let [prior, mapping, encoder] = self.steps.unwrap_or(preset);
        if self.is_alike(channels) { [prior, 0, mapping + encoder] } else { [prior, mapping, encoder] }
    }

    /// The settings of the prior's training on so many pictures: an SN-GAN, as the first model's.
    pub(super) fn prior_settings(&self, images: usize) -> prior::Settings {
        let width = if self.is_quick() { 32 } else { 48 };
        let latent = if self.size == 32 { 32 } else { 100 };
        prior::Settings {
            generator: GeneratorConfig { latent, width, channels: 3, size: self.size, layers: Vec::new() },
            critic_width: width,
            batch: images.min(32),
            steps: self.stage_steps(3)[0],
            cool_down: 0.3,
            augmentation: Augmentation { shift: 2, flip: false },
            seed: self.seed,
            ..prior::Settings::default()
        }
    }

    /// Whether pictures of Y are of the kind that G, of so many channels, draws. T then starts at the identity, leaves it
    /// slowly, and learns together with E, as in the models of bags, cars and emoji: from a random start it explains
    /// things by other ones, and by NAM it bends to codes that no encoder finds again.
    pub(super) fn is_alike(&self, channels: usize) -> bool {
        self.y_kind != YKind::Edges && channels == self.channels()
    }

    /// The shape of T.
    pub(super) fn mapping_config(&self, generator: &GeneratorConfig) -> MappingConfig {
        let size = self.mapped(generator);
        let source = if size == generator.size { 0 } else { generator.size };
        let (inputs, outputs) = (generator.channels, self.channels());
        MappingConfig { width: 16, inputs, outputs, size, skip: self.is_alike(inputs), source }
    }

    /// The settings of T's training: NAM, as the first model's.
    pub(super) fn mapping_settings(&self, generator: &GeneratorConfig, loss: LossConfig) -> NamSettings {
        NamSettings {
            seed: self.seed,
            steps: self.stage_steps(generator.channels)[1],
            batch: 32,
            learning_rate_mapping: 0.002,
            decay_from: 0.6,
            start_deviation: 1.0,
            // Else T explains every drawing by the darkest thing that has its outline.
            contrast: (self.y_kind == YKind::Edges).then_some(Contrast { least: 0.05, most: 0.25 }),
            mapping: self.mapping_config(generator),
            loss,
            ..NamSettings::default()
        }
    }

    /// The settings of E's training: VAE-NAM for the T that NAM found, as the first model's; or together with T. Whether
    /// G `reconstructs` says [`reconstructs`](super::networks::reconstructs).
    pub(super) fn encoder_settings(
        &self,
        generator: &GeneratorConfig,
        reconstructs: bool,
        mapping: &MappingConfig,
        loss: LossConfig,
    ) -> VaeNamSettings {
        let (latent, size) = (generator.latent, mapping.size);
        // Far from N(0, I) a GAN draws blots, so a heavier weight holds codes there, and T, which would paint what they
        // then do not say, stays nearer to the identity: tried with sandals and bags, and with cars for the others. A sleep
        // phase helps where what G draws of random codes belongs to X, as what a GAN draws does.
        let (beta, aggregate, sleep, learning_rate_mapping) = match (mapping.skip, reconstructs) {
            (true, true) => (0.001, 0.0, 0.0, 0.00005),
            (true, false) => (0.01, 0.1, 0.0, 0.000005),
            (false, true) => (0.03, 0.3, 0.0, 0.0),
            (false, false) => (0.015, 0.3, 0.1, 0.0),
        };
        VaeNamSettings {
            seed: self.seed,
            steps: self.stage_steps(generator.channels)[2],
            batch: 32,
            learning_rate_encoder: 0.001,
            decay_from: 0.6,
            beta,
            aggregate,
            sleep,
            warm_up_epochs: 0,
            fixed_mapping: !mapping.skip,
            learning_rate_mapping,
            mapping: *mapping,
            encoder: EncoderConfig { latent, width: 32, channels: self.channels(), size, variational: true },
            loss,
            ..VaeNamSettings::default()
        }
    }
}

/// Pictures of Y that are used at most.
const MOST_Y: usize = 4000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_file::Network;

    #[test]
    fn what_is_missing_is_named() {
        let mut recipe = Recipe::default();
        assert!(recipe.check().unwrap_err().to_string().contains("for X"));
        recipe.prior = Prior::Train(vec!["x".into()]);
        assert!(recipe.check().unwrap_err().to_string().contains("for Y"));
        recipe.y = vec!["y".into()];
        recipe.check().unwrap();
        recipe.size = 48;
        assert!(recipe.check().unwrap_err().to_string().contains("48"));
    }

    #[test]
    fn a_mapping_between_alike_pictures_starts_at_the_identity() {
        let generator = GeneratorConfig::default();
        let of = |y_kind, reconstructs, generator: &GeneratorConfig| {
            let recipe = Recipe { y_kind, ..Recipe::default() };
            let mapping = recipe.mapping_config(generator);
            mapping.shapes().unwrap();
            let encoder = recipe.encoder_settings(generator, reconstructs, &mapping, LossConfig::perceptual(0));
            // Where T learns with E, E's settings have its step size.
            let rate = match encoder.fixed_mapping {
                true => recipe.mapping_settings(generator, LossConfig::perceptual(0)).learning_rate_mapping,
                false => encoder.learning_rate_mapping,
            };
            let weights = [encoder.beta, encoder.aggregate, encoder.sleep];
            (mapping.skip, rate, encoder.fixed_mapping, weights, recipe.stage_steps(generator.channels))
        };
        assert_eq!(of(YKind::AsIs, true, &generator), (true, 0.00005, false, [0.001, 0.0, 0.0], [4000, 0, 2000]));
        assert_eq!(of(YKind::AsIs, false, &generator), (true, 0.000005, false, [0.01, 0.1, 0.0], [4000, 0, 2000]));
        let apart = |weights| (false, 0.002, true, weights, [4000, 1000, 1000]);
        assert_eq!(of(YKind::Edges, true, &generator), apart([0.03, 0.3, 0.0]));
        assert_eq!(of(YKind::Edges, false, &generator), apart([0.015, 0.3, 0.1]));
        // Colours on one side alone leave nothing to add to.
        assert!(!of(YKind::Grey, false, &generator).0);
        assert!(of(YKind::Grey, false, &GeneratorConfig { channels: 1, ..generator }).0);
    }

    #[test]
    fn a_recipe_comes_back_from_its_text() {
        let recipe = Recipe {
            prior: Prior::File("g.safetensors".into()),
            y: vec!["drawings".into()],
            steps: Some([1, 2, 3]),
            ..Recipe::default()
        };
        let text = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
    }
}
