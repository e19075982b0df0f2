//! The plans against the operations they replace, and their gradients against finite differences.

use super::build;
use super::cpu::{Way, runnable};
use super::service::{self, Solving};
use super::{Plan, graph::Graph};
use crate::model_file::{LossConfig, Network};
use crate::nam::loss::{self, Target};
use crate::nets::{
    Encoder, EncoderConfig, Generator, GeneratorConfig, Layer, Mapping, MappingConfig, Params, Perceptual,
    PerceptualConfig, PerceptualKind, Statistics, StyleConfig, Weights,
};
use crate::ops::tests::{random, values};
use candle_core::{Tensor, Var};

/// Weights with the magnitudes of a trained network.
pub(crate) fn lively(config: &impl Network, seed: u64) -> Params {
    let tensors = config.shapes().unwrap().into_iter().enumerate().map(|(i, (name, shape))| {
        let noise = random(&shape, seed * 1000 + i as u64);
        let fan: usize = shape.iter().skip(1).product();
        let tensor = match () {
            () if name.ends_with("running_var") => noise.abs().unwrap() + 0.5,
            () if shape.len() > 1 => noise * (2.0 / fan as f64).sqrt(),
            () if name.ends_with("weight") => (noise * 0.1).unwrap() + 1.0,
            () => noise * 0.1,
        };
        (name, tensor.unwrap())
    });
    Params::frozen(tensors.collect::<Weights>())
}

pub(crate) struct Networks {
    pub(crate) generator: Generator,
    pub(crate) mapping: Mapping,
    pub(crate) perceptual: Perceptual,
}

pub(crate) fn networks(
    size: usize,
    width: usize,
    channels: usize,
    skip: bool,
    perceptual: &PerceptualConfig,
) -> Networks {
    let generator = GeneratorConfig { latent: 10, width, channels: 3, size, layers: Vec::new() };
    let mapping = MappingConfig { width, inputs: 3, outputs: channels, size, skip, source: 0 };
    Networks {
        generator: Generator::new(&generator, &lively(&generator, 1)).unwrap(),
        mapping: Mapping::new(&mapping, &lively(&mapping, 2)).unwrap(),
        perceptual: Perceptual::new(perceptual, &lively(perceptual, 3)).unwrap(),
    }
}

pub(crate) fn student() -> PerceptualConfig {
    PerceptualConfig { widths: vec![5, 16, 17, 20, 24, 33], ..PerceptualConfig::default() }
}

pub(crate) fn vgg() -> PerceptualConfig {
    PerceptualConfig { kind: PerceptualKind::Vgg16, widths: vec![5, 16, 17, 20, 24, 33, 16], normalise: true }
}

/// A loss with the bands of a Laplacian pyramid.
pub(super) fn pyramid() -> LossConfig {
    LossConfig { laplacian: 1.5, laplacian_levels: 4, pixel_l2: 0.5, ..LossConfig::perceptual(2) }
}

/// A loss of Gram matrices above all, those of the ink among them.
pub(super) fn grams() -> LossConfig {
    LossConfig { gram: 2.0, colour: 1.5, cover: 0.3, perceptual: vec![0.0, 0.5, 0.0], ..LossConfig::default() }
}

/// Pictures, losses and the gradient in z by the operations themselves.
fn composed(networks: &Networks, loss: &LossConfig, y: &Tensor, z: &Tensor) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let z = Var::from_tensor(z).unwrap();
    let x = networks.generator.forward(&z, Statistics::Running).unwrap();
    let reconstruction = networks.mapping.forward(&x, Statistics::Running).unwrap();
    let target = Target::new(loss, Some(&networks.perceptual), y).unwrap();
    let losses = loss::reconstruction(loss, Some(&networks.perceptual), &reconstruction, &target).unwrap();
    let gradients = losses.sum_all().unwrap().backward().unwrap();
    (values(&reconstruction), values(&losses), values(gradients.get(&z).unwrap()))
}

/// The length of a difference, relative to the length of what is wanted.
pub(super) fn difference(found: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let length =
        |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
    length(&mut found.iter().zip(wanted).map(|(f, w)| f - w)) / length(&mut wanted.iter().copied()).max(1e-20)
}

/// Losses and gradients of a graph by one set of kernels.
pub(crate) fn planned(plan: &Plan, y: &Tensor, z: &Tensor, rows: &[usize]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    assert!(plan.prepare_backward());
    let mut space = plan.workspace(rows.len(), true);
    let targets = plan.targets(&mut space, plan.graph().results[1], y).unwrap();
    let (mut losses, mut gradient) = (vec![0.0; rows.len()], vec![0.0; z.elem_count()]);
    let mut picture = Vec::new();
    // Twice: what a run leaves behind must not matter to the next.
    for _ in 0..2 {
        let count = plan.forward(&mut space, &values(z));
        plan.losses(&mut space, &targets, rows, &mut losses);
        plan.backward(&mut space, count, &mut gradient);
        picture = plan.result(&space, 1, count);
    }
    (picture, losses, gradient)
}

fn check(networks: &Networks, loss: &LossConfig, size: usize, channels: usize) {
    let latent = networks.generator.config().latent;
    let (y, z) = (random(&[2, channels, size, size], 4), random(&[3, latent], 5));
    let rows = [1, 0, 1];
    let y_of_rows = Tensor::cat(&rows.map(|row| y.narrow(0, row, 1).unwrap()), 0).unwrap();
    let (picture, losses, gradient) = composed(networks, loss, &y_of_rows, &z);
    let imported = networks.generator.layers().is_some();
    let graph = || build::solving(&networks.generator, &networks.mapping, Some(&networks.perceptual), loss).unwrap();
    for kernels in runnable() {
        for way in [Way::Direct, Way::Winograd, Way::Fastest] {
            let plan = Plan::new(graph(), kernels, way).unwrap();
            let found = planned(&plan, &y, &z, &rows);
            let what = format!("{} {way:?} {loss:?}", kernels.set.name());
            let errors =
                [difference(&found.0, &picture), difference(&found.1, &losses), difference(&found.2, &gradient)];
            println!("{what}: {errors:?}");
            // A rounding may turn the sign of a nearly vanishing value, and with it a piece of the gradient, which is large
            // in small maps that are normalised.
            let most = if imported && way != Way::Direct { 5e-2 } else { 3e-3 };
            assert!(errors[0] < 1e-5 && errors[1] < 1e-5 && errors[2] < most, "{what}: {errors:?}");
        }
    }
}

#[test]
fn solving_agrees_with_the_operations() {
    let mixed = LossConfig { pixel_l1: 0.5, pixel_l2: 2.0, perceptual: vec![1.0, 0.0, 0.5], ..LossConfig::default() };
    check(&networks(32, 5, 3, false, &student()), &mixed, 32, 3);
    check(&networks(64, 4, 1, false, &student()), &LossConfig::perceptual(3), 64, 1);
    check(&networks(32, 6, 3, true, &vgg()), &LossConfig::perceptual(3), 32, 3);
    check(&networks(32, 4, 1, false, &vgg()), &LossConfig::perceptual(2), 32, 1);
    check(&networks(64, 16, 3, true, &student()), &LossConfig::default(), 64, 3);
    check(&networks(32, 5, 3, false, &student()), &pyramid(), 32, 3);
    let reflecting =
        PerceptualConfig { kind: PerceptualKind::VggNormalised, widths: vec![5, 4, 6, 4, 7], normalise: true };
    check(&networks(32, 5, 3, false, &reflecting), &LossConfig::perceptual(3), 32, 3);
    check(&networks(32, 4, 1, false, &reflecting), &LossConfig::perceptual(2), 32, 1);
    check(&networks(32, 5, 3, false, &student()), &grams(), 32, 3);
    check(&networks(32, 6, 1, false, &vgg()), &grams(), 32, 1);
}

fn convolution(inputs: usize, outputs: usize, kernel: usize, stride: usize, padding: usize, transposed: bool) -> Layer {
    Layer::Convolution { inputs, outputs, kernel, stride, padding, transposed, bias: true }
}

/// A progressively grown generator of 16 pixels.
pub(super) fn grown() -> Vec<Layer> {
    let leaky = || Layer::LeakyRelu { slope: 0.2 };
    let block = |inputs, outputs, kernel, padding, transposed| {
        [convolution(inputs, outputs, kernel, 1, padding, transposed), leaky(), Layer::PixelNorm]
    };
    [
        vec![Layer::PixelNorm],
        block(9, 20, 4, 0, true).to_vec(),
        block(20, 20, 3, 1, false).to_vec(),
        vec![Layer::Upsample { bilinear: false }],
        block(20, 18, 3, 1, false).to_vec(),
        vec![Layer::Upsample { bilinear: false }],
        block(18, 7, 3, 1, false).to_vec(),
        vec![convolution(7, 3, 1, 1, 0, false), Layer::Scale { factor: 0.9, shift: 0.1 }],
    ]
    .concat()
}

/// Every layer that a sequence may have, to 24 pixels.
pub(super) fn mixed() -> Vec<Layer> {
    vec![
        Layer::Uniform,
        convolution(5, 45, 1, 1, 0, false),
        Layer::Reshape { channels: 5, side: 3 },
        Layer::BatchNorm { channels: 5 },
        Layer::LeakyRelu { slope: 0.1 },
        Layer::Upsample { bilinear: true },
        convolution(5, 20, 3, 1, 1, false),
        Layer::Tanh,
        Layer::PixelShuffle { factor: 2 },
        Layer::Upsample { bilinear: false },
        Layer::PixelNorm,
        convolution(5, 3, 3, 1, 1, false),
        Layer::Tanh,
    ]
}

/// StyleGAN2 of 16 pixels.
pub(super) fn style(noise: bool) -> Vec<Layer> {
    let style = StyleConfig { style: 11, widths: vec![18, 17, 5], colours: 3, noise };
    vec![convolution(6, 11, 1, 1, 0, false), Layer::Style(style)]
}

fn imported(layers: Vec<Layer>, latent: usize, size: usize) -> Networks {
    let generator = GeneratorConfig::of_layers(latent, layers).unwrap();
    let source = if generator.size == size { 0 } else { generator.size };
    let mapping = MappingConfig { width: 5, inputs: 3, outputs: 3, size, skip: source > 0, source };
    let mut params = lively(&mapping, 2);
    if source > 0 {
        let mut weights: Weights = params.weights().unwrap();
        let axis = |values: [f32; 2]| Tensor::new(&values, &candle_core::Device::Cpu).unwrap();
        weights.insert("sampler.rows", axis([0.8, 0.1]));
        weights.insert("sampler.columns", axis([-1.1, 0.2]));
        params = Params::frozen(weights);
    }
    Networks {
        generator: Generator::new(&generator, &lively(&generator, 1)).unwrap(),
        mapping: Mapping::new(&mapping, &params).unwrap(),
        perceptual: Perceptual::new(&student(), &lively(&student(), 3)).unwrap(),
    }
}

#[test]
fn imported_generators_of_any_size_agree_with_the_operations() {
    let loss = LossConfig { pixel_l1: 0.0, pixel_l2: 1.0, ..LossConfig::default() };
    for (layers, latent) in [(grown(), 9), (mixed(), 5), (style(true), 6), (style(false), 6)] {
        check(&imported(layers, latent, 32), &loss, 32, 3);
    }
    // Larger than T, and of its size.
    let doubled = [grown(), vec![Layer::Upsample { bilinear: true }; 2]].concat();
    check(&imported(doubled, 9, 32), &loss, 32, 3);
    check(&imported([grown(), vec![Layer::Upsample { bilinear: true }]].concat(), 9, 32), &loss, 32, 3);
}

#[test]
fn full_size_pictures_of_imported_generators_come_out() {
    let networks = imported(mixed(), 5, 32);
    let z = random(&[3, 5], 6);
    let x = networks.generator.forward(&z, Statistics::Running).unwrap();
    assert_eq!(x.dims(), [3, 3, 24, 24]);
    assert!(difference(&values(&service::generate(&networks.generator, &z).unwrap()), &values(&x)) < 1e-5);
    let mapped = networks.mapping.forward(&x, Statistics::Running).unwrap();
    assert!(difference(&values(&service::map(&networks.mapping, &x).unwrap()), &values(&mapped)) < 1e-5);
    let solving = Solving::new(&networks.generator, &networks.mapping, None, &LossConfig::default()).unwrap();
    let targets = solving.targets(&random(&[1, 3, 32, 32], 4), false).unwrap();
    let found = solving.run(&values(&z), &targets, &[0; 3], false).unwrap();
    assert_eq!((found.x.dims(), found.reconstruction.dims()), (&[3, 3, 24, 24][..], &[3, 3, 32, 32][..]));
    assert!(difference(&values(&found.x), &values(&x)) < 1e-5);
}

#[test]
fn gradients_agree_with_finite_differences() {
    let networks = networks(32, 6, 3, false, &student());
    let loss = LossConfig { pixel_l1: 0.0, pixel_l2: 1.0, ..LossConfig::default() };
    let (y, z) = (random(&[1, 3, 32, 32], 6), random(&[2, 10], 7));
    let graph = build::solving(&networks.generator, &networks.mapping, None, &loss).unwrap();
    let plan = Plan::new(graph, runnable()[0], Way::Fastest).unwrap();
    let (_, _, gradient) = planned(&plan, &y, &z, &[0, 0]);
    let mut space = plan.workspace(2, false);
    let targets = plan.targets(&mut space, plan.graph().results[1], &y).unwrap();
    let mut losses_at = |z: &[f32]| {
        let mut losses = [0.0; 2];
        plan.forward(&mut space, z);
        plan.losses(&mut space, &targets, &[0, 0], &mut losses);
        losses
    };
    let largest = gradient.iter().fold(0f32, |largest, g| largest.max(g.abs()));
    for i in 0..20 {
        let mut moved = |by: f32| {
            let mut z = values(&z);
            z[i] += by;
            losses_at(&z)[i / 10]
        };
        let slope = (moved(4e-3) - moved(-4e-3)) / 8e-3;
        assert!((slope - gradient[i]).abs() < 0.03 * largest, "{i}: {} instead of {slope}", gradient[i]);
    }
}

#[test]
fn pictures_and_posteriors_agree_with_the_operations() {
    let networks = networks(64, 6, 3, true, &student());
    let encoder = EncoderConfig { latent: 7, width: 5, channels: 1, size: 64, variational: true };
    let encoder = Encoder::new(&encoder, &lively(&encoder, 8)).unwrap();
    let (z, y) = (random(&[19, 10], 9), random(&[19, 1, 64, 64], 10));
    let x = networks.generator.forward(&z, Statistics::Running).unwrap();
    let found = service::generate(&networks.generator, &z).unwrap();
    assert!(difference(&values(&found), &values(&x)) < 1e-5);
    let mapped = networks.mapping.forward(&x, Statistics::Running).unwrap();
    assert!(difference(&values(&service::map(&networks.mapping, &x).unwrap()), &values(&mapped)) < 1e-5);
    let (found, wanted) = (service::encode(&encoder, &y).unwrap(), encoder.forward(&y, Statistics::Running).unwrap());
    assert!(difference(&values(&found.mu), &values(&wanted.mu)) < 1e-5);
    assert!(difference(&values(&found.log_var), &values(&wanted.log_var)) < 1e-5);
}

#[test]
fn a_code_is_its_own_in_any_batch() {
    let networks = networks(32, 8, 3, false, &student());
    let loss = LossConfig::perceptual(3);
    let (y, z) = (random(&[1, 3, 32, 32], 11), random(&[20, 10], 12));
    let solving = Solving::new(&networks.generator, &networks.mapping, Some(&networks.perceptual), &loss).unwrap();
    let targets = solving.targets(&y, true).unwrap();
    let together = solving.run(&values(&z), &targets, &[0; 20], true).unwrap();
    for i in [0, 7, 15, 16, 19] {
        let alone = solving.run(&values(&z)[i * 10..][..10], &targets, &[0], true).unwrap();
        assert!((alone.losses[0] - together.losses[i]).abs() <= 1e-6);
        assert!(difference(&values(&alone.x), &values(&together.x.narrow(0, i, 1).unwrap())) <= 1e-6);
        assert!(difference(&alone.gradient, &together.gradient[i * 10..][..10]) <= 1e-5);
    }
    assert!(solving.run(&values(&z), &targets, &[1; 20], true).is_err());
    assert!(solving.run(&values(&z), &targets, &[0; 3], true).is_err());
}

#[test]
fn what_a_graph_cannot_say_is_left_to_the_operations() {
    let networks = networks(32, 4, 3, false, &student());
    let config = PerceptualConfig { kind: PerceptualKind::SqueezeNet, widths: Vec::new(), normalise: true };
    let overlapping = Perceptual::new(&config, &lively(&config, 1)).unwrap();
    let loss = LossConfig::perceptual(2);
    assert!(Solving::new(&networks.generator, &networks.mapping, Some(&overlapping), &loss).is_none());
    assert!(Plan::new(Graph::default(), runnable()[0], Way::Fastest).is_some());
}
