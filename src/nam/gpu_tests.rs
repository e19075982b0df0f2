//! A search on a graphics processor against the same search on the CPU, and what happens when it fails half-way.

use super::half::{TOLERANCE, largest_difference};
use super::tests::{drawing, largest_difference as largest_of_tensors, small_networks};
use super::*;
use crate::Picture;
use crate::gpu::{Image, compute};
use crate::model_file::LossConfig;
use crate::nets::{Params, Perceptual, PerceptualConfig, PerceptualKind};
use crate::ops::tests::values;
use crate::plan::tests::{Networks, lively, networks as lively_networks, student, vgg};
use crate::plan::wgpu::{Gpu, Solvers};
use candle_core::{DType, Tensor};
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
        Self::of(lively_networks(32, 8, 3, false, &student()), starts, settings)
    }

    fn of(networks: Networks, starts: usize, settings: SolveSettings) -> Self {
        let loss = LossConfig::perceptual(3);
        let Networks { generator, mapping, perceptual } = networks;
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
        assert!(largest_of_tensors(&found.x, &wanted.x) < 0.02);
        assert!(largest_of_tensors(&found.reconstruction, &wanted.reconstruction) < 0.02);
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
fn a_hundred_steps_with_a_network_like_vgg16_are_those_of_the_processor() {
    let settings = SolveSettings { learning_rate: 0.05, ..SolveSettings::default() };
    let search = Search::of(lively_networks(32, 6, 3, true, &vgg()), 2, settings);
    let (mut ours, mut theirs) = (search.on(&SolveOn::Gpu(solvers())), search.on(&SolveOn::Tensors));
    search.steps(&mut ours, &mut theirs, 100);
    search.agree(&mut ours, &mut theirs);
    assert!(ours.is_on_gpu() && ours.take_notice().is_none());
}

/// The graphics processor with half precision, findings in a file; `None` where the adapter has no f16.
fn half(file: std::path::PathBuf) -> Option<Arc<Half>> {
    let solvers = solvers();
    if Gpu::on(solvers.gpu().place().clone()).unwrap().with_half().is_err() {
        println!("this adapter does not compute in f16");
        return None;
    }
    Some(Arc::new(Half::of(solvers, file)))
}

#[test]
fn a_search_in_half_precision_explains_an_image_as_well() {
    let Ok(gpu) = Gpu::open().unwrap().with_half() else {
        println!("this adapter does not compute in f16");
        return;
    };
    let search = Search::new(3, SolveSettings { learning_rate: 0.05, ..SolveSettings::default() });
    let full = solvers();
    let on = || search.on(&SolveOn::Gpu(full.clone()));
    let mut in_half = search.on(&SolveOn::Gpu(Arc::new(Solvers::new(Arc::new(gpu)))));
    let off = largest_difference(&mut on(), &mut in_half, 100).unwrap();
    // Codes rounded to f16 once, everything else as it was.
    let rounded = search.codes.to_dtype(DType::F16).unwrap().to_dtype(DType::F32).unwrap();
    let rounded = Search { codes: rounded, networks: search.networks.clone(), y: search.y.clone(), ..search };
    let control = largest_difference(&mut on(), &mut rounded.on(&SolveOn::Gpu(full.clone())), 100).unwrap();
    println!("lowest losses in half precision: {off} off; with rounded codes: {control}");
    assert!(in_half.is_on_gpu() && off <= TOLERANCE, "{off}");
}

#[test]
fn half_precision_is_checked_once_and_left_where_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("half.json");
    let search = Search::new(2, SolveSettings::default());
    let Some(place) = half(file.clone()) else { return };
    let mut good = search.on(&SolveOn::Half(place.clone()));
    assert!(good.is_on_gpu() && good.take_notice().is_none());
    let known = || -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap()
    };
    assert_eq!(known().len(), 1, "{:?}", known());
    // What is kept counts, so it is not found out again.
    let mut kept = known();
    kept.values_mut().for_each(|off| *off = serde_json::json!(0.25));
    std::fs::write(&file, serde_json::to_string(&kept).unwrap()).unwrap();
    let again = half(file.clone()).unwrap();
    let mut left = search.on(&SolveOn::Half(again.clone()));
    let notice = left.take_notice().unwrap();
    assert!(left.is_on_gpu() && notice.contains("by 25.0 %") && notice.contains("single precision"), "{notice}");
    // A network whose features are beyond the largest number of f16.
    let mut networks = lively_networks(32, 8, 3, false, &student());
    let weights = lively(&student(), 3).weights().unwrap();
    let large = weights.iter().map(|(name, tensor)| (name.clone(), (tensor * 40.0).unwrap()));
    networks.perceptual = Perceptual::new(&student(), &Params::frozen(large.collect())).unwrap();
    let search = Search::of(networks, 2, SolveSettings::default());
    let mut solver = search.on(&SolveOn::Half(again));
    let notice = solver.take_notice().unwrap();
    assert!(solver.is_on_gpu() && notice.contains("altogether"), "{notice}");
    search.steps(&mut solver, &mut search.on(&SolveOn::Tensors), 5);
    assert_eq!(known().len(), 2);
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
        device.gpu().place().destroy();
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
fn pictures_stay_on_the_windows_device_until_they_are_asked_for() {
    let search = Search::new(3, SolveSettings { learning_rate: 0.05, ..SolveSettings::default() });
    let mut place = compute::open(&compute::adapter().unwrap(), None).unwrap();
    place.draws = true;
    let device = Arc::new(Solvers::new(Arc::new(Gpu::on(place).unwrap())));
    let (mut ours, mut theirs) = (search.on(&SolveOn::Gpu(device.clone())), search.on(&SolveOn::Tensors));
    assert!(ours.sheet().unwrap().is_none(), "there are no pictures before the first step");
    search.steps(&mut ours, &mut theirs, 3);
    let images = |solver: &mut Solver| {
        let (sheet, losses) = solver.sheet().unwrap().unwrap();
        assert_eq!(losses, solver.step_report().losses);
        let images: Vec<_> = (0..6).map(|layer| Image::Sheet(sheet.clone(), layer)).collect();
        images
    };
    let pictures =
        |images: &[Image]| -> Vec<_> { images.iter().map(|image| (*image.picture().unwrap()).clone()).collect() };
    let first = images(&mut ours);
    let kept = pictures(&first);
    let latest = ours.latest().unwrap().unwrap();
    for (i, picture) in kept.iter().enumerate() {
        let batch = if i % 2 == 0 { &latest.x } else { &latest.reconstruction };
        let planes = values(&batch.narrow(0, i / 2, 1).unwrap());
        let wanted = Picture::from_planes(&planes, 3, 32, 32).unwrap();
        let off = picture.rgba().iter().zip(wanted.rgba()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off <= Some(1), "picture {i} is {off:?} off");
    }
    search.steps(&mut ours, &mut theirs, 2);
    let second = images(&mut ours);
    assert_ne!(pictures(&second), kept);
    assert_eq!(pictures(&first), kept, "what the window holds stays as it is");
    drop(first);
    search.steps(&mut ours, &mut theirs, 1);
    images(&mut ours);
    assert_ne!(pictures(&second), kept);
    // With the device go the pictures, but not the search.
    device.gpu().place().destroy();
    assert!(second[0].picture().unwrap_err().to_string().contains("were lost"));
    assert!(ours.sheet().unwrap().is_none() && !ours.is_on_gpu());
    search.agree(&mut ours, &mut theirs);
    search.steps(&mut ours, &mut theirs, 2);
    // One that the window does not draw with shows nothing there.
    let mut other = search.on(&SolveOn::Gpu(solvers()));
    other.step().unwrap();
    assert!(other.sheet().unwrap().is_none() && other.is_on_gpu());
}

#[test]
fn limits_that_are_too_small_leave_a_search_to_the_processor() {
    let adapter = compute::adapter().unwrap();
    let mut limits = adapter.limits();
    limits.max_storage_buffer_binding_size = 32 << 10;
    let open = |limits| compute::open(&adapter, Some(limits)).and_then(Gpu::on);
    let small = open(limits.clone()).unwrap();
    let search = Search::new(2, SolveSettings::default());
    let mut solver = search.on(&SolveOn::Gpu(Arc::new(Solvers::new(Arc::new(small)))));
    assert!(!solver.is_on_gpu());
    let notice = solver.take_notice().unwrap();
    assert!(notice.contains("in one piece") && notice.contains("CPU"), "{notice}");
    search.steps(&mut solver, &mut search.on(&SolveOn::Tensors), 2);
    limits.max_compute_workgroup_storage_size = 1024;
    assert!(open(limits).err().unwrap().to_string().contains("too limited"));
}

/// Bytes of this process's address space.
#[cfg(target_os = "linux")]
fn address_space() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmSize:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// A software adapter's memory is the process's: what a limit of that refuses is a full card.
#[cfg(target_os = "linux")]
#[test]
fn a_full_memory_leaves_a_search_to_the_processor() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    const CHILD: &str = "COUNTERPART_TEST_OF_A_FULL_MEMORY";
    const NAME: &str = "nam::gpu_tests::a_full_memory_leaves_a_search_to_the_processor";
    /// What is left to the process: too little for another block of the device's memory, enough for the processor.
    const ROOM: u64 = 96 << 20;
    if !solvers().gpu().is_software() {
        println!("this adapter has memory of its own");
        return;
    }
    if std::env::var_os(CHILD).is_none() {
        // The limit is the whole process's, so this is done in one of its own.
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", NAME, "--nocapture"]).env(CHILD, "1").output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let count = 768;
    let search = Search::new(2, SolveSettings { at_once: count, ..SolveSettings::default() });
    let place = SolveOn::Gpu(solvers());
    // Kernels are compiled and threads begun before memory becomes scarce.
    let mut before = search.on(&place);
    search.steps(&mut before, &mut search.on(&SolveOn::Tensors), 2);
    let codes = Tensor::cat(&vec![search.codes.clone(); count / 2], 0).unwrap();
    let large = Search { codes, networks: search.networks.clone(), y: search.y.clone(), settings: search.settings };
    let limit = Rlimit { current: Some(address_space() + ROOM), maximum: None };
    setrlimit(Resource::As, limit).unwrap();
    let mut solver = large.on(&place);
    let notice = solver.take_notice().unwrap();
    println!("{notice}");
    assert!(!solver.is_on_gpu() && notice.contains("no room") && notice.contains("CPU"), "{notice}");
    // It finishes there, and what fits goes on where it is.
    let mut reference = search.on(&SolveOn::Tensors);
    for _ in 0..2 {
        let (found, wanted) = (solver.step().unwrap().losses, reference.step().unwrap().losses);
        assert!(found.chunks_exact(2).all(|pair| pair.iter().zip(&wanted).all(|(a, b)| (a - b).abs() <= 1e-5 * b)));
    }
    before.step().unwrap();
    assert!(before.is_on_gpu() && before.take_notice().is_none());
}

#[test]
fn networks_that_only_the_processor_knows_are_left_to_it() {
    let mut networks = small_networks(LossConfig::perceptual(2));
    // Its convolutions mirror what lies beyond the edge.
    let config = PerceptualConfig { kind: PerceptualKind::VggNormalised, widths: vec![4; 5], normalise: true };
    networks.perceptual = Some(Arc::new(Perceptual::new(&config, &lively(&config, 1)).unwrap()));
    let networks = Arc::new(networks);
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
