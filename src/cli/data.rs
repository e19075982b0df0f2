//! `counterpart data`: pictures with their truth, from the simulator.

use super::options::Seed;
use super::progress::Progress;
use super::train::at_least_one;
use super::{interrupt, output};
use crate::ops::threads;
use crate::prior::simulator::{Set, Shot, shot};
use crate::{Because, Error, Result, export, files};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

/// What can be drawn.
#[derive(Subcommand, Debug)]
pub enum Data {
    /// Draws cars: a folder of PNG files, and a table of their angles
    Cars(Cars),
}

impl Data {
    /// Draws.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn run(self) -> Result<()> {
        match self {
            Self::Cars(cars) => cars.run(),
        }
    }
}

/// Draws cars: a folder of PNG files, and a table of their angles.
#[derive(Args, Debug)]
#[command(after_help = "The table beside the folder, FOLDER.csv, has a line for each picture: its file, its angle in \
                        degrees, the model, and where the light comes from. Sets a and b have no model in common.")]
pub struct Cars {
    /// The folder of the pictures; it is made, and must be empty if it is there
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Which set of models
    #[arg(long, value_enum)]
    set: SetChoice,
    /// Pictures
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = at_least_one)]
    count: usize,
    /// Rows and columns of each
    #[arg(long, value_name = "PIXELS", default_value_t = 64, value_parser = at_least_one)]
    size: usize,
    /// Threads that draw [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(flatten)]
    seed: Seed,
}

/// `--set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SetChoice {
    /// The first models
    A,
    /// The others
    B,
}

impl Cars {
    fn run(self) -> Result<()> {
        if self.size > 2048 {
            return Err(Error::new(format!("--size is at most 2048 pixels, not {}.", self.size)));
        }
        if let Some(count) = self.threads {
            threads::set(usize::from(count));
        }
        interrupt::listen();
        let shown = self.out.display();
        let cannot =
            |cause| Error::because(format!("The folder {shown} cannot be made or read; choose another."), cause);
        let filled = self.out.is_dir() && std::fs::read_dir(&self.out).map_err(cannot)?.next().is_some();
        if filled {
            return Err(Error::new(format!("The folder {shown} is not empty; choose another one.")));
        }
        let table = self.out.with_extension("csv");
        if table.exists() {
            let table = table.display();
            return Err(Error::new(format!("The table of angles would replace {table}; choose another folder.")));
        }
        std::fs::create_dir_all(&self.out).map_err(cannot)?;
        let set = match self.set {
            SetChoice::A => Set::A,
            SetChoice::B => Set::B,
        };
        let digits = (self.count - 1).to_string().len();
        let name = |i: usize| format!("{i:0digits$}.png");
        let progress = Mutex::new(Progress::new("Drawing", "cars", 0, self.count as u64));
        let started = Instant::now();
        let mut lines: Vec<Result<String>> = (0..self.count).map(|_| Ok(String::new())).collect();
        threads::for_each_chunk(&mut lines, 1, |i, line| {
            if interrupt::happened() {
                return;
            }
            line[0] = shot(set, self.seed.seed, i as u64, self.size).and_then(|Shot { picture, model, view }| {
                let path = self.out.join(name(i));
                let bytes = export::encode_png(&picture, &[])?;
                std::fs::write(&path, bytes).because(|| format!("Cannot write {}.", path.display()))?;
                Ok(format!("{},{:.4},{model},{:.1}\n", name(i), view.azimuth, view.light))
            });
            if let Ok(mut progress) = progress.lock() {
                progress.step(String::new);
            }
        });
        drop(progress);
        if interrupt::happened() {
            return Err(Error::new("Stopped before all cars were drawn; there is no table of angles."));
        }
        let lines: String = lines.into_iter().collect::<Result<Vec<_>>>()?.concat();
        files::write_beside(&table, format!("file,angle,model,light\n{lines}").as_bytes())?;
        let took = started.elapsed().as_secs_f64();
        let rate = self.count as f64 / took;
        output::line(&format!("{shown}: {} cars, {rate:.0} a second; their angles: {}", self.count, table.display()))
    }
}
