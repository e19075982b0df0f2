use super::*;
use crate::nets::weights::Initialiser;
use crate::nets::{Generator, GeneratorConfig, Layer, Params, Statistics, Weights};
use crate::ops;
use candle_core::{Device, Tensor};

/// A sequence that has everything: a linear layer, a map of its own normalisation, upsampling, plain and transposed
/// convolutions, pixel normalisation, a sigmoid.
const TEXT: &str = r#"{"latent": 5, "codes": "uniform", "range": [0, 1], "layers": [
    {"linear": "first"}, {"reshape": [4, 3, 3]}, {"batch_norm": "norm.0", "epsilon": 0.8}, {"upsample": "nearest"},
    {"convolution": "middle", "padding": 1}, {"batch_norm": "norm.1"}, {"leaky_relu": 0.2}, "pixel_norm",
    {"transposed": "up", "stride": 2, "padding": 1, "output_padding": 1}, "relu", {"upsample": "bilinear"},
    {"convolution": "shuffled", "equalised": true}, {"pixel_shuffle": 2}, {"convolution": "last", "padding": 1},
    "sigmoid"]}"#;

fn tensors() -> Weights {
    let mut start = Initialiser::new(7, &Device::Cpu);
    for (name, shape) in [
        ("first.weight", &[36, 5][..]),
        ("first.bias", &[36]),
        ("middle.weight", &[6, 4, 3, 3]),
        ("middle.bias", &[6]),
        ("up.weight", &[6, 8, 3, 3]),
        ("shuffled.weight", &[12, 8, 1, 1]),
        ("shuffled.bias", &[12]),
        ("last.weight", &[3, 3, 3, 3]),
        ("last.bias", &[3]),
    ] {
        start.normal(name, shape, 0.0, 0.5).unwrap();
    }
    for (name, channels) in [("norm.0", 4), ("norm.1", 6)] {
        start.normal(&format!("{name}.weight"), &[channels], 1.0, 0.3).unwrap();
        start.normal(&format!("{name}.bias"), &[channels], 0.0, 0.3).unwrap();
        start.normal(&format!("{name}.running_mean"), &[channels], 0.0, 0.3).unwrap();
        start.normal(&format!("{name}.running_var"), &[channels], 2.0, 0.1).unwrap();
    }
    start.finish()
}

fn codes(count: usize, latent: usize) -> Tensor {
    let mut start = Initialiser::new(3, &Device::Cpu);
    start.normal("z", &[count, latent], 0.0, 1.0).unwrap();
    start.finish().get("z", &[count, latent]).unwrap()
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

/// What the description says, put together step by step from the tensors as they are in the file.
fn by_hand(t: &Weights, z: &Tensor) -> Tensor {
    let get = |name: &str| t.find(name).unwrap();
    let channels = |name: &str| get(name).reshape((1, (), 1, 1)).unwrap();
    let norm = |x: &Tensor, name: &str, epsilon: f64| {
        let deviation = (channels(&format!("{name}.running_var")) + epsilon).unwrap().sqrt().unwrap();
        let x = x.broadcast_sub(&channels(&format!("{name}.running_mean"))).unwrap().broadcast_div(&deviation).unwrap();
        let x = x.broadcast_mul(&channels(&format!("{name}.weight"))).unwrap();
        x.broadcast_add(&channels(&format!("{name}.bias"))).unwrap()
    };
    let n = z.dim(0).unwrap();
    let uniform = (z / 2f64.sqrt()).unwrap().erf().unwrap();
    let x = uniform.matmul(&get("first.weight").t().unwrap()).unwrap().broadcast_add(get("first.bias")).unwrap();
    let x = norm(&x.reshape((n, 4, 3, 3)).unwrap(), "norm.0", 0.8);
    let x = x.upsample_nearest2d(6, 6).unwrap();
    let x = ops::conv2d(&x, get("middle.weight"), Some(get("middle.bias")), 1, 1).unwrap();
    let x = norm(&x, "norm.1", 1e-5);
    let x = x.maximum(&(&x * 0.2).unwrap()).unwrap();
    let x = x.broadcast_div(&(x.sqr().unwrap().mean_keepdim(1).unwrap() + 1e-8).unwrap().sqrt().unwrap()).unwrap();
    let x = x.conv_transpose2d(get("up.weight"), 1, 1, 2, 1).unwrap().relu().unwrap();
    let x = ops::upsample_bilinear2(&x).unwrap();
    let weight = (get("shuffled.weight") * (2f64 / 8.0).sqrt()).unwrap();
    let x = ops::conv2d(&x, &weight, Some(get("shuffled.bias")), 1, 0).unwrap();
    let s = x.dim(2).unwrap();
    let x = x.reshape(&[n, 3, 2, 2, s, s][..]).unwrap().permute(&[0, 1, 4, 2, 5, 3][..]).unwrap().contiguous().unwrap();
    let x = x.reshape((n, 3, 2 * s, 2 * s)).unwrap();
    let x = ops::conv2d(&x, get("last.weight"), Some(get("last.bias")), 1, 1).unwrap();
    // 2 sigmoid(x) - 1
    (((x.neg().unwrap().exp().unwrap() + 1.0).unwrap().recip().unwrap() * 2.0).unwrap() - 1.0).unwrap()
}

#[test]
fn every_layer_does_what_its_description_says() {
    let tensors = tensors();
    let (config, weights) = resolve(&Description::parse(TEXT).unwrap(), &tensors).unwrap();
    assert_eq!((config.latent, config.channels, config.size), (5, 3, 48));
    let z = codes(3, 5);
    let generator = Generator::new(&config, &Params::frozen(weights.clone())).unwrap();
    let x = generator.forward(&z, Statistics::Running).unwrap();
    let difference = largest_difference(&x, &by_hand(&tensors, &z));
    assert!(difference < 1e-5, "{difference}");
    // Nothing is folded where parameters are variables; the result is the same.
    let trainable = Generator::new(&config, &Params::trainable(&weights).unwrap()).unwrap();
    let difference = largest_difference(&x, &trainable.forward(&z, Statistics::Running).unwrap());
    assert!(difference < 1e-5, "{difference}");
}

#[test]
fn upsampling_is_folded_into_the_convolution_behind_it() {
    let text = r#"{"latent": 5, "layers": [{"transposed": "a"}, "relu", {"upsample": "nearest"},
        {"convolution": "b", "padding": PADDING}, "tanh"]}"#;
    for (kernel, padding) in [(1, 0), (3, 1), (5, 2)] {
        let mut start = Initialiser::new(1, &Device::Cpu);
        start.normal("a.weight", &[5, 6, 4, 4], 0.0, 0.3).unwrap();
        start.normal("b.weight", &[3, 6, kernel, kernel], 0.0, 0.3).unwrap();
        start.normal("b.bias", &[3], 0.0, 0.3).unwrap();
        let description = Description::parse(&text.replace("PADDING", &padding.to_string())).unwrap();
        let (config, weights) = resolve(&description, &start.finish()).unwrap();
        let z = codes(2, 5);
        let generator = Generator::new(&config, &Params::frozen(weights.clone())).unwrap();
        assert_eq!(generator.convolutions().map(|all| all.len()), Some(2), "kernel {kernel}");
        let unfolded = Generator::new(&config, &Params::trainable(&weights).unwrap()).unwrap();
        let wanted = unfolded.forward(&z, Statistics::Running).unwrap();
        let difference = largest_difference(&generator.forward(&z, Statistics::Running).unwrap(), &wanted);
        assert!(difference < 1e-5, "kernel {kernel}: {difference}");
        let planned = crate::plan::generate(&generator, &z).expect("such a generator can be planned");
        assert!(largest_difference(&planned, &wanted) < 1e-5, "kernel {kernel}");
    }
}

#[test]
fn dcgan_is_recognised_under_any_names() {
    let config = GeneratorConfig { latent: 6, width: 2, channels: 3, size: 32, layers: Vec::new() };
    let weights = config.initial_weights(4, &Device::Cpu).unwrap();
    let z = codes(2, 6);
    let wanted = Generator::new(&config, &Params::frozen(weights.clone())).unwrap();
    let wanted = wanted.forward(&z, Statistics::Running).unwrap();
    let renamed: Weights =
        weights.iter().map(|(name, tensor)| (name.replace("main.", "module.net."), tensor.clone())).collect();
    let (description, _) = recognise(&renamed).unwrap();
    let (config, weights) = resolve(&description, &renamed).unwrap();
    let generator = Generator::new(&config, &Params::frozen(weights)).unwrap();
    assert!(largest_difference(&generator.forward(&z, Statistics::Running).unwrap(), &wanted) < 1e-6);
    // A draft of the same file says the same layers.
    assert_eq!(draft(&renamed).unwrap().layers, description.layers);
}

#[test]
fn what_is_not_known_is_not_guessed() {
    assert!(recognise(&tensors()).is_none());
    assert!(recognise(&Weights::default()).is_none());
    assert!(draft(&Weights::default()).is_err());
    let drafted = draft(&tensors()).unwrap();
    assert!(drafted.layers.iter().any(|item| matches!(item, Item::Linear { name, .. } if name == "first")));
}

#[test]
fn descriptions_that_do_not_fit_are_refused() {
    let tensors = tensors();
    for (text, words) in [
        (r#"{"latent": 5, "layers": [{"linear": "second"}]}"#, "there is no tensor second.weight"),
        (r#"{"latent": 4, "layers": [{"linear": "first"}]}"#, "takes 5 channels and gets 4"),
        (r#"{"latent": 5, "layers": [{"linear": "middle"}]}"#, "2 dimensions are needed"),
        (r#"{"latent": 5, "layers": [{"linear": "first"}, {"reshape": [4, 4, 4]}]}"#, "do not fit it"),
        (r#"{"latent": 5, "layers": [{"linear": "first"}]}"#, "draws 36 channels"),
        (r#"{"latent": 5, "layers": [{"linear": "first"}, "sigmoid", "relu"]}"#, "only known as the last layer"),
        (r#"{"latent": 6, "layers": [{"transposed": "up", "stride": 900}]}"#, "make no convolution"),
        (r#"{"latent": 5, "layers": [{"linear": "first"}, {"batch_norm": "up"}]}"#, "running statistics"),
        (r#"{"latent": 5, "layers": []}"#, "from 1 to"),
    ] {
        let error = resolve(&Description::parse(text).unwrap(), &tensors).unwrap_err();
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
    let large: Vec<Layer> = std::iter::repeat_n(Layer::Upsample { bilinear: false }, 60).collect();
    assert!(GeneratorConfig::of_layers(3, large).unwrap_err().to_string().contains("makes a map"));
}
