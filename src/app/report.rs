//! What the window measures of itself for `--report` and `bench ui`: times of frames, and from a drop to its samples.

use crate::ops::process;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Frames remembered for the percentiles.
const REMEMBERED: usize = 4096;
/// How often the file is written.
const INTERVAL: Duration = Duration::from_millis(250);

/// The figures, as they are written to the file. Times are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// What draws the window.
    pub renderer: String,
    /// From the program's start to the end of the first frame.
    pub first_frame: Option<f64>,
    /// From the program's start to the model being ready.
    pub model_ready: Option<f64>,
    /// From the program's start to the end of the frame that shows the first samples.
    pub first_samples: Option<f64>,
    /// From the arrival of the last drop to the end of the frame that shows its samples.
    pub drop_to_samples: Option<f64>,
    /// Solutions on the wall.
    pub solutions: usize,
    /// Whether they are on the window's device, where they were computed.
    pub on_device: bool,
    /// Refinement steps done.
    pub step: usize,
    /// Refinement steps a second.
    pub steps_per_second: f32,
    /// Frames drawn while refining.
    pub frames: usize,
    /// The window's work for one frame while refining: median, 95th percentile, longest.
    pub work: [f64; 3],
    /// Processor time of the window's thread for one frame while refining, with drawing and presenting: the same.
    pub processor: [f64; 3],
    /// The part of it that the window's own code takes: the same.
    pub own: [f64; 3],
    /// From one frame to the next while refining, when the window redraws all the time (`--animate`): the same.
    pub interval: [f64; 3],
    /// Sentences of the messages shown.
    pub messages: Vec<String>,
}

/// Measures, and writes the file now and then.
pub struct Reporter {
    path: Option<PathBuf>,
    begin: Instant,
    report: Report,
    work: Vec<f64>,
    processor: Vec<f64>,
    own: Vec<f64>,
    processor_before: Option<Duration>,
    intervals: Vec<f64>,
    last_frame: Option<Instant>,
    dropped: Option<Instant>,
    samples_drawn: bool,
    written: Option<Instant>,
}

/// What a frame was about, for the report.
pub struct Observed<'a> {
    /// The work of the frame before, in seconds.
    pub work: Option<f32>,
    /// Whether a search is being refined.
    pub refining: bool,
    /// What the window shows.
    pub state: &'a super::state::State,
}

impl Reporter {
    /// A reporter that writes to a file, if there is one; `begin` is when the program started.
    pub fn new(path: Option<PathBuf>, begin: Instant) -> Self {
        Self {
            path,
            begin,
            report: Report::default(),
            work: Vec::new(),
            processor: Vec::new(),
            own: Vec::new(),
            processor_before: None,
            intervals: Vec::new(),
            last_frame: None,
            dropped: None,
            samples_drawn: false,
            written: None,
        }
    }

    /// A picture was dropped or opened just now.
    pub fn dropped(&mut self) {
        self.dropped = Some(Instant::now());
        self.samples_drawn = false;
    }

    /// At the start of a frame, so that the one before is on the screen.
    pub fn frame(&mut self, observed: &Observed<'_>) {
        let now = Instant::now();
        let millis = |since: Instant| (now - since).as_secs_f64() * 1e3;
        let processor = process::thread_time();
        if let Some(last) = self.last_frame {
            self.report.first_frame.get_or_insert(millis(self.begin));
            if observed.refining {
                self.report.frames += 1;
                remember(&mut self.intervals, millis(last));
                if let Some(work) = observed.work {
                    remember(&mut self.work, f64::from(work) * 1e3);
                }
                if let Some((now, before)) = processor.zip(self.processor_before) {
                    remember(&mut self.processor, (now - before).as_secs_f64() * 1e3);
                }
            }
        }
        self.processor_before = processor;
        if std::mem::take(&mut self.samples_drawn) {
            self.report.first_samples.get_or_insert(millis(self.begin));
            if let Some(dropped) = self.dropped.take() {
                self.report.drop_to_samples = Some(millis(dropped));
            }
        }
        self.last_frame = Some(now);
        let state = observed.state;
        if state.model.is_some() {
            self.report.model_ready.get_or_insert(millis(self.begin));
        }
        self.report.renderer.clone_from(&state.renderer);
        if let Some(frame) = state.frame() {
            self.report.solutions = frame.solutions.len();
            self.report.on_device = frame.solutions.iter().all(|solution| solution.x.is_on_device());
            self.report.step = frame.step;
            self.report.steps_per_second = self.report.steps_per_second.max(frame.steps_per_second);
        }
        self.report.messages = state.toasts.iter().map(|toast| toast.problem.sentence.clone()).collect();
        if self.written.is_none_or(|written| now - written >= INTERVAL) {
            self.written = Some(now);
            self.write();
        }
    }

    /// The frame that is being drawn shows samples: those of the last drop, if there was one. They count as shown when
    /// the next frame begins, which should therefore be at once.
    pub fn shows_samples(&mut self) {
        self.samples_drawn = true;
    }

    /// The window's code is done with the frame that is refining.
    pub fn drawn(&mut self) {
        if let Some((now, begin)) = process::thread_time().zip(self.processor_before) {
            remember(&mut self.own, (now - begin).as_secs_f64() * 1e3);
        }
    }

    /// How soon the next frame should come, if it should.
    pub fn next_frame(&self) -> Option<Duration> {
        if self.samples_drawn {
            Some(Duration::ZERO)
        } else {
            self.path.is_some().then_some(Duration::from_millis(100))
        }
    }

    /// The figures so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Brings the figures up to date and writes the file, if there is one.
    pub fn write(&mut self) {
        self.report.work = percentiles(&self.work);
        self.report.processor = percentiles(&self.processor);
        self.report.own = percentiles(&self.own);
        self.report.interval = percentiles(&self.intervals);
        let Some(path) = &self.path else { return };
        let beside = path.with_extension("part");
        let text = serde_json::to_string_pretty(&self.report).unwrap_or_default();
        // A diagnosis that cannot be written must not disturb the window.
        if let Err(error) = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path)) {
            log::warn!("cannot write the report: {error}");
        }
    }
}

fn remember(values: &mut Vec<f64>, value: f64) {
    if values.len() == REMEMBERED {
        values.remove(0);
    }
    values.push(value);
}

fn percentiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get((share * sorted.len().saturating_sub(1) as f64).round() as usize).copied();
    [0.5, 0.95, 1.0].map(|share| at(share).unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_sorted_values() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(percentiles(&values), [50.0, 95.0, 100.0]);
        assert_eq!(percentiles(&[]), [0.0; 3]);
    }
}
