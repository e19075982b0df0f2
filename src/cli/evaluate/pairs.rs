//! `counterpart evaluate emoji`: how often the counterpart of a picture in one style is nearest to its true twin in the
//! other.

use super::HowChoice;
use super::edges::network;
use crate::cli::options::General;
use crate::cli::progress::Progress;
use crate::cli::train::at_least_one;
use crate::cli::train::images::{ImageOptions, Part as Share};
use crate::cli::{interrupt, sheet};
use crate::data::pictures_of;
use crate::data::{ImageSet, Images, Preparation, Treatment};
use crate::evaluate::{How, Settings, counterparts, distances, ranks, top};
use crate::model_file::Model;
use crate::{Error, Result};
use candle_core::Tensor;
use clap::Args;
use serde_json::json;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Finds counterparts of pictures whose true twins are known.
#[derive(Args, Debug)]
#[command(
    after_help = "Twins have the same file name in both folders. The part of both that is measured must be one that \
                        no training saw; which names are in a part depends on the names alone."
)]
pub struct Pairs {
    /// The model to be measured
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// The folder of pictures of Y
    #[arg(long, value_name = "FOLDER")]
    y: PathBuf,
    /// The folder of their twins in X
    #[arg(long, value_name = "FOLDER")]
    x: PathBuf,
    /// Uses the part K of N of both, counted from 0
    #[arg(long, value_name = "K/N", default_value = "0/1")]
    part: Share,
    /// Measures nearness by the levels of this network instead of by pixels: VGG16, VGG19, SqueezeNet or a student
    #[arg(long, value_name = "P.safetensors")]
    perceptual: Option<PathBuf>,
    /// How counterparts are found
    #[arg(long, value_enum, value_name = "HOW", default_value = "solve")]
    how: HowChoice,
    /// Counterparts of each picture, of which the one that explains it best counts
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    starts: usize,
    /// Steps of solving
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    steps: usize,
    /// Writes rows of y, counterpart and true twin
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
    #[command(flatten)]
    general: General,
}

impl Pairs {
    pub(super) fn run(self) -> Result<()> {
        let device = self.general.compute.start()?;
        interrupt::listen();
        let model = Arc::new(Model::open(&self.model, &device)?);
        let network = self.perceptual.as_deref().map(|path| network(path, &device)).transpose()?;
        let manifest = &model.manifest;
        let of_y = Preparation { treatment: manifest.y_kind.treatment(true), ..manifest.preparation.clone() };
        let grey = if manifest.channels_x == 1 { Treatment::Grey } else { Treatment::AsIs };
        let of_x = Preparation { treatment: grey, size: model.generator.config().size, ..manifest.preparation.clone() };
        let (y, x) = self.twins(&of_y, &of_x)?;
        let (y, x) = (stack(&y, manifest.channels_y, &device)?, stack(&x, manifest.channels_x, &device)?);
        let count = y.dim(0)?;
        let settings = Settings { starts: self.starts, steps: self.steps, seed: self.general.seed.seed };
        let mut progress = Progress::new("Finding counterparts", "images", 0, count as u64);
        let mut found = Vec::new();
        for first in (0..count).step_by(32) {
            let part = y.narrow(0, first, 32.min(count - first))?.contiguous()?;
            let seed = settings.seed.wrapping_add(first as u64);
            found.push(counterparts(&model, &part, How::from(self.how), Settings { seed, ..settings })?);
            progress.at((first + part.dim(0)?) as u64, String::new);
            if interrupt::happened() {
                return Err(Error::new("Stopped before everything was measured."));
            }
        }
        drop(progress);
        let found = Tensor::cat(&found, 0)?;
        if let Some(path) = &self.sheet {
            let columns: Vec<_> = [&y, &found, &x].into_iter().map(pictures_of).collect::<Result<_>>()?;
            let size = columns[1].first().map_or(1, crate::Picture::width);
            let rows = (0..count.min(64)).flat_map(|row| columns.iter().map(move |column| &column[row]));
            let cells: Vec<_> = rows.map(|cell| crate::data::fit(cell, size, crate::data::Fit::Contain)).collect();
            sheet::write(path, &cells, 24)?;
        }
        let network = network.as_ref();
        let ours = ranks(&distances(network, &found, &x)?);
        // The input itself, where it has as many channels and pixels as X.
        let itself = if y.dims() == x.dims() { Some(ranks(&distances(network, &y, &x)?)) } else { None };
        let line = |name: &str, ranks: &[usize]| {
            let (one, five) = (100.0 * top(ranks, 1), 100.0 * top(ranks, 5));
            format!("{name}: the true twin is nearest {one:.1} %, among the five nearest {five:.1} %")
        };
        self.general.json.say(&format!("{count} twins held out, chance {:.2} %", 100.0 / count as f64))?;
        self.general.json.say(&line("counterpart", &ours))?;
        if let Some(itself) = &itself {
            self.general.json.say(&line("the input itself", itself))?;
        }
        let report = |ranks: &[usize]| json!({"top_1": top(ranks, 1), "top_5": top(ranks, 5)});
        self.general.json.write(&json!({
            "model": manifest.title, "twins": count, "starts": self.starts, "steps": self.steps,
            "nearness": if network.is_some() { "perceptual" } else { "pixels" },
            "counterpart": report(&ours), "input": itself.as_deref().map(report),
        }))
    }

    /// The pictures of Y and of X that have the same names, prepared.
    fn twins(&self, of_y: &Preparation, of_x: &Preparation) -> Result<(Vec<crate::Picture>, Vec<crate::Picture>)> {
        let open = |path: &PathBuf, how: &Preparation| -> Result<HashMap<String, crate::Picture>> {
            let set: ImageSet = ImageOptions::open_part(std::slice::from_ref(path), self.part, 2)?;
            let prepared = set.prepare_all(how, |_| std::ops::ControlFlow::Continue(()));
            Ok(prepared.indices.iter().map(|&i| set.name(i)).zip(prepared.pictures).collect())
        };
        let (mut y, mut x) = (open(&self.y, of_y)?, open(&self.x, of_x)?);
        let mut names: Vec<String> = y.keys().filter(|name| x.contains_key(*name)).cloned().collect();
        names.sort_unstable();
        if names.len() < 2 {
            return Err(Error::new(format!(
                "{} and {} have {} file names in common in this part; at least 2 are needed.",
                self.y.display(),
                self.x.display(),
                names.len()
            )));
        }
        Ok(names.iter().filter_map(|name| y.remove(name).zip(x.remove(name))).unzip())
    }
}

fn stack(pictures: &[crate::Picture], channels: usize, device: &candle_core::Device) -> Result<Tensor> {
    let images = Images::from_pictures(pictures, channels)?;
    images.batch(&(0..images.len()).collect::<Vec<_>>(), device)
}
