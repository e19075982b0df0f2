//! A window that measures itself for `bench ui`: how soon it shows samples, what it costs at rest, and what its frames
//! cost while it refines. The window is the real one; only the person is missing.

use super::report::Report;
use crate::ops::process;
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time for the last animations to end before the rest is measured.
const SETTLE: Duration = Duration::from_millis(1500);
/// How long the window is watched at rest.
const REST: Duration = Duration::from_secs(4);
/// After this time without samples, or without a step, there will be none.
const PATIENCE: Duration = Duration::from_secs(120);

/// The figures of one trial. Times are in milliseconds, memory in megabytes of 2^20 bytes; what the system does not tell
/// is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// What draws the window.
    pub renderer: String,
    /// Starts that are refined.
    pub starts: usize,
    /// From the program's start to the end of the first frame.
    pub first_frame: Option<f64>,
    /// From the program's start to the end of the frame that shows the first samples.
    pub first_samples: Option<f64>,
    /// When nothing changes.
    pub rest: Rest,
    /// While the starts are refined and frames are drawn one after the other.
    pub refining: Refining,
}

/// The window at rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rest {
    /// How long it was watched.
    pub seconds: f64,
    /// Frames it drew in that time.
    pub frames: usize,
    /// Processor time of all its threads, as a share of one core.
    pub processor_share: Option<f64>,
    /// Memory it held.
    pub memory: Option<f64>,
}

/// The window while it refines.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Refining {
    /// Frames it drew.
    pub frames: usize,
    /// Steps of all starts a second.
    pub steps_per_second: f32,
    /// Processor time of the window's thread for one frame, with drawing and presenting: median, 95th percentile,
    /// longest.
    pub processor: [f64; 3],
    /// The part of it that the window's own code takes: the same.
    pub own: [f64; 3],
    /// Time of the window's code for one frame: the same.
    pub work: [f64; 3],
    /// From one frame to the next: the same.
    pub interval: [f64; 3],
    /// The most memory it held.
    pub memory: Option<f64>,
}

/// Where the figures are put.
pub type Outcome = Arc<Mutex<Option<Figures>>>;

enum Stage {
    Opening,
    Settling,
    Resting { processor: Option<Duration> },
    Refining,
    Over,
}

/// What the window is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A frame after this time.
    Frame(Duration),
    /// To refine.
    Refine,
    /// To close.
    Close,
}

/// A trial under way.
pub struct Trial {
    stage: Stage,
    since: Instant,
    length: Duration,
    figures: Figures,
    outcome: Outcome,
}

impl Trial {
    /// A trial that watches the refinement of so many starts for `length`.
    pub fn new(starts: usize, length: Duration, outcome: Outcome) -> Self {
        let figures = Figures { starts, ..Figures::default() };
        Self { stage: Stage::Opening, since: Instant::now(), length, figures, outcome }
    }

    fn enter(&mut self, stage: Stage) {
        (self.stage, self.since) = (stage, Instant::now());
    }

    /// At the start of each frame; `failed` when the window shows that something went wrong.
    pub(super) fn frame(&mut self, report: &Report, failed: bool) -> Wish {
        if failed {
            self.stage = Stage::Over;
        }
        let elapsed = self.since.elapsed();
        match self.stage {
            Stage::Opening if report.first_samples.is_some() => {
                self.enter(Stage::Settling);
                Wish::Frame(SETTLE)
            }
            Stage::Opening if elapsed < PATIENCE => Wish::Frame(Duration::from_millis(500)),
            Stage::Settling if elapsed >= SETTLE => {
                self.enter(Stage::Resting { processor: process::process_time() });
                Wish::Frame(REST)
            }
            Stage::Resting { processor } if elapsed >= REST => {
                let seconds = elapsed.as_secs_f64();
                let used = process::process_time().zip(processor).map(|(now, then)| now.saturating_sub(then));
                let rest = &mut self.figures.rest;
                (rest.seconds, rest.memory) = (seconds, process::memory_mb());
                rest.processor_share = used.map(|used| used.as_secs_f64() / seconds);
                self.enter(Stage::Refining);
                Wish::Refine
            }
            Stage::Resting { .. } => {
                self.figures.rest.frames += 1;
                Wish::Frame(REST - elapsed)
            }
            // On a busy machine the first steps may take longer than that; without them there is nothing to say.
            Stage::Refining if elapsed < self.length || (report.steps_per_second <= 0.0 && elapsed < PATIENCE) => {
                // Now and then: asking takes longer than a small frame should.
                if report.frames.is_multiple_of(16) {
                    let memory = &mut self.figures.refining.memory;
                    *memory = [*memory, process::memory_mb()].into_iter().flatten().reduce(f64::max);
                }
                Wish::Frame(Duration::ZERO)
            }
            Stage::Refining => {
                self.conclude(report);
                self.enter(Stage::Over);
                Wish::Close
            }
            Stage::Settling => Wish::Frame(SETTLE - elapsed),
            Stage::Opening | Stage::Over => Wish::Close,
        }
    }

    fn conclude(&mut self, report: &Report) {
        let figures = &mut self.figures;
        figures.renderer.clone_from(&report.renderer);
        (figures.first_frame, figures.first_samples) = (report.first_frame, report.first_samples);
        let refining = &mut figures.refining;
        (refining.frames, refining.steps_per_second) = (report.frames, report.steps_per_second);
        (refining.processor, refining.own) = (report.processor, report.own);
        (refining.work, refining.interval) = (report.work, report.interval);
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(figures.clone());
    }
}
