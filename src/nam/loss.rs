//! Losses between T(G(z)) and y, each reduced for every candidate by itself, `[n]`.
//!
//! The reconstruction loss of NAM (Hoshen & Wolf, ECCV 2018, eq. 4) and its variants: pixels, perceptual levels, Gram
//! matrices (Gatys et al., CVPR 2016), Laplacian pyramids (Bojanowski et al., ICML 2018); and the Kullback-Leibler
//! divergence of VAE-NAM (Hoshen, NeurIPS 2018, eq. 6 with its sign put right).

use crate::model_file::LossConfig;
use crate::nets::Perceptual;
use crate::nets::encoder::Posterior;
use crate::plan::train::Levels;
use crate::{Error, Result, ops};
use candle_core::{D, Tensor};

/// What sees the levels that a loss compares.
pub trait Sees {
    /// The first `count` levels of `images: [n, c, s, s]`.
    ///
    /// # Errors
    /// When there are fewer, or the computation fails.
    fn levels(&self, images: &Tensor, count: usize) -> Result<Vec<Tensor>>;
}

impl Sees for Perceptual {
    fn levels(&self, images: &Tensor, count: usize) -> Result<Vec<Tensor>> {
        Perceptual::levels(self, images, count)
    }
}

impl Sees for Levels {
    fn levels(&self, images: &Tensor, count: usize) -> Result<Vec<Tensor>> {
        let mut levels = if count <= self.network().level_count() {
            self.of(images)?
        } else {
            // Says what is wrong.
            self.network().levels(images, count)?
        };
        levels.truncate(count);
        Ok(levels)
    }
}

/// What images are compared with: y and everything that is derived from it, computed once.
#[derive(Clone)]
pub struct Target {
    pixels: Tensor,
    levels: Vec<Tensor>,
    grams: Vec<Tensor>,
    ink: Option<Tensor>,
    bands: Vec<Tensor>,
}

impl Target {
    /// Prepares `y: [n or 1, cy, s, s]`; one image serves any number of candidates.
    ///
    /// # Errors
    /// When the loss needs a perceptual network, or more of its levels, than there are.
    pub fn new(config: &LossConfig, perceptual: Option<&impl Sees>, y: &Tensor) -> Result<Self> {
        let pixels = y.detach().contiguous()?;
        let levels = features(config, perceptual, &pixels)?;
        let grams = if config.gram > 0.0 {
            levels.iter().map(ops::gram).collect::<candle_core::Result<_>>()?
        } else {
            Vec::new()
        };
        let bands =
            if config.laplacian > 0.0 { ops::laplacian_pyramid(&pixels, config.laplacian_levels)? } else { Vec::new() };
        let ink = (config.colour > 0.0).then(|| ops::ink_gram(&pixels, config.cover)).transpose()?;
        Ok(Self { pixels, levels, grams, ink, bands })
    }

    /// y: `[n or 1, cy, s, s]`.
    pub fn pixels(&self) -> &Tensor {
        &self.pixels
    }

    /// The target of these rows alone; a single image stays as it is.
    ///
    /// # Errors
    /// When a row does not exist.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        if self.pixels.dim(0)? == 1 {
            return Ok(self.clone());
        }
        let places = Tensor::new(rows.iter().map(|&row| row as u32).collect::<Vec<_>>(), self.pixels.device())?;
        let pick = |tensor: &Tensor| tensor.index_select(&places, 0);
        let all = |tensors: &[Tensor]| tensors.iter().map(pick).collect::<candle_core::Result<Vec<_>>>();
        Ok(Self {
            pixels: pick(&self.pixels)?,
            levels: all(&self.levels)?,
            grams: all(&self.grams)?,
            ink: self.ink.as_ref().map(pick).transpose()?,
            bands: all(&self.bands)?,
        })
    }
}

/// The reconstruction loss of `images: [n, cy, s, s]` against the target, `[n]`: a weighted sum of means over
/// elements.
///
/// # Errors
/// When shapes do not fit.
pub fn reconstruction(
    config: &LossConfig,
    perceptual: Option<&impl Sees>,
    images: &Tensor,
    target: &Target,
) -> Result<Tensor> {
    let mut sum = Sum(None);
    if config.pixel_l1 > 0.0 {
        sum.add(config.pixel_l1, ops::l1_mean(images, &target.pixels)?)?;
    }
    if config.pixel_l2 > 0.0 {
        sum.add(config.pixel_l2, ops::l2_mean(images, &target.pixels)?)?;
    }
    let levels = features(config, perceptual, images)?;
    for ((&weight, found), wanted) in config.perceptual.iter().zip(&levels).zip(&target.levels) {
        if weight > 0.0 {
            sum.add(weight, ops::l1_mean(found, wanted)?)?;
        }
    }
    if config.gram > 0.0 {
        for (found, wanted) in levels.iter().zip(&target.grams) {
            sum.add(config.gram, ops::l1_mean(&ops::gram(found)?, wanted)?)?;
        }
    }
    if let Some(wanted) = target.ink.as_ref().filter(|_| config.colour > 0.0) {
        sum.add(config.colour, ops::l1_mean(&ops::ink_gram(images, 0.0)?, wanted)?)?;
    }
    if config.laplacian > 0.0 {
        for (found, wanted) in ops::laplacian_pyramid(images, config.laplacian_levels)?.iter().zip(&target.bands) {
            sum.add(config.laplacian, ops::l1_mean(found, wanted)?)?;
        }
    }
    sum.0.ok_or_else(|| Error::new("The loss has no part whose weight is above 0."))
}

/// A weighted sum that starts with nothing.
struct Sum(Option<Tensor>);

impl Sum {
    fn add(&mut self, weight: f32, part: Tensor) -> Result<()> {
        let part = if weight == 1.0 { part } else { (part * f64::from(weight))? };
        self.0 = Some(match self.0.take() {
            Some(sum) => (sum + part)?,
            None => part,
        });
        Ok(())
    }
}

/// The levels that the loss looks at, as deep as any of them has a weight.
fn features(config: &LossConfig, perceptual: Option<&impl Sees>, images: &Tensor) -> Result<Vec<Tensor>> {
    let count = match config.gram > 0.0 {
        true => config.perceptual.len(),
        false => config.perceptual.iter().rposition(|&weight| weight > 0.0).map_or(0, |last| last + 1),
    };
    match perceptual {
        _ if count == 0 => Ok(Vec::new()),
        Some(perceptual) => perceptual.levels(images, count),
        None => Err(Error::new("The loss compares features, but there is no perceptual network to see them with.")),
    }
}

/// KL(q(z | y) || N(0, I)) of every row, `[n]`: 0.5 * sum(exp(log_var) + mu^2 - 1 - log_var).
///
/// # Errors
/// When the shapes do not fit.
pub fn kl(posterior: &Posterior) -> Result<Tensor> {
    let Posterior { mu, log_var } = posterior;
    let sum = ((log_var.exp()? + mu.sqr()?)? - log_var)?.sum(D::Minus1)?;
    Ok(((sum - mu.dim(D::Minus1)? as f64)? * 0.5)?)
}

/// -log q(z) of every code in its posterior, in nats, less the constant nz/2 log 2 pi, `[n]`.
///
/// # Errors
/// When the shapes do not fit.
pub fn negative_log_density(posterior: &Posterior, z: &Tensor) -> Result<Tensor> {
    let Posterior { mu, log_var } = posterior;
    let squares = ((z - mu)?.sqr()? * log_var.neg()?.exp()?)?;
    Ok(((squares + log_var)?.sum(D::Minus1)? * 0.5)?)
}

/// KL(q(z) || N(0, I)) in nats, a scalar, where q(z) is what the posteriors of a batch amount to together, taken for a
/// Gaussian with independent values: the mean of the means, and the mean of the variances plus the variance of the means.
/// Images of Y whose counterparts are as varied as X have 0 (Hoffman & Johnson, "ELBO surgery", 2016).
///
/// # Errors
/// When the device fails.
pub fn aggregate_kl(posterior: &Posterior) -> Result<Tensor> {
    let Posterior { mu, log_var } = posterior;
    let mean = mu.mean(0)?.sqr()?;
    let second = (log_var.exp()? + mu.sqr()?)?.mean(0)?;
    let variance = (&second - mean)?;
    Ok((((second - variance.log()?)?.sum_all()? - mu.dim(D::Minus1)? as f64)? * 0.5)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn noise(shape: &[usize], seed: u64) -> Tensor {
        let values = crate::nam::random::normals(
            &mut crate::nam::random::source(seed, crate::nam::random::Purpose::Pairs, 0),
            shape.iter().product(),
        );
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn all_parts() -> LossConfig {
        LossConfig {
            pixel_l1: 0.5,
            pixel_l2: 2.0,
            colour: 0.7,
            laplacian: 1.5,
            laplacian_levels: 3,
            ..LossConfig::default()
        }
    }

    #[test]
    fn a_loss_is_its_candidates_own() {
        let (images, y) = (noise(&[4, 3, 32, 32], 1), noise(&[1, 3, 32, 32], 2));
        let target = Target::new(&all_parts(), None::<&Perceptual>, &y).unwrap();
        let together =
            reconstruction(&all_parts(), None::<&Perceptual>, &images, &target).unwrap().to_vec1::<f32>().unwrap();
        for (i, expected) in together.into_iter().enumerate() {
            let alone =
                reconstruction(&all_parts(), None::<&Perceptual>, &images.narrow(0, i, 1).unwrap(), &target).unwrap();
            assert!((alone.to_vec1::<f32>().unwrap()[0] - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn the_loss_of_y_itself_is_zero() {
        let y = noise(&[2, 3, 32, 32], 3);
        let target = Target::new(&all_parts(), None::<&Perceptual>, &y).unwrap();
        assert_eq!(
            reconstruction(&all_parts(), None::<&Perceptual>, &y, &target).unwrap().to_vec1::<f32>().unwrap(),
            [0.0, 0.0]
        );
        let second = reconstruction(
            &all_parts(),
            None::<&Perceptual>,
            &y.narrow(0, 1, 1).unwrap(),
            &target.select(&[1]).unwrap(),
        );
        assert_eq!(second.unwrap().to_vec1::<f32>().unwrap(), [0.0]);
    }

    #[test]
    fn colours_count_wherever_they_are() {
        let config = LossConfig { pixel_l1: 0.0, colour: 1.0, ..LossConfig::default() };
        // A square of 4x4 pixels on white, its corner at (place, place).
        let square = |colour: [f32; 3], place: usize| {
            let ink = |i: usize| (place..place + 4).contains(&(i / 16)) && (place..place + 4).contains(&(i % 16));
            let values = (0..3 * 256).map(|i| if ink(i % 256) { colour[i / 256] } else { 1.0 });
            Tensor::from_vec(values.collect::<Vec<_>>(), (1, 3, 16, 16), &Device::Cpu).unwrap()
        };
        let (red, black, white) = ([1.0, -1.0, -1.0], [-1.0; 3], [1.0; 3]);
        let target = Target::new(&config, None::<&Perceptual>, &square(red, 2)).unwrap();
        let loss = |x: &Tensor| {
            let loss = reconstruction(&config, None::<&Perceptual>, x, &target).unwrap();
            loss.to_vec1::<f32>().unwrap()[0]
        };
        assert!(loss(&square(red, 9)) < 1e-7);
        // Sixteen of 256 pixels, one matrix of sixteen values divided by four channels. On the axes, the ink of red is (2/3, -3,
        // -3/2), that of black (1, 0, 0), and white has none.
        let cover = |mean: f32| 0.5 * (8.0 * mean).tanh();
        let (of_red, of_black) = ([2.0 / 3.0, -3.0, -1.5, cover(2.0 / 3.0)], [1.0, 0.0, 0.0, cover(1.0)]);
        let expected = |other: [f32; 4]| {
            let places = (0..16).map(|i| (i / 4, i % 4));
            places.map(|(i, j)| (of_red[i] * of_red[j] - other[i] * other[j]).abs()).sum::<f32>() / 16.0 / 16.0 / 4.0
        };
        assert!((loss(&square(black, 2)) - expected(of_black)).abs() < 1e-6);
        assert!((loss(&square(white, 2)) - expected([0.0; 4])).abs() < 1e-6);
        // A hue counts where all is too dark, though red, green and blue together are then no nearer.
        let target = Target::new(&config, None::<&Perceptual>, &square([0.6, 0.2, 0.2], 2)).unwrap();
        let loss = |colour| {
            let loss = reconstruction(&config, None::<&Perceptual>, &square(colour, 5), &target).unwrap();
            loss.to_vec1::<f32>().unwrap()[0]
        };
        assert!(loss([-0.3, -0.45, -0.45]) < 0.8 * loss([-0.4; 3]));
    }

    #[test]
    fn a_small_dark_thing_is_no_large_pale_one() {
        let config = LossConfig { pixel_l1: 0.0, colour: 1.0, ..LossConfig::default() };
        // Ink of 1/4 on 64 pixels and of 1/2 on 16: their sums of squares are the same.
        let square = |side: usize, value: f32| {
            let values = (0..3 * 256).map(|i| if i / 16 % 16 < side && i % 16 < side { value } else { 1.0 });
            Tensor::from_vec(values.collect::<Vec<_>>(), (1, 3, 16, 16), &Device::Cpu).unwrap()
        };
        let target = Target::new(&config, None::<&Perceptual>, &square(8, 0.5)).unwrap();
        let loss = |x: &Tensor| {
            let loss = reconstruction(&config, None::<&Perceptual>, x, &target).unwrap();
            loss.to_vec1::<f32>().unwrap()[0]
        };
        let (small, paler) = (loss(&square(4, 0.0)), loss(&square(8, 0.6)));
        assert!(small > 2.0 * paler, "{small} {paler}");
    }

    #[test]
    fn what_covers_little_is_compared_as_though_it_covered_more() {
        let square = |side: usize| {
            let values = (0..256).map(|i| if i / 16 < side && i % 16 < side { -0.5f32 } else { 1.0 });
            Tensor::from_vec(values.collect::<Vec<_>>(), (1, 1, 16, 16), &Device::Cpu).unwrap()
        };
        let of = |cover, y: usize, x: usize| {
            let config = LossConfig { pixel_l1: 0.0, colour: 1.0, cover, ..LossConfig::default() };
            let target = Target::new(&config, None::<&Perceptual>, &square(y)).unwrap();
            let losses = reconstruction(&config, None::<&Perceptual>, &square(x), &target).unwrap();
            losses.to_vec1::<f32>().unwrap()[0]
        };
        // A quarter of the picture, where a sixteenth is drawn, or nearly all of it.
        for side in [4, 15] {
            assert!(of(0.25, side, 8) < 1e-5 && of(0.0, side, 8) > 0.01, "{side}");
        }
        // Three quarters of it would be twelve times as much: four times is what comes.
        assert!(of(0.75, 4, 8) < 1e-5);
        // Nothing stays nothing.
        assert_eq!(of(0.25, 0, 0), 0.0);
    }

    #[test]
    fn the_pyramid_adds_up_to_the_image() {
        let image = noise(&[1, 2, 16, 16], 4);
        let bands = ops::laplacian_pyramid(&image, 3).unwrap();
        let mut sum = bands[2].clone();
        for band in bands[..2].iter().rev() {
            sum = (ops::upsample_bilinear2(&sum).unwrap() + band).unwrap();
        }
        let difference = (sum - image).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-5);
    }

    #[test]
    fn a_missing_network_is_said() {
        let y = noise(&[1, 3, 32, 32], 5);
        let error = Target::new(&LossConfig::perceptual(3), None::<&Perceptual>, &y).err().unwrap();
        assert!(error.to_string().contains("no perceptual network"));
    }

    #[test]
    fn the_divergence_from_the_prior_itself_is_zero() {
        let zeros = Tensor::zeros((2, 7), candle_core::DType::F32, &Device::Cpu).unwrap();
        let posterior = Posterior { mu: zeros.clone(), log_var: zeros.clone() };
        assert_eq!(kl(&posterior).unwrap().to_vec1::<f32>().unwrap(), [0.0, 0.0]);
        assert_eq!(aggregate_kl(&posterior).unwrap().to_scalar::<f32>().unwrap(), 0.0);
        let narrow = Posterior { mu: (&zeros + 1.0).unwrap(), log_var: (&zeros - 2.0).unwrap() };
        let expected = 0.5 * 7.0 * ((-2f32).exp() + 1.0 - 1.0 + 2.0);
        assert!((kl(&narrow).unwrap().to_vec1::<f32>().unwrap()[0] - expected).abs() < 1e-4);
        assert!((aggregate_kl(&narrow).unwrap().to_scalar::<f32>().unwrap() - expected).abs() < 1e-4);
    }

    #[test]
    fn the_density_of_a_code_falls_with_its_distance_in_deviations() {
        let row = |values: [f32; 2]| Tensor::new(&[values], &Device::Cpu).unwrap();
        let posterior = Posterior { mu: row([1.0, -2.0]), log_var: row([0.0, 4f32.ln()]) };
        let of = |z| negative_log_density(&posterior, &row(z)).unwrap().to_vec1::<f32>().unwrap()[0];
        // The second axis has the deviation 2, hence log 2 everywhere.
        let least = 2f32.ln();
        for (z, expected) in [([1.0, -2.0], least), ([4.0, -2.0], least + 4.5), ([1.0, 4.0], least + 4.5)] {
            assert!((of(z) - expected).abs() < 1e-5, "{z:?}");
        }
    }

    #[test]
    fn narrow_posteriors_that_fill_the_prior_together_diverge_only_alone() {
        let mu = noise(&[400, 6], 5);
        let log_var = Tensor::full(-4f32, (400, 6), &Device::Cpu).unwrap();
        let spread = Posterior { mu, log_var };
        let alone = kl(&spread).unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
        let together = aggregate_kl(&spread).unwrap().to_scalar::<f32>().unwrap();
        assert!(alone > 5.0 && together < 0.2, "{alone} {together}");
    }
}
