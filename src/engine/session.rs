//! The engine's logic without its tensors: which search runs, when it holds, how often its pictures are shown.

use super::Outbox;
use super::protocol::{
    Curves, DIRECTIONS, Ending, Event, FindSettings, Frame, JobId, ModelCard, ModelSource, Request, ScrubFrame,
    Solution,
};
use crate::{Error, Picture, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The shortest time between two frames for the window: about thirty a second.
const FRAME_INTERVAL: Duration = Duration::from_millis(33);

/// Frames may take this part of the engine's time at most, so that showing a search does not slow it down.
const FRAME_SHARE: u32 = 4;

/// What the session needs of the method. The real one computes with tensors; tests bring a small one.
pub trait Method {
    /// Loads a model and uses it from now on.
    fn load(&mut self, source: &ModelSource) -> Result<ModelCard>;
    /// Begins a search: draws the starts.
    fn begin(&mut self, y: &Picture, settings: &FindSettings) -> Result<()>;
    /// Standard deviations of the posterior of y along the directions, the largest first; empty without an encoder.
    fn directions(&mut self) -> Result<Vec<f32>>;
    /// One refinement step of all starts.
    fn step(&mut self) -> Result<Step>;
    /// The present solutions.
    fn solutions(&mut self) -> Result<Vec<Solution>>;
    /// What there is to know of where it is computed, said once.
    fn notice(&mut self) -> Option<String> {
        None
    }
    /// One solution moved along the directions.
    fn scrub(&mut self, start: usize, offsets: &[f32; DIRECTIONS]) -> Result<Solution>;
}

/// What one refinement step reports.
pub struct Step {
    /// The losses by start before the step.
    pub losses: Vec<f32>,
    /// Whether every start has settled.
    pub settled: bool,
}

/// Whether there is anything to do without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// A search is being refined: call [`Session::step`] again.
    Busy,
    /// Nothing until the next request.
    Idle,
}

/// The search that the window looks at.
struct Search {
    job: JobId,
    settings: FindSettings,
    refining: bool,
    step: usize,
    limit: usize,
    curves: Curves,
    meter: Meter,
    shown_at: Instant,
    shown_cost: Duration,
    shown_step: Option<usize>,
}

/// Handles requests and takes steps; one lives on the engine's thread at a time.
pub struct Session<M> {
    method: M,
    search: Option<Search>,
}

impl<M: Method> Session<M> {
    /// A session without a model.
    pub fn new(method: M) -> Self {
        Self { method, search: None }
    }

    /// The search that runs, holds, or is over but can go on.
    pub fn job(&self) -> Option<JobId> {
        self.search.as_ref().map(|search| search.job)
    }

    /// Does what the window asks, apart from the refinement itself.
    ///
    /// # Errors
    /// With a sentence for the person; the session stays usable.
    pub fn handle(&mut self, request: Request, out: &Outbox) -> Result<()> {
        match request {
            Request::LoadModel { job, source } => {
                self.search = None;
                let card = Arc::new(self.method.load(&source)?);
                out.events.push(Event::ModelLoaded { job, card });
            }
            Request::Find { job, y, settings } => self.find(job, &y, settings, out)?,
            Request::Pause(job) => {
                if let Some(search) = self.search_of(job).filter(|search| search.refining) {
                    search.refining = false;
                    self.show(out)?;
                    out.events.push(Event::Paused(job));
                }
            }
            Request::Continue(job) => {
                if let Some(search) = self.search_of(job).filter(|search| !search.refining) {
                    search.refining = true;
                    search.meter = Meter::default();
                    if search.step >= search.limit {
                        search.limit = search.step + search.settings.step_limit;
                    }
                    out.events.push(Event::Continued(job));
                }
            }
            Request::Stop(job) => {
                if self.search_of(job).is_some() {
                    self.finish(Ending::Stopped, out)?;
                }
            }
            Request::Show(job) => {
                if let Some(search) = self.search_of(job) {
                    search.shown_step = None;
                    self.show(out)?;
                    self.tell(out);
                }
            }
            Request::LimitSteps { job, steps } => {
                if let Some(search) = self.search_of(job) {
                    (search.settings.step_limit, search.limit) = (steps, steps);
                }
            }
            Request::Scrub { job, start, offsets } => {
                let starts = self.search_of(job).map_or(0, |search| search.settings.starts);
                if start < starts {
                    let solution = self.method.scrub(start, &offsets)?;
                    out.scrubs.put(Arc::new(ScrubFrame { job, start, offsets, solution }));
                }
            }
            Request::Panic => panic!("asked to fail"),
        }
        Ok(())
    }

    /// One short refinement step, when a search is being refined.
    ///
    /// # Errors
    /// With a sentence for the person; the search is over.
    pub fn step(&mut self, out: &Outbox) -> Result<Activity> {
        let outcome = self.refine(out);
        self.tell(out);
        if outcome.is_err() {
            self.search = None;
        }
        outcome
    }

    /// Tells what there is to know of where it is computed.
    fn tell(&mut self, out: &Outbox) {
        if let (Some(job), Some(sentence)) = (self.job(), self.method.notice()) {
            out.events.push(Event::Notice { job, sentence });
        }
    }

    fn refine(&mut self, out: &Outbox) -> Result<Activity> {
        let Some(search) = self.search.as_mut().filter(|search| search.refining) else { return Ok(Activity::Idle) };
        let step = self.method.step()?;
        if step.losses.iter().any(|loss| !loss.is_finite()) {
            return Err(Error::new(format!(
                "Refinement left the range of numbers at step {}; try another seed, or another model.",
                search.step
            )));
        }
        search.curves.push(search.step, &step.losses);
        search.step += 1;
        search.meter.tick(Instant::now());
        if step.settled {
            self.finish(Ending::Settled, out)?;
        } else if search.step >= search.limit {
            self.finish(Ending::StepLimit, out)?;
        } else if search.wants_frame(out) {
            self.show(out)?;
        }
        Ok(if self.search.as_ref().is_some_and(|search| search.refining) { Activity::Busy } else { Activity::Idle })
    }

    fn find(&mut self, job: JobId, y: &Picture, settings: FindSettings, out: &Outbox) -> Result<()> {
        self.search = None;
        self.method.begin(y, &settings)?;
        self.search = Some(Search {
            job,
            refining: settings.refine,
            step: 0,
            limit: settings.step_limit,
            curves: Curves::new(settings.starts),
            meter: Meter::default(),
            shown_at: Instant::now(),
            shown_cost: Duration::ZERO,
            shown_step: None,
            settings,
        });
        // The samples first: everything else can wait for them.
        self.show(out)?;
        out.events.push(Event::Started { job, sigmas: self.method.directions()? });
        if self.search.as_ref().is_some_and(|search| !search.refining) {
            out.events.push(Event::Finished { job, ending: Ending::Sampled });
        }
        Ok(())
    }

    fn finish(&mut self, ending: Ending, out: &Outbox) -> Result<()> {
        self.show(out)?;
        if let Some(search) = &mut self.search {
            search.refining = false;
            out.events.push(Event::Finished { job: search.job, ending });
        }
        Ok(())
    }

    fn search_of(&mut self, job: JobId) -> Option<&mut Search> {
        self.search.as_mut().filter(|search| search.job == job)
    }

    /// Makes pictures of the present solutions and puts them into the mailbox.
    fn show(&mut self, out: &Outbox) -> Result<()> {
        let Some(search) = &mut self.search else { return Ok(()) };
        if search.shown_step == Some(search.step) {
            return Ok(());
        }
        let begin = Instant::now();
        let solutions = self.method.solutions()?;
        let mut curves = search.curves.clone();
        if search.step == 0 {
            // Later, the losses of what is shown are the newest points already.
            curves.push(0, &solutions.iter().map(|solution| solution.loss).collect::<Vec<_>>());
        }
        out.frames.put(Arc::new(Frame {
            job: search.job,
            step: search.step,
            steps_per_second: if search.refining { search.meter.rate() } else { 0.0 },
            solutions,
            curves,
        }));
        search.shown_at = Instant::now();
        search.shown_cost = search.shown_at - begin;
        search.shown_step = Some(search.step);
        Ok(())
    }
}

impl Search {
    /// A frame is due: the window has taken the last one, and pictures stay within their share of the time.
    fn wants_frame(&self, out: &Outbox) -> bool {
        let pause = FRAME_INTERVAL.max(self.shown_cost * (FRAME_SHARE - 1));
        out.frames.is_empty() && self.shown_at.elapsed() >= pause
    }
}

/// Steps a second over about the last second.
#[derive(Default)]
struct Meter {
    ticks: std::collections::VecDeque<Instant>,
}

impl Meter {
    fn tick(&mut self, now: Instant) {
        self.ticks.push_back(now);
        while self.ticks.len() > 2 && now - self.ticks[0] > Duration::from_secs(1) {
            self.ticks.pop_front();
        }
    }

    fn rate(&self) -> f32 {
        match (self.ticks.front(), self.ticks.back()) {
            (Some(&first), Some(&last)) if last > first => (self.ticks.len() - 1) as f32 / (last - first).as_secs_f32(),
            _ => 0.0,
        }
    }
}
