//! A training that goes through its stages a step at a time: the prior, the mapping by NAM, the encoder by VAE-NAM for
//! that mapping (or both together), and the measuring of pictures that training never saw.

mod result;

use super::folder::{Folder, Times};
use super::judge::{HeldOutWatch, SampleWatch, WATCHED, Warning, Watched};
use super::networks::{frozen_generator, frozen_perceptual, loss_of, perceptual_part, reconstructs};
use super::recipe::{Domain, Prior, Recipe};
use crate::data::{Images, pictures_of};
use crate::model_file::{Network, Part, Storage};
use crate::nam::train::{Given, NamTrainer, Trainer, VaeNamTrainer, hold_out};
use crate::nets::{EncoderConfig, GeneratorConfig, MappingConfig, PerceptualConfig};
use crate::{Error, Picture, Result, prior};
use candle_core::Device;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Samples on a sheet of the prior.
const SAMPLES: usize = 16;
/// Pictures of Y that training does not see, at most; of few pictures, a quarter.
const HELD_OUT: usize = 48;
/// Stages are looked at after each of so many equal parts.
const LOOKS: usize = 20;

/// How long a step takes beside those of the other stages: prior, mapping, encoder.
const STEP_TIMES: [f32; 3] = [0.42, 0.27, 0.29];

/// A stage of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The generator learns X.
    Prior,
    /// T is fitted to Y.
    Mapping,
    /// E learns to find codes at once; T with it, where X and Y are alike.
    Encoder,
    /// Pictures that training never saw are solved for.
    Measuring,
    /// The model is written.
    Done,
}

/// Pictures in a row, under a heading.
#[derive(Clone, Debug)]
pub struct Row {
    /// What they are.
    pub heading: &'static str,
    /// All of one size.
    pub pictures: Vec<Arc<Picture>>,
}

/// What one step came to.
#[derive(Clone, Debug, Default)]
pub struct Stepped {
    /// The losses by their names.
    pub losses: Vec<(&'static str, f32)>,
    /// New pictures, when it was time to look.
    pub rows: Option<Vec<Row>>,
}

enum Running {
    Prior(Box<prior::Trainer>),
    Mapping(NamTrainer),
    Encoder(VaeNamTrainer),
    Measuring,
    Done,
}

/// A training under way.
pub struct Work {
    recipe: Recipe,
    folder: Folder,
    out: PathBuf,
    device: Device,
    running: Running,
    prior: Option<Part<GeneratorConfig>>,
    mapping: Option<Part<MappingConfig>>,
    encoder: Option<Part<EncoderConfig>>,
    perceptual: Option<Part<PerceptualConfig>>,
    x: (String, usize),
    y_title: String,
    images: Images,
    held: Images,
    times: Times,
    since: Instant,
    samples: SampleWatch,
    held_out: HeldOutWatch,
    warnings: Vec<Warning>,
}

/// Opens what a finished stage left, if it is there.
fn finished<N: Network>(path: &Path, device: &Device) -> Result<Option<Part<N>>> {
    path.exists().then(|| Part::open(path, device)).transpose()
}

impl Work {
    /// Starts a training whose model goes to `out`, or goes on with the one that was stopped there. `go_on(done, all)`
    /// hears of the pictures that are prepared, and may stop that.
    ///
    /// # Errors
    /// When the recipe is incomplete, pictures are missing, or what is on the disk does not fit them.
    pub fn open(
        recipe: Recipe,
        out: &Path,
        resume: bool,
        device: &Device,
        go_on: &(dyn Fn(usize, usize) -> bool + Sync),
    ) -> Result<Self> {
        let folder = Folder::of(out);
        let recipe = if resume { folder.recipe()? } else { recipe };
        recipe.check()?;
        let size = recipe.side()?;
        let no_y = || Error::new("No pictures of Y were chosen.");
        let (pictures, y_title) = recipe.prepare(Domain::Y, size, go_on)?.ok_or_else(no_y)?;
        let y = Images::from_pictures(&pictures, recipe.channels())?;
        let (images, held) = hold_out(&y, HELD_OUT.min(y.len() / 4).max(2), recipe.seed)?;
        let prior = match &recipe.prior {
            Prior::File(path) => Some(prior::import::open(path, device)?),
            Prior::Train(_) => finished(&folder.network("prior"), device)?,
        };
        let perceptual = perceptual_part(device)?;
        let mut work = Self {
            mapping: finished(&folder.network("mapping"), device)?,
            encoder: finished(&folder.network("encoder"), device)?,
            times: folder.times(),
            out: out.to_owned(),
            device: device.clone(),
            running: Running::Done,
            x: (String::new(), 0),
            since: Instant::now(),
            samples: SampleWatch::default(),
            held_out: HeldOutWatch::default(),
            warnings: Vec::new(),
            prior,
            perceptual,
            y_title,
            images,
            held,
            recipe,
            folder,
        };
        let x = match work.prior {
            None => work.recipe.prepare(Domain::X, size, go_on)?,
            Some(_) => None,
        };
        if !resume {
            // Not before everything was found to be there.
            work.folder.create(&work.recipe)?;
        }
        work.running = work.next(x)?;
        Ok(work)
    }

    /// The stage that comes first of those that are not finished.
    fn next(&mut self, x: Option<(Vec<Picture>, String)>) -> Result<Running> {
        self.since = Instant::now();
        self.held_out = HeldOutWatch::default();
        self.warnings.clear();
        let Some(prior) = &self.prior else {
            let (pictures, title) = x.ok_or_else(|| Error::new("No pictures of X were chosen."))?;
            self.samples = SampleWatch::new(&pictures[..SAMPLES.min(pictures.len())]);
            self.x = (title, pictures.len());
            let images = Images::from_pictures(&pictures, 3)?;
            let checkpoint = self.folder.checkpoint("prior");
            let trainer = match checkpoint.exists() {
                true => prior::Trainer::resume(&checkpoint, None, images, None, &self.device)?,
                false => prior::Trainer::new(self.recipe.prior_settings(images.len()), images, None, &self.device)?,
            };
            return Ok(Running::Prior(Box::new(trainer)));
        };
        let loss = loss_of(self.perceptual.as_ref());
        let given = Given {
            generator: frozen_generator(prior)?,
            images: self.images.clone(),
            perceptual: frozen_perceptual(self.perceptual.as_ref())?,
        };
        if self.mapping.is_none() && !self.learns_together() {
            let checkpoint = self.folder.checkpoint("mapping");
            let settings = self.recipe.mapping_settings(&prior.config, loss);
            settings.mapping.shapes()?;
            return Ok(Running::Mapping(match checkpoint.exists() {
                true => NamTrainer::resume(&checkpoint, given, &self.device)?,
                false => NamTrainer::new(settings, given, &self.device)?,
            }));
        }
        if self.encoder.is_some() {
            return Ok(Running::Measuring);
        }
        let checkpoint = self.folder.checkpoint("encoder");
        let shape = self.mapping.as_ref().map_or_else(|| self.recipe.mapping_config(&prior.config), |part| part.config);
        shape.shapes()?;
        let settings = self.recipe.encoder_settings(&prior.config, reconstructs(prior), &shape, loss);
        Ok(Running::Encoder(match &self.mapping {
            _ if checkpoint.exists() => VaeNamTrainer::resume(&checkpoint, given, &self.device)?,
            Some(mapping) => VaeNamTrainer::with_mapping(settings, &mapping.weights, given, &self.device)?,
            None => VaeNamTrainer::new(settings, given, &self.device)?,
        }))
    }

    /// Whether there is no stage for the mapping alone: it learns together with the encoder.
    pub fn learns_together(&self) -> bool {
        self.recipe.is_alike(self.channels())
    }

    /// Channels of what G draws; of one that is trained here, three.
    fn channels(&self) -> usize {
        self.prior.as_ref().map_or(3, |prior| prior.config.channels)
    }

    /// The stage under way.
    pub fn stage(&self) -> Stage {
        match &self.running {
            Running::Prior(_) => Stage::Prior,
            Running::Mapping(_) => Stage::Mapping,
            Running::Encoder(_) => Stage::Encoder,
            Running::Measuring => Stage::Measuring,
            Running::Done => Stage::Done,
        }
    }

    /// Steps of this stage so far, and how many there will be.
    pub fn progress(&self) -> (usize, usize) {
        match &self.running {
            Running::Prior(trainer) => (trainer.steps(), trainer.settings().steps),
            Running::Mapping(trainer) => (trainer.step_count(), trainer.planned_steps()),
            Running::Encoder(trainer) => (trainer.step_count(), trainer.planned_steps()),
            Running::Measuring => (0, 1),
            Running::Done => (1, 1),
        }
    }

    /// Steps of this stage that would take as long as all that is still to be done, by the times of the stages of the
    /// first model's training.
    pub fn steps_left_in_all(&self) -> f32 {
        let (step, steps) = self.progress();
        let stage = match self.stage() {
            Stage::Prior => 0,
            Stage::Mapping => 1,
            Stage::Encoder => 2,
            Stage::Measuring | Stage::Done => return steps.saturating_sub(step) as f32,
        };
        let planned = self.recipe.stage_steps(self.channels());
        let later = (stage + 1..STEP_TIMES.len()).map(|later| planned[later] as f32 * STEP_TIMES[later]);
        steps.saturating_sub(step) as f32 + later.sum::<f32>() / STEP_TIMES[stage]
    }

    /// What is wrong, as far as this stage tells.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// One step; the last of a stage also writes what the stage has come to and begins the next one. Measuring is one
    /// step, which asks `go_on(done, all)` often.
    ///
    /// # Errors
    /// When the computation or the disk fails, or `go_on` said no.
    pub fn step(&mut self, go_on: &mut dyn FnMut(usize, usize) -> bool) -> Result<Stepped> {
        let losses = match &mut self.running {
            Running::Prior(trainer) => trainer.step()?.losses,
            Running::Mapping(trainer) => vec![("loss", trainer.step()?.loss)],
            Running::Encoder(trainer) => {
                let report = trainer.step()?;
                let kl = report.kl.map(|kl| ("kl", kl));
                [("loss", report.loss), ("reconstruction", report.reconstruction)].into_iter().chain(kl).collect()
            }
            Running::Measuring => {
                self.measure(go_on)?;
                self.running = Running::Done;
                return Ok(Stepped::default());
            }
            Running::Done => return Ok(Stepped::default()),
        };
        let (step, steps) = self.progress();
        let last = step >= steps;
        let time_to_look = step == 1 || last || step.is_multiple_of((steps / LOOKS).max(1));
        let rows = if time_to_look { Some(self.look()?) } else { None };
        if last {
            self.finish_stage()?;
        }
        Ok(Stepped { losses, rows })
    }

    /// Looks at what there is: new pictures, and what is wrong with them.
    fn look(&mut self) -> Result<Vec<Row>> {
        let (step, steps) = self.progress();
        // Early in a training nothing can be said.
        let grown = 3 * step >= steps && step > LOOKS;
        if let Running::Prior(trainer) = &self.running {
            let samples = trainer.samples(SAMPLES)?;
            self.warnings = self.samples.look(&samples, grown).into_iter().collect();
            return Ok(vec![row("Samples of the generator", samples)]);
        }
        let networks = match &self.running {
            Running::Mapping(trainer) => trainer.networks()?,
            Running::Encoder(trainer) => trainer.networks()?,
            _ => return Ok(Vec::new()),
        };
        let found = Watched::find(networks, &self.held, &self.device, self.recipe.seed)?;
        let ignored = found.warning().filter(|_| grown);
        self.warnings = self.held_out.loss(found.loss).into_iter().chain(ignored).collect();
        Ok(vec![
            row("y, never seen in training", pictures_of(&found.y)?),
            row("T(G(z)), to look like y", pictures_of(&found.reconstruction)?),
            row("G(z), the counterparts", pictures_of(&found.x)?),
        ])
    }

    /// Writes what a resumed training needs. Cheap beside some seconds of training.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn checkpoint(&mut self) -> Result<()> {
        let place = match &self.running {
            Running::Prior(trainer) => {
                trainer.checkpoint()?.save(&self.folder.checkpoint("prior"))?;
                0
            }
            Running::Mapping(trainer) => {
                trainer.save(&self.folder.checkpoint("mapping"))?;
                1
            }
            Running::Encoder(trainer) => {
                trainer.save(&self.folder.checkpoint("encoder"))?;
                2
            }
            Running::Measuring | Running::Done => return Ok(()),
        };
        self.times.seconds[place] += std::mem::replace(&mut self.since, Instant::now()).elapsed().as_secs_f64();
        self.folder.set_times(&self.times)
    }

    fn finish_stage(&mut self) -> Result<()> {
        self.checkpoint()?;
        let (name, next) = match self.stage() {
            Stage::Prior => {
                let part = self.prior_part()?;
                part.save(&self.folder.network("prior"), Storage::F32)?;
                self.prior = Some(part);
                ("prior", true)
            }
            Stage::Mapping => {
                let part = self.mapping_part()?;
                part.save(&self.folder.network("mapping"), Storage::F32)?;
                self.mapping = Some(part);
                ("mapping", true)
            }
            Stage::Encoder => {
                if let Some(part) = self.mapping_now()? {
                    part.save(&self.folder.network("mapping"), Storage::F32)?;
                    self.mapping = Some(part);
                }
                let part = self.encoder_part()?;
                part.save(&self.folder.network("encoder"), Storage::F32)?;
                self.encoder = Some(part);
                ("encoder", true)
            }
            Stage::Measuring | Stage::Done => ("", false),
        };
        if next {
            // What the stage left replaces its checkpoint, which may be large.
            let _ = std::fs::remove_file(self.folder.checkpoint(name));
            self.running = self.next(None)?;
        }
        Ok(())
    }
}

fn row(heading: &'static str, pictures: Vec<Picture>) -> Row {
    debug_assert!(pictures.len() <= SAMPLES.max(WATCHED));
    Row { heading, pictures: pictures.into_iter().map(Arc::new).collect() }
}
