//! `counterpart train`: a prior, a perceptual student, a judge, a mapping, or all of a model at once.

mod drive;
mod files;
pub(super) mod images;
mod judge;
mod mapping;
mod mapping_settings;
mod model;
mod options;
mod prior;
mod student;

pub(super) use drive::{MOST_AT_ONCE, at_least_one, check_rate, up_to};

use crate::Result;
use clap::Subcommand;

/// The trainings.
#[derive(Subcommand, Debug)]
pub enum Train {
    /// Trains a generator of the domain X
    Prior(Box<prior::Prior>),
    /// Trains a small perceptual network that judges as a large one does
    Student(Box<student::TrainStudent>),
    /// Trains the classifier or regressor that `evaluate` measures translated images with
    Judge(Box<judge::TrainJudge>),
    /// Trains a mapping from X to Y, and makes a model file
    Mapping(Box<mapping::TrainMapping>),
    /// Trains all of it from two folders of pictures, by a preset, and makes a model file
    Model(Box<model::TrainModel>),
}

impl Train {
    /// Runs the training.
    ///
    /// # Errors
    /// With a sentence about what went wrong.
    pub fn run(self) -> Result<()> {
        match self {
            Self::Prior(prior) => prior.run(),
            Self::Student(student) => student.run(),
            Self::Judge(judge) => judge.run(),
            Self::Mapping(mapping) => mapping.run(),
            Self::Model(model) => model.run(),
        }
    }
}
