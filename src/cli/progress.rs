//! Progress with rate and time left: a bar on a terminal, a line now and then elsewhere.

use super::output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Work that is over sooner shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where no bar can be drawn, a line this often.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Progress of work with a known number of steps. It stays silent for the first second.
pub struct Progress {
    bar: ProgressBar,
    what: String,
    total: u64,
    first: u64,
    done: u64,
    started: Instant,
    shown: bool,
    next_line: Option<Instant>,
}

impl Progress {
    /// Begins with `done` of `total` steps behind (resumed work); `what` names the work, `unit` a step.
    pub fn new(what: &str, unit: &str, done: u64, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let template = format!("{{prefix}} [{{bar:30}}] {{pos}}/{{len}} {unit}, {{per_sec}}, {{eta}} left {{msg}}");
        bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.to_owned());
        bar.set_position(done);
        bar.reset_eta();
        let started = Instant::now();
        let next_line = (!std::io::stderr().is_terminal()).then(|| started + LINE_EVERY);
        Self { bar, what: what.to_owned(), total, first: done, done, started, shown: false, next_line }
    }

    /// Says that `done` steps are behind; `message` is shown beside the rate.
    pub fn at(&mut self, done: u64, message: impl FnOnce() -> String) {
        self.done = done;
        let now = Instant::now();
        match &mut self.next_line {
            Some(next) if now >= *next => {
                *next = now + LINE_EVERY;
                output::note(&self.line(&message()));
            }
            Some(_) => {}
            None => {
                if !self.shown && now - self.started > PATIENCE {
                    self.shown = true;
                    self.bar.set_draw_target(ProgressDrawTarget::stderr());
                }
                if self.shown {
                    self.bar.set_message(message());
                }
                self.bar.set_position(done);
            }
        }
    }

    /// One more step is behind.
    pub fn step(&mut self, message: impl FnOnce() -> String) {
        self.at(self.done + 1, message);
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn line(&self, message: &str) -> String {
        let rate = (self.done - self.first) as f64 / self.seconds().max(1e-9);
        let left = self.total.saturating_sub(self.done) as f64 / rate.max(1e-9);
        let Self { what, done, total, .. } = self;
        let pace = if rate < 1.0 { format!("{:.1} s each", 1.0 / rate.max(1e-9)) } else { format!("{rate:.1}/s") };
        format!("{what} {done}/{total}, {pace}, {} left {message}", output::duration(left)).trim_end().to_owned()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_rate_and_time_left() {
        let mut progress = Progress::new("training", "steps", 100, 300);
        progress.at(200, String::new);
        progress.started = Instant::now() - Duration::from_secs(50);
        let line = progress.line("loss 0.5");
        assert!(line.starts_with("training 200/300, 2.0"), "{line}");
        assert!(line.contains("/s, ") && line.ends_with("left loss 0.5"), "{line}");
        assert!(line.contains("50") || line.contains("49"), "{line}");
    }
}
