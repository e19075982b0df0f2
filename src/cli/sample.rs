//! `counterpart sample`: VAE-NAM, the counterparts of images from the encoder's posterior.

use super::find::Find;
use super::train::{MOST_AT_ONCE, up_to};
use crate::Result;
use crate::nam::{SolveSettings, Solver, Starts, candidates, starting_codes};
use clap::Args;

/// Draws the counterparts of images from the encoder's posterior.
#[derive(Args, Debug)]
pub struct Sample {
    /// Counterparts of each image
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = up_to::<MOST_AT_ONCE>)]
    count: usize,
    /// Steps of solving that refine the samples
    #[arg(long, value_name = "STEPS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000_000))]
    refine: u32,
    #[command(flatten)]
    find: Find,
}

impl Sample {
    pub(super) fn run(self) -> Result<()> {
        let search = self.find.open()?;
        let model = &search.model;
        let refine = self.refine as usize;
        search.run(("sample", "Sampling"), refine.max(1), |y, descent| {
            let mut codes = starting_codes(&**model, y, Starts::Posterior, self.count, search.seed())?;
            if refine > 0 {
                let mut solver = Solver::on(model.clone(), y, codes, SolveSettings::default(), &search.place)?;
                descent.run(&mut solver, refine)?;
                codes = solver.best()?.0;
            }
            Ok((candidates(&**model, y, &codes)?, refine))
        })
    }
}
