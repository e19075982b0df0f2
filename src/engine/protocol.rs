//! What the window and the engine say to each other.

use crate::data::{Preparation, YKind};
use crate::gpu::Image;
use crate::model_file::HeldOut;
use crate::{Error, Picture};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many directions the window has sliders for.
pub const DIRECTIONS: usize = 8;

/// Names one job: what the window asked for, and what the engine answers about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(u64);

impl JobId {
    /// A name that no other job of this process has.
    #[expect(clippy::new_without_default, reason = "every call gives another one")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// One that is part of the program, by its id.
    Embedded(&'static str),
    /// A model file.
    File(PathBuf),
}

/// Where the starts of a search begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// Samples of the encoder's posterior; a model without an encoder starts from the prior.
    Posterior,
    /// The prior N(0, I), whatever the encoder says.
    Prior,
}

/// What refines a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SolveDevice {
    /// The CPU or the graphics processor, whichever a short measurement finds faster.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The graphics processor.
    Gpu,
}

/// How counterparts are looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct FindSettings {
    /// How many starts, each of which becomes a solution.
    pub starts: usize,
    /// Where they begin.
    pub from: StartFrom,
    /// The seed of the starting codes: the same seed, the same solutions.
    pub seed: u64,
    /// Whether NAM refines the starts.
    pub refine: bool,
    /// Steps after which refinement ends by itself.
    pub step_limit: usize,
    /// What refines them.
    pub device: SolveDevice,
}

impl Default for FindSettings {
    fn default() -> Self {
        let device = SolveDevice::default();
        Self { starts: 16, from: StartFrom::Posterior, seed: 1, refine: true, step_limit: 500, device }
    }
}

/// What the window asks of the engine.
#[derive(Clone, Debug)]
pub enum Request {
    /// Load a model and use it from now on. Ends the running search.
    LoadModel {
        /// The job's name.
        job: JobId,
        /// Which model.
        source: ModelSource,
    },
    /// Find counterparts of y. Ends the running search.
    Find {
        /// The job's name.
        job: JobId,
        /// The image exactly as the model sees it, of the model's size.
        y: Arc<Picture>,
        /// How to search.
        settings: FindSettings,
    },
    /// Hold refinement after the present step.
    Pause(JobId),
    /// Go on refining: after a pause, after the samples, or beyond the step limit, which then counts from here.
    Continue(JobId),
    /// End refinement; its solutions stay.
    Stop(JobId),
    /// Show the solutions of a search again: the window has lost them with the device that it drew with.
    Show(JobId),
    /// End a search after another number of steps than it began with.
    LimitSteps {
        /// The search.
        job: JobId,
        /// Steps from its start; one that has taken more ends after the next.
        steps: usize,
    },
    /// Show a solution moved along the posterior's directions. Only the newest counts.
    Scrub {
        /// The search whose solution is moved.
        job: JobId,
        /// The start it came from.
        start: usize,
        /// How far along each direction, in standard deviations of the posterior.
        offsets: [f32; DIRECTIONS],
    },
    /// Fail on purpose, to show that a failure of the engine leaves the window standing.
    #[doc(hidden)]
    Panic,
}

impl Request {
    /// The job that an answer to this belongs to.
    pub fn job(&self) -> Option<JobId> {
        match *self {
            Self::LoadModel { job, .. } | Self::Find { job, .. } | Self::Scrub { job, .. } => Some(job),
            Self::Pause(job)
            | Self::Continue(job)
            | Self::Stop(job)
            | Self::Show(job)
            | Self::LimitSteps { job, .. } => Some(job),
            Self::Panic => None,
        }
    }

    /// Whether a newer request of the same kind makes this one pointless.
    pub(super) fn is_replaced_by(&self, newer: &Self) -> bool {
        match (self, newer) {
            (Self::Scrub { .. }, Self::Scrub { .. } | Self::Find { .. } | Self::LoadModel { .. }) => true,
            (Self::Find { .. }, Self::Find { .. } | Self::LoadModel { .. }) => true,
            (Self::LoadModel { .. }, Self::LoadModel { .. }) => true,
            (Self::Pause(old) | Self::Continue(old), Self::Pause(new) | Self::Continue(new) | Self::Stop(new)) => {
                old == new
            }
            (Self::Stop(old), Self::Stop(new)) | (Self::Show(old), Self::Show(new)) => old == new,
            (Self::LimitSteps { job: old, .. }, Self::LimitSteps { job: new, .. }) => old == new,
            _ => false,
        }
    }
}

/// What the window shows of a model.
#[derive(Clone, Debug)]
pub struct ModelCard {
    /// What the model is called.
    pub title: String,
    /// The domain of the counterparts, such as "shoes".
    pub domain_x: String,
    /// The domain of the input, such as "line drawings".
    pub domain_y: String,
    /// Pixels on a side, of x and y.
    pub size: usize,
    /// Length of the latent code.
    pub latent: usize,
    /// How an image becomes y.
    pub y_kind: YKind,
    /// How the pictures that it was trained on were prepared.
    pub preparation: Preparation,
    /// Whether there is an encoder, so that samples come at once and there are directions.
    pub has_posterior: bool,
    /// How well images of Y that training never saw were explained.
    pub held_out: HeldOut,
    /// Images of Y to try.
    pub samples: Vec<Arc<Picture>>,
    /// The licence of the weights.
    pub licence: String,
}

/// Why a search is no longer running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The samples are there and no refinement was asked for.
    Sampled,
    /// Every start has settled.
    Settled,
    /// The step limit was reached.
    StepLimit,
    /// The person stopped it.
    Stopped,
}

/// A failure for a person: one sentence, and the causes folded below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What went wrong and what to do about it.
    pub sentence: String,
    /// What lies below, the nearest first.
    pub causes: Vec<String>,
}

impl Problem {
    /// A problem that its sentence explains.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), causes: Vec::new() }
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        Self { sentence: error.to_string(), causes: error.causes() }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        (&error).into()
    }
}

/// A fact about a job.
#[derive(Clone, Debug)]
pub enum Event {
    /// A model is ready.
    ModelLoaded {
        /// The job that asked for it.
        job: JobId,
        /// What to show of it.
        card: Arc<ModelCard>,
    },
    /// The samples of a search are there; refinement starts when it was asked for.
    Started {
        /// The search.
        job: JobId,
        /// Standard deviations of the posterior along its directions, the largest first; empty without an encoder.
        sigmas: Vec<f32>,
    },
    /// Something to know that ends nothing: that another device goes on with the search, and why.
    Notice {
        /// The search.
        job: JobId,
        /// What to tell the person.
        sentence: String,
    },
    /// Refinement holds.
    Paused(JobId),
    /// Refinement goes on.
    Continued(JobId),
    /// Refinement is over.
    Finished {
        /// The search.
        job: JobId,
        /// Why it ended.
        ending: Ending,
    },
    /// A job failed; without a job, the engine itself did and another has taken over.
    Failed {
        /// The job, when it was one.
        job: Option<JobId>,
        /// What to tell the person.
        problem: Problem,
    },
}

/// One start's present solution.
#[derive(Clone, Debug)]
pub struct Solution {
    /// G(z).
    pub x: Image,
    /// T(G(z)), to be compared with y.
    pub reconstruction: Image,
    /// The loss between T(G(z)) and y.
    pub loss: f32,
    /// Whether the start has settled and is no longer refined.
    pub settled: bool,
}

/// Everything the window shows of a search at one moment.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The search.
    pub job: JobId,
    /// Refinement steps done.
    pub step: usize,
    /// Refinement steps a second, over the last second or so; zero while there is none.
    pub steps_per_second: f32,
    /// The solutions by start.
    pub solutions: Vec<Solution>,
    /// The losses by start.
    pub curves: Curves,
}

/// A solution moved along the directions.
#[derive(Clone, Debug)]
pub struct ScrubFrame {
    /// The search.
    pub job: JobId,
    /// The start that was moved.
    pub start: usize,
    /// By how much.
    pub offsets: [f32; DIRECTIONS],
    /// What came of it.
    pub solution: Solution,
}

/// Loss curves that stay small however long the search runs: when full, every second point goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curves {
    /// Steps between two points.
    pub stride: usize,
    /// `[starts][points]`; the point `i` was measured at step `i * stride`.
    pub losses: Vec<Vec<f32>>,
}

impl Curves {
    /// Points kept for each start.
    pub const CAPACITY: usize = 512;

    /// Curves without points for a number of starts.
    pub fn new(starts: usize) -> Self {
        Self { stride: 1, losses: vec![Vec::new(); starts] }
    }

    /// The lowest loss of each start within its first `steps` steps; that of a start without points is not finite.
    pub fn best_within(&self, steps: usize) -> Vec<f32> {
        let points = steps.div_ceil(self.stride.max(1));
        self.losses.iter().map(|curve| curve.iter().take(points).copied().fold(f32::INFINITY, f32::min)).collect()
    }

    /// Adds the losses of all starts at a step; steps come in order, and those between the points are left out.
    pub fn push(&mut self, step: usize, losses: &[f32]) {
        if !step.is_multiple_of(self.stride) {
            return;
        }
        for (curve, &loss) in self.losses.iter_mut().zip(losses) {
            curve.push(loss);
        }
        if self.losses.first().is_some_and(|curve| curve.len() >= Self::CAPACITY) {
            self.stride *= 2;
            for curve in &mut self.losses {
                let mut keep = false;
                curve.retain(|_| {
                    keep = !keep;
                    keep
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_stay_small_and_true() {
        let mut curves = Curves::new(2);
        for step in 0..5000 {
            curves.push(step, &[step as f32, 2.0 * step as f32]);
        }
        assert!(curves.losses[0].len() < Curves::CAPACITY);
        assert!(curves.losses[0].len() >= Curves::CAPACITY / 2);
        for (i, (&a, &b)) in curves.losses[0].iter().zip(&curves.losses[1]).enumerate() {
            assert_eq!(a, (i * curves.stride) as f32);
            assert_eq!(b, 2.0 * a);
        }
    }

    #[test]
    fn the_best_of_the_first_steps_stays_what_it_was() {
        let mut curves = Curves::new(1);
        for step in 0..Curves::CAPACITY * 3 {
            curves.push(step, &[1000.0 - step as f32]);
        }
        assert_eq!(curves.stride, 4);
        assert_eq!(curves.best_within(101), [900.0]);
        assert_eq!(Curves::new(1).best_within(9), [f32::INFINITY]);
    }

    #[test]
    fn only_the_newest_scrub_counts() {
        let job = JobId::new();
        let scrub = |value| Request::Scrub { job, start: 0, offsets: [value; DIRECTIONS] };
        assert!(scrub(0.0).is_replaced_by(&scrub(1.0)));
        assert!(!scrub(0.0).is_replaced_by(&Request::Pause(job)));
        assert!(!Request::Stop(job).is_replaced_by(&scrub(1.0)));
    }
}
