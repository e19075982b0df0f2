//! The files of a training: the result, its checkpoint, its samples and its log, all beside one another.

use crate::cli::output;
use crate::{Because, Error, Result};
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// `OUT.safetensors` with `OUT.checkpoint`, `OUT.samples.png` and `OUT.losses.jsonl` beside it.
pub struct Files {
    out: PathBuf,
}

impl Files {
    /// Checks early that the result can be written at all.
    ///
    /// # Errors
    /// When the folder is missing or refuses, or there is a checkpoint that would be lost.
    pub fn new(out: &Path, resume: bool) -> Result<Self> {
        let files = Self { out: out.to_owned() };
        // Better to learn now than after hours that nothing can be written there.
        crate::files::check_place(out, &[])?;
        let checkpoint = files.checkpoint();
        if resume && !checkpoint.is_file() {
            return Err(Error::new(format!("There is no checkpoint {} to resume from.", checkpoint.display())));
        }
        if !resume && checkpoint.exists() {
            let shown = checkpoint.display();
            return Err(Error::new(format!(
                "There is a checkpoint {shown} already: go on with --resume, or remove it."
            )));
        }
        if resume {
            output::note("Going on with the settings of the checkpoint; options that say otherwise are not used.");
        }
        Ok(files)
    }

    /// The result.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// What a killed run resumes from.
    pub fn checkpoint(&self) -> PathBuf {
        self.out.with_extension("checkpoint")
    }

    /// The newest sheet of samples.
    pub fn samples(&self) -> PathBuf {
        self.out.with_extension("samples.png")
    }

    /// One line of JSON for every step that is logged.
    pub fn losses(&self) -> PathBuf {
        self.out.with_extension("losses.jsonl")
    }

    /// Opens the log; a resumed run goes on behind the lines up to the step of its checkpoint.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn log(&self, resumed_at: usize) -> Result<Log> {
        let path = self.losses();
        let cannot = || format!("Cannot write {}.", path.display());
        let kept: Vec<String> = match File::open(&path) {
            Ok(file) if resumed_at > 0 => {
                let before = |line: &String| {
                    let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
                    value.and_then(|value| value["step"].as_u64()).is_some_and(|step| step <= resumed_at as u64)
                };
                BufReader::new(file).lines().map_while(std::result::Result::ok).filter(before).collect()
            }
            _ => Vec::new(),
        };
        let last = kept.last().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let seconds_before = last.and_then(|line| line["seconds"].as_f64()).unwrap_or(0.0);
        let mut file = File::create(&path).because(cannot)?;
        for line in kept {
            writeln!(file, "{line}").because(cannot)?;
        }
        Ok(Log { file, path, seconds_before })
    }
}

/// The log of losses, JSON lines.
pub struct Log {
    file: File,
    path: PathBuf,
    seconds_before: f64,
}

impl Log {
    /// Seconds of training before a resumption.
    pub fn seconds_before(&self) -> f64 {
        self.seconds_before
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn add(&mut self, line: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(line).because(|| "A line of the log cannot be written as JSON.")?;
        writeln!(self.file, "{text}").because(|| format!("Cannot write {}.", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_resumed_log_has_every_step_once() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(&folder.path().join("g.safetensors"), false).unwrap();
        let mut log = files.log(0).unwrap();
        (1..=5).for_each(|step| log.add(&json!({"step": step, "loss": 0.5})).unwrap());
        let mut log = files.log(3).unwrap();
        (4..=6).for_each(|step| log.add(&json!({"step": step, "loss": 0.5})).unwrap());
        let text = std::fs::read_to_string(files.losses()).unwrap();
        let steps: Vec<u64> = text
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["step"].as_u64().unwrap())
            .collect();
        assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_checkpoint_is_never_overwritten_by_a_new_run() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("g.safetensors");
        assert!(Files::new(&out, true).is_err());
        std::fs::write(out.with_extension("checkpoint"), b"x").unwrap();
        assert!(Files::new(&out, false).is_err());
        assert!(Files::new(&out, true).is_ok());
        assert!(Files::new(&folder.path().join("no/g.safetensors"), false).is_err());
        assert!(Files::new(folder.path(), false).is_err());
    }
}
