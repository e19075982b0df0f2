//! The window itself, and what it does in every frame: take in what arrived, run commands, draw.

mod arrivals;
mod commands;
mod layout;
mod requests;
mod training;

use super::background::Background;
use super::desktop::Desktop;
use super::new_model::{NewModel, Page};
use super::panels;
use super::report::{Observed, Reporter};
use super::state::{ModelChoice, State};
use super::theme;
use super::trial::{Trial, Wish};
use super::widgets::Scene;
use crate::Result;
use crate::engine::training::Training;
use crate::engine::{Engine, EngineSettings, Request, Wake};
use crate::gpu::{Painter, Screen};
use eframe::egui;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A message that is no failure goes after this time.
const MESSAGE_TIME: Duration = Duration::from_secs(6);

/// What a window is made of; tests bring their own parts.
pub struct Parts {
    /// Starts the engine, given what wakes the window and what it draws with.
    pub engine: Box<dyn FnOnce(Wake, Screen) -> Result<Engine>>,
    /// How a training uses the machine.
    pub training: EngineSettings,
    /// Dialogs and clipboard.
    pub desktop: Arc<dyn Desktop>,
    /// Models to choose from; the first is loaded.
    pub models: Vec<ModelChoice>,
    /// A picture to begin with.
    pub picture: Option<PathBuf>,
    /// What the person set.
    pub settings: super::state::Settings,
    /// Where to write figures about the window.
    pub report: Option<PathBuf>,
    /// When the program began.
    pub begin: Instant,
    /// Measures the window by itself and closes it.
    pub trial: Option<Trial>,
    /// Redraw all the time while refining, to measure frames.
    pub animate: bool,
    /// After how many steps to give up the device that the window draws with, to show that nothing else is lost by that.
    pub lose_device_after: Option<usize>,
}

/// The window.
pub struct Window {
    state: State,
    engine: Engine,
    /// What this window draws with.
    screen: Screen,
    /// The training under way.
    training: Option<Training>,
    training_settings: EngineSettings,
    wake: Wake,
    background: Background,
    painter: Painter,
    reporter: Option<Reporter>,
    trial: Option<Trial>,
    animate: bool,
    lose_device_after: Option<usize>,
    /// What wakes the window wakes this: the context of its present life.
    ctx: Arc<Mutex<egui::Context>>,
    applied: Option<(Option<bool>, f32)>,
    /// Whether the samples of the next search are refined; the first sample of a model is not.
    refine_next: bool,
    /// Whether a text field has the focus.
    editing: bool,
    pasted_text: Option<String>,
}

impl Window {
    /// A window in the making.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(creation: &eframe::CreationContext<'_>, parts: Parts) -> Result<Self> {
        theme::install(&creation.egui_ctx);
        let ctx = Arc::new(Mutex::new(creation.egui_ctx.clone()));
        let woken = ctx.clone();
        // One frame, not the two that `request_repaint` costs from another thread.
        let wake: Wake = Arc::new(move || {
            let ctx = locked(&woken).clone();
            ctx.request_repaint_after(Duration::from_millis(1));
        });
        let mut state = State::default();
        (state.models, state.settings, state.renderer) = (parts.models, parts.settings, renderer(creation));
        let measured = parts.report.is_some() || parts.trial.is_some();
        let painter = Painter::new(creation.wgpu_render_state.as_ref());
        let screen = Screen::default();
        screen.set(painter.device().cloned());
        let mut window = Self {
            engine: (parts.engine)(wake.clone(), screen.clone())?,
            screen,
            training: None,
            training_settings: parts.training,
            background: Background::new(parts.desktop, wake.clone()),
            wake,
            painter,
            reporter: measured.then(|| Reporter::new(parts.report, parts.begin)),
            trial: parts.trial,
            animate: parts.animate,
            lose_device_after: parts.lose_device_after,
            ctx,
            applied: None,
            refine_next: true,
            editing: false,
            pasted_text: None,
            state,
        };
        if let Some(first) = window.state.models.first().map(|model| model.source.clone()) {
            window.load(first);
        }
        if let Some(path) = parts.picture {
            window.read(&path);
        }
        Ok(window)
    }

    /// Goes on in another window, after the device that the first one drew with was lost: what is known stays, and the
    /// pictures that were on that device are asked for again.
    pub fn revive(&mut self, creation: &eframe::CreationContext<'_>) {
        theme::install(&creation.egui_ctx);
        *locked(&self.ctx) = creation.egui_ctx.clone();
        self.painter = Painter::new(creation.wgpu_render_state.as_ref());
        self.screen.set(self.painter.device().cloned());
        self.state.renderer = renderer(creation);
        self.applied = None;
        if let Some(search) = &self.state.search {
            self.engine.send(Request::Show(search.job));
        }
    }

    /// How large the window is, in points of the screen.
    pub fn size(&self) -> egui::Vec2 {
        let ctx = locked(&self.ctx);
        ctx.content_rect().size() * ctx.zoom_factor()
    }

    /// Whether the device that the window drew with, until it ended just now, was lost, so that another window can go on.
    pub fn was_lost(&self) -> bool {
        self.screen.is_lost_after_all()
    }

    /// What the window knows, for tests.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The page for a new model, for tests.
    pub fn new_model(&mut self) -> &mut NewModel {
        &mut self.state.new_model
    }

    fn apply_settings(&mut self, ctx: &egui::Context) {
        let wanted = (self.state.settings.dark, self.state.settings.scale);
        if self.applied != Some(wanted) {
            self.applied = Some(wanted);
            ctx.set_theme(match wanted.0 {
                None => egui::ThemePreference::System,
                Some(true) => egui::ThemePreference::Dark,
                Some(false) => egui::ThemePreference::Light,
            });
            ctx.set_zoom_factor(wanted.1);
        }
    }

    fn take_drops(&mut self, ctx: &egui::Context) {
        let (hovering, dropped) =
            ctx.input(|input| (!input.raw.hovered_files.is_empty(), input.raw.dropped_files.clone()));
        self.state.hovering = hovering;
        if self.state.page == Page::NewModel {
            let paths: Vec<_> = dropped.iter().map(|file| file.path()).collect();
            self.take_folders(&paths);
        } else if let Some(first) = dropped.first() {
            self.read(first.path());
            if dropped.len() > 1 {
                self.state.tell(format!("One picture at a time: the first of {} was taken.", dropped.len()));
            }
        }
    }

    /// Goes on with a trial, if this window is one.
    fn try_out(&mut self, ctx: &egui::Context) {
        let (Some(trial), Some(reporter)) = (&mut self.trial, &self.reporter) else { return };
        let failed = self.state.toasts.iter().any(|toast| toast.is_error);
        match trial.frame(reporter.report(), failed) {
            Wish::Frame(after) => ctx.request_repaint_after(after),
            Wish::Refine => {
                self.state.settings.step_limit = usize::MAX;
                self.find();
                ctx.request_repaint();
            }
            Wish::Close => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
        }
    }

    fn forget_messages(&mut self, ctx: &egui::Context) {
        let now = Instant::now();
        self.state.toasts.retain(|toast| toast.is_error || now - toast.since < MESSAGE_TIME);
        if self.state.toasts.iter().any(|toast| !toast.is_error) {
            ctx.request_repaint_after(MESSAGE_TIME);
        }
    }
}

impl eframe::App for Window {
    fn logic(&mut self, ctx: &egui::Context, frame: &mut eframe::Frame) {
        let refining = self.state.is_refining();
        if let Some(reporter) = &mut self.reporter {
            reporter.frame(&Observed { work: frame.info().cpu_usage, refining, state: &self.state });
        }
        self.try_out(ctx);
        self.apply_settings(ctx);
        self.drain();
        self.take_drops(ctx);
        self.shortcuts(ctx);
        self.forget_messages(ctx);
        if let Some(reporter) = &self.reporter {
            let soon = if refining && self.animate { Some(Duration::ZERO) } else { reporter.next_frame() };
            soon.into_iter().for_each(|soon| ctx.request_repaint_after(soon));
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        if self.screen.is_lost() {
            // Whatever is drawn on a lost device breaks the renderer down.
            ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
            return;
        }
        let mut actions = Vec::new();
        let mut scene = Scene { state: &mut self.state, painter: &mut self.painter, actions: &mut actions };
        layout::lay_out(ui, &mut scene);
        panels::overlays::show(ui, &mut scene);
        if self.state.hovering {
            panels::overlays::veil(ui, self.state.page);
        }
        let ctx = ui.ctx().clone();
        for action in actions {
            self.act(action, &ctx);
        }
        self.look_again();
        if let Some(reporter) = self.reporter.as_mut().filter(|_| self.state.is_refining()) {
            reporter.drawn();
        }
    }

    fn on_exit(&mut self, _: Option<&eframe::glow::Context>) {
        if let Some(reporter) = &mut self.reporter {
            reporter.write();
        }
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }

    /// Pasting is ours, because reading the clipboard may block; text that was pasted goes to the field in focus.
    fn raw_input_hook(&mut self, _: &egui::Context, input: &mut egui::RawInput) {
        if let Some(text) = self.pasted_text.take() {
            input.events.push(egui::Event::Paste(text));
        }
        let mut copies = Vec::new();
        for event in &input.events {
            if let egui::Event::Key { key, pressed: true, modifiers, .. } = event
                && modifiers.command
            {
                match key {
                    egui::Key::C => copies.push(egui::Event::Copy),
                    egui::Key::X => copies.push(egui::Event::Cut),
                    _ => {}
                }
            }
        }
        input.events.extend(copies);
    }
}

/// The value behind a lock, whatever happened to those who held it before.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What draws the window, for the status line.
fn renderer(creation: &eframe::CreationContext<'_>) -> String {
    match &creation.wgpu_render_state {
        Some(state) => {
            let info = state.adapter.get_info();
            let name = info.name.split(" (").next().unwrap_or_default().to_owned();
            format!("{} on {name}", info.backend)
        }
        None => "OpenGL".into(),
    }
}
