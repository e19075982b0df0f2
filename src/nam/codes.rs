//! Where candidates start, what they look like, and the directions in which the posterior is widest.

use super::loss::{self, Target};
use super::networks::Networks;
use super::random::{Purpose, normals, source};
use crate::nets::encoder::Posterior;
use crate::nets::{Generator, Statistics};
use crate::plan::{self, Solving, Targets};
use crate::{Error, Result};
use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};

/// Candidates that are computed at once, at most: more would only take more memory.
const AT_ONCE: usize = 32;

/// q(z | y) of the encoder, for `y: [n, cy, s, s]`.
///
/// # Errors
/// When the model has no encoder or y has another shape.
pub fn posterior(networks: &dyn Networks, y: &Tensor) -> Result<Posterior> {
    let encoder = networks.encoder().ok_or_else(|| {
        Error::new(
            "This model has no encoder, so it cannot draw counterparts at once; start from random codes instead.",
        )
    })?;
    match plan::encode(encoder, y) {
        Some(found) => Ok(found),
        None => encoder.forward(y, Statistics::Running),
    }
}

/// G(z) of codes `[n, nz]`, `[n, cx, s, s]`.
///
/// # Errors
/// When the codes have another length.
pub fn pictures(generator: &Generator, codes: &Tensor) -> Result<Tensor> {
    match plan::generate(generator, codes) {
        Some(found) => Ok(found),
        None => generator.forward(codes, Statistics::Running),
    }
}

/// Where the latent codes of the candidates start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Starts {
    /// N(0, deviation^2), or deviation times the generator's own codes: 1 for solutions as different as the prior's pictures, 0.01 as the authors' training code.
    Normal {
        /// The standard deviation.
        std: f32,
    },
    /// Samples of the encoder's posterior.
    Posterior,
}

impl Default for Starts {
    fn default() -> Self {
        Self::Normal { std: 1.0 }
    }
}

/// `count` starting codes `[count, nz]` for `y: [1, cy, s, s]`. Code i depends on the seed and i alone, so asking for
/// more gives the same ones first.
///
/// # Errors
/// When samples of the posterior are asked for without an encoder.
pub fn starting_codes(networks: &dyn Networks, y: &Tensor, starts: Starts, count: usize, seed: u64) -> Result<Tensor> {
    let places: Vec<u64> = (0..count as u64).collect();
    starting_codes_for(networks, y, starts, &places, seed)
}

/// The starting codes at these places of the seed's sequence, `[places, nz]`: a re-roll of one candidate.
///
/// # Errors
/// When samples of the posterior are asked for without an encoder.
pub fn starting_codes_for(
    networks: &dyn Networks,
    y: &Tensor,
    starts: Starts,
    places: &[u64],
    seed: u64,
) -> Result<Tensor> {
    let nz = networks.generator().config().latent;
    let noise = places.iter().flat_map(|&place| normals(&mut source(seed, Purpose::Start, place), nz)).collect();
    let noise = Tensor::from_vec(noise, (places.len(), nz), y.device())?;
    match starts {
        Starts::Normal { std } => Ok((networks.generator().codes(&noise)? * f64::from(std))?),
        Starts::Posterior => posterior(networks, y)?.sample(&noise),
    }
}

/// Pictures of X that may be counterparts, and how well each explains y.
#[derive(Clone)]
pub struct Candidates {
    /// G(z), `[n, cx, s, s]`.
    pub x: Tensor,
    /// T(G(z)), `[n, cy, s, s]`.
    pub reconstruction: Tensor,
    /// The reconstruction loss of each.
    pub losses: Vec<f32>,
}

impl Candidates {
    /// These candidates and then those.
    fn join(parts: &[Self]) -> Result<Self> {
        if let [one] = parts {
            return Ok(one.clone());
        }
        let all = |pick: fn(&Self) -> &Tensor| Tensor::cat(&parts.iter().map(pick).collect::<Vec<_>>(), 0);
        Ok(Self {
            x: all(|part| &part.x)?,
            reconstruction: all(|part| &part.reconstruction)?,
            losses: parts.iter().flat_map(|part| part.losses.iter().copied()).collect(),
        })
    }
}

/// The candidates of `codes: [n, nz]` for `y: [1 or n, cy, s, s]`. Each is computed by itself: neighbours in the batch
/// change nothing.
///
/// # Errors
/// When shapes do not fit.
pub fn candidates(networks: &dyn Networks, y: &Tensor, codes: &Tensor) -> Result<Candidates> {
    Against::new(networks, y, codes, false)?.candidates(networks, codes)
}

/// What candidates are compared with, prepared for the way in which they are computed.
pub(super) enum Against {
    /// By a plan, for this many images.
    Plan(Solving, Targets, usize),
    /// By the operations themselves.
    Operations(Target),
}

impl Against {
    /// Prepares `y: [1 or n, cy, s, s]` for codes like these; `gradient` says whether they will be moved.
    pub fn new(networks: &dyn Networks, y: &Tensor, codes: &Tensor, gradient: bool) -> Result<Self> {
        if codes.device().is_cpu()
            && codes.dim(0)? > 0
            && let Some(solving) =
                Solving::new(networks.generator(), networks.mapping(), networks.perceptual(), networks.loss())
            && let Some(targets) = solving.targets(y, gradient)
        {
            return Ok(Self::Plan(solving, targets, y.dim(0)?));
        }
        Ok(Self::Operations(Target::new(networks.loss(), networks.perceptual(), y)?))
    }

    /// The candidates of `codes: [n, nz]`.
    pub fn candidates(&self, networks: &dyn Networks, codes: &Tensor) -> Result<Candidates> {
        match self {
            Self::Plan(solving, targets, images) => {
                let rows = rows(*images, 0..codes.dim(0)?);
                let found = solving.run(&codes.flatten_all()?.to_vec1()?, targets, &rows, false)?;
                Ok(Candidates { x: found.x, reconstruction: found.reconstruction, losses: found.losses })
            }
            Self::Operations(target) => candidates_composed(networks, target, codes),
        }
    }
}

/// The images that belong to these codes: a single one serves all.
pub(super) fn rows(images: usize, codes: impl IntoIterator<Item = usize>) -> Vec<usize> {
    codes.into_iter().map(|code| if images == 1 { 0 } else { code }).collect()
}

fn candidates_composed(networks: &dyn Networks, target: &Target, codes: &Tensor) -> Result<Candidates> {
    let count = codes.dim(0)?;
    let mut parts = Vec::new();
    for start in (0..count).step_by(AT_ONCE) {
        let rows: Vec<usize> = (start..count.min(start + AT_ONCE)).collect();
        let z = codes.detach().narrow(0, start, rows.len())?.contiguous()?;
        let x = networks.generator().forward(&z, Statistics::Running)?;
        let reconstruction = networks.mapping().forward(&x, Statistics::Running)?;
        let part = target.select(&rows)?;
        let losses = loss::reconstruction(networks.loss(), networks.perceptual(), &reconstruction, &part)?;
        parts.push(Candidates { x, reconstruction, losses: losses.to_vec1()? });
    }
    if parts.is_empty() {
        return Err(Error::new("There are no latent codes to make candidates of."));
    }
    Candidates::join(&parts)
}

/// A direction in the space of latent codes that a slider moves along.
#[derive(Clone, Debug, PartialEq)]
pub struct Direction {
    /// The latent axis with the largest part in it.
    pub axis: usize,
    /// The unit vector, nz values.
    pub vector: Vec<f32>,
    /// The standard deviation of the posterior along it.
    pub sigma: f32,
}

/// The `count` directions in which the posterior of `y: [1, cy, s, s]` is widest, the widest first. Its covariance is
/// diagonal, so they are latent axes.
///
/// # Errors
/// When the model has no encoder.
pub fn posterior_directions(networks: &dyn Networks, y: &Tensor, count: usize) -> Result<Vec<Direction>> {
    let sigmas = posterior(networks, y)?.deviation()?.narrow(0, 0, 1)?.squeeze(0)?.to_vec1::<f32>()?;
    let mut axes: Vec<usize> = (0..sigmas.len()).collect();
    axes.sort_by(|&a, &b| sigmas[b].total_cmp(&sigmas[a]));
    let direction = |&axis: &usize| {
        let mut vector = vec![0.0; sigmas.len()];
        vector[axis] = 1.0;
        Direction { axis, vector, sigma: sigmas[axis] }
    };
    Ok(axes.iter().take(count).map(direction).collect())
}

/// The mean absolute difference between T(G(z)) and y, for each candidate: the figure of the papers, whatever loss was
/// descended.
///
/// # Errors
/// When shapes do not fit.
pub fn pixel_differences(candidates: &Candidates, y: &Tensor) -> Result<Vec<f32>> {
    let difference = candidates.reconstruction.broadcast_sub(y)?.abs()?;
    Ok(difference.flatten_from(1)?.mean(D::Minus1)?.to_vec1()?)
}
