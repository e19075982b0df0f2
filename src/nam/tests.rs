//! What must hold for every solver: a candidate is its own, whoever its neighbours are.

use super::*;
use crate::model_file::LossConfig;
use crate::nets::{
    Encoder, EncoderConfig, Generator, GeneratorConfig, Mapping, MappingConfig, Params, Perceptual, PerceptualConfig,
    Weights,
};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// Weights with the magnitudes of a trained network, statistics away from 0 and 1.
pub(super) fn lively(weights: &Weights, seed: u64) -> Weights {
    let mut source = random::source(seed, random::Purpose::Pairs, 1);
    let tensors = weights.iter().map(|(name, tensor)| {
        let noise = random::normals(&mut source, tensor.elem_count());
        let fan = tensor.dims().iter().skip(1).product::<usize>();
        let values = noise.iter().map(|&v| match () {
            () if name.ends_with("running_var") => 0.5 + v.abs(),
            () if tensor.rank() > 1 => v * (2.0 / fan as f32).sqrt(),
            () if name.ends_with("weight") => 1.0 + 0.1 * v,
            () => 0.1 * v,
        });
        (name.clone(), Tensor::from_vec(values.collect::<Vec<f32>>(), tensor.shape(), &Device::Cpu).unwrap())
    });
    tensors.collect()
}

/// Small networks of 32 pixels, with everything that takes part in solving.
pub(super) fn small_networks(loss: LossConfig) -> NetworkSet {
    let cpu = &Device::Cpu;
    let generator = GeneratorConfig { latent: 8, width: 4, channels: 3, size: 32, layers: Vec::new() };
    let mapping = MappingConfig { width: 4, size: 32, ..MappingConfig::default() };
    let encoder = EncoderConfig { latent: 8, width: 4, channels: 3, size: 32, variational: true };
    let perceptual = PerceptualConfig { widths: vec![4, 4, 8, 8, 8, 8], ..PerceptualConfig::default() };
    let frozen = |weights: Weights, seed| Params::frozen(lively(&weights, seed));
    NetworkSet {
        generator: Arc::new(
            Generator::new(&generator, &frozen(generator.initial_weights(1, cpu).unwrap(), 1)).unwrap(),
        ),
        mapping: Arc::new(Mapping::new(&mapping, &frozen(mapping.initial_weights(2, cpu).unwrap(), 2)).unwrap()),
        encoder: Some(Arc::new(Encoder::new(&encoder, &frozen(encoder.initial_weights(3, cpu).unwrap(), 3)).unwrap())),
        perceptual: Some(Arc::new(
            Perceptual::new(&perceptual, &frozen(perceptual.initial_weights(4, cpu).unwrap(), 4)).unwrap(),
        )),
        loss,
    }
}

pub(super) fn drawing(seed: u64) -> Tensor {
    let values = random::normals(&mut random::source(seed, random::Purpose::Pairs, 2), 3 * 32 * 32);
    Tensor::from_vec(
        values.iter().map(|v| (v * 0.4).clamp(-1.0, 1.0)).collect::<Vec<_>>(),
        (1, 3, 32, 32),
        &Device::Cpu,
    )
    .unwrap()
}

pub(super) fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn a_candidate_alone_is_the_candidate_in_a_batch_of_sixteen() {
    let networks = small_networks(LossConfig { gram: 1.0, laplacian: 1.0, ..LossConfig::perceptual(3) });
    let y = drawing(1);
    for starts in [Starts::Normal { std: 1.0 }, Starts::Posterior] {
        let codes = starting_codes(&networks, &y, starts, 16, 7).unwrap();
        let together = candidates(&networks, &y, &codes).unwrap();
        for i in 0..16 {
            let alone = candidates(&networks, &y, &codes.narrow(0, i, 1).unwrap()).unwrap();
            assert!(largest_difference(&alone.x, &together.x.narrow(0, i, 1).unwrap()) <= 1e-5);
            let reconstruction = together.reconstruction.narrow(0, i, 1).unwrap();
            assert!(largest_difference(&alone.reconstruction, &reconstruction) <= 1e-5);
            assert!((alone.losses[0] - together.losses[i]).abs() <= 1e-5);
        }
    }
}

#[test]
fn a_start_alone_takes_the_steps_it_takes_among_sixteen() {
    let networks = Arc::new(small_networks(LossConfig::perceptual(3)));
    let y = drawing(2);
    let codes = starting_codes(&networks, &y, Starts::default(), 16, 3).unwrap();
    let solve = |codes: Tensor, at_once: usize| {
        let settings = SolveSettings { at_once, ..SolveSettings::default() };
        let mut solver = Solver::new(networks.clone(), &y, codes, settings).unwrap();
        let reports: Vec<_> = (0..10).map(|_| solver.step().unwrap().losses).collect();
        (solver.candidates().unwrap(), reports)
    };
    let (together, course) = solve(codes.clone(), 16);
    let (in_fives, _) = solve(codes.clone(), 5);
    assert!(largest_difference(&together.x, &in_fives.x) <= 1e-5);
    assert!(course[9].iter().sum::<f32>() < course[0].iter().sum::<f32>(), "{course:?}");
    for i in [0, 7, 15] {
        let (alone, losses) = solve(codes.narrow(0, i, 1).unwrap(), 16);
        assert!((losses[9][0] - course[9][i]).abs() <= 1e-5);
        assert!(largest_difference(&alone.x, &together.x.narrow(0, i, 1).unwrap()) <= 1e-5);
    }
}

#[test]
fn more_starts_begin_with_the_same_ones() {
    let networks = small_networks(LossConfig::default());
    let y = drawing(3);
    let few = starting_codes(&networks, &y, Starts::Posterior, 3, 9).unwrap();
    let many = starting_codes(&networks, &y, Starts::Posterior, 8, 9).unwrap();
    assert_eq!(largest_difference(&few, &many.narrow(0, 0, 3).unwrap()), 0.0);
    let again = starting_codes_for(&networks, &y, Starts::Posterior, &[5], 9).unwrap();
    assert_eq!(largest_difference(&again, &many.narrow(0, 5, 1).unwrap()), 0.0);
    assert!(largest_difference(&few, &starting_codes(&networks, &y, Starts::Posterior, 3, 10).unwrap()) > 0.1);
}

#[test]
fn settled_starts_stay_where_they_were_best() {
    let networks = Arc::new(small_networks(LossConfig::default()));
    let y = drawing(4);
    let codes = starting_codes(&networks, &y, Starts::default(), 4, 1).unwrap();
    let settle = Some(Settle { window: 5, tolerance: 0.5, minimum_steps: 7 });
    let settings = SolveSettings { settle, ..SolveSettings::default() };
    let mut solver = Solver::new(networks, &y, codes, settings).unwrap();
    assert!(solver.latest().unwrap().is_none());
    let mut best = f32::INFINITY;
    for step in 1..=7 {
        let report = solver.step().unwrap();
        assert_eq!(report.step, step);
        assert!(report.settled.iter().all(|&settled| settled == (step == 7)), "{report:?}");
        best = best.min(report.losses[0]);
    }
    assert!(solver.is_settled());
    let (codes, losses) = solver.best().unwrap();
    assert_eq!(losses[0], best);
    assert_eq!(largest_difference(&codes, &solver.codes().unwrap()), 0.0);
    assert!((solver.candidates().unwrap().losses[0] - best).abs() < 1e-6);
    assert_eq!(solver.step().unwrap().losses[0], best);
    assert_eq!(solver.latest().unwrap().unwrap().x.dims(), [4, 3, 32, 32]);
}

#[test]
fn directions_are_sorted_by_the_posterior() {
    let networks = small_networks(LossConfig::default());
    let y = drawing(5);
    let found = posterior_directions(&networks, &y, 5).unwrap();
    let sigmas = posterior(&networks, &y).unwrap().deviation().unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(found.len(), 5);
    assert!(found.windows(2).all(|pair| pair[0].sigma >= pair[1].sigma));
    let widest = sigmas[0].iter().copied().fold(0.0, f32::max);
    assert_eq!((found[0].sigma, found[0].vector[found[0].axis]), (widest, 1.0));
}

#[test]
fn what_does_not_fit_is_refused() {
    let networks = Arc::new(small_networks(LossConfig::default()));
    let codes = Tensor::zeros((2, 5), candle_core::DType::F32, &Device::Cpu).unwrap();
    assert!(Solver::new(networks.clone(), &drawing(1), codes, SolveSettings::default()).is_err());
    let without = NetworkSet { encoder: None, ..(*networks).clone() };
    let error = posterior(&without, &drawing(1)).err().unwrap();
    assert!(error.to_string().contains("no encoder"), "{error}");
}
