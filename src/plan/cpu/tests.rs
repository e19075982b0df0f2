//! Every instruction set that this processor has against loops that cannot be wrong.

use super::super::graph::{Compare, MapShape, Resample};
use super::super::layout::{LANES, Layout};
use super::elementwise::{self, Source, Target};
use super::{Convolution, Finish, Floats, Output, Way, WeightGradient, runnable};
use crate::ops::kernels::tests::{each_product, noise};
use crate::ops::{Activation, ConvSpec};
use std::sync::atomic::AtomicU64;

fn assert_close(found: &[f32], wanted: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let size = wanted.iter().fold(1f32, |size, value| size.max(value.abs()));
    for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
        assert!((f - w).abs() <= tolerance * size, "{what}: value {i} is {f} instead of {w}");
    }
}

/// A convolution by its definition, of `x: [n, inputs, h, w]`.
fn plain(spec: &ConvSpec, x: &[f32], weight: &[f32], n: usize, (h, w): (usize, usize)) -> Vec<f32> {
    let out = (spec.output_side(h).unwrap(), spec.output_side(w).unwrap());
    let mut y = vec![0f64; n * spec.outputs * out.0 * out.1];
    each_product(spec, (n, h, w), out, |i, j, o| y[o] += f64::from(x[i]) * f64::from(weight[j]));
    y.into_iter().map(|v| v as f32).collect()
}

fn layout(groups: &[usize], height: usize, width: usize) -> Layout {
    Layout::new(&MapShape { groups: groups.to_vec(), height, width })
}

/// Pictures whose channels are those of all groups in turn, laid out.
fn laid_out(layout: &Layout, values: &[f32], n: usize) -> Floats {
    let area = layout.height * layout.width;
    let channels: usize = layout.lanes.iter().sum();
    let mut map = Floats::zeros(n * layout.image());
    let mut first = 0;
    for (group, blocks) in layout.groups.iter().enumerate() {
        let count: usize = layout.lanes[blocks.clone()].iter().sum();
        let part: Vec<f32> = values
            .chunks_exact(channels * area)
            .flat_map(|picture| &picture[first * area..(first + count) * area])
            .copied()
            .collect();
        layout.pack(group, &part, &mut map);
        first += count;
    }
    map
}

/// A convolution: the groups of its input, its outputs, its size, and pictures.
type Case = (ConvSpec, &'static [usize], (usize, usize), usize);

fn cases() -> Vec<Case> {
    let conv = ConvSpec::conv;
    let transposed = ConvSpec::transposed;
    let mut cases: Vec<Case> = vec![
        (conv(3, 5, 3, 1, 1), &[3], (7, 5), 2),
        (conv(1, 16, 3, 1, 1), &[1], (8, 8), 3),
        // So many channels that kernels are transformed while they are used: for six squares, and for four to one.
        (conv(167, 170, 3, 1, 1), &[150, 17], (4, 8), 3),
        (conv(141, 161, 3, 1, 1), &[141], (8, 8), 10),
        (conv(167, 153, 3, 1, 1), &[150, 17], (4, 8), 2),
        (conv(167, 153, 3, 1, 1), &[150, 17], (4, 12), 1),
        (conv(167, 153, 3, 1, 1), &[150, 17], (4, 8), 1),
        (conv(167, 153, 3, 1, 1), &[150, 17], (4, 4), 1),
        (transposed(310, 301, 4, 2, 1), &[310], (4, 2), 2),
        (transposed(310, 301, 4, 2, 1), &[310], (4, 2), 5),
        (transposed(120, 310, 4, 2, 1), &[120], (4, 4), 1),
        (transposed(120, 310, 4, 2, 1), &[120], (4, 4), 9),
        (conv(17, 100, 3, 1, 1), &[17], (4, 12), 2),
        (conv(20, 48, 3, 1, 1), &[17, 3], (8, 8), 3),
        (conv(100, 3, 3, 1, 1), &[100], (4, 4), 1),
        (conv(48, 16, 3, 1, 1), &[45, 3], (16, 16), 5),
        (conv(3, 3, 1, 1, 0), &[3], (9, 11), 2),
        (conv(5, 17, 4, 2, 1), &[5], (16, 8), 2),
        (conv(48, 33, 4, 2, 1), &[48], (8, 8), 3),
        (conv(3, 5, 4, 2, 1), &[3], (6, 10), 1),
        (conv(19, 40, 4, 2, 1), &[19], (12, 4), 3),
        (transposed(19, 17, 4, 2, 1), &[19], (6, 2), 5),
        (conv(17, 10, 4, 1, 0), &[17], (4, 4), 3),
        (transposed(16, 48, 4, 2, 1), &[16], (4, 8), 2),
        (transposed(5, 3, 4, 2, 1), &[5], (3, 5), 3),
        (transposed(33, 17, 4, 2, 1), &[30, 3], (8, 8), 2),
        (transposed(100, 20, 4, 1, 0), &[100], (1, 1), 5),
        (transposed(5, 1, 3, 1, 1), &[5], (4, 4), 1),
    ];
    cases.retain(few_enough);
    cases
}

/// Whether there is time for a case: Miri has little.
fn few_enough((spec, _, (h, w), n): &Case) -> bool {
    !cfg!(miri) || spec.weight_shape().iter().product::<usize>() * h * w * n <= 3_000
}

#[test]
fn convolutions_agree_with_plain_loops() {
    for kernels in runnable() {
        for (spec, groups, (h, w), n) in cases() {
            let x = noise(n * spec.inputs * h * w, 1);
            let weight = noise(spec.weight_shape().iter().product(), 2);
            let from = layout(groups, h, w);
            let to = layout(&[7, spec.outputs], spec.output_side(h).unwrap(), spec.output_side(w).unwrap());
            let map = laid_out(&from, &x, n);
            let wanted = plain(&spec, &x, &weight, n, (h, w));
            for way in [Way::Direct, Way::Winograd, Way::Fastest] {
                let what = format!("{} {spec:?} {h} x {w} {way:?}", kernels.set.name());
                let conv = Convolution::new(kernels, &spec, &weight, (&from, None), (&to, Some(1)), way).unwrap();
                let mut y = Floats::zeros(n * to.image());
                let mut shared = Floats::zeros(conv.shared(n));
                let finish = vec![Finish::default(); to.groups[1].len()];
                let output = Output { values: &mut y, finish: &finish, bias: &[], seen: &[] };
                conv.run(n, &map, output, &mut shared);
                let mut found = vec![0.0; wanted.len()];
                to.unpack(1, &y, &mut found);
                assert_close(&found, &wanted, if way == Way::Direct { 2e-6 } else { 3e-5 }, &what);
                // The frame and the lanes without a channel stay zero, and so does the other group.
                let sum = |values: &[f32]| values.iter().map(|v| v.abs()).sum::<f32>();
                assert!((sum(&y) - sum(&found)).abs() <= 1e-4 * sum(&found), "{what}");
            }
        }
    }
}

#[test]
fn results_are_finished_as_asked() {
    let activations = [Activation::None, Activation::Relu, Activation::LeakyRelu(0.2), Activation::Tanh];
    let (spec, side, n) = (ConvSpec::conv(3, 17, 3, 1, 1), if cfg!(miri) { 4 } else { 8 }, 2);
    let area = side * side;
    let (x, weight) = (noise(n * 3 * area, 3), noise(17 * 27, 4));
    let (from, to) = (layout(&[3], side, side), layout(&[17], side, side));
    let map = laid_out(&from, &x, n);
    let (before, bias) = (noise(n * 17 * area, 5), noise(17, 6));
    let mut padded = Floats::zeros(2 * LANES);
    padded[..17].copy_from_slice(&bias);
    let plain = plain(&spec, &x, &weight, n, (side, side));
    for kernels in runnable() {
        for way in [Way::Direct, Way::Winograd] {
            let conv = Convolution::new(kernels, &spec, &weight, (&from, None), (&to, None), way).unwrap();
            for activation in activations.into_iter().skip(if cfg!(miri) { 3 } else { 0 }) {
                let run = |finish: Finish, bias: &[f32], seen: &[f32]| {
                    let mut y = laid_out(&to, &before, n);
                    let output = Output { values: &mut y, finish: &[finish; 2], bias, seen };
                    conv.run(n, &map, output, &mut Floats::zeros(conv.shared(n)));
                    let mut found = vec![0.0; plain.len()];
                    to.unpack(0, &y, &mut found);
                    found
                };
                let what = format!("{} {way:?} {activation:?}", kernels.set.name());
                let forward = run(Finish { activation, ..Finish::default() }, &padded, &[]);
                let wanted: Vec<f32> =
                    plain.iter().enumerate().map(|(i, v)| activation.apply(v + bias[i / area % 17])).collect();
                assert_close(&forward, &wanted, 1e-5, &what);
                let seen = laid_out(&to, &wanted, n);
                let backward = run(Finish { add: true, slope: activation, ..Finish::default() }, &[], &seen);
                let wanted: Vec<f32> = plain
                    .iter()
                    .zip(&before)
                    .zip(&wanted)
                    .map(|((v, before), seen)| (v + before) * activation.slope(*seen))
                    .collect();
                assert_close(&backward, &wanted, 1e-5, &what);
            }
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so() {
    let (spec, to) = (ConvSpec::conv(1, 1, 3, 1, 1), layout(&[1], 8, 8));
    let map = laid_out(&to, &[f32::NAN; 64], 1);
    for kernels in runnable() {
        let conv = Convolution::new(kernels, &spec, &[1.0; 9], (&to, None), (&to, None), Way::Direct).unwrap();
        for activation in [Activation::None, Activation::Relu, Activation::LeakyRelu(0.2), Activation::Tanh] {
            let mut y = laid_out(&to, &[0.0; 64], 1);
            let finish = [Finish { activation, ..Finish::default() }];
            let output = Output { values: &mut y, finish: &finish, bias: &[], seen: &[] };
            conv.run(1, &map, output, &mut Floats::zeros(conv.shared(1)));
            let mut found = vec![0.0; 64];
            to.unpack(0, &y, &mut found);
            let what = format!("{} {activation:?}", kernels.set.name());
            assert!(found.iter().all(|value| value.is_nan()), "{what}: {found:?}");
            assert!(activation.apply(f32::NAN).is_nan(), "{what}");
        }
    }
}

/// Forward and backward of one change of size by their definitions.
fn plain_resample(how: Resample, x: &[f32], g: &[f32], (h, w): (usize, usize), planes: usize) -> (Vec<f32>, Vec<f32>) {
    let doubles = how == Resample::Bilinear;
    let (oh, ow) = if doubles { (2 * h, 2 * w) } else { (h / 2, w / 2) };
    let (mut y, mut back) = (vec![0f32; planes * oh * ow], vec![0f32; x.len()]);
    let near = |out: usize, side: usize| {
        let position = ((out as f32 + 0.5) / 2.0 - 0.5).max(0.0);
        let low = position as usize;
        let share = position - low as f32;
        [(low, 1.0 - share), ((low + 1).min(side - 1), share)]
    };
    for plane in 0..planes {
        for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            let out = (plane * oh + oy) * ow + ox;
            let at = |y: usize, x: usize| (plane * h + y) * w + x;
            let square =
                [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(a, b)| at((2 * oy + a).min(h - 1), (2 * ox + b).min(w - 1)));
            let terms: Vec<(usize, f32)> = match how {
                Resample::AveragePool => square.iter().map(|&i| (i, 0.25)).collect(),
                Resample::MaxPool => {
                    let best = square.iter().copied().reduce(|best, i| if x[i] > x[best] { i } else { best });
                    vec![(best.unwrap(), 1.0)]
                }
                Resample::Unfold => unreachable!("has a test of its own"),
                Resample::Bilinear => {
                    let (rows, columns) = (near(oy, h), near(ox, w));
                    rows.iter().flat_map(|r| columns.iter().map(move |c| (at(r.0, c.0), r.1 * c.1))).collect()
                }
            };
            for (i, share) in terms {
                y[out] += x[i] * share;
                back[i] += g[out] * share;
            }
        }
    }
    (y, back)
}

fn target<'a>(layout: &'a Layout, group: usize, values: &'a mut [f32], finish: Finish) -> Target<'a> {
    Target { layout, group, values, finish, seen: &[] }
}

#[test]
fn changes_of_size_agree_with_plain_loops() {
    for kernels in runnable() {
        for how in [Resample::AveragePool, Resample::MaxPool, Resample::Bilinear] {
            let sizes = [(1, 4, 6, 1), (3, 8, 8, 2), (17, 6, 4, 3), (48, 4, 4, 1)];
            for (c, h, w, n) in sizes.into_iter().take(if cfg!(miri) { 1 } else { 4 }) {
                let out = if how == Resample::Bilinear { (2 * h, 2 * w) } else { (h / 2, w / 2) };
                // Rounded, so that there are equals among the largest.
                let x: Vec<f32> = noise(n * c * h * w, 7).into_iter().map(|v| (4.0 * v).round()).collect();
                let g = noise(n * c * out.0 * out.1, 8);
                let (y, back) = plain_resample(how, &x, &g, (h, w), n * c);
                let (small, large) = (layout(&[5, c], h, w), layout(&[c], out.0, out.1));
                let mut from = Floats::zeros(n * small.image());
                small.pack(1, &x, &mut from);
                let mut made = Floats::zeros(n * large.image());
                let source = Source { layout: &small, group: 1, values: &from };
                let to = target(&large, 0, &mut made, Finish::default());
                elementwise::resample(kernels, (how, false), n, source, None, to);
                let mut found = vec![0.0; y.len()];
                large.unpack(0, &made, &mut found);
                let what = format!("{} {how:?} {c} x {h} x {w}", kernels.set.name());
                assert_close(&found, &y, 1e-6, &what);
                let gradient = laid_out(&large, &g, n);
                let mut brought = from.clone();
                let gradient = Source { layout: &large, group: 0, values: &gradient };
                let to = target(&small, 1, &mut brought, Finish { add: true, ..Finish::default() });
                elementwise::resample(kernels, (how, true), n, gradient, Some(source), to);
                let mut found = vec![0.0; x.len()];
                small.unpack(1, &brought, &mut found);
                let wanted: Vec<f32> = back.iter().zip(&x).map(|(back, x)| back + x).collect();
                assert_close(&found, &wanted, 1e-6, &what);
            }
        }
    }
}

#[test]
fn comparisons_agree_with_plain_loops() {
    let (c, h, w, n) = (17, 5, 3, 3);
    let map = layout(&[c], h, w);
    let (a, b) = (noise(n * c * h * w, 9), noise(2 * c * h * w, 10));
    let (left, right) = (laid_out(&map, &a, n), laid_out(&map, &b, 2));
    let rows = [1, 0, 1];
    for kernels in runnable() {
        for compare in [Compare::L1, Compare::L2] {
            let size = c * h * w;
            let mut losses = vec![0.0; n];
            let mut gradient = Floats::zeros(n * map.image());
            let sums: Vec<AtomicU64> = (0..n * 2).map(|_| AtomicU64::new(0)).collect();
            let source = |values| Source { layout: &map, group: 0, values };
            let finish = Finish::default();
            let target = Target { layout: &map, group: 0, values: &mut gradient, finish, seen: &[] };
            let right = (source(&right), &rows[..]);
            elementwise::compare(kernels, compare, 2.0, source(&left), right, Some(target), &sums, &mut losses);
            let mut found = vec![0.0; n * size];
            map.unpack(0, &gradient, &mut found);
            for i in 0..n {
                let pairs = a[i * size..][..size].iter().zip(&b[rows[i] * size..][..size]);
                let of = |(a, b): (&f32, &f32)| if compare == Compare::L1 { (a - b).abs() } else { (a - b) * (a - b) };
                let wanted = 2.0 * pairs.clone().map(of).sum::<f32>() / size as f32;
                assert!((losses[i] - wanted).abs() < 1e-5, "{} {compare:?}", kernels.set.name());
                let slope = |(a, b): (&f32, &f32)| {
                    2.0 / size as f32 * if compare == Compare::L1 { (a - b).signum() } else { 2.0 * (a - b) }
                };
                let wanted: Vec<f32> = pairs.map(slope).collect();
                assert_close(&found[i * size..][..size], &wanted, 1e-6, kernels.set.name());
            }
        }
    }
}

#[test]
fn channels_unfold_to_pixels_and_back() {
    let (h, w, n) = (3, 5, 2);
    for kernels in runnable() {
        for c in [1, 3, 4] {
            let (small, large) = (layout(&[4 * c], h, w), layout(&[2, c], 2 * h, 2 * w));
            let x = noise(n * 4 * c * h * w, 11);
            let from = laid_out(&small, &x, n);
            let mut made = Floats::zeros(n * large.image());
            let source = Source { layout: &small, group: 0, values: &from };
            let to = target(&large, 1, &mut made, Finish::default());
            elementwise::resample(kernels, (Resample::Unfold, false), n, source, None, to);
            let mut found = vec![0.0; x.len()];
            large.unpack(1, &made, &mut found);
            for (i, found) in found.iter().enumerate() {
                let (picture, o, y, x_at) =
                    (i / (4 * c * h * w), i / (4 * h * w) % c, i / (2 * w) % (2 * h), i % (2 * w));
                let channel = (y % 2 * 2 + x_at % 2) * c + o;
                assert_eq!(
                    *found,
                    x[((picture * 4 * c + channel) * h + y / 2) * w + x_at / 2],
                    "{}",
                    kernels.set.name()
                );
            }
            // The way back undoes it.
            let mut back = Floats::zeros(n * small.image());
            let gradient = Source { layout: &large, group: 1, values: &made };
            let to = target(&small, 0, &mut back, Finish::default());
            elementwise::resample(kernels, (Resample::Unfold, true), n, gradient, None, to);
            assert_eq!(&back[..], &from[..], "{}", kernels.set.name());
        }
    }
}

#[test]
fn gradients_of_kernels_agree_with_their_definition() {
    let conv = ConvSpec::conv;
    let transposed = ConvSpec::transposed;
    let cases: Vec<Case> = vec![
        (conv(3, 5, 3, 1, 1), &[3], (7, 5), 2),
        (conv(20, 37, 3, 1, 1), &[17, 3], (8, 8), 3),
        (conv(3, 20, 3, 1, 1), &[3], (16, 16), 9),
        (conv(19, 40, 4, 2, 1), &[19], (16, 16), 3),
        // Blocks with as many rows.
        (conv(31, 40, 3, 1, 1), &[31], (8, 8), 3),
        (conv(3, 5, 4, 2, 1), &[3], (4, 12), 2),
        (conv(3, 5, 4, 2, 1), &[3], (6, 6), 2),
        (conv(20, 7, 4, 1, 0), &[20], (4, 4), 5),
        (transposed(33, 20, 4, 2, 1), &[33], (8, 4), 3),
        (transposed(5, 3, 4, 2, 1), &[5], (2, 2), 2),
        (transposed(7, 20, 4, 1, 0), &[7], (1, 1), 5),
    ];
    for kernels in runnable() {
        for (spec, groups, (h, w), n) in cases.iter().filter(|case| few_enough(case)) {
            let out = (spec.output_side(*h).unwrap(), spec.output_side(*w).unwrap());
            let x = noise(n * spec.inputs * h * w, 1);
            let grad = noise(n * spec.outputs * out.0 * out.1, 2);
            let mut wanted = vec![0f64; spec.weight_shape().iter().product()];
            each_product(spec, (*n, *h, *w), out, |i, j, o| wanted[j] += f64::from(x[i]) * f64::from(grad[o]));
            let wanted: Vec<f32> = wanted.into_iter().map(|value| value as f32).collect();
            let (from, to) = (layout(groups, *h, *w), layout(&[spec.outputs], out.0, out.1));
            // By tasks, by blocks and by points.
            let orders = [(Way::Direct, 0, 0), (Way::Winograd, usize::MAX, 0), (Way::Winograd, 0, usize::MAX)];
            for (way, sums, floats) in orders.into_iter().chain([(Way::Winograd, 0, 0)]) {
                let plan = WeightGradient::new(kernels, spec, &from, (&to, 0), way).unwrap().limited(sums, floats);
                let mut shared = Floats::zeros(plan.shared(*n));
                let (x, grad) = (laid_out(&from, &x, *n), laid_out(&to, &grad, *n));
                let found = plan.run(spec.transposed, *n, &x, &grad, &mut shared);
                assert_close(&found, &wanted, 1e-5, &format!("{} {spec:?} {way:?}", kernels.set.name()));
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes long, and runs nothing that other tests do not")]
fn kernels_packed_again_are_those_packed_anew() {
    for spec in [ConvSpec::conv(17, 40, 3, 1, 1), ConvSpec::transposed(5, 20, 4, 2, 1), ConvSpec::conv(3, 5, 4, 1, 0)] {
        for way in [Way::Direct, Way::Winograd] {
            let kernels = runnable()[0];
            let side = if spec.padding == 0 { 4 } else { 8 };
            let out = spec.output_side(side).unwrap();
            let (from, to) = (layout(&[spec.inputs], side, side), layout(&[spec.outputs], out, out));
            let count = spec.weight_shape().iter().product();
            let (first, second) = (noise(count, 3), noise(count, 4));
            let plan =
                |weight: &[f32]| Convolution::new(kernels, &spec, weight, (&from, None), (&to, None), way).unwrap();
            let (mut again, anew) = (plan(&first), plan(&second));
            again.repack(&second);
            let x = laid_out(&from, &noise(2 * spec.inputs * side * side, 5), 2);
            let run = |conv: &Convolution| {
                let mut y = Floats::zeros(2 * to.image());
                let finish = vec![Finish::default(); to.lanes.len()];
                let output = Output { values: &mut y, finish: &finish, bias: &[], seen: &[] };
                conv.run(2, &x, output, &mut Floats::zeros(conv.shared(2)));
                y.to_vec()
            };
            assert_eq!(run(&again), run(&anew));
        }
    }
}
