//! The manifest: everything about a model that is not a weight.

use super::container::Container;
use super::shapes::{Network, check_range};
use super::{HeldOut, LossConfig};
use crate::data::{Preparation, YKind};
use crate::nets::{EncoderConfig, GeneratorConfig, MappingConfig, PerceptualConfig};
use crate::{Because, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// The version of the format that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// What the manifest's keys begin with.
const PREFIX: &str = "counterpart.";
/// The entries that are plain text; all others are JSON.
const TEXTS: [&str; 4] = ["title", "domain_x", "domain_y", "licence"];

/// How one network came to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainingRecord {
    /// The network: `prior`, `student` or `mapping`.
    pub stage: String,
    /// The method: `dcgan`, `sngan`, `vae`, `glo`, `nam`, `ae-nam`, `vae-nam`, ...
    pub method: String,
    /// What it was trained on, with its licence if that is known.
    pub data: String,
    /// How many images that were.
    pub images: usize,
    /// The seed.
    pub seed: u64,
    /// Steps taken.
    pub steps: usize,
    /// Images in a step.
    pub batch: usize,
    /// Time it took, in seconds.
    pub seconds: f64,
    /// The version of the program.
    pub program: String,
    /// All other settings, as on the command line.
    pub settings: BTreeMap<String, String>,
    /// What was measured at the end.
    pub quality: BTreeMap<String, f64>,
}

/// Everything about a model that is not a weight. Stored as strings under `counterpart.` in the file's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// The version of the format, at most [`FORMAT_VERSION`].
    pub format_version: u32,
    /// What the model is called, "Edges to shoes" for example.
    pub title: String,
    /// What G draws.
    pub domain_x: String,
    /// What a person gives.
    pub domain_y: String,
    /// Rows and columns of the pictures of Y, and of those of X unless the mapping says otherwise.
    pub size: usize,
    /// Channels of X.
    pub channels_x: usize,
    /// Channels of Y.
    pub channels_y: usize,
    /// nz, the length of a latent code.
    pub latent: usize,
    /// The shape of G.
    pub generator: GeneratorConfig,
    /// The shape of T.
    pub mapping: MappingConfig,
    /// The shape of E, if there is one (AE-NAM, VAE-NAM).
    pub encoder: Option<EncoderConfig>,
    /// The shape of the perceptual network, if there is one.
    pub perceptual: Option<PerceptualConfig>,
    /// The reconstruction loss T was trained with.
    pub loss: LossConfig,
    /// What Y consists of.
    pub y_kind: YKind,
    /// How photographs were prepared for training; a person's pictures are prepared the same way.
    pub preparation: Preparation,
    /// How the networks came to be, in the order of training.
    pub training: Vec<TrainingRecord>,
    /// How well images of Y that training never saw were explained.
    pub held_out: HeldOut,
    /// The licence of the model, and where its data came from.
    pub licence: String,
}

impl Default for Manifest {
    fn default() -> Self {
        let (generator, mapping) = (GeneratorConfig::default(), MappingConfig::default());
        Self {
            format_version: FORMAT_VERSION,
            title: "Untitled".to_owned(),
            domain_x: "X".to_owned(),
            domain_y: "Y".to_owned(),
            size: generator.size,
            channels_x: generator.channels,
            channels_y: mapping.outputs,
            latent: generator.latent,
            generator,
            mapping,
            encoder: None,
            perceptual: None,
            loss: LossConfig::default(),
            y_kind: YKind::default(),
            preparation: Preparation::default(),
            training: Vec::new(),
            held_out: HeldOut::default(),
            licence: String::new(),
        }
    }
}

impl Manifest {
    /// A manifest for these networks; sizes and channels follow from them.
    pub fn new(
        generator: GeneratorConfig,
        mapping: MappingConfig,
        encoder: Option<EncoderConfig>,
        perceptual: Option<PerceptualConfig>,
    ) -> Self {
        Self {
            size: mapping.size,
            channels_x: generator.channels,
            channels_y: mapping.outputs,
            latent: generator.latent,
            preparation: Preparation { size: mapping.size, ..Preparation::default() },
            generator,
            mapping,
            encoder,
            perceptual,
            ..Self::default()
        }
    }

    /// Checks that the entries agree with one another and that no number is beyond what a model may have.
    ///
    /// # Errors
    /// With a sentence about the first that is wrong.
    pub fn check(&self) -> Result<()> {
        check_version(self.format_version)?;
        self.generator.shapes()?;
        self.mapping.shapes()?;
        let (g, t) = (&self.generator, &self.mapping);
        let mut equal = vec![
            ("size of X", t.source_size(), g.size),
            ("size", self.size, t.size),
            ("channels_x", self.channels_x, g.channels),
            ("channels_x", self.channels_x, t.inputs),
            ("channels_y", self.channels_y, t.outputs),
            ("latent", self.latent, g.latent),
            ("preparation", self.preparation.size, self.size),
        ];
        if let Some(e) = &self.encoder {
            e.shapes()?;
            equal.extend([("size", self.size, e.size), ("channels_y", self.channels_y, e.channels)]);
            equal.push(("latent", self.latent, e.latent));
        }
        if let Some((name, one, other)) = equal.into_iter().find(|(_, one, other)| one != other) {
            return Err(Error::new(format!(
                "The manifest contradicts itself: {name} is {one} here and {other} there."
            )));
        }
        check_range("channels_x", self.channels_x, 1..=4)?;
        check_range("channels_y", self.channels_y, 1..=4)?;
        let levels = match &self.perceptual {
            Some(perceptual) => {
                perceptual.shapes()?;
                perceptual.levels()
            }
            None => 0,
        };
        self.loss.check()?;
        let halvings = self.size.trailing_zeros() as usize;
        if self.loss.laplacian > 0.0 && self.loss.laplacian_levels > halvings + 1 {
            return Err(Error::new(format!(
                "The loss has a Laplacian pyramid of {} levels; {} pixels have at most {}.",
                self.loss.laplacian_levels,
                self.size,
                halvings + 1
            )));
        }
        for (name, text, most) in [
            ("title", &self.title, 200),
            ("domain_x", &self.domain_x, 200),
            ("domain_y", &self.domain_y, 200),
            ("licence", &self.licence, 10_000),
        ] {
            if text.chars().count() > most {
                return Err(Error::new(format!("The entry {name} has more than {most} characters.")));
            }
        }
        self.preparation.check()?;
        if self.loss.needs_perceptual() && self.loss.perceptual.len() > levels {
            let wanted = self.loss.perceptual.len();
            return Err(Error::new(format!("The loss uses {wanted} perceptual levels, the model has {levels}.")));
        }
        self.held_out.check()
    }

    /// The strings that the file's metadata holds.
    ///
    /// # Errors
    /// When an entry cannot be written, which no entry that [`Manifest::check`] lets through does.
    pub fn to_metadata(&self) -> Result<HashMap<String, String>> {
        entries(self)
    }

    /// Reads and checks the manifest of a file whose header has been read.
    pub(super) fn of(container: &Container) -> Result<Self> {
        let name = container.name();
        let map = typed_entries(container)?;
        let manifest: Self = serde_json::from_value(Value::Object(map))
            .because(|| format!("{name} is damaged: its manifest cannot be understood."))?;
        manifest.check().because(|| format!("{name} is damaged: its manifest cannot be right."))?;
        Ok(manifest)
    }
}

/// Refuses what a newer program wrote, and versions that never were.
pub(super) fn check_version(version: u32) -> Result<()> {
    match version {
        1..=FORMAT_VERSION => Ok(()),
        0 => Err(Error::new("The manifest names no version of the format.")),
        newer => Err(Error::new(format!(
            "The model was made by a newer version of Counterpart (format {newer}; this version reads up to \
             {FORMAT_VERSION}); please update the program."
        ))),
    }
}

/// Anything typed, as strings under `counterpart.`.
pub(super) fn entries(value: &impl Serialize) -> Result<HashMap<String, String>> {
    let value = serde_json::to_value(value).because(|| "The manifest cannot be written.")?;
    let Value::Object(map) = value else { return Err(Error::new("The manifest has no entries.")) };
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(map.into_iter().map(|(key, value)| (format!("{PREFIX}{key}"), text(value))).collect())
}

/// The strings under `counterpart.` with their types again, after a look at the version.
pub(super) fn typed_entries(container: &Container) -> Result<serde_json::Map<String, Value>> {
    let name = container.name();
    let found = |key: &str| container.metadata().get(&format!("{PREFIX}{key}"));
    let Some(version) = found("format_version") else {
        let cause = "It has no entry counterpart.format_version.";
        return Err(Error::because(format!("{name} holds weights, but it is not a model of this program."), cause));
    };
    let version: u32 =
        version.parse().because(|| format!("{name} is damaged: the version of its format is {version:?}."))?;
    check_version(version).map_err(|error| Error::because(format!("{name} cannot be opened. {error}"), error))?;
    let mut map = serde_json::Map::new();
    for (key, text) in container.metadata() {
        let Some(key) = key.strip_prefix(PREFIX) else { continue };
        let value = if TEXTS.contains(&key) {
            Value::String(text.clone())
        } else {
            // Enumerations without fields are plain words too.
            let word = !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '-') && text != "null";
            match serde_json::from_str(text) {
                Ok(value) => value,
                Err(_) if word => Value::String(text.clone()),
                Err(error) => {
                    return Err(Error::because(format!("{name} is damaged: its entry {key} makes no sense."), error));
                }
            }
        };
        map.insert(key.to_owned(), value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Crop;

    #[test]
    fn contradictions_are_found() {
        let good = Manifest::default();
        assert!(good.check().is_ok());
        assert!(Manifest { size: 32, ..good.clone() }.check().is_err());
        assert!(Manifest { latent: 3, ..good.clone() }.check().is_err());
        assert!(
            Manifest { encoder: Some(EncoderConfig { latent: 7, ..Default::default() }), ..good.clone() }
                .check()
                .is_err()
        );
        assert!(Manifest { loss: LossConfig::perceptual(3), ..good.clone() }.check().is_err());
        let perceptual = Some(PerceptualConfig::default());
        assert!(
            Manifest { loss: LossConfig::perceptual(3), perceptual: perceptual.clone(), ..good.clone() }
                .check()
                .is_ok()
        );
        assert!(Manifest { loss: LossConfig::perceptual(4), perceptual, ..good.clone() }.check().is_err());
        let generator = GeneratorConfig { width: 1 << 40, ..good.generator.clone() };
        assert!(Manifest { generator, ..good.clone() }.check().is_err());
        let laplacian = |laplacian_levels| LossConfig { laplacian: 1.0, laplacian_levels, ..LossConfig::default() };
        assert!(Manifest { loss: laplacian(7), ..good.clone() }.check().is_ok());
        assert!(Manifest { loss: laplacian(8), ..good.clone() }.check().is_err());
        assert!(Manifest { title: "T".repeat(201), ..good }.check().is_err());
    }

    #[test]
    fn settings_that_no_picture_can_be_prepared_with_are_found() {
        let with = |change: &dyn Fn(&mut Preparation)| {
            let mut manifest = Manifest::default();
            change(&mut manifest.preparation);
            manifest.check()
        };
        assert!(with(&|_| {}).is_ok());
        assert!(with(&|p| p.crop = Crop::Content { margin: 0.1 }).is_ok());
        for (name, change) in [
            ("stroke", (&|p: &mut Preparation| p.lines.stroke = 1e9) as &dyn Fn(&mut Preparation)),
            ("smoothing", &|p| p.lines.smoothing = 1e6),
            ("smoothing", &|p| p.lines.smoothing = f32::NAN),
            ("high", &|p| p.lines.high = -1.0),
            ("high", &|p| (p.lines.low, p.lines.high) = (0.5, 0.2)),
            ("margin", &|p| p.crop = Crop::Content { margin: 1e30 }),
            ("margin", &|p| p.crop = Crop::Content { margin: -5.0 }),
            ("width", &|p| p.crop = Crop::Box { x: 0.5, y: 0.0, width: 0.6, height: 1.0 }),
        ] {
            let error = with(change).expect_err(name).to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
