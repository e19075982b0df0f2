//! Every operation against its composed twin, and every gradient against finite differences.

use super::*;
use candle_core::{Device, Result, Tensor, Var};

pub(crate) fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
    let values = crate::nets::weights::normal_values(&mut random, shape.iter().product(), 0.0, 1.0);
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference between two tensors, relative to the size of the second.
pub(crate) fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let scale = values(b).iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    values(a).iter().zip(values(b)).fold(0f32, |m, (a, b)| m.max((a - b).abs())) / scale
}

/// Compares the analytic gradients of `sum(f(inputs) * weights)` with central differences at a sample of positions.
pub(crate) fn check_gradients(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let variables: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let tracked: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&tracked).unwrap();
    let weights = random(y.dims(), 99);
    let gradients = (&y * &weights).unwrap().sum_all().unwrap().backward().unwrap();
    let total = |inputs: &[Tensor]| -> f64 {
        let y = f(inputs).unwrap();
        values(&y).iter().zip(values(&weights)).map(|(y, w)| f64::from(*y) * f64::from(w)).sum()
    };
    for (which, variable) in variables.iter().enumerate() {
        let gradient = values(gradients.get(variable.as_tensor()).expect("a gradient"));
        let size = gradient.iter().fold(0f32, |m, g| m.max(g.abs()));
        for at in (0..gradient.len()).step_by(gradient.len().div_ceil(23)) {
            let moved = |by: f32| {
                let mut inputs = inputs.to_vec();
                let mut v = values(&inputs[which]);
                v[at] += by;
                inputs[which] = Tensor::from_vec(v, inputs[which].shape(), &Device::Cpu).unwrap();
                total(&inputs)
            };
            let step = 4e-3;
            let slope = ((moved(step) - moved(-step)) / f64::from(2.0 * step)) as f32;
            assert!(
                (slope - gradient[at]).abs() < 1e-2 * (1.0 + size),
                "input {which}, value {at}: {} instead of {slope}",
                gradient[at]
            );
        }
    }
}

#[test]
fn convolution_gradients_are_right() {
    for (k, stride, padding, side) in [(3, 1, 1, 6), (4, 2, 1, 8), (4, 1, 0, 4), (3, 2, 0, 7)] {
        let (x, w) = (random(&[2, 3, side, side], 1), random(&[4, 3, k, k], 2));
        let bias = random(&[4], 3);
        check_gradients(&[x, w, bias], |t| conv2d(&t[0], &t[1], Some(&t[2]), stride, padding));
    }
    for (k, stride, padding, side) in [(4, 2, 1, 4), (4, 1, 0, 1), (3, 2, 0, 3)] {
        let (x, w) = (random(&[2, 3, side, side], 1), random(&[3, 5, k, k], 2));
        check_gradients(&[x, w], |t| conv_transpose2d(&t[0], &t[1], None, stride, padding));
    }
}

#[test]
fn frozen_convolutions_do_what_trainable_ones_do() {
    let activations = [Activation::None, Activation::Relu, Activation::LeakyRelu(0.2), Activation::Tanh];
    for spec in [ConvSpec::conv(3, 6, 3, 1, 1), ConvSpec::conv(3, 6, 4, 2, 1), ConvSpec::transposed(3, 6, 4, 2, 1)] {
        for activation in activations {
            let (x, w, bias) = (random(&[2, 3, 8, 8], 1), random(&spec.weight_shape(), 2), random(&[6], 3));
            let frozen = FrozenConv::new(&spec, &w, Some(&bias), activation).unwrap();
            let y = composed::activate(&spec.apply(&x, &w, Some(&bias)).unwrap(), activation).unwrap();
            assert!(difference(&frozen.forward(&x).unwrap(), &y) < 1e-5);
            if activation != Activation::Relu {
                check_gradients(&[x], |t| frozen.forward(&t[0]));
            }
        }
    }
}

#[test]
fn frozen_weights_get_no_gradient() {
    let w = Var::from_tensor(&random(&[4, 3, 3, 3], 2)).unwrap();
    let x = Var::from_tensor(&random(&[1, 3, 5, 5], 1)).unwrap();
    let frozen = FrozenConv::new(&ConvSpec::conv(3, 4, 3, 1, 1), w.as_tensor(), None, Activation::None).unwrap();
    let gradients = frozen.forward(x.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(w.as_tensor()).is_none() && gradients.get(x.as_tensor()).is_some());
}

#[test]
fn batch_norm_agrees_and_has_right_gradients() {
    let (x, gamma, beta) = (random(&[3, 5, 4, 6], 1), random(&[5], 2), random(&[5], 3));
    for activation in [Activation::None, Activation::LeakyRelu(0.2), Activation::Relu] {
        let ours = batch_norm(&x, &gamma, &beta, 1e-5, activation).unwrap();
        let theirs = composed::batch_norm(&x, &gamma, &beta, 1e-5, activation).unwrap();
        for (a, b) in [(ours.0, theirs.0), (ours.1, theirs.1), (ours.2, theirs.2)] {
            assert!(difference(&a, &b) < 1e-5);
        }
    }
    let inputs = [x, gamma, beta];
    check_gradients(&inputs, |t| Ok(batch_norm(&t[0], &t[1], &t[2], 1e-5, Activation::None)?.0));
    check_gradients(&inputs, |t| Ok(batch_norm(&t[0], &t[1], &t[2], 1e-5, Activation::Tanh)?.0));
}

#[test]
fn a_convolution_with_its_normalisation_agrees_and_has_right_gradients() {
    for spec in [ConvSpec::conv(3, 5, 4, 2, 1), ConvSpec::conv(3, 5, 3, 1, 1), ConvSpec::transposed(3, 5, 4, 2, 1)] {
        let (x, w) = (random(&[3, 3, 6, 6], 1), random(&spec.weight_shape(), 2));
        let (gamma, beta) = (random(&[5], 3), random(&[5], 4));
        let activation = Activation::LeakyRelu(0.2);
        let fused = conv_batch_norm(&spec, &x, &w, (&gamma, &beta), 1e-5, activation).unwrap();
        let y = spec.apply(&x, &w, None).unwrap();
        let apart = composed::batch_norm(&y, &gamma, &beta, 1e-5, activation).unwrap();
        for (a, b) in [(fused.0, apart.0), (fused.1, apart.1), (fused.2, apart.2)] {
            assert!(difference(&a, &b) < 1e-5);
        }
        check_gradients(&[x, w, gamma, beta], |t| {
            Ok(conv_batch_norm(&spec, &t[0], &t[1], (&t[2], &t[3]), 1e-5, Activation::Tanh)?.0)
        });
    }
}

#[test]
fn resampling_agrees_and_has_right_gradients() {
    type Resample = fn(&Tensor) -> Result<Tensor>;
    let pairs: [(Resample, Resample); 4] = [
        (max_pool2, composed::max_pool2),
        (avg_pool2, composed::avg_pool2),
        (upsample_bilinear2, composed::upsample_bilinear2),
        (upsample_nearest2, composed::upsample_nearest2),
    ];
    for (i, (ours, theirs)) in pairs.into_iter().enumerate() {
        for (h, w) in [(4, 6), (2, 2), (8, 16)] {
            // Values well apart, so that the largest of a square stays the largest under a small change.
            let count = 2 * 3 * h * w;
            let spread: Vec<f32> = (0..count).map(|i| ((i * 37) % count) as f32 / 20.0).collect();
            let x = Tensor::from_vec(spread, (2, 3, h, w), &Device::Cpu).unwrap();
            assert!(difference(&ours(&x).unwrap(), &theirs(&x).unwrap()) < 1e-6, "case {i} at {h} x {w}");
            check_gradients(&[x], |t| ours(&t[0]));
        }
    }
}

#[test]
fn pooling_drops_an_odd_row_and_column() {
    let x = random(&[1, 2, 5, 7], 1);
    let even = x.narrow(2, 0, 4).unwrap().narrow(3, 0, 6).unwrap().contiguous().unwrap();
    assert!(difference(&max_pool2(&x).unwrap(), &composed::max_pool2(&even).unwrap()) < 1e-6);
}

#[test]
fn activations_and_distances_have_right_gradients() {
    let (a, b) = (random(&[3, 2, 5, 5], 1), random(&[3, 2, 5, 5], 2));
    for activation in [Activation::LeakyRelu(0.2), Activation::Tanh] {
        check_gradients(std::slice::from_ref(&a), |t| activate(&t[0], activation));
    }
    for (ours, theirs) in [
        (l1_mean as fn(&Tensor, &Tensor) -> _, composed::l1_mean as fn(&Tensor, &Tensor) -> _),
        (l2_mean, composed::l2_mean),
    ] {
        assert!(difference(&ours(&a, &b).unwrap(), &theirs(&a, &b).unwrap()) < 1e-5);
        let one = b.narrow(0, 0, 1).unwrap();
        assert!(difference(&ours(&a, &one).unwrap(), &theirs(&a, &one).unwrap()) < 1e-5);
    }
    check_gradients(&[a.clone(), b.clone()], |t| l2_mean(&t[0], &t[1]));
    check_gradients(&[a, b.narrow(0, 0, 1).unwrap()], |t| l2_mean(&t[0], &t[1]));
}

#[test]
fn absolute_distance_has_the_gradient_of_the_sign() {
    let a = Var::new(&[[1.0f32, -2.0, 3.0, 3.0]], &Device::Cpu).unwrap();
    let b = Tensor::new(&[[0.0f32, 0.0, 5.0, 3.0]], &Device::Cpu).unwrap();
    let gradients = l1_mean(a.as_tensor(), &b).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(values(gradients.get(a.as_tensor()).unwrap()), [0.25, -0.25, -0.25, 0.0]);
}

#[test]
fn the_tanh_is_exact_to_single_precision() {
    for i in -20_000..20_000 {
        let x = i as f32 / 1000.0;
        let (found, wanted) = (Activation::Tanh.apply(x), f64::from(x).tanh() as f32);
        assert!((found - wanted).abs() <= 4e-7, "tanh({x}) is {found} instead of {wanted}");
    }
}

#[test]
fn adam_moves_as_the_paper_says() {
    let x = Var::new(&[1.0f32, -2.0], &Device::Cpu).unwrap();
    let mut adam = Adam::new(vec![x.clone()], AdamConfig { learning_rate: 0.1, ..AdamConfig::default() });
    let (mut value, mut m, mut v) = ([1.0f64, -2.0], [0.0f64; 2], [0.0f64; 2]);
    for step in 1..=5 {
        let loss = x.as_tensor().sqr().unwrap().sum_all().unwrap();
        adam.step(&loss.backward().unwrap()).unwrap();
        for i in 0..2 {
            let g = 2.0 * value[i];
            m[i] = 0.5 * m[i] + 0.5 * g;
            v[i] = 0.999 * v[i] + 0.001 * g * g;
            let (m, v) = (m[i] / (1.0 - 0.5f64.powi(step)), v[i] / (1.0 - 0.999f64.powi(step)));
            value[i] -= 0.1 * m / (v.sqrt() + 1e-8);
        }
    }
    for (found, wanted) in x.to_vec1::<f32>().unwrap().iter().zip(value) {
        assert!((f64::from(*found) - wanted).abs() < 1e-5);
    }
}
