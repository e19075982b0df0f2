//! Options that all subcommands share.

use crate::nam::SolveOn;
use crate::{Because, Error, Result};
use candle_core::Device;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::sync::Arc;

/// The kind of device that holds the tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// A GPU that this build supports and this machine has, otherwise the CPU; for solving, whichever of the CPU and the
    /// graphics processor a short measurement finds faster.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The first NVIDIA card (needs a build with the feature `cuda`).
    Cuda,
    /// The Apple GPU (needs a build with the feature `metal`).
    Metal,
    /// The graphics processor, for solving alone; through Vulkan, Metal or Direct3D 12, in every build.
    Gpu,
    /// The same in half precision, where the adapter has it and this model's losses bear it: half the memory.
    GpuF16,
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// When this build or this machine does not have it.
    pub fn open(self) -> Result<Device> {
        let missing = |name: &str, feature: &str| {
            Error::new(format!(
                "This build of counterpart does not support {name}; build it with `cargo build --release --features \
                 {feature}`, or use --device cpu."
            ))
        };
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Gpu | Self::GpuF16 => Err(Error::new(
                "--device gpu is for solving alone (solve, sample --refine, bench solve-...); use --device cpu here.",
            )),
            Self::Cuda if !cfg!(feature = "cuda") => Err(missing("NVIDIA cards", "cuda")),
            Self::Metal if !cfg!(feature = "metal") => Err(missing("Apple GPUs", "metal")),
            Self::Cuda => {
                Device::new_cuda(0).because(|| "No NVIDIA card could be used; --device cpu works everywhere.")
            }
            Self::Metal => {
                Device::new_metal(0).because(|| "The Apple GPU could not be used; --device cpu works everywhere.")
            }
            Self::Auto => {
                if cfg!(feature = "cuda")
                    && let Ok(device) = Device::new_cuda(0)
                {
                    return Ok(device);
                }
                if cfg!(feature = "metal")
                    && let Ok(device) = Device::new_metal(0)
                {
                    return Ok(device);
                }
                Ok(Device::Cpu)
            }
        }
    }
}

/// Where the tensors live and how many threads work on them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "General")]
pub struct Compute {
    /// Where the tensors live
    #[arg(long, value_enum, default_value_t)]
    pub device: DeviceChoice,
    /// Threads that compute [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

impl Compute {
    /// Sets the threads and opens the device.
    ///
    /// # Errors
    /// As [`DeviceChoice::open`].
    pub fn start(&self) -> Result<Device> {
        self.set_threads();
        self.device.open()
    }

    /// Sets the threads and opens the device for the tensors and the one that solves.
    ///
    /// # Errors
    /// As [`DeviceChoice::open`], and when there is no graphics processor that computes.
    pub fn start_solving(&self) -> Result<(Device, SolveOn)> {
        self.set_threads();
        match self.device {
            DeviceChoice::Gpu => Ok((Device::Cpu, SolveOn::gpu(None)?)),
            DeviceChoice::GpuF16 => Ok((Device::Cpu, SolveOn::gpu_in_half_where_it_serves()?)),
            DeviceChoice::Auto => {
                let device = self.device.open()?;
                let measured = if device.is_cpu() { SolveOn::Measured(Arc::default()) } else { SolveOn::Tensors };
                Ok((device, measured))
            }
            _ => Ok((self.device.open()?, SolveOn::Tensors)),
        }
    }

    /// Sets the threads for a measurement of the graphics processor, in the precision that was asked for whatever comes of
    /// it.
    ///
    /// # Errors
    /// As [`Self::start_solving`], and when the adapter has no half precision.
    pub fn start_measuring(&self) -> Result<(Device, SolveOn)> {
        match self.device {
            DeviceChoice::GpuF16 => {
                self.set_threads();
                Ok((Device::Cpu, SolveOn::gpu_in_half()?))
            }
            _ => self.start_solving(),
        }
    }

    fn set_threads(&self) {
        if let Some(threads) = self.threads {
            crate::ops::threads::set(usize::from(threads));
        }
    }
}

/// The seed of everything random.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "General")]
pub struct Seed {
    /// Everything random follows from it: same seed, same device, same result
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// Where a report in JSON goes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "General")]
pub struct Json {
    /// Writes a report in JSON (`-`, or nothing at the end of the line: to standard output)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<PathBuf>,
}

/// What every subcommand is told that finds counterparts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "General")]
pub struct General {
    #[command(flatten)]
    pub(super) seed: Seed,
    #[command(flatten)]
    pub(super) compute: Compute,
    #[command(flatten)]
    pub(super) json: Json,
}

impl Json {
    /// Learns before the work whether the report can be written.
    ///
    /// # Errors
    /// When it cannot, or something else is there, which a `--json` without a file before it may have meant.
    pub fn check(&self, inputs: &[PathBuf]) -> Result<()> {
        let Some(path) = self.json.as_ref().filter(|path| path.as_os_str() != "-") else { return Ok(()) };
        crate::files::check_place(path, inputs)?;
        let mut start = [0; 1];
        let other = std::fs::File::open(path).is_ok_and(|mut file| {
            std::io::Read::read(&mut file, &mut start).is_ok_and(|read| read > 0) && !b"{[".contains(&start[0])
        });
        if other {
            return Err(Error::new(format!(
                "{} is there already and is no report; name another file for --json, or --json=- for standard output.",
                path.display()
            )));
        }
        Ok(())
    }

    /// Writes the report, if one was asked for.
    ///
    /// # Errors
    /// When the disk or the other end of the pipe refuses.
    pub fn write(&self, report: &serde_json::Value) -> Result<()> {
        match &self.json {
            None => Ok(()),
            Some(path) if path.as_os_str() == "-" => super::output::line(&report.to_string()),
            Some(path) => {
                self.check(&[])?;
                let text = serde_json::to_string_pretty(report).because(|| "The report cannot be written as JSON.")?;
                crate::files::write_beside(path, format!("{text}\n").as_bytes())
            }
        }
    }

    /// Whether standard output belongs to the report alone.
    pub fn takes_stdout(&self) -> bool {
        self.json.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// Prints a line for people, unless standard output belongs to the report.
    ///
    /// # Errors
    /// When the other end of the pipe refuses.
    pub fn say(&self, line: &str) -> Result<()> {
        if self.takes_stdout() { Ok(()) } else { super::output::line(line) }
    }
}
