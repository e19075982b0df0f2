//! With the model that comes with the program: whose roundings are larger, the processor's or a graphics processor's, and
//! how long searches stay together in spite of them.

use super::*;
use crate::model_file::{Model, embedded};
use crate::ops::AdamConfig;
use crate::ops::tests::values;
use crate::plan::cpu::{Way, kernels};
use crate::plan::exact::{Computed, Exact};
use crate::plan::graph::Graph;
use crate::plan::tests::planned;
use crate::plan::wgpu::{Decision, Descent, Gpu, Plan as GpuPlan, Solvers};
use crate::plan::{Plan, build};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// A model with one of its samples and starts for it.
struct Case {
    model: Arc<Model>,
    y: Tensor,
    codes: Tensor,
}

impl Case {
    fn new(id: &str, starts: usize) -> Self {
        let embedded = embedded::all().iter().find(|embedded| embedded.id == id).unwrap();
        let model = Arc::new(embedded.open(&Device::Cpu).unwrap());
        let (size, channels) = (model.manifest.size, model.manifest.channels_y);
        let y =
            Tensor::from_vec(model.samples[0].to_planes(channels), (1, channels, size, size), &Device::Cpu).unwrap();
        let codes = starting_codes(&model, &y, Starts::default(), starts, 9).unwrap();
        Self { model, y, codes }
    }

    fn graph(&self) -> Graph {
        let Model { generator, mapping, perceptual, manifest, .. } = &*self.model;
        build::solving(generator, mapping, perceptual.as_ref(), &manifest.loss).unwrap()
    }

    fn solver(&self, place: &SolveOn) -> Solver {
        Solver::on(self.model.clone(), &self.y, self.codes.clone(), SolveSettings::default(), place).unwrap()
    }
}

/// Pictures, losses and gradients of all starts, on the device that the tests run on.
fn on_device(case: &Case) -> [Vec<f32>; 3] {
    let count = case.codes.dim(0).unwrap();
    let gpu = Arc::new(Gpu::open().expect("the tests need a Vulkan driver, a software one will do"));
    let plan = Arc::new(GpuPlan::new(gpu, case.graph(), count).unwrap());
    let adam = AdamConfig::default();
    let descent = Descent::new(plan, &case.y, &values(&case.codes), adam).unwrap();
    let active: Vec<[usize; 2]> = (0..count).map(|row| [row, 0]).collect();
    let (outcomes, _) = descent.step(&[], &active, false).unwrap();
    let [_, pictures] = descent.pictures(&[]).unwrap();
    let moved = descent.state(&vec![Decision { adam: Some(1), ..Decision::default() }; count]).unwrap();
    let gradient = moved.first.iter().map(|m| m / (1.0 - adam.beta1 as f32)).collect();
    [pictures, outcomes.iter().map(|outcome| outcome.loss).collect(), gradient]
}

/// The length of a difference, relative to the length of what is wanted.
fn relative_difference(found: &[f32], wanted: &[f64]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    length(&mut found.iter().zip(wanted).map(|(f, w)| f64::from(*f) - w)) / length(&mut wanted.iter().copied())
}

#[test]
fn a_device_rounds_no_more_than_the_processor() {
    const STARTS: usize = 2;
    for id in ["edges_to_shoes", "bags_to_shoes"] {
        let case = Case::new(id, STARTS);
        let exact = Exact::new(case.graph());
        let targets = exact.targets(&case.y);
        let code = |row: usize| values(&case.codes.get(row).unwrap()).into_iter().map(f64::from).collect::<Vec<_>>();
        let wanted: Vec<_> = (0..STARTS).map(|row| exact.run(&code(row), &targets)).collect();
        let plan = Plan::new(case.graph(), kernels(), Way::Fastest).unwrap();
        let (picture, losses, gradient) = planned(&plan, &case.y, &case.codes, &[0; STARTS]);
        let errors = |found: &[Vec<f32>; 3]| {
            let of = |row: usize, which: usize| {
                let Computed { picture, loss, gradient } = &wanted[row];
                let loss = [*loss];
                let wanted = [&picture[..], &loss, gradient][which];
                relative_difference(&found[which][row * wanted.len()..][..wanted.len()], wanted)
            };
            [0, 1, 2].map(|which| (0..STARTS).map(|row| of(row, which)).fold(0.0, f64::max))
        };
        let (ours, theirs) = (errors(&on_device(&case)), errors(&[picture, losses, gradient]));
        println!("{id}: device {ours:?}, processor {theirs:?}");
        for [picture, loss, gradient] in [ours, theirs] {
            // The gradient jumps where a difference or a value before a relu turns its sign, so that the roundings of the
            // pictures, far below a millionth, become a thousandth of it at times.
            assert!(picture < 3e-6 && loss < 1e-6 && gradient < 1e-2, "{id}: {ours:?} {theirs:?}");
        }
        assert!(ours[0] < 1.5 * theirs[0], "{id}: {ours:?} {theirs:?}");
    }
}

/// The losses have corners: where a difference or a value before a relu turns its sign by a rounding, the gradient jumps,
/// and Adam makes as much of small gradients as of large ones. So after some steps searches part, on whatever they run.
#[test]
fn searches_with_the_models_that_come_with_the_program_begin_and_end_as_those_of_the_processor() {
    for id in ["edges_to_shoes", "bags_to_shoes"] {
        let case = Case::new(id, 3);
        let solvers = Arc::new(Solvers::new(Arc::new(Gpu::open().unwrap())));
        let (mut ours, mut theirs) = (case.solver(&SolveOn::Gpu(solvers)), case.solver(&SolveOn::Tensors));
        assert!(ours.is_on_gpu(), "{id}: {:?}", ours.take_notice());
        for step in 1..=25 {
            let (found, wanted) = (ours.step().unwrap().losses, theirs.step().unwrap().losses);
            let off: Vec<f32> = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs() / b).collect();
            println!("{id}, step {step}: {off:?}");
            assert!(step > 5 || off.iter().all(|off| *off <= 1e-3), "{id}, step {step}: {off:?}");
        }
        let (found, wanted) = (ours.best().unwrap().1, theirs.best().unwrap().1);
        let off: Vec<f32> = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs() / b).collect();
        assert!(off.iter().all(|off| *off <= 0.02), "{id}: {off:?}");
        assert!(ours.is_on_gpu() && ours.take_notice().is_none());
    }
}
