//! `counterpart solve`: NAM, the counterparts of images from random starts.

use super::find::Find;
use super::loss;
use super::solutions::WithLoss;
use super::train::{MOST_AT_ONCE, at_least_one, check_rate, up_to};
use crate::Result;
use crate::model_file::LossConfig;
use crate::nam::{Settle, SolveSettings, Solver, Starts, candidates, starting_codes};
use clap::{Args, ValueEnum};
use std::sync::Arc;

/// Finds the counterparts of images by descending from random starts.
#[derive(Args, Debug)]
pub struct Solve {
    /// Starts, each of which gives a counterpart
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = up_to::<MOST_AT_ONCE>)]
    starts: usize,
    /// Steps of every start
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    steps: usize,
    /// Where starts lie
    #[arg(long, value_enum, default_value = "normal")]
    start: StartChoice,
    /// Adam's step size for the latent codes
    #[arg(long, value_name = "RATE", default_value_t = 0.03)]
    learning_rate: f64,
    /// Leaves a start alone when its loss no longer falls
    #[arg(long)]
    settle: bool,
    #[arg(long, value_name = "LOSS", value_parser = loss::parse, help = loss::HELP)]
    loss: Option<LossConfig>,
    #[command(flatten)]
    find: Find,
}

/// `--start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StartChoice {
    /// N(0, I): solutions as different as the generator's images
    Normal,
    /// N(0, 0.01^2): as in the authors' code
    Small,
    /// Samples of the encoder's posterior
    Posterior,
}

impl Solve {
    pub(super) fn run(self) -> Result<()> {
        check_rate("learning-rate", self.learning_rate)?;
        let search = self.find.open()?;
        let networks = Arc::new(WithLoss::new(search.model.clone(), self.loss));
        let starts = match self.start {
            StartChoice::Normal => Starts::Normal { std: 1.0 },
            StartChoice::Small => Starts::Normal { std: 0.01 },
            StartChoice::Posterior => Starts::Posterior,
        };
        let settings = SolveSettings {
            learning_rate: self.learning_rate,
            settle: self.settle.then(Settle::default),
            ..SolveSettings::default()
        };
        search.run(("solve", "Solving"), self.steps, |y, descent| {
            let codes = starting_codes(&*networks, y, starts, self.starts, search.seed())?;
            let mut solver = Solver::on(networks.clone(), y, codes, settings, &search.place)?;
            descent.run(&mut solver, self.steps)?;
            Ok((candidates(&*networks, y, &solver.best()?.0)?, solver.steps()))
        })
    }
}
