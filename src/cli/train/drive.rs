//! The loop that all trainings share: steps with progress, losses to the log, checkpoints, samples, and an end that
//! loses nothing.

use super::files::Files;
use crate::cli::{interrupt, options::Json, output, progress::Progress, sheet};
use crate::{Error, Picture, Result};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// When a training writes what.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Training")]
pub struct Schedule {
    /// Steps between checkpoints; each also writes the result so far
    #[arg(long, value_name = "STEPS", default_value_t = 500, value_parser = at_least_one)]
    pub checkpoint_every: usize,
    /// Steps between sheets of samples
    #[arg(long, value_name = "STEPS", default_value_t = 250, value_parser = at_least_one)]
    pub samples_every: usize,
    /// Steps between lines in the log of losses
    #[arg(long, value_name = "STEPS", default_value_t = 10, value_parser = at_least_one)]
    pub log_every: usize,
}

/// Reads a whole number from 1 up to a billion, which no training or search ends.
///
/// # Errors
/// With what is wrong, for clap to print.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    up_to::<1_000_000_000>(text)
}

/// Reads a whole number from 1 up to `MOST`.
///
/// # Errors
/// With what is wrong, for clap to print.
pub fn up_to<const MOST: usize>(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(number) if number > MOST => Err(format!("it must be at most {MOST}")),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

/// The most pictures that are computed at once.
pub const MOST_AT_ONCE: usize = 4096;

/// A training that goes on step by step.
pub trait Run {
    /// Steps taken so far.
    fn step_count(&self) -> usize;
    /// Steps that are wanted.
    fn steps(&self) -> usize;
    /// One step; its losses by name, the one to watch first.
    fn step(&mut self) -> Result<Vec<(&'static str, f32)>>;
    /// Writes what a resumed run needs.
    fn save_checkpoint(&self, path: &Path) -> Result<()>;
    /// Samples as they are now, and how many stand in a row.
    fn samples(&self) -> Result<(Vec<Picture>, usize)>;
    /// Writes the result as it is now, trained for so many seconds.
    fn save(&self, path: &Path, seconds: f64) -> Result<()>;
}

/// Trains to the end, or until Ctrl-C; either way the checkpoint is up to date afterwards. Whether the end was reached,
/// and the seconds of training, those before a resumption included.
///
/// # Errors
/// When a step fails, or the disk refuses.
pub fn drive(run: &mut dyn Run, what: &str, files: &Files, schedule: Schedule) -> Result<(bool, f64)> {
    interrupt::listen();
    let mut log = files.log(run.step_count())?;
    let before = log.seconds_before();
    let started = Instant::now();
    let mut progress = Progress::new(what, "steps", run.step_count() as u64, run.steps() as u64);
    let mut saved_at = None;
    while run.step_count() < run.steps() && !interrupt::happened() {
        let losses = run.step()?;
        let step = run.step_count();
        let last = step == run.steps();
        progress.at(step as u64, || {
            losses.iter().map(|(name, loss)| format!("{name} {loss:.4}")).collect::<Vec<_>>().join(", ")
        });
        if last || step.is_multiple_of(schedule.log_every) {
            let mut line = serde_json::Map::new();
            line.insert("step".into(), step.into());
            line.insert("seconds".into(), (before + started.elapsed().as_secs_f64()).into());
            line.extend(losses.iter().map(|(name, loss)| ((*name).to_owned(), (*loss).into())));
            log.add(&line)?;
        }
        if last || step.is_multiple_of(schedule.samples_every) {
            let (pictures, columns) = run.samples()?;
            sheet::write(&files.samples(), &pictures, columns)?;
        }
        if last || step.is_multiple_of(schedule.checkpoint_every) {
            run.save_checkpoint(&files.checkpoint())?;
            run.save(files.out(), before + started.elapsed().as_secs_f64())?;
            saved_at = Some(step);
        }
    }
    drop(progress);
    let seconds = before + started.elapsed().as_secs_f64();
    let (step, steps) = (run.step_count(), run.steps());
    if step >= steps {
        if saved_at.is_none() {
            run.save(files.out(), seconds)?;
        }
        return Ok((true, seconds));
    }
    if saved_at != Some(step) && step > 0 {
        run.save_checkpoint(&files.checkpoint())?;
    }
    let took = output::duration(seconds);
    output::note(&format!("Stopped after {step} of {steps} steps ({took}); --resume goes on from there."));
    Ok((false, seconds))
}

/// What a training has come to: what the result is called in words and in the report, its steps and seconds, and what was
/// measured of it: its name in the report, what stands before each figure in words, and the figures.
pub struct Told<'a> {
    pub what: &'a str,
    pub key: &'a str,
    pub steps: usize,
    pub seconds: f64,
    pub measured: Option<(&'a str, &'a str, BTreeMap<String, f64>)>,
}

impl Told<'_> {
    /// Says it, and reports it.
    ///
    /// # Errors
    /// When the disk refuses, or standard output is gone.
    pub fn tell(self, files: &Files, json: &Json) -> Result<()> {
        let Self { what, key, steps, seconds, measured } = self;
        let (out, took) = (files.out().display(), output::duration(seconds));
        json.say(&format!("{out}: a {what}, trained for {steps} steps in {took}."))?;
        let mut report = serde_json::Map::new();
        report.insert(key.to_owned(), serde_json::json!(files.out()));
        report.insert("steps".to_owned(), steps.into());
        report.insert("seconds".to_owned(), seconds.into());
        if let Some((heading, words, measured)) = measured {
            for (name, value) in &measured {
                json.say(&format!("  {words}{name}: {value:.3}"))?;
            }
            report.insert(heading.to_owned(), serde_json::json!(measured));
        }
        json.write(&report.into())
    }
}

/// Settings for the manifest, but for those of these names.
pub fn settings_of(settings: &impl Serialize, without: &[&str]) -> BTreeMap<String, String> {
    let json = serde_json::to_value(settings).unwrap_or_default();
    let rest = json.as_object().into_iter().flatten().filter(|(key, _)| !without.contains(&key.as_str()));
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    rest.map(|(key, value)| (key.clone(), text(value))).collect()
}

/// Refuses a learning rate that is none.
///
/// # Errors
/// With the option's name.
pub fn check_rate(option: &str, rate: f64) -> Result<()> {
    if rate.is_finite() && rate > 0.0 && rate < 1.0 {
        return Ok(());
    }
    Err(Error::new(format!("--{option} must lie between 0 and 1; {rate} does not.")))
}
