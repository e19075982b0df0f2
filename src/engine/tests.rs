//! The engine's logic on a method small enough to be checked by hand: each start counts down to its own goal.

use super::*;
use crate::gpu::Image;
use crate::{Error, Picture};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Each start's loss is `1 / (1 + steps)`; its pictures carry its number and step.
#[derive(Default)]
struct Countdown {
    starts: usize,
    steps: usize,
    settle_after: usize,
    loaded: Option<ModelSource>,
}

impl Countdown {
    fn solution(&self, start: usize, shade: u8) -> Solution {
        let picture = Image::from(Picture::filled(2, 2, [start as u8, self.steps as u8, shade, 255]));
        let loss = 1.0 / (1 + self.steps) as f32;
        Solution { x: picture.clone(), reconstruction: picture, loss, settled: false }
    }
}

impl Method for Countdown {
    fn load(&mut self, source: &ModelSource) -> Result<ModelCard> {
        if let ModelSource::File(path) = source {
            if path.ends_with("panics") {
                panic!("a model that breaks the engine");
            }
            return Err(Error::because("There is no such model.", "no such file"));
        }
        self.loaded = Some(source.clone());
        Ok(ModelCard {
            title: "Countdown".into(),
            domain_x: "numbers".into(),
            domain_y: "numbers".into(),
            size: 2,
            latent: 1,
            y_kind: crate::data::YKind::AsIs,
            preparation: Default::default(),
            has_posterior: true,
            held_out: Default::default(),
            samples: Vec::new(),
            licence: String::new(),
        })
    }

    fn begin(&mut self, _: &Picture, settings: &FindSettings) -> Result<()> {
        (self.starts, self.steps, self.settle_after) = (settings.starts, 0, settings.seed as usize);
        Ok(())
    }

    fn directions(&mut self) -> Result<Vec<f32>> {
        Ok(vec![2.0, 1.0])
    }

    fn step(&mut self) -> Result<Step> {
        std::thread::sleep(Duration::from_millis(1));
        let losses = vec![1.0 / (1 + self.steps) as f32; self.starts];
        self.steps += 1;
        Ok(Step { losses, settled: self.steps >= self.settle_after })
    }

    fn notice(&mut self) -> Option<String> {
        (self.steps == 2).then(|| "Another device goes on.".into())
    }

    fn solutions(&mut self) -> Result<Vec<Solution>> {
        Ok((0..self.starts).map(|start| self.solution(start, 0)).collect())
    }

    fn scrub(&mut self, start: usize, offsets: &[f32; DIRECTIONS]) -> Result<Solution> {
        Ok(self.solution(start, offsets[0] as u8))
    }
}

struct Bench {
    engine: Engine,
    woken: Arc<AtomicUsize>,
    events: Vec<Event>,
    frames: Vec<Arc<Frame>>,
}

impl Bench {
    fn new() -> Self {
        let woken = Arc::new(AtomicUsize::new(0));
        let inside = woken.clone();
        let wake: Wake = Arc::new(move || _ = inside.fetch_add(1, Ordering::SeqCst));
        let engine = Engine::start_with(Countdown::default, wake).unwrap();
        Self { engine, woken, events: Vec::new(), frames: Vec::new() }
    }

    fn find(&self, settings: FindSettings) -> JobId {
        let job = JobId::new();
        let y = Arc::new(Picture::filled(2, 2, [0; 4]));
        self.engine.send(Request::Find { job, y, settings });
        job
    }

    /// Looks at the engine as the window does, until what is waited for has happened.
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !done(self) {
            assert!(begin.elapsed() < Duration::from_secs(20), "no {what}; events: {:?}", self.events);
            self.events.extend(self.engine.events());
            self.frames.extend(self.engine.frame());
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn finished(&self, job: JobId) -> Option<Ending> {
        self.events.iter().find_map(|event| match event {
            Event::Finished { job: of, ending } if *of == job => Some(*ending),
            _ => None,
        })
    }
}

fn endless() -> FindSettings {
    FindSettings { seed: 1_000_000, step_limit: 1_000_000, ..FindSettings::default() }
}

#[test]
fn samples_come_first_and_the_last_frame_arrives() {
    let mut bench = Bench::new();
    let job = bench.find(FindSettings { seed: 60, ..FindSettings::default() });
    bench.until("end", |bench| bench.finished(job).is_some());
    bench.until("last frame", |bench| bench.frames.last().is_some_and(|frame| frame.step == 60));
    assert_eq!(bench.finished(job), Some(Ending::Settled));
    assert_eq!(bench.frames[0].solutions.len(), 16);
    assert!(bench.frames.is_sorted_by_key(|frame| frame.step));
    let last = bench.frames.last().unwrap();
    assert_eq!(last.curves.losses[3].len(), 60, "one point a step");
    assert_eq!(last.solutions[7].loss, 1.0 / 61.0);
    assert!(matches!(&bench.events[0], Event::Started { sigmas, .. } if sigmas == &[2.0, 1.0]));
    assert!(matches!(&bench.events[1], Event::Notice { sentence, .. } if sentence.contains("goes on")));
}

#[test]
fn frames_are_paced_and_wait_for_the_window() {
    let mut bench = Bench::new();
    bench.find(endless());
    std::thread::sleep(Duration::from_millis(300));
    // Nobody looked: one frame, and one fact, and so at most two calls.
    assert!(bench.woken.load(Ordering::SeqCst) <= 2);
    let frame = bench.engine.frame().expect("a frame waits");
    assert_eq!(frame.step, 0, "the frame that was not read is the samples");
    bench.until("a frame of a later step", |bench| bench.frames.last().is_some_and(|frame| frame.step > 10));
}

#[test]
fn pausing_holds_and_continuing_goes_on() {
    let mut bench = Bench::new();
    let job = bench.find(endless());
    bench.until("steps", |bench| bench.frames.last().is_some_and(|frame| frame.step > 3));
    bench.engine.send(Request::Pause(job));
    bench.until("pause", |bench| bench.events.iter().any(|event| matches!(event, Event::Paused(_))));
    bench.until("nothing", |_| true);
    bench.frames.extend(bench.engine.frame());
    let held = bench.frames.last().unwrap().step;
    std::thread::sleep(Duration::from_millis(80));
    assert!(bench.engine.frame().is_none(), "a paused search shows nothing new");
    bench.engine.send(Request::Continue(job));
    bench.until("more steps", |bench| bench.frames.last().unwrap().step > held + 3);
    bench.engine.send(Request::Stop(job));
    bench.until("end", |bench| bench.finished(job).is_some());
    assert_eq!(bench.finished(job), Some(Ending::Stopped));
}

#[test]
fn the_step_limit_ends_and_continuing_extends_it() {
    let mut bench = Bench::new();
    let job = bench.find(FindSettings { step_limit: 5, ..endless() });
    bench.until("end", |bench| bench.finished(job) == Some(Ending::StepLimit));
    bench.events.clear();
    bench.engine.send(Request::Continue(job));
    bench.until("second end", |bench| bench.finished(job) == Some(Ending::StepLimit));
    bench.until("frame", |bench| bench.frames.last().is_some_and(|frame| frame.step == 10));
}

#[test]
fn the_step_limit_can_be_changed_while_a_search_runs() {
    let mut bench = Bench::new();
    let job = bench.find(endless());
    bench.until("steps", |bench| bench.frames.last().is_some_and(|frame| frame.step > 3));
    bench.engine.send(Request::LimitSteps { job: JobId::new(), steps: 1 });
    bench.engine.send(Request::LimitSteps { job, steps: 2000 });
    bench.engine.send(Request::LimitSteps { job, steps: 2 });
    bench.until("end", |bench| bench.finished(job) == Some(Ending::StepLimit));
    assert!(bench.frames.last().unwrap().step < 2000);
    bench.events.clear();
    bench.engine.send(Request::Continue(job));
    bench.until("the end of two more steps", |bench| bench.finished(job) == Some(Ending::StepLimit));
}

#[test]
fn sliders_are_answered_while_a_search_runs() {
    let mut bench = Bench::new();
    let job = bench.find(endless());
    bench.until("steps", |bench| !bench.frames.is_empty());
    let begin = Instant::now();
    bench.engine.send(Request::Scrub { job, start: 4, offsets: [9.0; DIRECTIONS] });
    let scrub = loop {
        if let Some(scrub) = bench.engine.scrub() {
            break scrub;
        }
        assert!(begin.elapsed() < Duration::from_secs(5));
        std::thread::yield_now();
    };
    assert_eq!((scrub.start, scrub.solution.x.picture().unwrap().pixel(0, 0).unwrap()[2]), (4, 9));
    // A start that does not exist, and a search that is over, are no error and no answer.
    bench.engine.send(Request::Scrub { job, start: 16, offsets: [0.0; DIRECTIONS] });
    bench.engine.send(Request::Scrub { job: JobId::new(), start: 0, offsets: [0.0; DIRECTIONS] });
    std::thread::sleep(Duration::from_millis(30));
    assert!(bench.engine.scrub().is_none());
}

#[test]
fn a_panic_is_told_and_a_new_engine_takes_over() {
    let mut bench = Bench::new();
    bench.engine.send(Request::LoadModel { job: JobId::new(), source: ModelSource::Embedded("countdown") });
    bench.until("model", |bench| bench.events.iter().any(|event| matches!(event, Event::ModelLoaded { .. })));
    bench.find(endless());
    bench.until("steps", |bench| bench.frames.len() > 1);
    bench.events.clear();
    bench.engine.send(Request::Panic);
    bench.until("failure", |bench| bench.events.iter().any(|event| matches!(event, Event::Failed { job: None, .. })));
    bench.until("the model again", |bench| bench.events.iter().any(|event| matches!(event, Event::ModelLoaded { .. })));
    let job = bench.find(FindSettings { seed: 3, ..FindSettings::default() });
    bench.until("end", |bench| bench.finished(job).is_some());
}

#[test]
fn a_model_that_panics_is_not_tried_again() {
    let mut bench = Bench::new();
    bench.engine.send(Request::LoadModel { job: JobId::new(), source: ModelSource::File("panics".into()) });
    bench.until("failure", |bench| !bench.events.is_empty());
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(bench.engine.events().len(), 0, "one failure, not one after the other");
    let missing = JobId::new();
    bench.engine.send(Request::LoadModel { job: missing, source: ModelSource::File("missing".into()) });
    bench.until("sentence", |bench| {
        bench.events.iter().any(|event| {
            matches!(event, Event::Failed { job, problem }
                if *job == Some(missing) && problem.sentence == "There is no such model." && problem.causes == ["no such file"])
        })
    });
}
