//! A window without a display, driven by the names of what is in it.

#![allow(dead_code, reason = "each test uses its part")]

use crate::support;
use counterpart::app::desktop::{Clipping, Desktop};
use counterpart::app::state::{ModelChoice, Phase, Settings};
use counterpart::app::{Parts, Window};
use counterpart::engine::{Engine, EngineSettings, ModelSource, NamMethod};
use counterpart::model_file::HeldOut;
use counterpart::{Error, Result};
use eframe::egui::{self, Key, Modifiers, Vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Time for what takes some seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A desktop whose answers are known.
#[derive(Default)]
pub struct TestDesktop {
    pub picture: Option<PathBuf>,
    pub export: Option<PathBuf>,
    pub clipping: Option<Clipping>,
    /// Folders of X and of Y.
    pub folders: [Vec<PathBuf>; 2],
    pub generator: Option<PathBuf>,
    pub place: Option<PathBuf>,
    /// Outlives the window, as a real desktop's memory does.
    pub remembered: Arc<Mutex<Option<PathBuf>>>,
    pub asked: Mutex<Vec<String>>,
}

impl Desktop for TestDesktop {
    fn pick_picture(&self) -> Result<Option<PathBuf>> {
        Ok(self.picture.clone())
    }

    fn pick_model(&self) -> Result<Option<PathBuf>> {
        Err(Error::new("No file dialog could be opened."))
    }

    fn pick_export(&self, name: &str) -> Result<Option<PathBuf>> {
        self.asked.lock().unwrap().push(name.to_owned());
        Ok(self.export.clone())
    }

    fn pick_folders(&self, heading: &str) -> Result<Option<Vec<PathBuf>>> {
        let folders = &self.folders[usize::from(heading.contains(" Y"))];
        Ok((!folders.is_empty()).then(|| folders.clone()))
    }

    fn pick_generator(&self) -> Result<Option<PathBuf>> {
        Ok(self.generator.clone())
    }

    fn pick_place(&self, name: &str) -> Result<Option<PathBuf>> {
        self.asked.lock().unwrap().push(name.to_owned());
        Ok(self.place.clone())
    }

    fn last_training(&self) -> Option<PathBuf> {
        self.remembered.lock().unwrap().clone()
    }

    fn remember_training(&self, out: Option<&Path>) -> Result<()> {
        *self.remembered.lock().unwrap() = out.map(Path::to_owned);
        Ok(())
    }

    fn clipboard(&self) -> Result<Clipping> {
        self.clipping.clone().ok_or_else(|| Error::new("There is no picture on the clipboard."))
    }
}

/// A dropped file.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}

/// A window on a small model, and the files of a test.
pub struct Stage {
    pub harness: Harness<'static, Window>,
    pub folder: tempfile::TempDir,
}

impl Stage {
    pub fn new(desktop: TestDesktop, settings: Settings, size: Vec2) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("random.safetensors");
        support::write_random_model(&model);
        Self::with_model(desktop, settings, size, folder, model)
    }

    pub fn with_model(
        desktop: TestDesktop,
        settings: Settings,
        size: Vec2,
        folder: tempfile::TempDir,
        model: PathBuf,
    ) -> Self {
        let parts = Self::parts(desktop, settings, model);
        let harness = Harness::builder().with_size(size).build_eframe(|creation| Window::new(creation, parts).unwrap());
        Self { harness, folder }
    }

    fn parts(desktop: TestDesktop, settings: Settings, model: PathBuf) -> Parts {
        Parts {
            engine: Box::new(|wake, screen| {
                Engine::start_with(move || NamMethod::new(candle_core::Device::Cpu, screen.clone()), wake)
            }),
            training: EngineSettings::default(),
            desktop: Arc::new(desktop),
            models: vec![ModelChoice { source: ModelSource::File(model), label: "Random weights".into() }],
            picture: None,
            settings,
            report: None,
            begin: Instant::now(),
            trial: None,
            animate: false,
            lose_device_after: None,
        }
    }

    /// A window that draws with a device, and refines with it.
    pub fn drawn(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("random.safetensors");
        support::write_random_model(&model);
        let parts = Self::parts(TestDesktop::default(), settings, model);
        let builder = Harness::builder().with_size(Vec2::new(1360.0, 860.0)).wgpu();
        Self { harness: builder.build_eframe(|creation| Window::new(creation, parts).unwrap()), folder }
    }

    pub fn usual() -> Self {
        Self::new(TestDesktop::default(), Settings::default(), Vec2::new(1360.0, 860.0))
    }

    /// With a model whose held-out images are said to have had losses from `low` to twice as much after three steps.
    pub fn measured(low: f32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("measured.safetensors");
        let losses: Vec<f32> = (0..=100).map(|i| low * (1.0 + i as f32 / 100.0)).collect();
        support::write_random_model_measured(&model, HeldOut::from_losses(&losses, 2, 3));
        Self::with_model(TestDesktop::default(), Settings::default(), Vec2::new(1360.0, 860.0), folder, model)
    }

    /// Draws frames until something holds.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !holds(self) {
            assert!(begin.elapsed() < PATIENCE, "no {what}");
            std::thread::sleep(Duration::from_millis(5));
            self.harness.step();
        }
        self.harness.step();
    }

    pub fn has(&self, label: &str) -> bool {
        self.harness.query_all_by_label_contains(label).next().is_some()
    }

    pub fn count(&self, label: &str) -> usize {
        self.harness.query_all_by_label_contains(label).count()
    }

    pub fn phase(&self) -> Option<Phase> {
        self.harness.state().state().search.as_ref().map(|search| search.phase)
    }

    pub fn step(&self) -> usize {
        self.harness.state().state().frame().map_or(0, |frame| frame.step)
    }

    pub fn drop_file(&mut self, path: PathBuf) {
        self.harness.input_mut().dropped_files.push(Arc::new(Dropped(path)));
    }

    pub fn drop_drawing(&mut self, name: &str, height: usize) {
        let path = self.folder.path().join(name);
        support::write_png(&path, &support::drawing(200, height));
        self.drop_file(path);
        self.until("solutions", |stage| {
            let state = stage.harness.state().state();
            state.input.as_ref().is_some_and(|input| input.name == name)
                && state.frame().is_some()
                && stage.phase() == Some(Phase::Refining)
        });
    }

    pub fn press(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.harness.step();
        self.harness.step();
    }
}
