//! From the command line to a window, or to a sentence that says why there is none.

use super::desktop::RealDesktop;
use super::state::{ModelChoice, STARTS, Settings};
use super::trial::{Figures, Outcome, Trial};
use super::window::{Parts, Window};
use crate::engine::{Engine, EngineSettings, ModelSource, SolveDevice};
use crate::{Error, Result, gpu, model_file};
use eframe::egui;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// The window's title, and its name for the desktop.
const TITLE: &str = "Counterpart";

/// What the command line says about the window.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct WindowOptions {
    /// A picture to find counterparts of.
    #[arg(value_name = "PICTURE")]
    pub picture: Option<PathBuf>,
    /// A model file to use instead of the embedded one.
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Threads for the computations; by default one core is left to the window.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// What refines: auto (the CPU or the graphics processor, whichever a short measurement finds faster), cpu or gpu.
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = solve_device)]
    pub device: SolveDevice,
    /// The seed of the first search.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Start with the dark theme.
    #[arg(long, conflicts_with = "light")]
    pub dark: bool,
    /// Start with the light theme.
    #[arg(long)]
    pub light: bool,
    /// Size of everything in percent, from 100 to 200.
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u16).range(100..=200))]
    pub scale: u16,
    /// Write figures about the window to a JSON file.
    #[arg(long, value_name = "FILE", hide = true)]
    pub report: Option<PathBuf>,
    /// Redraw all the time while refining, to measure frames.
    #[arg(long, hide = true)]
    pub animate: bool,
    /// Give up the device that the window draws with after so many steps.
    #[arg(long, value_name = "STEPS", hide = true)]
    pub lose_device_after: Option<usize>,
}

/// `--device`.
fn solve_device(name: &str) -> Result<SolveDevice, String> {
    match name {
        "auto" => Ok(SolveDevice::Auto),
        "cpu" => Ok(SolveDevice::Cpu),
        "gpu" => Ok(SolveDevice::Gpu),
        other => Err(format!("the window refines on auto, cpu or gpu, not on {other}")),
    }
}

/// Opens the window and returns when it is closed.
///
/// # Errors
/// With a sentence when there is no display, no graphics, or a library of the desktop is missing.
pub fn run(options: &WindowOptions) -> Result<()> {
    open(options, None)
}

/// Opens a window that measures itself while it refines `starts` starts for `length`, and returns what it found.
///
/// # Errors
/// As [`run`]; also for a number of starts that the window does not offer, and when something goes wrong on the way.
pub fn measure(threads: Option<usize>, starts: usize, length: Duration) -> Result<Figures> {
    if !STARTS.contains(&starts) {
        return Err(Error::new(format!("The window refines 8, 16 or 32 starts, not {starts}; give one of these.")));
    }
    let outcome = Outcome::default();
    open(
        &WindowOptions { threads, seed: 1, scale: 100, ..WindowOptions::default() },
        Some((starts, length, &outcome)),
    )?;
    let found = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
    found.ok_or_else(|| {
        Error::new("The window was closed, or its model failed, before it was measured; try again and leave it open.")
    })
}

/// What is asked of a trial, and where its figures go.
type Asked<'a> = (usize, Duration, &'a Outcome);

fn open(options: &WindowOptions, asked: Option<Asked<'_>>) -> Result<()> {
    let begin = Instant::now();
    check_display()?;
    let kept = Kept::default();
    let parts = || {
        let mut parts = parts(options.clone(), begin);
        if let Some((starts, length, outcome)) = asked {
            parts.settings.starts = starts;
            parts.trial = Some(Trial::new(starts, length, outcome.clone()));
        }
        parts
    };
    // Vulkan, Metal, DirectX, or OpenGL through wgpu; failing that, OpenGL by itself.
    let mut renderer = eframe::Renderer::Wgpu;
    let mut lives = LIVES;
    loop {
        let (opened, ended) = attempt(&parts, renderer, &kept);
        if opened && kept.was_lost() && lives > 0 {
            log::warn!("the window's device was lost; it goes on with another one: {ended:?}");
            lives -= 1;
            continue;
        }
        match ended {
            Err(error) if !opened && renderer == eframe::Renderer::Wgpu => {
                log::info!("no window through wgpu: {error:?}");
                renderer = eframe::Renderer::Glow;
            }
            ended => return ended,
        }
    }
}

/// How often a window goes on after its device was lost: a driver that fails again and again is left alone.
const LIVES: usize = 8;

/// The window, which survives the device that it is drawn with.
#[derive(Clone, Default)]
struct Kept(Rc<RefCell<Option<Window>>>);

impl Kept {
    fn was_lost(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(Window::was_lost)
    }

    fn with(&self, doing: impl FnOnce(&mut Window)) {
        if let Some(window) = &mut *self.0.borrow_mut() {
            doing(window);
        }
    }
}

impl eframe::App for Kept {
    fn logic(&mut self, ctx: &egui::Context, frame: &mut eframe::Frame) {
        self.with(|window| window.logic(ctx, frame));
    }

    fn ui(&mut self, ui: &mut egui::Ui, frame: &mut eframe::Frame) {
        self.with(|window| window.ui(ui, frame));
    }

    fn on_exit(&mut self, gl: Option<&eframe::glow::Context>) {
        self.with(|window| window.on_exit(gl));
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }

    fn raw_input_hook(&mut self, ctx: &egui::Context, input: &mut egui::RawInput) {
        self.with(|window| window.raw_input_hook(ctx, input));
    }
}

/// One try with one renderer, and whether a window was open. winit panics when a library of the desktop is missing, and
/// the renderer when its device is lost while it draws: that becomes a sentence as well.
fn attempt(parts: &dyn Fn() -> Parts, renderer: eframe::Renderer, kept: &Kept) -> (bool, Result<()>) {
    let parts = if kept.0.borrow().is_none() { Some(parts()) } else { None };
    let scale = parts.as_ref().map_or(1.0, |parts| parts.settings.scale);
    let size = kept.0.borrow().as_ref().map_or(SIZE * scale, Window::size);
    let native = native_options(renderer, size);
    let opened = Rc::new(Cell::new(false));
    let (inside, window) = (opened.clone(), kept.clone());
    let create: eframe::AppCreator<'_> = Box::new(move |creation| {
        match parts {
            Some(parts) => *window.0.borrow_mut() = Some(Window::new(creation, parts)?),
            None => window.with(|window| window.revive(creation)),
        }
        inside.set(true);
        Ok(Box::new(window))
    });
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eframe::run_native(TITLE, native, create)));
    let opened = opened.get();
    let ended = match ran {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(no_window(error)),
        Err(payload) => {
            let cause = payload
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "the cause is unknown".into());
            Err(broken(cause, opened))
        }
    };
    (opened, ended)
}

fn broken(cause: String, was_open: bool) -> Error {
    let sentence = if cause.contains("xkbcommon") {
        "No window could be opened because the library libxkbcommon-x11 is missing; install it (Debian and Ubuntu: \
         apt install libxkbcommon-x11-0)."
    } else if was_open {
        "The window broke down; please report this with the lines below."
    } else {
        "No window could be opened because a library of the desktop failed; the subcommands work without a window \
         (counterpart --help)."
    };
    Error::because(sentence, cause)
}

fn no_window(error: eframe::Error) -> Error {
    match error {
        eframe::Error::AppCreation(cause) => Error::because("The window could not be set up.", cause),
        eframe::Error::Winit(_) | eframe::Error::WinitEventLoop(_) => Error::because(NO_DISPLAY, error.to_string()),
        other => Error::because(
            "No window could be opened: neither Vulkan nor OpenGL draws on this display; install a graphics driver \
             (Debian and Ubuntu: apt install mesa-vulkan-drivers libegl1 libgl1-mesa-dri). The subcommands work \
             without one (counterpart --help).",
            other.to_string(),
        ),
    }
}

const NO_DISPLAY: &str = "No window could be opened because there is no display to open it on; start the program in \
                          a desktop session, or use the subcommands, which need none (counterpart --help).";

/// On Linux a window needs X11 or Wayland; anything else would only end in a stranger message later.
fn check_display() -> Result<()> {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let has = !cfg!(target_os = "linux") || set("DISPLAY") || set("WAYLAND_DISPLAY") || set("WAYLAND_SOCKET");
    if has { Ok(()) } else { Err(Error::because(NO_DISPLAY, "neither DISPLAY nor WAYLAND_DISPLAY is set")) }
}

/// The window at first, in points.
const SIZE: egui::Vec2 = egui::Vec2::new(1360.0, 860.0);

fn native_options(renderer: eframe::Renderer, size: egui::Vec2) -> eframe::NativeOptions {
    let mut options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title(TITLE)
            .with_app_id("counterpart")
            .with_inner_size(size)
            .with_clamp_size_to_monitor_size(true)
            .with_min_inner_size([420.0, 360.0])
            .with_drag_and_drop(true),
        renderer,
        persist_window: false,
        // There are no gradients to dither, and a software driver pays for every pixel.
        dithering: false,
        // Reading the clipboard may block; the window does it elsewhere.
        clipboard_shortcuts: false,
        ..Default::default()
    };
    options.wgpu_options.wgpu_setup = gpu::setup();
    #[cfg(target_os = "linux")]
    if std::env::var_os("DISPLAY").is_some_and(|value| !value.is_empty()) {
        use winit::platform::x11::EventLoopBuilderExtX11;
        // winit delivers no drops on Wayland.
        options.event_loop_builder = Some(Box::new(|builder| _ = builder.with_x11()));
    }
    options
}

fn parts(options: WindowOptions, begin: Instant) -> Parts {
    let embedded: Vec<ModelChoice> = model_file::embedded::all()
        .iter()
        .map(|model| ModelChoice { source: ModelSource::Embedded(model.id), label: model.id.replace('_', " ") })
        .collect();
    let given = options.model.map(|path| {
        let is_it =
            |choice: &&ModelChoice| matches!(choice.source, ModelSource::Embedded(id) if path.as_os_str() == id);
        embedded.iter().find(is_it).cloned().unwrap_or_else(|| ModelChoice {
            label: path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            source: ModelSource::File(path.clone()),
        })
    });
    let others = embedded.iter().filter(|choice| given.as_ref() != Some(choice)).cloned().collect::<Vec<_>>();
    let dark = if options.dark { Some(true) } else { options.light.then_some(false) };
    let engine_settings = EngineSettings { threads: options.threads };
    Parts {
        engine: Box::new(move |wake, screen| Engine::start(engine_settings, screen, wake)),
        training: engine_settings,
        desktop: Arc::new(RealDesktop),
        models: given.into_iter().chain(others).collect(),
        picture: options.picture,
        settings: Settings {
            seed: options.seed,
            device: options.device,
            dark,
            scale: f32::from(options.scale) / 100.0,
            ..Settings::default()
        },
        report: options.report,
        begin,
        trial: None,
        animate: options.animate,
        lose_device_after: options.lose_device_after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named() {
        let error = broken("Library libxkbcommon-x11.so could not be loaded.".into(), false);
        assert!(error.to_string().contains("libxkbcommon-x11-0"));
        assert_eq!(error.causes(), ["Library libxkbcommon-x11.so could not be loaded."]);
    }
}
