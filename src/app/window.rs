//! The window itself: drains what arrived, runs commands, lays the panels out.

use super::background::{Arrival, Arrived, Background};
use super::command::Command;
use super::desktop::Desktop;
use super::panels;
use super::report::{Observed, Reporter};
use super::state::{Choices, Comparison, Input, LoadedModel, ModelChoice, Phase, SearchView, State};
use super::theme::{self, GAP, MARGIN, SECTION, tokens};
use super::wall_export::Wall;
use super::widgets::{Action, Scene};
use crate::Result;
use crate::engine::{Engine, Event, FindSettings, JobId, ModelSource, Problem, Request, Wake};
use crate::gpu::Painter;
use eframe::egui::{self, Frame, Margin, Vec2};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A message that is no failure goes after this time.
const MESSAGE_TIME: Duration = Duration::from_secs(6);
/// Width of the side panels, in points.
const SIDE: f32 = 300.0;
/// Width of the only side panel of a window that is not wide, in points.
const NARROW_SIDE: f32 = 236.0;

/// What a window is made of; tests bring their own parts.
pub struct Parts {
    /// Starts the engine, given what wakes the window.
    pub engine: Box<dyn FnOnce(Wake) -> Result<Engine>>,
    /// Dialogs and clipboard.
    pub desktop: Arc<dyn Desktop>,
    /// Models to choose from; the first is loaded.
    pub models: Vec<ModelChoice>,
    /// A picture to begin with.
    pub picture: Option<PathBuf>,
    /// What the person set.
    pub settings: super::state::Settings,
    /// Where to write figures about the window, and when the program began.
    pub report: Option<(PathBuf, Instant)>,
    /// Redraw all the time while refining, to measure frames.
    pub animate: bool,
}

/// The window.
pub struct Window {
    state: State,
    engine: Engine,
    background: Background,
    painter: Painter,
    reporter: Option<Reporter>,
    animate: bool,
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
        let ctx = creation.egui_ctx.clone();
        theme::install(&ctx);
        // One frame, not the two that `request_repaint` costs from another thread.
        let wake: Wake = Arc::new(move || ctx.request_repaint_after(Duration::from_millis(1)));
        let mut state = State::default();
        (state.models, state.settings, state.renderer) = (parts.models, parts.settings, renderer(creation));
        let mut window = Self {
            engine: (parts.engine)(wake.clone())?,
            background: Background::new(parts.desktop, wake),
            painter: Painter::new(creation.wgpu_render_state.as_ref()),
            reporter: parts.report.map(|(path, begin)| Reporter::new(path, begin)),
            animate: parts.animate,
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

    /// What the window knows, for tests.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Runs a command as a menu does.
    pub fn run(&mut self, command: Command, ctx: &egui::Context) {
        if !command.enabled(&self.state) {
            return;
        }
        let settings = &mut self.state.settings;
        match command {
            Command::OpenPicture => self.dialog(Background::pick_picture),
            Command::OpenModel => self.dialog(Background::pick_model),
            Command::Paste => self.background.paste(),
            Command::ExportWall => {
                let name = format!("{}-counterparts.png", self.state.input.as_ref().map_or("wall", |i| stem(&i.name)));
                self.dialog(|background| background.pick_export(name));
            }
            Command::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
            Command::Start => self.find(),
            Command::Reroll => {
                settings.seed = settings.seed.wrapping_add(1) & u64::from(u32::MAX);
                self.find();
            }
            Command::Pause => self.control(Request::Pause),
            Command::Continue => self.control(Request::Continue),
            Command::Stop => self.control(Request::Stop),
            Command::BetterSolution => self.step_choice(-1),
            Command::WorseSolution => self.step_choice(1),
            Command::FollowBest => {
                if let Some(search) = &mut self.state.search {
                    search.choose(search.order.first().copied().unwrap_or(0));
                    search.chosen_by_hand = false;
                }
            }
            Command::ResetDirections => {
                if let Some(search) = &mut self.state.search {
                    search.offsets = Default::default();
                    search.scrub = None;
                }
            }
            Command::CompareDifference => settings.comparison = Comparison::Difference,
            Command::CompareHeat => settings.comparison = Comparison::Heat,
            Command::CompareSplit => settings.comparison = Comparison::Split,
            Command::ToggleSmooth => settings.smooth = !settings.smooth,
            Command::ToggleTheme => settings.dark = Some(ctx.theme() != egui::Theme::Dark),
            Command::ScaleUp => settings.scale = (settings.scale + 0.1).min(2.0),
            Command::ScaleDown => settings.scale = (settings.scale - 0.1).max(1.0),
            Command::ScaleReset => settings.scale = 1.0,
            Command::Palette => self.state.palette = Some(String::new()),
            Command::Shortcuts => self.state.shortcuts = true,
        }
    }

    fn dialog(&mut self, open: impl FnOnce(&Background)) {
        self.state.in_dialog = true;
        open(&self.background);
    }

    fn control(&self, request: fn(JobId) -> Request) {
        if let Some(search) = &self.state.search {
            self.engine.send(request(search.job));
        }
    }

    fn step_choice(&mut self, by: isize) {
        if let Some(search) = &mut self.state.search {
            let rank = search.rank(search.chosen).saturating_add_signed(by);
            if let Some(&start) = search.order.get(rank) {
                search.choose(start);
            }
        }
    }

    fn load(&mut self, source: ModelSource) {
        let job = JobId::new();
        self.state.loading = Some((job, source.clone()));
        self.engine.send(Request::LoadModel { job, source });
    }

    /// Takes a file that was dropped, opened or pasted by its path: a model or a picture.
    fn read(&mut self, path: &Path) {
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors")) {
            return self.load(ModelSource::File(path.to_owned()));
        }
        if let Some(reporter) = &mut self.reporter {
            reporter.dropped();
        }
        self.state.reading = Some(path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned());
        self.background.read(path.to_owned());
    }

    fn use_picture(&mut self, arrived: Arrived) {
        self.state.reading = None;
        self.refine_next = true;
        self.state.input = Some(Input {
            name: arrived.name,
            original: Some(arrived.picture),
            thumbnail: arrived.thumbnail,
            is_photo: arrived.is_photo,
            choices: None,
            y: None,
            preparing: 0,
        });
        self.prepare();
    }

    fn use_sample(&mut self, i: usize) {
        let Some(sample) = self.state.model.as_ref().and_then(|model| model.card.samples.get(i)).cloned() else {
            return;
        };
        self.state.input = Some(Input {
            name: format!("Sample {}", i + 1),
            original: None,
            thumbnail: sample.clone(),
            is_photo: false,
            choices: None,
            y: Some(sample),
            preparing: 0,
        });
        self.find();
    }

    /// Starts the preparation of the input for the model; the search follows when it is done.
    fn prepare(&mut self) {
        let (Some(model), Some(input)) = (&self.state.model, &mut self.state.input) else { return };
        let Some(original) = &input.original else { return };
        let card = &model.card;
        let choices = *input.choices.get_or_insert_with(|| Choices::suited(card, input.is_photo));
        input.preparing += 1;
        self.background.prepare(input.preparing, original.clone(), choices.preparation(card));
    }

    /// Starts a search for the input as it is prepared.
    fn find(&mut self) {
        let Some(y) = self.state.input.as_ref().and_then(|input| input.y.clone()) else { return };
        let settings = &self.state.settings;
        let job = JobId::new();
        let find = FindSettings {
            seed: settings.seed,
            refine: settings.refine && std::mem::replace(&mut self.refine_next, true),
            step_limit: settings.step_limit,
            ..FindSettings::default()
        };
        let mut search = SearchView::new(job, y.clone(), settings.seed);
        // The old pictures stay on the wall until the new ones come: no flicker.
        if let Some(old) = self.state.search.take().filter(|old| Arc::ptr_eq(&old.y, &y)) {
            (search.frame, search.order) = (old.frame, old.order);
        }
        self.state.search = Some(search);
        self.engine.send(Request::Find { job, y, settings: find });
    }

    fn on_event(&mut self, event: Event) {
        let state = &mut self.state;
        match event {
            Event::ModelLoaded { job, card } => {
                let Some((_, source)) = state.loading.take_if(|(loading, _)| *loading == job) else { return };
                if !state.models.iter().any(|model| model.source == source) {
                    state.models.push(ModelChoice { source: source.clone(), label: card.title.clone() });
                }
                state.search = None;
                let has_samples = !card.samples.is_empty();
                state.model = Some(LoadedModel { job, source, card });
                if let Some(input) = state.input.as_mut().filter(|input| input.original.is_some()) {
                    // Another model wants its pictures prepared another way.
                    (input.choices, input.y) = (None, None);
                    self.prepare();
                } else if has_samples && state.reading.is_none() {
                    self.refine_next = false;
                    self.use_sample(0);
                } else {
                    state.input = None;
                }
            }
            Event::Started { job, sigmas } => {
                if let Some(search) = state.search.as_mut().filter(|search| search.job == job) {
                    search.sigmas = sigmas;
                    search.phase = Phase::Refining;
                }
            }
            Event::Paused(job) => self.set_phase(job, Phase::Paused),
            Event::Continued(job) => self.set_phase(job, Phase::Refining),
            Event::Finished { job, ending } => self.set_phase(job, Phase::Over(ending)),
            Event::Failed { job, problem } => {
                state.loading.take_if(|(loading, _)| job.is_none() || job == Some(*loading));
                if let Some(search) = state.search.as_mut().filter(|search| job.is_none_or(|job| job == search.job)) {
                    search.phase = Phase::Failed;
                }
                state.fail(problem);
            }
        }
    }

    fn set_phase(&mut self, job: JobId, phase: Phase) {
        if let Some(search) = self.state.search.as_mut().filter(|search| search.job == job) {
            search.phase = phase;
        }
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Picture(arrived) => self.use_picture(arrived),
            Arrival::NoPicture(problem) => {
                self.state.reading = None;
                self.state.fail(problem);
            }
            Arrival::Text(text) => self.on_text(text),
            Arrival::Prepared(number, y) => {
                if let Some(input) = self.state.input.as_mut().filter(|input| input.preparing == number) {
                    input.y = Some(y);
                    self.find();
                }
            }
            Arrival::PicturePicked(path) | Arrival::ModelPicked(path) => {
                self.state.in_dialog = false;
                self.read(&path);
            }
            Arrival::ExportPicked(path) => {
                self.state.in_dialog = false;
                self.export(path);
            }
            Arrival::Cancelled => self.state.in_dialog = false,
            Arrival::DialogFailed(problem) => {
                self.state.in_dialog = false;
                self.state.reading = None;
                self.state.fail(problem);
            }
            Arrival::Exported(written) => {
                self.state.exporting = false;
                match written {
                    Ok(path) => self.state.tell(format!("The wall is in {}.", path.display())),
                    Err(problem) => self.state.fail(problem),
                }
            }
        }
    }

    /// Text from the clipboard: for the field that is being edited, else the path of a picture.
    fn on_text(&mut self, text: String) {
        if self.editing {
            self.pasted_text = Some(text);
            return;
        }
        let line = text.lines().next().unwrap_or_default().trim();
        let path = PathBuf::from(line.strip_prefix("file://").unwrap_or(line));
        if path.is_absolute() {
            self.read(&path);
        } else {
            self.state.fail(Problem::new(
                "There is text on the clipboard, not a picture; copy a picture, or drop its file on the window.",
            ));
        }
    }

    fn export(&mut self, path: PathBuf) {
        let Some(search) = &self.state.search else { return };
        let Some(frame) = search.frame.clone() else { return };
        self.state.exporting = true;
        let wall = Wall {
            title: self.state.model.as_ref().map_or_else(String::new, |model| model.card.title.clone()),
            input: self.state.input.as_ref().map_or_else(String::new, |input| input.name.clone()),
            y: search.y.clone(),
            seed: search.seed,
            order: search.order.clone(),
            frame,
        };
        self.background.export(path, move || wall.draw());
    }

    fn shortcuts(&mut self, ctx: &egui::Context) {
        self.editing = ctx.text_edit_focused();
        if self.editing
            && ctx.input_mut(|input| Command::Paste.shortcut().is_some_and(|keys| input.consume_shortcut(&keys)))
        {
            self.background.paste();
        }
        if self.state.palette.is_some() || self.state.shortcuts {
            return;
        }
        let editing = self.editing;
        // Keys with Shift first: Ctrl+O also fits Ctrl+Shift+O.
        let mut commands = Command::ALL;
        commands.sort_by_key(|command| command.shortcut().is_none_or(|keys| !keys.modifiers.shift));
        for command in commands {
            let edits = [Command::BetterSolution, Command::WorseSolution, Command::ResetDirections].contains(&command);
            let Some(keys) = command.shortcut().filter(|_| !(editing && edits)) else { continue };
            if command.enabled(&self.state) && ctx.input_mut(|input| input.consume_shortcut(&keys)) {
                self.run(command, ctx);
            }
        }
    }

    fn act(&mut self, action: Action, ctx: &egui::Context) {
        match action {
            Action::Run(command) => self.run(command, ctx),
            Action::UseModel(i) => {
                if let Some(source) = self.state.models.get(i).map(|model| model.source.clone()) {
                    self.load(source);
                }
            }
            Action::UseSample(i) => self.use_sample(i),
            Action::Prepare => self.prepare(),
            Action::Choose(start) => {
                if let Some(search) = &mut self.state.search {
                    search.choose(start);
                }
            }
            Action::Scrub => self.scrub(),
            Action::Dismiss(number) => self.state.toasts.retain(|toast| toast.number != number),
        }
    }

    fn scrub(&self) {
        if let Some(search) = self.state.search.as_ref().filter(|search| search.is_scrubbed()) {
            let (job, start, offsets) = (search.job, search.chosen, search.offsets);
            self.engine.send(Request::Scrub { job, start, offsets });
        }
    }

    /// Takes in what came since the last frame.
    fn drain(&mut self) {
        for event in self.engine.events() {
            self.on_event(event);
        }
        if let Some(frame) = self.engine.frame()
            && let Some(search) = self.state.search.as_mut().filter(|search| search.job == frame.job)
        {
            if frame.step == 0
                && let Some(reporter) = &mut self.reporter
            {
                reporter.shows_samples();
            }
            search.show(frame, Instant::now());
            // The solution under the sliders has moved on.
            self.scrub();
        }
        if let Some(scrub) = self.engine.scrub()
            && let Some(search) = self.state.search.as_mut().filter(|search| search.job == scrub.job)
        {
            search.scrub = Some(scrub);
        }
        for arrival in self.background.arrivals() {
            self.on_arrival(arrival);
        }
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
        if let Some(first) = dropped.first() {
            self.read(first.path());
            if dropped.len() > 1 {
                self.state.tell(format!("One picture at a time: the first of {} was taken.", dropped.len()));
            }
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
        let refining = self.state.search.as_ref().is_some_and(|search| search.phase == Phase::Refining);
        if let Some(reporter) = &mut self.reporter {
            reporter.frame(&Observed { work: frame.info().cpu_usage, refining, state: &self.state });
            // The report speaks of a frame when the next begins.
            let soon = if refining && self.animate { Duration::ZERO } else { Duration::from_millis(100) };
            ctx.request_repaint_after(soon);
        }
        self.apply_settings(ctx);
        self.drain();
        self.take_drops(ctx);
        self.shortcuts(ctx);
        self.forget_messages(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        let mut actions = Vec::new();
        let mut scene = Scene { state: &mut self.state, painter: &mut self.painter, actions: &mut actions };
        lay_out(ui, &mut scene);
        panels::overlays::show(ui, &mut scene);
        if self.state.hovering {
            panels::overlays::veil(ui);
        }
        let ctx = ui.ctx().clone();
        for action in actions {
            self.act(action, &ctx);
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

/// Panels around the solutions; in a narrow window below each other.
fn lay_out(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let tokens = tokens(ui);
    // The window is cleared to the panels' colour, and the canvas is filled by the cheapest shader there is: egui's own
    // rectangles of that size take a software driver longer than all the rest.
    let bar = |horizontal| Frame::new().inner_margin(Margin::symmetric(horizontal, 0));
    egui::Panel::top("bar").exact_size(46.0).frame(bar(MARGIN)).show(ui, |ui| panels::top_bar::show(ui, scene));
    egui::Panel::bottom("status")
        .exact_size(28.0)
        .frame(bar(MARGIN))
        .show(ui, |ui| panels::status::show(ui, scene.state));
    let side = Frame::new().inner_margin(Margin { left: MARGIN, right: 4, top: 14, bottom: 4 });
    let canvas = Frame::new().inner_margin(Margin::same(MARGIN));
    let fill = |ui: &egui::Ui, scene: &Scene<'_>| {
        scene.painter.fill(ui, ui.max_rect().expand(f32::from(MARGIN)), tokens.canvas);
    };
    let width = ui.available_width();
    if width < theme::NARROW {
        egui::CentralPanel::default().frame(canvas).show(ui, |ui| {
            fill(ui, scene);
            egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| one_column(ui, scene));
        });
        return;
    }
    let wide = width >= theme::WIDE;
    let side_width = if wide { SIDE } else { NARROW_SIDE };
    egui::Panel::left("picture").exact_size(side_width).resizable(false).frame(side).show(ui, |ui| {
        scrolled(ui, |ui| {
            panels::input::show(ui, scene);
            if !wide {
                ui.add_space(SECTION);
                search(ui, scene);
            }
        });
    });
    if wide {
        egui::Panel::right("search").exact_size(SIDE).resizable(false).frame(side).show(ui, |ui| {
            scrolled(ui, |ui| search(ui, scene));
        });
    }
    egui::CentralPanel::default().frame(canvas).show(ui, |ui| {
        fill(ui, scene);
        let area = ui.available_size();
        egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| solutions(ui, scene, area));
    });
}

fn search(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    panels::refinement::show(ui, scene);
    ui.add_space(SECTION - GAP);
    panels::directions::show(ui, scene);
}

fn scrolled(ui: &mut egui::Ui, contents: impl FnOnce(&mut egui::Ui)) {
    egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.set_max_width(ui.available_width() - f32::from(MARGIN - 4));
        contents(ui);
    });
}

/// Wall above, the chosen solution below it; both as large as the area allows.
fn solutions(ui: &mut egui::Ui, scene: &mut Scene<'_>, area: Vec2) {
    const TITLE: f32 = 30.0;
    let count = scene.state.frame().map_or(16, |frame| frame.solutions.len());
    let detail = panels::detail::height(area.x).min(area.y * 0.62).max(260.0);
    let wall = Vec2::new(area.x, (area.y - detail - TITLE - SECTION).max(150.0));
    let taken = panels::wall::height(count, wall);
    panels::wall::show(ui, scene, wall);
    ui.add_space(SECTION - GAP);
    let left = (area.y - taken - TITLE - SECTION).max(260.0);
    panels::detail::show(ui, scene, Vec2::new(area.x, left));
}

/// Everything in one column, the solutions right below the picture.
fn one_column(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let width = ui.available_width() - f32::from(MARGIN) / 2.0;
    ui.set_max_width(width);
    panels::input::show(ui, scene);
    ui.add_space(SECTION);
    panels::wall::show(ui, scene, Vec2::new(width, width));
    ui.add_space(SECTION);
    panels::detail::show(ui, scene, Vec2::new(width, panels::detail::height(width)));
    ui.add_space(SECTION);
    search(ui, scene);
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

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
