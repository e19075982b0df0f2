//! A search on a graphics processor against the same search on the CPU, and what happens when it fails half-way.

use super::tests::{drawing, largest_difference, small_networks};
use super::*;
use crate::gpu::compute;
use crate::model_file::LossConfig;
use crate::plan::tests::{Networks, networks as lively_networks, student};
use crate::plan::wgpu::{Gpu, Solvers};
use candle_core::Tensor;
use std::sync::Arc;

fn solvers() -> Arc<Solvers> {
    let gpu = Gpu::open().expect("the tests need a Vulkan driver, a software one will do");
    Arc::new(Solvers::new(Arc::new(gpu)))
}

struct Search {
    networks: Arc<NetworkSet>,
    y: Tensor,
    codes: Tensor,
    settings: SolveSettings,
}

impl Search {
    fn new(starts: usize, settings: SolveSettings) -> Self {
        let loss = LossConfig::perceptual(3);
        let Networks { generator, mapping, perceptual } = lively_networks(32, 8, 3, false, &student());
        let (generator, mapping) = (Arc::new(generator), Arc::new(mapping));
        let perceptual = Some(Arc::new(perceptual));
        let networks = Arc::new(NetworkSet { generator, mapping, encoder: None, perceptual, loss });
        // These networks' first layer is a tenth as strong as a trained one's.
        let from = Starts::Normal { std: 10.0 };
        let codes = starting_codes(&*networks, &drawing(5), from, starts + 1, 9).unwrap();
        // An image that can be explained but for some noise, so that there is something to descend.
        let wanted = candidates(&*networks, &drawing(5), &codes.narrow(0, starts, 1).unwrap()).unwrap();
        let (y, codes) =
            ((wanted.reconstruction + (drawing(6) * 0.05).unwrap()).unwrap(), codes.narrow(0, 0, starts).unwrap());
        Self { networks, y, codes, settings }
    }

    fn on(&self, place: &SolveOn) -> Solver {
        Solver::on(self.networks.clone(), &self.y, self.codes.clone(), self.settings, place).unwrap()
    }

    /// Steps both, one beside the other: their losses must agree.
    fn steps(&self, ours: &mut Solver, theirs: &mut Solver, count: usize) {
        for _ in 0..count {
            let (found, wanted) = (ours.step().unwrap(), theirs.step().unwrap());
            assert_eq!((found.step, &found.settled), (wanted.step, &wanted.settled));
            for (a, b) in found.losses.iter().zip(&wanted.losses) {
                assert!((a - b).abs() <= 1e-3 * b, "step {}: {a} instead of {b}", found.step);
            }
        }
    }

    /// Codes and pictures must agree too, as far as rounding lets a hundred steps.
    fn agree(&self, ours: &mut Solver, theirs: &mut Solver) {
        let (found, wanted) = (ours.latest().unwrap().unwrap(), theirs.latest().unwrap().unwrap());
        assert!(largest_difference(&found.x, &wanted.x) < 0.02);
        assert!(largest_difference(&found.reconstruction, &wanted.reconstruction) < 0.02);
        assert_eq!(found.losses.len(), wanted.losses.len());
        // Adam moves a value whose gradient nearly vanishes as far as any other, wherever rounding points.
        let far = |a: &Tensor, b: &Tensor| {
            let length = |t: Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
            length((a - b).unwrap()) / length(b.clone())
        };
        let codes = far(&ours.codes().unwrap(), &theirs.codes().unwrap());
        let best = far(&ours.best().unwrap().0, &theirs.best().unwrap().0);
        assert!(codes < 0.02 && best < 0.02, "{codes} {best}");
    }
}

#[test]
fn a_hundred_steps_are_those_of_the_processor() {
    let search = Search::new(3, SolveSettings { learning_rate: 0.05, ..SolveSettings::default() });
    let (mut ours, mut theirs) = (search.on(&SolveOn::Gpu(solvers())), search.on(&SolveOn::Tensors));
    assert!(ours.is_on_gpu() && !theirs.is_on_gpu() && ours.latest().unwrap().is_none());
    search.steps(&mut ours, &mut theirs, 1);
    let first = theirs.step_report();
    search.steps(&mut ours, &mut theirs, 49);
    search.agree(&mut ours, &mut theirs);
    search.steps(&mut ours, &mut theirs, 50);
    search.agree(&mut ours, &mut theirs);
    let (first, last) = (first.losses, theirs.step_report().losses);
    assert!(first.iter().zip(&last).all(|(first, last)| *last < 0.9 * first), "{first:?} {last:?}");
    assert!(ours.is_on_gpu() && ours.take_notice().is_none());
}

#[test]
fn starts_settle_and_run_a_few_at_a_time_as_on_the_processor() {
    let settle = Settle { window: 4, tolerance: 0.08, minimum_steps: 6 };
    let settings = SolveSettings { learning_rate: 0.3, settle: Some(settle), at_once: 2, ..SolveSettings::default() };
    let search = Search::new(5, settings);
    let (mut ours, mut theirs) = (search.on(&SolveOn::Gpu(solvers())), search.on(&SolveOn::Tensors));
    let mut some = false;
    for _ in 0..30 {
        search.steps(&mut ours, &mut theirs, 1);
        let settled = ours.step_report().settled.iter().filter(|settled| **settled).count();
        if (1..5).contains(&settled) && !some {
            some = true;
            search.agree(&mut ours, &mut theirs);
        }
    }
    assert!(some, "the starts should settle one after the other");
    search.agree(&mut ours, &mut theirs);
    assert!(ours.is_on_gpu());
}

#[test]
fn a_search_survives_its_device() {
    let settle = Settle { window: 4, tolerance: 0.08, minimum_steps: 6 };
    for (settle, before) in [(None, 40), (Some(settle), 12), (None, 0)] {
        let search = Search::new(
            3,
            SolveSettings {
                learning_rate: if settle.is_some() { 0.3 } else { 0.05 },
                settle,
                ..SolveSettings::default()
            },
        );
        let device = solvers();
        let (mut ours, mut theirs) = (search.on(&SolveOn::Gpu(device.clone())), search.on(&SolveOn::Tensors));
        search.steps(&mut ours, &mut theirs, before);
        device.gpu().destroy();
        if before == 40 {
            // What is shown is what was reached.
            search.agree(&mut ours, &mut theirs);
        }
        search.steps(&mut ours, &mut theirs, 20);
        search.agree(&mut ours, &mut theirs);
        assert!(!ours.is_on_gpu());
        let notice = ours.take_notice().unwrap();
        assert!(notice.contains("goes on with the CPU"), "{notice}");
        // Another search on a device that is gone does not even begin there.
        let mut next = search.on(&SolveOn::Gpu(device));
        assert!(!next.is_on_gpu() && next.take_notice().unwrap().contains("lost"));
        next.step().unwrap();
    }
}

#[test]
fn limits_that_are_too_small_leave_a_search_to_the_processor() {
    let adapter = compute::adapter().unwrap();
    let mut limits = adapter.limits();
    limits.max_storage_buffer_binding_size = 32 << 10;
    let small = Gpu::on(&adapter, Some(limits.clone())).unwrap();
    let search = Search::new(2, SolveSettings::default());
    let mut solver = search.on(&SolveOn::Gpu(Arc::new(Solvers::new(Arc::new(small)))));
    assert!(!solver.is_on_gpu());
    let notice = solver.take_notice().unwrap();
    assert!(notice.contains("in one piece") && notice.contains("CPU"), "{notice}");
    search.steps(&mut solver, &mut search.on(&SolveOn::Tensors), 2);
    limits.max_compute_workgroup_storage_size = 1024;
    assert!(Gpu::on(&adapter, Some(limits)).err().unwrap().to_string().contains("too limited"));
}

#[test]
fn losses_that_only_the_processor_knows_are_left_to_it() {
    let networks = Arc::new(small_networks(LossConfig { gram: 1.0, ..LossConfig::perceptual(3) }));
    let y = drawing(5);
    let codes = starting_codes(&*networks, &y, Starts::default(), 2, 9).unwrap();
    let place = SolveOn::Gpu(solvers());
    let mut solver = Solver::on(networks, &y, codes, SolveSettings::default(), &place).unwrap();
    assert!(solver.take_notice().unwrap().contains("only the CPU"));
    solver.step().unwrap();
}

#[test]
fn a_measurement_decides_and_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("below/devices.json");
    let search = Search::new(2, SolveSettings::default());
    let choose = || search.on(&SolveOn::Measured(Arc::new(Measured::between(solvers(), file.clone()))));
    let measured = choose().is_on_gpu();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"cpu\"") && text.contains("2 starts"), "{text}");
    assert_eq!(choose().is_on_gpu(), measured);
    // What is written there counts, so it is not measured again.
    let mut known: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    for gpu in [1e-9, 1e9] {
        known.values_mut().for_each(|seconds| *seconds = serde_json::json!({ "cpu": 1.0, "gpu": gpu }));
        std::fs::write(&file, serde_json::to_string(&known).unwrap()).unwrap();
        assert_eq!(choose().is_on_gpu(), gpu < 1.0);
    }
    std::fs::write(&file, "damaged").unwrap();
    assert_eq!(choose().steps(), 0);
}
