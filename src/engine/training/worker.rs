//! The thread of a training.

use super::protocol::{TrainingEvent, TrainingFrame, TrainingStage};
use super::{EngineSettings, Shared};
use crate::engine::{Problem, yield_to_the_window};
use crate::workshop::{Recipe, Stage, Work};
use crate::{Error, Result, ops};
use candle_core::Device;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often a checkpoint is written.
const CHECKPOINT: Duration = Duration::from_secs(60);
/// How often the window hears of it.
const SHOW: Duration = Duration::from_millis(250);
/// Values of a loss that are kept.
const CURVE: usize = 400;
/// Steps over which the rate is taken.
const RATED: usize = 30;

/// Trains to the end, or until it is stopped, and says how that went.
pub(super) fn run(recipe: Recipe, out: &Path, resume: bool, settings: EngineSettings, shared: &Shared) {
    yield_to_the_window();
    if ops::threads::count() > settings.thread_count() {
        ops::threads::set(settings.thread_count());
    }
    let ended = catch_unwind(AssertUnwindSafe(|| train(recipe, out, resume, shared)));
    let event = match ended {
        Ok(Ok(true)) => TrainingEvent::Finished(out.to_owned()),
        Ok(Ok(false)) => TrainingEvent::Stopped,
        // What was asked for is no failure.
        Ok(Err(_)) if shared.wishes().stop => TrainingEvent::Stopped,
        Ok(Err(error)) => TrainingEvent::Failed(error.into()),
        Err(payload) => {
            let cause = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let cause = cause.or_else(|| payload.downcast_ref::<String>().cloned()).into_iter().collect();
            let sentence = "The training broke down; resume it, and please report this with the lines below.";
            TrainingEvent::Failed(Problem { sentence: sentence.into(), causes: cause })
        }
    };
    shared.over.store(true, Ordering::Release);
    shared.events.push(event);
}

/// Whether it came to its end.
fn train(recipe: Recipe, out: &Path, resume: bool, shared: &Shared) -> Result<bool> {
    let show = |done: usize, all: usize| {
        if done.is_multiple_of(32) || done == all {
            shared.frames.put(Arc::new(TrainingFrame::new(TrainingStage::Preparing, (done, all))));
        }
        !shared.wishes().stop
    };
    let mut work = Work::open(recipe, out, resume, &Device::Cpu, &show)?;
    let mut watch = Watch::new(&work);
    loop {
        if work.stage() == Stage::Done {
            return Ok(true);
        }
        if shared.wishes().stop {
            work.checkpoint()?;
            return Ok(false);
        }
        if std::mem::take(&mut shared.wishes().try_now) {
            shared.events.push(match work.try_out() {
                Ok(path) => TrainingEvent::Tried(path),
                Err(error) => TrainingEvent::NotYet(error.into()),
            });
        }
        if shared.wishes().pause {
            work.checkpoint()?;
            watch.show(&work, shared, true);
            wait(shared)?;
            watch.resumed();
            continue;
        }
        watch.step(&mut work, shared)?;
    }
}

/// Waits until something else is asked for than to hold.
fn wait(shared: &Shared) -> Result<()> {
    let holds = |wishes: &mut super::Wishes| wishes.pause && !wishes.stop && !wishes.try_now;
    let waited = shared.asked.wait_while(shared.wishes(), holds);
    waited.map(drop).map_err(|_| Error::new("The window went away while the training was held."))
}

/// What is remembered of a stage to be shown.
struct Watch {
    stage: Stage,
    curves: Vec<(&'static str, Curve)>,
    frame: TrainingFrame,
    times: VecDeque<Instant>,
    shown: Option<Instant>,
    saved: Instant,
}

impl Watch {
    fn new(work: &Work) -> Self {
        Self {
            stage: work.stage(),
            curves: Vec::new(),
            frame: TrainingFrame::new(TrainingStage::Preparing, (0, 1)),
            times: VecDeque::new(),
            shown: None,
            saved: Instant::now(),
        }
    }

    /// Time that it was held does not count.
    fn resumed(&mut self) {
        self.times.clear();
    }

    fn step(&mut self, work: &mut Work, shared: &Shared) -> Result<()> {
        let stage = work.stage();
        if stage != self.stage {
            self.stage = stage;
            // Measuring has no losses of its own; those of the encoder stay.
            if stage_of(stage) != TrainingStage::Measuring {
                self.curves.clear();
            }
            self.resumed();
        }
        let (warnings, curves) = (&self.frame.warnings, &self.curves);
        let mut go_on = |done: usize, all: usize| {
            if done.is_multiple_of(8) {
                let (losses, warnings) = (values(curves), warnings.clone());
                let frame = TrainingFrame { losses, warnings, ..TrainingFrame::new(stage_of(stage), (done, all)) };
                shared.frames.put(Arc::new(frame));
            }
            !shared.wishes().stop
        };
        let steps = work.progress().1;
        let stepped = work.step(&mut go_on)?;
        for (name, loss) in stepped.losses {
            match self.curves.iter_mut().find(|(known, _)| *known == name) {
                Some((_, curve)) => curve.add(loss),
                None => {
                    let mut curve = Curve::new(steps);
                    curve.add(loss);
                    self.curves.push((name, curve));
                }
            }
        }
        self.times.push_back(Instant::now());
        if self.times.len() > RATED {
            self.times.pop_front();
        }
        let looked = stepped.rows.is_some();
        self.frame.rows = stepped.rows.unwrap_or_else(|| std::mem::take(&mut self.frame.rows));
        if self.saved.elapsed() >= CHECKPOINT {
            work.checkpoint()?;
            self.saved = Instant::now();
        }
        if looked || self.shown.is_none_or(|shown| shown.elapsed() >= SHOW) {
            self.show(work, shared, false);
        }
        Ok(())
    }

    fn show(&mut self, work: &Work, shared: &Shared, paused: bool) {
        self.shown = Some(Instant::now());
        let (step, steps) = work.progress();
        let span = self.times.front().zip(self.times.back()).map_or(0.0, |(a, b)| (*b - *a).as_secs_f32());
        let rate = if span > 0.0 { (self.times.len() - 1) as f32 / span } else { 0.0 };
        let known = rate > 0.0 && work.stage() == self.stage;
        self.frame = TrainingFrame {
            stage: stage_of(work.stage()),
            together: work.learns_together(),
            progress: (step, steps),
            rate,
            seconds_left: known.then(|| (steps - step) as f32 / rate),
            seconds_left_in_all: known.then(|| work.steps_left_in_all() / rate),
            losses: values(&self.curves),
            rows: std::mem::take(&mut self.frame.rows),
            warnings: work.warnings().to_vec(),
            paused,
        };
        shared.frames.put(Arc::new(self.frame.clone()));
    }
}

fn values(curves: &[(&'static str, Curve)]) -> Vec<(&'static str, Vec<f32>)> {
    curves.iter().map(|(name, curve)| (*name, curve.values.clone())).collect()
}

fn stage_of(stage: Stage) -> TrainingStage {
    match stage {
        Stage::Prior => TrainingStage::Prior,
        Stage::Mapping => TrainingStage::Mapping,
        Stage::Encoder => TrainingStage::Encoder,
        Stage::Measuring | Stage::Done => TrainingStage::Measuring,
    }
}

/// A loss over the steps of a stage: each value is the mean over as many steps as leave at most [`CURVE`] values.
struct Curve {
    values: Vec<f32>,
    each: usize,
    sum: f32,
    count: usize,
}

impl Curve {
    fn new(steps: usize) -> Self {
        Self { values: Vec::new(), each: steps.div_ceil(CURVE).max(1), sum: 0.0, count: 0 }
    }

    fn add(&mut self, value: f32) {
        self.sum += value;
        self.count += 1;
        if self.count == self.each {
            self.values.push(self.sum / self.count as f32);
            (self.sum, self.count) = (0.0, 0);
        }
    }
}
