//! The plan on a device against the plan on the processor: every kind of node, and whole networks. They run on whatever
//! adapter there is, a software one in CI, with the kernels for both kinds of adapter.

use super::{Decision, Descent, Gpu, Plan, Style};
use crate::model_file::LossConfig;
use crate::ops::tests::{random, values};
use crate::ops::{Activation, AdamConfig, ConvSpec};
use crate::plan::cpu::{Way, kernels};
use crate::plan::graph::{Compare, Conv, Graph, Loss, Node, Place, Resample};
use crate::plan::tests::{Networks, difference, grams, networks, planned, pyramid, student, vgg};
use crate::plan::{self, build};
use candle_core::Tensor;
use std::sync::Arc;

/// The kernels of every kind of adapter: small tiles with split sums, and the widest ones.
const STYLES: [Style; 3] = [Style::Direct, Style::Tiled { enough: 256 }, Style::Tiled { enough: 1 }];
/// Length of the codes of the small graphs.
const LATENT: usize = 10;

/// The adapter that the tests run on, with the kernels of a style.
pub fn gpu(style: Style) -> Arc<Gpu> {
    Arc::new(Gpu::open().expect("the tests need a Vulkan driver, a software one will do").with_style(style))
}

/// Pictures, losses and the gradient in the codes.
fn on_device(gpu: &Arc<Gpu>, graph: Graph, y: &Tensor, z: &Tensor, rows: &[usize]) -> [Vec<f32>; 3] {
    let plan = Arc::new(Plan::new(gpu.clone(), graph, rows.len() + 1).unwrap());
    let adam = AdamConfig::default();
    let descent = Descent::new(plan, y, &values(z), adam).unwrap();
    let active: Vec<[usize; 2]> = rows.iter().enumerate().map(|(i, &row)| [i, row]).collect();
    let still = vec![Decision::default(); rows.len()];
    // Twice: what a step leaves behind must not matter to the next.
    descent.step(&still, &active, false).unwrap();
    let (outcomes, snapshot) = descent.step(&still, &active, true).unwrap();
    assert_eq!(snapshot.unwrap().codes, values(z));
    assert!(outcomes.iter().all(|outcome| outcome.sound));
    let [_, pictures] = descent.pictures(&[]).unwrap();
    let moved = descent.state(&vec![Decision { adam: Some(1), ..Decision::default() }; rows.len()]).unwrap();
    let gradient = moved.first.iter().map(|m| m / (1.0 - adam.beta1 as f32)).collect();
    [pictures, outcomes.iter().map(|outcome| outcome.loss).collect(), gradient]
}

/// The same graph on the processor and on the device.
fn check(gpu: &Arc<Gpu>, graph: &Graph, y: &Tensor, z: &Tensor, rows: &[usize], what: &str) {
    let cpu = plan::Plan::new(graph.clone(), kernels(), Way::Direct).unwrap();
    let (picture, losses, gradient) = planned(&cpu, y, z, rows);
    let found = on_device(gpu, graph.clone(), y, z, rows);
    let errors = [difference(&found[0], &picture), difference(&found[1], &losses), difference(&found[2], &gradient)];
    println!("{what}: {errors:?}");
    // A rounding may turn the sign of a nearly vanishing difference, and with it a piece of the gradient.
    assert!(errors[0] < 1e-5 && errors[1] < 1e-5 && errors[2] < 3e-3, "{what}: {errors:?}");
}

fn layer(spec: ConvSpec, activation: Activation, seed: u64) -> Conv {
    let weight = (random(&spec.weight_shape(), seed) * (2.0 / spec.fan_in() as f64).sqrt()).unwrap();
    Conv { spec, weight, bias: Some(random(&[spec.outputs], seed + 1)), activation }
}

/// A graph from a code to a map of these groups, each made by a layer of its own.
fn beginning(groups: &[usize], side: usize) -> (Graph, usize) {
    let mut graph = Graph::default();
    let code = graph.map(vec![LATENT], (1, 1));
    graph.input = Some(Place { map: code, group: 0 });
    let map = graph.map(groups.to_vec(), (side, side));
    let activations = [Activation::LeakyRelu(0.2), Activation::Tanh, Activation::Relu];
    for (group, &channels) in groups.iter().enumerate() {
        let conv = layer(ConvSpec::transposed(LATENT, channels, side, 1, 0), activations[group % 3], 20 + group as u64);
        graph.nodes.push(Node::Conv { conv, from: code, to: Place { map, group } });
    }
    (graph, map)
}

/// Compares with noise at a place, which is also the second result.
fn ending(graph: &mut Graph, place: Place, compare: Compare) -> Tensor {
    graph.results = vec![place, place];
    graph.losses.push(Loss { place, compare, weight: 1.5, cover: 0.0 });
    let (channels, height, width) = graph.shape(place);
    random(&[2, channels, height, width], 30)
}

#[test]
fn every_convolution_agrees_with_the_processor() {
    let (conv, transposed) = (ConvSpec::conv, ConvSpec::transposed);
    let cases: [(ConvSpec, &[usize], usize); 13] = [
        (conv(3, 5, 3, 1, 1), &[3], 7),
        (conv(1, 16, 3, 1, 1), &[1], 8),
        (conv(20, 100, 3, 1, 1), &[17, 3], 5),
        (conv(70, 3, 3, 1, 1), &[70], 4),
        (conv(3, 3, 1, 1, 0), &[3], 9),
        (conv(5, 17, 4, 2, 1), &[5], 8),
        (conv(17, 10, 4, 1, 0), &[17], 4),
        (conv(6, 10, 4, 1, 0), &[3, 3], 4),
        (transposed(19, 33, 4, 2, 1), &[19], 3),
        (transposed(5, 3, 4, 2, 1), &[5], 5),
        (transposed(20, 18, 4, 1, 0), &[20], 1),
        (transposed(5, 1, 3, 1, 1), &[5], 6),
        (conv(130, 72, 3, 1, 1), &[130], 6),
    ];
    for style in STYLES {
        let gpu = gpu(style);
        for (spec, groups, side) in cases {
            let (mut graph, from) = beginning(groups, side);
            let out = spec.output_side(side).unwrap();
            let to = Place { map: graph.map(vec![spec.outputs], (out, out)), group: 0 };
            graph.nodes.push(Node::Conv { conv: layer(spec, Activation::Tanh, 40), from, to });
            let y = ending(&mut graph, to, Compare::L2);
            check(&gpu, &graph, &y, &random(&[3, LATENT], 50), &[1, 0, 1], &format!("{style:?} {spec:?} {side}"));
        }
    }
}

#[test]
fn every_other_node_agrees_with_the_processor() {
    let gpu = gpu(Style::Direct);
    for (how, groups, group, side) in [
        (Resample::AveragePool, &[5, 3][..], 1, 6),
        (Resample::MaxPool, &[17], 0, 4),
        (Resample::Bilinear, &[3, 6], 0, 5),
        (Resample::Unfold, &[12], 0, 3),
        (Resample::Unfold, &[4], 0, 5),
    ] {
        let (mut graph, from) = beginning(groups, side);
        let doubles = matches!(how, Resample::Bilinear | Resample::Unfold);
        let channels = groups[group] / if how == Resample::Unfold { 4 } else { 1 };
        let size = if doubles { 2 * side } else { side / 2 };
        let map = graph.map(vec![2, channels], (size, size));
        // The other groups must be left alone; what is made is read twice, by a sum and by the loss.
        let to = Place { map, group: 1 };
        graph.nodes.push(Node::Resample { how, from: Place { map: from, group }, to });
        let sum = Place { map: graph.map(vec![channels], (size, size)), group: 0 };
        graph.nodes.push(Node::Add { terms: [to, to], to: sum, activation: Activation::Tanh });
        let y = ending(&mut graph, to, Compare::L1);
        graph.losses.push(Loss { place: sum, compare: Compare::L2, weight: 0.5, cover: 0.0 });
        if groups.len() > 1 {
            // Nothing reads the other group, so nothing may flow back to its layer.
            graph.nodes.retain(|node| node.to().map != from || node.to().group == group);
        }
        check(&gpu, &graph, &y, &random(&[3, LATENT], 51), &[0, 1, 0], &format!("{how:?}"));
    }
}

#[test]
fn gram_matrices_agree_with_the_processor() {
    let gpu = gpu(Style::Direct);
    for (groups, group, side) in [(&[5, 3][..], 1, 6), (&[17], 0, 12), (&[6], 0, 1)] {
        let (mut graph, map) = beginning(groups, side);
        graph.nodes.retain(|node| node.to().group == group || node.to().map != map);
        let from = Place { map, group };
        let to = Place { map: graph.map(vec![3, groups[group]], (groups[group], 1)), group: 1 };
        graph.nodes.push(Node::Gram { from, to });
        let y = ending(&mut graph, from, Compare::L2);
        for compare in [Compare::L1, Compare::L2] {
            graph.losses.push(Loss { place: to, compare, weight: 3.0, cover: 0.0 });
        }
        check(&gpu, &graph, &y, &random(&[3, LATENT], 52), &[0, 1, 0], &format!("{groups:?} {side}"));
    }
}

fn check_networks(gpu: &Arc<Gpu>, networks: &Networks, loss: &LossConfig, size: usize, channels: usize) {
    let (y, z) = (random(&[2, channels, size, size], 4), random(&[3, LATENT], 5));
    let graph = build::solving(&networks.generator, &networks.mapping, Some(&networks.perceptual), loss).unwrap();
    check(gpu, &graph, &y, &z, &[1, 0, 1], &format!("{:?} {loss:?}", gpu.style));
}

#[test]
fn solving_agrees_with_the_processor() {
    let mixed = LossConfig { pixel_l1: 0.5, pixel_l2: 2.0, perceptual: vec![1.0, 0.0, 0.5], ..LossConfig::default() };
    for style in STYLES {
        let gpu = gpu(style);
        check_networks(&gpu, &networks(32, 5, 3, false, &student()), &mixed, 32, 3);
        check_networks(&gpu, &networks(64, 4, 1, false, &student()), &LossConfig::perceptual(3), 64, 1);
        check_networks(&gpu, &networks(32, 6, 3, true, &vgg()), &LossConfig::perceptual(3), 32, 3);
        check_networks(&gpu, &networks(32, 5, 3, false, &student()), &pyramid(), 32, 3);
        check_networks(&gpu, &networks(32, 5, 3, false, &student()), &grams(), 32, 3);
    }
}

#[test]
fn half_precision_stays_within_its_tolerance() {
    let gpu = Gpu::open().expect("the tests need a Vulkan driver, a software one will do");
    let Ok(gpu) = gpu.with_half() else {
        println!("this adapter does not compute in f16");
        return;
    };
    let (gpu, networks, loss) = (Arc::new(gpu), networks(32, 8, 3, false, &student()), LossConfig::perceptual(3));
    let (y, z) = (random(&[1, 3, 32, 32], 4), (random(&[3, LATENT], 5) * 10.0).unwrap());
    let graph = build::solving(&networks.generator, &networks.mapping, Some(&networks.perceptual), &loss).unwrap();
    let cpu = plan::Plan::new(graph.clone(), kernels(), Way::Direct).unwrap();
    let (picture, losses, gradient) = planned(&cpu, &y, &z, &[0; 3]);
    let found = on_device(&gpu, graph, &y, &z, &[0; 3]);
    let errors = [difference(&found[0], &picture), difference(&found[1], &losses), difference(&found[2], &gradient)];
    println!("f16: {errors:?}");
    assert!(errors[0] < 5e-3 && errors[1] < 1e-3 && errors[2] < 0.1, "{errors:?}");
}
