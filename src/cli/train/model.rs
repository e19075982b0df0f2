//! `counterpart train model`: from two folders of pictures to a model file, all stages with the settings of a preset;
//! what the window's page does.

use super::images::{CropChoice, FacingChoice};
use super::mapping::YChoice;
use super::options::{Names, ResultOptions};
use crate::cli::options::{Compute, Json, Seed};
use crate::cli::progress::Progress;
use crate::cli::{interrupt, output, sheet};
use crate::workshop::{Prior, Recipe, Row, Stage, Thoroughness, Warning, Work};
use crate::{Error, Picture, Result};
use candle_core::Device;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a checkpoint is written.
const CHECKPOINT: Duration = Duration::from_secs(60);
/// Pictures in a row of a sheet.
const COLUMNS: usize = 8;

/// Trains generator, mapping and encoder and writes a model file.
#[derive(Args, Debug)]
#[command(
    after_help = "Beside M.safetensors stand M.samples.png, the newest pictures, and until the model is done the \
                        folder M.training, which --resume goes on from (the recipe comes from it)."
)]
#[command(mut_arg("out", |out| out.value_name("M.safetensors").help("Where the model goes")))]
#[command(mut_arg("licence", |licence| licence.help("The licence of the pictures, for the manifest")))]
pub struct TrainModel {
    /// Folders or files of pictures of X, what is to be found
    #[arg(long, value_name = "PATH", num_args = 1.., required_unless_present_any = ["prior", "resume"])]
    x: Vec<PathBuf>,
    /// A generator of X that is there already, instead of pictures: what `train prior` or `import prior` wrote, a model,
    /// or a file that `import prior` reads (with G.json, a description, beside it where needed)
    #[arg(long, value_name = "G.safetensors", conflicts_with = "x")]
    prior: Option<PathBuf>,
    /// Folders or files of pictures of Y, what a person will give
    #[arg(long, value_name = "PATH", num_args = 1.., required_unless_present = "resume")]
    y: Vec<PathBuf>,
    /// What Y consists of: line drawings, the pictures as they are, or grey pictures
    #[arg(long, value_enum, default_value = "as-is")]
    y_kind: YChoice,
    /// With --y-kind edges: the pictures are drawings already, not photographs
    #[arg(long)]
    drawings: bool,
    /// Which part of a picture is used: all of it, or what is shown on a plain background
    #[arg(long, value_enum, default_value = "whole")]
    crop: CropChoice,
    /// Mirrors pictures so that all things face one way: those of X and Y must face alike
    #[arg(long, value_enum, default_value = "as-is")]
    facing: FacingChoice,
    /// Rows and columns of all pictures, 32 or 64
    #[arg(long, value_name = "32|64", default_value_t = 64)]
    size: usize,
    /// A better model in several times the time
    #[arg(long)]
    thorough: bool,
    /// Steps of prior, mapping and encoder instead of the preset's (the latter two together where Y is like X)
    #[arg(long, value_name = "N,N,N", value_delimiter = ',')]
    steps: Option<Vec<usize>>,
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    result: ResultOptions,
    #[command(flatten)]
    seed: Seed,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    json: Json,
}

impl TrainModel {
    fn recipe(&self) -> Recipe {
        let Names { title, domain_x, domain_y } = &self.names;
        Recipe {
            title: title.clone(),
            domain_x: domain_x.clone(),
            domain_y: domain_y.clone(),
            prior: self.prior.clone().map_or_else(|| Prior::Train(self.x.clone()), Prior::File),
            y: self.y.clone(),
            y_kind: self.y_kind.into(),
            drawings: self.drawings,
            size: self.size,
            thoroughness: if self.thorough { Thoroughness::Thorough } else { Thoroughness::Quick },
            crop: self.crop == CropChoice::Content,
            facing: self.facing.into(),
            licence: self.result.licence.clone(),
            seed: self.seed.seed,
            steps: self.steps.as_ref().and_then(|steps| steps.clone().try_into().ok()),
        }
    }

    pub(super) fn run(self) -> Result<()> {
        if self.steps.as_ref().is_some_and(|steps| steps.len() != 3) {
            return Err(Error::new("--steps takes three numbers: the steps of prior, mapping and encoder."));
        }
        let device = self.compute.start()?;
        interrupt::listen();
        let out = &self.result.out;
        let started = Instant::now();
        let mut work = open(self.recipe(), out, self.result.resume, &device)?;
        let mut saved = Instant::now();
        let mut said = Vec::new();
        while work.stage() != Stage::Done && !interrupt::happened() {
            let stage = work.stage();
            let (step, steps) = work.progress();
            let name = name(stage, work.learns_together());
            let mut progress = Progress::new(name, "steps", step as u64, steps as u64);
            while work.stage() == stage && !interrupt::happened() {
                let mut measured = None;
                let stepped = work.step(&mut |done, all| {
                    let new = || Progress::new(name, "steps", 0, all as u64);
                    measured.get_or_insert_with(new).at(done as u64, String::new);
                    !interrupt::happened()
                });
                let stepped = match stepped {
                    Err(_) if interrupt::happened() => break,
                    other => other?,
                };
                progress.step(|| {
                    let losses = stepped.losses.iter().map(|(name, loss)| format!("{name} {loss:.4}"));
                    losses.collect::<Vec<_>>().join(", ")
                });
                if let Some(rows) = stepped.rows {
                    write_sheet(&out.with_extension("samples.png"), &rows)?;
                }
                if work.stage() == stage {
                    for &warning in work.warnings().iter().filter(|warning| !said.contains(&(stage, **warning))) {
                        output::note(&format!("warning: {}", sentence(warning)));
                    }
                    said.extend(work.warnings().iter().map(|&warning| (stage, warning)));
                }
                if saved.elapsed() >= CHECKPOINT {
                    work.checkpoint()?;
                    saved = Instant::now();
                }
            }
        }
        if work.stage() == Stage::Done {
            let took = output::duration(started.elapsed().as_secs_f64());
            self.json.say(&format!("{}: a model, made in {took}.", out.display()))?;
            let seconds = started.elapsed().as_secs_f64();
            return self.json.write(&json!({ "model": out, "seconds": seconds }));
        }
        work.checkpoint()?;
        output::note(&format!("Stopped; go on with --resume --out {}.", out.display()));
        Ok(())
    }
}

fn open(recipe: Recipe, out: &Path, resume: bool, device: &Device) -> Result<Work> {
    let progress: Mutex<Option<(usize, Progress)>> = Mutex::new(None);
    let go_on = |done: usize, all: usize| {
        if let Ok(mut progress) = progress.lock() {
            // Y comes first, then X.
            if progress.as_ref().is_none_or(|(of, _)| *of != all) {
                *progress = Some((all, Progress::new("Preparing pictures", "pictures", 0, all as u64)));
            }
            if let Some((_, progress)) = &mut *progress {
                progress.at(done as u64, String::new);
            }
        }
        !interrupt::happened()
    };
    crate::files::check_place(out, &[])?;
    Work::open(recipe, out, resume, device, &go_on)
}

fn name(stage: Stage, together: bool) -> &'static str {
    match stage {
        Stage::Prior => "Training the generator",
        Stage::Mapping => "Fitting the mapping",
        Stage::Encoder if together => "Training mapping and encoder",
        Stage::Encoder => "Training the encoder",
        Stage::Measuring | Stage::Done => "Measuring held-out pictures",
    }
}

fn sentence(warning: Warning) -> &'static str {
    match warning {
        Warning::Collapsed => "the generator's samples have become alike; give it more pictures, or another seed.",
        Warning::Overfitted => "pictures that training never saw are explained worse than before; give it more of Y.",
        Warning::IgnoresY => "the counterparts hardly depend on y; X may hold nothing that looks like Y's pictures.",
    }
}

fn write_sheet(path: &Path, rows: &[Row]) -> Result<()> {
    let mut cells: Vec<Picture> = Vec::new();
    for row in rows {
        cells.extend(row.pictures.iter().map(|picture| Picture::clone(picture)));
        let side = cells.first().map_or(1, Picture::width);
        // Rows stay rows when there are fewer pictures than columns.
        cells.resize_with(cells.len().next_multiple_of(COLUMNS), || Picture::filled(side, side, [255; 4]));
    }
    sheet::write(path, &cells, COLUMNS)
}
