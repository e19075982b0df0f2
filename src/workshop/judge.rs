//! What is wrong with a training in a way that more steps may not mend.

use crate::data::Images;
use crate::nam::loss::{self, Target};
use crate::nam::{NetworkSet, Networks, SolveSettings, Solver, Starts, candidates, posterior, starting_codes_for};
use crate::{Picture, Result, evaluate};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// Pictures that training never saw and that are looked at again and again.
pub(super) const WATCHED: usize = 8;
/// Steps of solving for them while there is no encoder.
const STEPS: usize = 20;
/// Samples are alike when they differ by less than this share of what they once did, or of what the pictures do.
const ALIKE: f32 = 0.4;
/// Held-out pictures are explained worse when the mean loss of so many looks is above the lowest such mean by this share:
/// single looks differ by about as much where nothing is wrong.
const WORSE: (f32, usize) = (0.1, 3);
/// The share of own counterparts that fit better than another picture's below which y is ignored; chance is a half.
const IGNORED: f64 = 0.65;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The generator's samples have become alike.
    Collapsed,
    /// Pictures that training never saw are explained worse than they were.
    Overfitted,
    /// The counterparts hardly depend on y.
    IgnoresY,
}

/// Watches the diversity of a generator's samples.
#[derive(Clone, Debug, Default)]
pub(super) struct SampleWatch {
    /// The mean difference between pictures of X.
    pub pictures: f32,
    most: f32,
}

impl SampleWatch {
    /// A watch over samples that are to be as diverse as these pictures.
    pub fn new(pictures: &[Picture]) -> Self {
        Self { pictures: diversity(pictures), most: 0.0 }
    }

    /// Takes in samples, late enough in the training to be judged when `grown`.
    pub fn look(&mut self, samples: &[Picture], grown: bool) -> Option<Warning> {
        let now = diversity(samples);
        let fell = now < ALIKE * self.most;
        self.most = self.most.max(now);
        (fell || (grown && now < ALIKE * self.pictures)).then_some(Warning::Collapsed)
    }
}

/// The mean absolute difference of pictures of one size, over all pairs, in [0, 255].
fn diversity(pictures: &[Picture]) -> f32 {
    let (mut sum, mut pairs) = (0.0, 0usize);
    for (i, a) in pictures.iter().enumerate() {
        for b in &pictures[..i] {
            let bytes = a.rgba().iter().zip(b.rgba()).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>();
            sum += bytes / a.rgba().len().max(1) as f64;
            pairs += 1;
        }
    }
    (sum / pairs.max(1) as f64) as f32
}

/// Watches how pictures are explained that training never saw.
#[derive(Clone, Debug, Default)]
pub(super) struct HeldOutWatch {
    newest: Vec<f32>,
    lowest: Option<f32>,
}

impl HeldOutWatch {
    /// Takes in the mean held-out loss.
    pub fn loss(&mut self, loss: f32) -> Option<Warning> {
        let (share, looks) = WORSE;
        self.newest.push(loss);
        if self.newest.len() > looks {
            self.newest.remove(0);
        }
        if self.newest.len() < looks {
            return None;
        }
        let mean = self.newest.iter().sum::<f32>() / looks as f32;
        let lowest = self.lowest.map_or(mean, |lowest| lowest.min(mean));
        self.lowest = Some(lowest);
        (mean > lowest * (1.0 + share)).then_some(Warning::Overfitted)
    }
}

/// The counterparts of pictures that training never saw.
pub(super) struct Watched {
    pub y: Tensor,
    pub x: Tensor,
    pub reconstruction: Tensor,
    /// The mean loss.
    pub loss: f32,
    /// The share of pairs of pictures where one's own counterpart fits better than the other's.
    pub own_share: f64,
}

impl Watched {
    /// With an encoder: at the posterior's means; without: after a few steps from starts that stay the same.
    pub fn find(networks: NetworkSet, held: &Images, device: &Device, seed: u64) -> Result<Self> {
        let rows: Vec<usize> = (0..WATCHED.min(held.len())).collect();
        let y = held.batch(&rows, device)?;
        let networks = Arc::new(networks);
        let codes = if networks.encoder.is_some() {
            posterior(&*networks, &y)?.mu
        } else {
            let places: Vec<u64> = (0..rows.len() as u64).collect();
            let codes = starting_codes_for(&*networks, &y, Starts::default(), &places, seed)?;
            let shared: Arc<dyn Networks + Send + Sync> = networks.clone();
            let mut solver = Solver::new(shared, &y, codes, SolveSettings::default())?;
            for _ in 0..STEPS {
                solver.step()?;
            }
            solver.codes()?
        };
        let found = candidates(&*networks, &y, &codes)?;
        let perceptual = networks.perceptual.as_deref();
        let mut losses = Vec::new();
        for i in 0..rows.len() {
            let target = Target::new(&networks.loss, perceptual, &y.narrow(0, i, 1)?)?;
            losses.push(loss::reconstruction(&networks.loss, perceptual, &found.reconstruction, &target)?.to_vec1()?);
        }
        Ok(Self {
            loss: evaluate::mean(&found.losses) as f32,
            own_share: evaluate::own_share(&losses),
            y,
            x: found.x,
            reconstruction: found.reconstruction,
        })
    }

    /// Whether the counterparts ignore y; to be asked when the training is well under way.
    pub fn warning(&self) -> Option<Warning> {
        (self.own_share < IGNORED).then_some(Warning::IgnoresY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(values: &[u8]) -> Vec<Picture> {
        values.iter().map(|&v| Picture::filled(4, 4, [v, v, v, 255])).collect()
    }

    #[test]
    fn samples_that_become_alike_are_noticed() {
        let mut watch = SampleWatch::new(&pictures(&[0, 100, 200]));
        assert_eq!(watch.look(&pictures(&[120, 121, 122]), false), None, "too early to judge");
        assert_eq!(watch.look(&pictures(&[0, 90, 180]), true), None);
        assert_eq!(watch.look(&pictures(&[50, 60, 70]), false), Some(Warning::Collapsed), "fell");
        let mut watch = SampleWatch::new(&pictures(&[0, 100, 200]));
        assert_eq!(watch.look(&pictures(&[120, 121, 122]), true), Some(Warning::Collapsed), "never rose");
    }

    #[test]
    fn held_out_losses_that_rise_are_noticed() {
        let mut watch = HeldOutWatch::default();
        let warned: Vec<bool> = [3.0, 2.0, 2.1, 2.3, 2.5, 2.6, 1.0].iter().map(|&l| watch.loss(l).is_some()).collect();
        assert_eq!(warned, [false, false, false, false, false, true, false]);
    }
}
