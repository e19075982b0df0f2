//! Planned networks against the operations they replace.

use super::*;
use crate::nets::{CriticConfig, GeneratorConfig, MappingConfig, Params, PerceptualConfig, PerceptualKind, Weights};
use crate::ops::tests::{random, values};
use crate::plan::tests::{grown, lively, mixed, style};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeMap;

/// The largest difference, relative to the largest value that is wanted.
fn difference(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let largest = wanted.iter().fold(1e-6f32, |most, value| most.max(value.abs()));
    found.iter().zip(wanted).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

/// What a pass comes to: its output, the gradient in its input and in every parameter, and all parameters afterwards.
type Outcome = BTreeMap<String, Vec<f32>>;

fn pass(
    params: &Params,
    x: &Tensor,
    forward: impl Fn(&Tensor) -> Result<Tensor>,
    backward: impl Fn(&Tensor) -> candle_core::Result<GradStore>,
) -> Outcome {
    let x = Var::from_tensor(x).unwrap();
    let y = forward(x.as_tensor()).unwrap();
    let y = y.flatten_from(1).unwrap();
    let gradients = backward(&(&y * random(y.dims(), 99)).unwrap().sum_all().unwrap()).unwrap();
    let mut found = BTreeMap::from([("output".to_owned(), values(&y))]);
    found.insert("gradient in the input".to_owned(), values(gradients.get(&x).unwrap()));
    for (name, variable) in params.vars() {
        let gradient = gradients.get(&variable).unwrap_or_else(|| panic!("{name} has no gradient"));
        found.insert(format!("gradient in {name}"), values(gradient));
    }
    if params.is_trainable() {
        found.extend(params.weights().unwrap().iter().map(|(name, tensor)| (name.clone(), values(tensor))));
    }
    found
}

fn compare<N: Trainable>(weights: &Weights, learns: bool, x: &Tensor, parts: usize, make: impl Fn(&Params) -> N) {
    let params = || if learns { Params::trainable(weights).unwrap() } else { Params::frozen(weights.clone()) };
    let (ours, theirs) = (params(), params());
    let (network, other) = (make(&ours), make(&theirs));
    let training = Training::default();
    let here = x.dim(0).unwrap() / parts;
    let by_parts = |x: &Tensor| {
        let part = |part| other.by_operations(&x.narrow(0, part * here, here)?);
        Ok(Tensor::cat(&(0..parts).map(part).collect::<Result<Vec<_>>>()?, 0)?)
    };
    // The second pass has other kernels, and the memory of the first.
    for round in 0..2 {
        let found = pass(&ours, x, |x| training.forward(&network, x, parts), gradients);
        let wanted = pass(&theirs, x, by_parts, Tensor::backward);
        assert!(training.network.get().is_some_and(Option::is_some), "the network was not planned");
        assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        for (name, wanted) in &wanted {
            let difference = difference(&found[name], wanted);
            assert!(difference < 2e-5, "{name} differs by {difference:e} in round {round}");
        }
        for (_, variable) in ours.vars().iter().chain(&theirs.vars()) {
            variable.set(&(variable.as_detached_tensor() * 0.9).unwrap()).unwrap();
        }
    }
}

#[test]
fn mappings_agree_with_their_operations() {
    for (size, width, skip, batch) in [(32, 5, false, 4), (32, 17, true, 3), (64, 6, false, 2)] {
        let config = MappingConfig { width, inputs: 3, outputs: 3, size, skip, source: 0 };
        let weights = lively(&config, 2).weights().unwrap();
        let x = random(&[batch, 3, size, size], 1);
        for learns in [true, false] {
            compare(&weights, learns, &x, 1, |params| Mapping::new(&config, params).unwrap());
        }
    }
}

#[test]
fn generators_agree_with_their_operations() {
    for (size, width) in [(32, 5), (64, 3)] {
        let config = GeneratorConfig { latent: 10, width, channels: 3, size, ..GeneratorConfig::default() };
        let weights = lively(&config, 3).weights().unwrap();
        for learns in [true, false] {
            compare(&weights, learns, &random(&[6, 10], 1), 1, |params| Generator::new(&config, params).unwrap());
        }
    }
}

#[test]
fn mappings_of_larger_pictures_agree_with_their_operations() {
    let config = MappingConfig { width: 5, inputs: 3, outputs: 1, size: 32, skip: false, source: 48 };
    let mut weights = lively(&config, 2).weights().unwrap();
    for (axis, values) in [("rows", [0.9f32, 0.1]), ("columns", [1.1, -0.1])] {
        weights.insert(format!("sampler.{axis}"), Tensor::new(&values, &Device::Cpu).unwrap());
    }
    for learns in [true, false] {
        compare(&weights, learns, &random(&[3, 3, 48, 48], 1), 1, |params| Mapping::new(&config, params).unwrap());
    }
}

#[test]
fn imported_generators_agree_with_their_operations() {
    for (layers, latent) in [(grown(), 9), (mixed(), 5), (style(true), 6)] {
        let config = GeneratorConfig::of_layers(latent, layers).unwrap();
        let weights = lively(&config, 3).weights().unwrap();
        let z = random(&[5, latent], 1);
        compare(&weights, false, &z, 1, |params| Generator::new(&config, params).unwrap());
        // So large that two are computed at once.
        let generator = Generator::new(&config, &Params::frozen(weights)).unwrap();
        let training = Training::default();
        let wanted = pass(&Params::frozen(Weights::default()), &z, |z| training.forward(&generator, z, 1), gradients);
        let room = 2 * training.network.get().and_then(|network| Some(network.as_ref()?.floats())).unwrap();
        let found = pass(
            &Params::frozen(Weights::default()),
            &z,
            |z| training.forward_within(&generator, z, 1, room),
            gradients,
        );
        for (name, wanted) in &wanted {
            assert!(difference(&found[name], wanted) < 1e-5, "{name}");
        }
    }
}

#[test]
fn critics_agree_with_their_operations() {
    for spectral in [false, true] {
        let config = CriticConfig { outputs: 3, width: 6, channels: 3, size: 32, spectral };
        let weights = config.initial_weights(4, &Device::Cpu).unwrap();
        let louder = |(name, tensor): (&String, &Tensor)| {
            let factor = if tensor.rank() == 4 { 5.0 } else { 1.0 };
            let shift = if name.ends_with("bias") { random(tensor.dims(), 5) } else { tensor.zeros_like().unwrap() };
            (name.clone(), ((tensor * factor).unwrap() + shift).unwrap())
        };
        let weights: Weights = weights.iter().map(louder).collect();
        for parts in [1, 2] {
            compare(&weights, true, &random(&[6, 3, 32, 32], 1), parts, |params| Critic::new(&config, params).unwrap());
        }
    }
}

#[test]
fn levels_agree_with_their_operations() {
    let student = PerceptualConfig { widths: vec![5, 16, 7, 20, 33, 18], ..PerceptualConfig::default() };
    let vgg = PerceptualConfig { kind: PerceptualKind::Vgg16, widths: vec![4, 6, 8, 5], normalise: true };
    let reflecting =
        PerceptualConfig { kind: PerceptualKind::VggNormalised, widths: vec![4, 6, 8, 5, 3], normalise: true };
    for config in [student, vgg, reflecting] {
        let weights = lively(&config, 6).weights().unwrap();
        let network = Arc::new(Perceptual::new(&config, &Params::frozen(weights)).unwrap());
        for (channels, batch) in [(3, 3), (1, 5)] {
            let levels = Levels::new(network.clone());
            let x = random(&[batch, channels, 32, 32], 1);
            let all = |found: Vec<Tensor>| {
                let flat = found.iter().map(|level| Ok(level.flatten_from(1)?));
                Ok(Tensor::cat(&flat.collect::<Result<Vec<_>>>()?, 1)?)
            };
            // The second pass has the memory of the first.
            for round in 0..2 {
                let nothing = Params::frozen(Weights::default());
                let found = pass(&nothing, &x, |x| all(levels.of(x)?), gradients);
                let wanted = pass(&nothing, &x, |x| all(network.levels(x, config.levels())?), Tensor::backward);
                assert_eq!(found["output"].len(), wanted["output"].len());
                for (name, wanted) in &wanted {
                    let difference = difference(&found[name], wanted);
                    assert!(difference < 2e-5, "{config:?}: {name} differs by {difference:e} in round {round}");
                }
            }
            assert!(levels.planned.get().is_some_and(Option::is_some), "{config:?} was not planned");
            // Images of another size are seen, too.
            let small = levels.of(&random(&[2, channels, 16, 16], 1)).unwrap();
            assert_eq!(small[0].dims(), [2, config.level_widths()[0], 16, 16]);
        }
    }
}

#[test]
fn parameters_that_are_detached_get_no_gradient() {
    let config = CriticConfig { width: 4, size: 32, ..CriticConfig::default() };
    let params = Params::trainable(&config.initial_weights(4, &Device::Cpu).unwrap()).unwrap();
    let critic = Critic::new(&config, &params.detached()).unwrap();
    let x = Var::from_tensor(&random(&[4, 3, 32, 32], 1)).unwrap();
    let y = Training::default().forward(&critic, &x, 1).unwrap();
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(&x).is_some());
    assert!(params.vars().iter().all(|(_, variable)| gradients.get(variable).is_none()));
}

#[test]
fn parts_of_unequal_size_are_refused() {
    let config = GeneratorConfig { latent: 4, width: 2, channels: 3, size: 32, ..GeneratorConfig::default() };
    let generator = Generator::new(&config, &lively(&config, 3)).unwrap();
    let error = Training::default().forward(&generator, &random(&[5, 4], 1), 2).err().unwrap();
    assert!(error.to_string().contains("5 pictures cannot be split into 2 equal parts"));
}

#[test]
fn gradients_of_all_passes_and_of_other_uses_are_summed() {
    let config = GeneratorConfig { latent: 4, width: 2, channels: 3, size: 32, ..GeneratorConfig::default() };
    let params = Params::trainable(&lively(&config, 3).weights().unwrap()).unwrap();
    let generator = Generator::new(&config, &params).unwrap();
    let training = Training::default();
    let loss = || {
        let of = |seed| {
            (training.forward(&generator, &random(&[5, 4], seed), 1).unwrap() * random(&[5, 3, 32, 32], 9))?.sum_all()
        };
        let squares =
            params.vars().iter().map(|(_, variable)| variable.sqr()?.sum_all()).collect::<Result<Vec<_>, _>>()?;
        Tensor::stack(&squares, 0)?.sum_all()? + (of(1)? + of(2)?)?
    };
    let (found, wanted) = (gradients(&loss().unwrap()).unwrap(), loss().unwrap().backward().unwrap());
    for (name, variable) in params.vars() {
        let [found, wanted] = [&found, &wanted].map(|all| values(all.get(&variable).unwrap()));
        assert!(difference(&found, &wanted) < 1e-6, "{name}");
        assert!(wanted.iter().any(|value| *value != 0.0), "{name}");
    }
}
