//! `counterpart bench`: the time of one step of what the program does all day, on seeded random weights of full width.
//!
//! The cases and their work are those that a PyTorch script can do too, so that both can be compared: 64x64 pixels,
//! float32, running statistics except in training, gradients only where a case needs them.

use super::options::{Compute, DeviceChoice, Json};
use super::train::{MOST_AT_ONCE, up_to};
use super::{bench_scaling, bench_ui, output};
use crate::data::{Augmentation, Images};
use crate::model_file::{LossConfig, Network};
use crate::nam::train::{Given, NamSettings, NamTrainer, Trainer, VaeNamSettings, VaeNamTrainer};
use crate::nam::{NetworkSet, SolveOn, SolveSettings, Solver};
use crate::nets::weights::{Initialiser, normal_values};
use crate::nets::{
    Encoder, EncoderConfig, Generator, GeneratorConfig, Mapping, MappingConfig, Params, Perceptual, PerceptualConfig,
    PerceptualKind, Statistics, Weights,
};
use crate::ops::process;
use crate::{Error, Result, nam, plan, prior};
use candle_core::{Device, Tensor};
use clap::{Args, ValueEnum};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Instant;

/// Iterations that are not counted: the first touches of memory, the caches.
const WARM_UP: usize = 2;
/// The seed of weights and inputs.
const SEED: u64 = 0;
/// nz.
const LATENT: usize = 100;

/// Times one case and prints the median.
#[derive(Args, Debug)]
pub struct Bench {
    /// What is timed
    #[arg(value_enum)]
    case: Case,
    /// Images or codes at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = up_to::<MOST_AT_ONCE>)]
    batch: usize,
    /// Counted iterations; two more come before them
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = up_to::<1_000_000>)]
    iterations: usize,
    /// How long the window is measured while it refines
    #[arg(long, value_name = "S", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    seconds: u16,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    json: Json,
}

/// The cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// G(z): DCGAN, f = 64, nz = 100
    Generator,
    /// T(x): F = 32
    Mapping,
    /// E(y), then G(mu): one amortised counterpart a row
    Encoder,
    /// One step of solving for z by pixel L1
    SolvePixel,
    /// The same with four levels of VGG16 at full width
    SolveVgg16,
    /// The same with three levels of the student (widths 16, 32, 64)
    SolveStudent,
    /// One joint step of NAM: T and z
    TrainMapping,
    /// One step of VAE-NAM: T and E
    TrainVaeNam,
    /// One step of DCGAN: critic, then generator
    TrainDcgan,
    /// What a step of solving costs for each candidate: up to --batch candidates and --threads threads, 32 to 128 pixels
    Scaling,
    /// The window itself: its start, at rest, and its frames while it refines --batch starts
    Ui,
}

/// One iteration of a case.
type Step = Box<dyn FnMut() -> Result<()>>;

impl Bench {
    pub(super) fn run(self) -> Result<()> {
        if self.case == Case::Ui {
            return bench_ui::run(self.batch, self.seconds, self.compute.threads, &self.json);
        }
        if self.case == Case::Scaling {
            return bench_scaling::run(self.batch, self.iterations, self.compute.threads, &self.json);
        }
        let solves = matches!(self.case, Case::SolvePixel | Case::SolveVgg16 | Case::SolveStudent);
        let (device, place) = match self.compute.device {
            DeviceChoice::Gpu | DeviceChoice::GpuF16 if solves => self.compute.start_measuring()?,
            _ => (self.compute.start()?, SolveOn::Tensors),
        };
        let adapter = match &place {
            SolveOn::Gpu(solvers) => Some(solvers.gpu().identity()),
            _ => None,
        };
        let mut step = self.case.prepare(self.batch, &device, &place)?;
        let median = median_of(self.iterations, || {
            step()?;
            Ok(device.synchronize()?)
        })?;
        let case = self.case.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let peak = process::peak_memory_mb();
        let work = self.case.multiply_adds().filter(|_| device.is_cpu() && adapter.is_none()).map(|each| {
            let rate = each * self.batch as f64 / median;
            (rate, rate / (plan::cpu::kernels().peak() * crate::ops::threads::count() as f64))
        });
        let report = serde_json::json!({
            "engine": concat!("counterpart ", env!("CARGO_PKG_VERSION")),
            "case": case,
            "batch": self.batch,
            "threads": crate::ops::threads::count(),
            "device": match () {
                () if self.compute.device == DeviceChoice::GpuF16 => "gpu-f16",
                () if adapter.is_some() => "gpu",
                () if device.is_cpu() => "cpu",
                () if device.is_cuda() => "cuda",
                () => "metal",
            },
            "adapter": adapter,
            "iterations": self.iterations,
            "median_s": median,
            "peak_rss_mb": peak,
            "multiply_adds_per_s": work.map(|(rate, _)| rate),
            "share_of_multiply_add_peak": work.map(|(_, share)| share),
        });
        self.json.write(&report)?;
        if self.json.json.is_some() {
            return Ok(());
        }
        let memory = peak.map(|peak| format!(", at most {peak:.0} MB")).unwrap_or_default();
        let work = work.map(|(rate, share)| {
            // Winograd's algorithm does with fewer than the definition has, so that the share may exceed 100 %.
            format!("; {:.0} billion multiply-adds a second, {:.0} % of the cores' peak", rate / 1e9, share * 100.0)
        });
        let work = work.unwrap_or_default();
        output::line(&format!("{case}, batch {}: {:.2} ms{memory}{work}", self.batch, median * 1e3))
    }
}

/// The median time of a step in seconds, after some that are not counted.
pub(super) fn median_of(iterations: usize, mut step: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(iterations);
    for i in 0..WARM_UP + iterations {
        let started = Instant::now();
        step()?;
        if i >= WARM_UP {
            times.push(started.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    Ok((times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2.0)
}

/// G, T and the student of three levels at full width, for images of this size.
pub(super) fn full_networks(size: usize, device: &Device) -> Result<NetworkSet> {
    let generator = GeneratorConfig { size, ..GeneratorConfig::default() };
    let mapping = MappingConfig { size, ..MappingConfig::default() };
    Ok(NetworkSet {
        generator: Arc::new(Generator::new(&generator, &Params::frozen(generator.initial_weights(SEED, device)?))?),
        mapping: Arc::new(Mapping::new(&mapping, &Params::frozen(mapping.initial_weights(SEED, device)?))?),
        encoder: None,
        perceptual: Some(Arc::new(student(device)?)),
        loss: LossConfig::perceptual(3),
    })
}

impl Case {
    /// Multiply-adds that the convolutions of a case have by definition, for one picture: the forward passes, and as many
    /// again for every gradient in a map or in kernels.
    fn multiply_adds(self) -> Option<f64> {
        let (g, t, e) = (104.63e6, 208.19e6, 105.45e6);
        let (vgg16, student) = (1_139.54e6, 39.52e6);
        // A critic has one output instead of E's 200; the gradient in its pictures takes its first layer alone.
        let (c, c_first) = (103.82e6, 3.15e6);
        match self {
            Self::Generator => Some(g),
            Self::Mapping => Some(t),
            Self::Encoder => Some(e + g),
            Self::SolvePixel => Some(2.0 * (g + t)),
            Self::SolveVgg16 => Some(2.0 * (g + t + vgg16)),
            Self::SolveStudent => Some(2.0 * (g + t + student)),
            Self::TrainMapping => Some(2.0 * g + 3.0 * t),
            Self::TrainVaeNam => Some(2.0 * g + 3.0 * t + 3.0 * e - c_first),
            // On real and drawn pictures, and once more for the generator.
            Self::TrainDcgan => Some(3.0 * g + 2.0 * (3.0 * c - c_first) + 2.0 * c),
            Self::Scaling | Self::Ui => None,
        }
    }

    /// Everything that is done once; what is left is the step.
    fn prepare(self, n: usize, device: &Device, place: &SolveOn) -> Result<Step> {
        let y_values: Vec<f32> = normal(n * 3 * 64 * 64, 1).into_iter().map(|v| (v * 0.4).clamp(-1.0, 1.0)).collect();
        let y = Tensor::from_vec(y_values, (n, 3, 64, 64), device)?;
        let z = Tensor::from_vec(normal(n * LATENT, 2), (n, LATENT), device)?;
        let g_config = GeneratorConfig::default();
        let generator =
            || Generator::new(&g_config, &Params::frozen(g_config.initial_weights(SEED, device)?)).map(Arc::new);
        let t_config = MappingConfig::default();
        let mapping =
            || Mapping::new(&t_config, &Params::frozen(t_config.initial_weights(SEED, device)?)).map(Arc::new);
        let e_config = EncoderConfig::default();
        let given = || {
            Ok::<_, crate::Error>(Given { generator: generator()?, images: Images::from_tensor(&y)?, perceptual: None })
        };
        Ok(match self {
            Self::Generator => {
                let g = generator()?;
                Box::new(move || nam::pictures(&g, &z).map(drop))
            }
            Self::Mapping => {
                let t = mapping()?;
                Box::new(move || match plan::map(&t, &y) {
                    Some(_) => Ok(()),
                    None => t.forward(&y, Statistics::Running).map(drop),
                })
            }
            Self::Encoder => {
                let g = generator()?;
                let e = Encoder::new(&e_config, &Params::frozen(e_config.initial_weights(SEED, device)?))?;
                Box::new(move || {
                    let posterior = match plan::encode(&e, &y) {
                        Some(posterior) => posterior,
                        None => e.forward(&y, Statistics::Running)?,
                    };
                    nam::pictures(&g, &posterior.mu).map(drop)
                })
            }
            Self::SolvePixel | Self::SolveVgg16 | Self::SolveStudent => {
                let (loss, perceptual) = match self {
                    Self::SolveVgg16 => (LossConfig::perceptual(4), Some(vgg16(device)?)),
                    Self::SolveStudent => (LossConfig::perceptual(3), Some(student(device)?)),
                    _ => (LossConfig::default(), None),
                };
                let perceptual = perceptual.map(Arc::new);
                let networks =
                    NetworkSet { generator: generator()?, mapping: mapping()?, encoder: None, perceptual, loss };
                let settings = SolveSettings { at_once: n, ..SolveSettings::default() };
                let mut solver = Solver::on(Arc::new(networks), &y, z, settings, place)?;
                // A case that another device computes has not been measured.
                let stays = |solver: &mut Solver| solver.take_notice().map_or(Ok(()), |notice| Err(Error::new(notice)));
                stays(&mut solver)?;
                Box::new(move || {
                    solver.step()?;
                    stays(&mut solver)
                })
            }
            Self::TrainMapping => {
                let settings = NamSettings { batch: n, steps: usize::MAX, ..NamSettings::default() };
                let mut trainer = NamTrainer::new(settings, given()?, device)?;
                Box::new(move || trainer.step().map(drop))
            }
            Self::TrainVaeNam => {
                let settings = VaeNamSettings {
                    batch: n,
                    steps: usize::MAX,
                    warm_up_epochs: 0,
                    shift: 0,
                    ..VaeNamSettings::default()
                };
                let mut trainer = VaeNamTrainer::new(settings, given()?, device)?;
                Box::new(move || trainer.step().map(drop))
            }
            Self::Scaling | Self::Ui => return Err(Error::new("This is no single step that could be repeated.")),
            Self::TrainDcgan => {
                let settings = prior::Settings {
                    method: prior::Method::Dcgan,
                    batch: n,
                    steps: usize::MAX,
                    augmentation: Augmentation::default(),
                    ..prior::Settings::default()
                };
                let mut trainer = prior::Trainer::new(settings, Images::from_tensor(&y)?, None, device)?;
                Box::new(move || trainer.step().map(drop))
            }
        })
    }
}

pub(super) fn normal(count: usize, seed: u64) -> Vec<f32> {
    normal_values(&mut StdRng::seed_from_u64(seed), count, 0.0, 1.0)
}

fn vgg16(device: &Device) -> Result<Perceptual> {
    let widths = vec![64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512];
    let config = PerceptualConfig { kind: PerceptualKind::Vgg16, widths, normalise: true };
    Perceptual::new(&config, &Params::frozen(he_normal(&config, device)?))
}

fn student(device: &Device) -> Result<Perceptual> {
    let config = PerceptualConfig::default();
    Perceptual::new(&config, &Params::frozen(he_normal(&config, device)?))
}

/// Kernels N(0, 2 / fan-in), biases 0.
fn he_normal(config: &impl Network, device: &Device) -> Result<Weights> {
    let mut start = Initialiser::new(SEED, device);
    for (name, shape) in config.shapes()? {
        let fan_in: usize = shape[1..].iter().product();
        let deviation = if shape.len() == 4 { (2.0 / fan_in as f32).sqrt() } else { 0.0 };
        start.normal(&name, &shape, 0.0, deviation)?;
    }
    Ok(start.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_cases_run_more_than_once() {
        for case in [Case::Generator, Case::Mapping, Case::Encoder, Case::SolvePixel] {
            let mut step = case.prepare(1, &Device::Cpu, &SolveOn::Tensors).unwrap();
            step().unwrap();
            step().unwrap();
        }
    }
}
