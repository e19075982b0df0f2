//! A real window on a virtual display: the program itself, a real X11 drop, and a look at the screen.
//!
//! Needs Xvfb, openbox, xdotool, imagemagick, x11-utils and python3-xlib; says so and fails without them, unless
//! `COUNTERPART_WITHOUT_DISPLAY` says that they are meant to be missing.

#![cfg(target_os = "linux")]

mod support;

use counterpart::app::Report;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the tests of this file run, and the Debian package that it comes from.
const TOOLS: [(&str, &str); 6] = [
    ("Xvfb", "xvfb"),
    ("openbox", "openbox"),
    ("xdotool", "xdotool"),
    ("import", "imagemagick"),
    ("xprop", "x11-utils"),
    ("/usr/bin/python3", "python3-xlib"),
];
/// Time for what takes less than a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn tools_are_there() -> bool {
    let missing: Vec<_> = TOOLS
        .iter()
        .filter(|(tool, _)| {
            let found = Command::new("which").arg(tool).stdout(Stdio::null()).status();
            !found.is_ok_and(|status| status.success())
        })
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var_os("COUNTERPART_WITHOUT_DISPLAY").is_some(),
        "the window cannot be tested without: {} (or set COUNTERPART_WITHOUT_DISPLAY)",
        missing.join(", ")
    );
    eprintln!("not tested, because these are missing: {}", missing.join(", "));
    false
}

/// A virtual display with a window manager, which ends with the value.
struct Display {
    server: Child,
    manager: Child,
    name: String,
}

impl Display {
    fn new(screen: &str) -> Self {
        let mut server = Command::new("Xvfb")
            // Without -noreset the server starts anew when its last client leaves: a quick one that comes and goes before
            // the window manager is through with its start ends that one, too.
            .args(["-displayfd", "1", "-screen", "0", screen, "-nolisten", "tcp", "-noreset", "+extension", "GLX"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb starts");
        let mut number = String::new();
        let output = server.stdout.take().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut number).expect("the display's number");
        let name = format!(":{}", number.trim());
        let manager = Command::new("openbox")
            .env("DISPLAY", &name)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openbox starts");
        let display = Self { server, manager, name };
        support::wait_for("window manager", PATIENCE, || {
            let output = display.command("xprop").args(["-root", "_NET_SUPPORTING_WM_CHECK"]).output().ok()?;
            String::from_utf8_lossy(&output.stdout).contains("window id").then_some(())
        });
        display
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("DISPLAY", &self.name).env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET");
        command
    }

    /// The program's window on a small model of random weights, with figures about itself.
    fn open(&self, folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Opened {
        let model = folder.join("random.safetensors");
        support::write_random_model(&model);
        let arguments = [&["--model", model.to_str().expect("a path of plain letters")], arguments].concat();
        self.open_embedded(folder, &arguments, environment)
    }

    /// The same on the first model that comes with the program.
    fn open_embedded(&self, folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Opened {
        let report = folder.join("report.json");
        let child = self
            .command(env!("CARGO_BIN_EXE_counterpart"))
            .args(["--dark", "--report"])
            .arg(&report)
            .args(arguments)
            .envs(environment.iter().copied())
            .spawn()
            .expect("the program starts");
        Opened { child, report }
    }

    fn screenshot(&self) -> image::RgbaImage {
        let file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
        let status = self.command("import").args(["-window", "root"]).arg(file.path()).status().unwrap();
        assert!(status.success(), "import takes a picture of the screen");
        image::open(file.path()).unwrap().to_rgba8()
    }
}

impl Display {
    /// Drops a drawing on the window the way a file manager does.
    fn drop_drawing(&self, folder: &Path) {
        let drawing = folder.join("a drawing.png");
        support::write_png(&drawing, &support::drawing(400, 190));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/xdnd_drop.py");
        let mut command = self.command("/usr/bin/python3");
        let drop = command.arg(script).args(["--timeout", "60", "Counterpart"]).arg(&drawing).output();
        let drop = drop.expect("python3 runs");
        assert!(drop.status.success(), "the drop: {}", String::from_utf8_lossy(&drop.stderr));
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        for child in [&mut self.manager, &mut self.server] {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

/// The running program.
struct Opened {
    child: Child,
    report: PathBuf,
}

impl Opened {
    /// Waits until the window's own figures fulfil a condition.
    fn until(&mut self, what: &str, holds: impl Fn(&Report) -> bool) -> Report {
        let path = self.report.clone();
        let child = &mut self.child;
        support::wait_for(what, PATIENCE, || {
            assert!(child.try_wait().unwrap().is_none(), "the program ended before {what}");
            let report: Report = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
            holds(&report).then_some(report)
        })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Pictures on the wall: separate areas of many colours, found by their places in the window of 1360 x 860 points that
/// fills the screen's middle. Returns the mean colour of each of the places that are not plain.
fn pictures_of(shot: &image::RgbaImage, places: &[(u32, u32)]) -> Vec<[u64; 3]> {
    places
        .iter()
        .filter_map(|&(left, top)| {
            let pixels: Vec<[u8; 4]> = (0..40 * 40).map(|i| shot.get_pixel(left + i % 40, top + i / 40).0).collect();
            let distinct: std::collections::HashSet<_> = pixels.iter().collect();
            let mut sum = [0; 3];
            pixels.iter().for_each(|pixel| (0..3).for_each(|c| sum[c] += u64::from(pixel[c])));
            (distinct.len() > 50).then_some(sum)
        })
        .collect()
}

/// The program on a display of its own, with a folder for its files; none where the tools are meant to be missing.
fn open(arguments: &[&str], environment: &[(&str, &str)]) -> Option<(tempfile::TempDir, Display, Opened)> {
    tools_are_there().then(|| {
        let folder = tempfile::tempdir().unwrap();
        let display = Display::new("1360x884x24");
        let opened = display.open(folder.path(), arguments, environment);
        (folder, display, opened)
    })
}

#[test]
fn a_real_drop_on_a_real_window_leads_to_solutions_on_the_screen() {
    let Some((folder, display, mut opened)) = open(&[], &[]) else { return };
    opened.until("first frame", |report| report.first_frame.is_some() && report.model_ready.is_some());
    opened.until("the first sample's counterparts", |report| report.solutions == 16);
    std::thread::sleep(Duration::from_millis(500));
    let before = display.screenshot();

    let begin = Instant::now();
    display.drop_drawing(folder.path());
    let samples = opened.until("samples", |report| report.drop_to_samples.is_some());
    println!("from the drop to its samples on the screen: {:.0} ms", samples.drop_to_samples.unwrap());
    println!("from the start of the dragging script: {:.0} ms", begin.elapsed().as_secs_f64() * 1e3);
    let refined = opened.until("refinement", |report| report.step > 20 && report.frames > 2);
    println!("while refining on {}: {refined:#?}", refined.renderer);
    assert!(refined.messages.is_empty(), "{:?}", refined.messages);

    let after = display.screenshot();
    let places = wall_places(&after);
    assert_eq!(places.len(), 16, "sixteen pictures on the wall: {places:?}");
    let pictures = pictures_of(&after, &places);
    assert_eq!(pictures.len(), 16, "none of them is plain");
    for (i, picture) in pictures.iter().enumerate() {
        assert!(!pictures[..i].contains(picture), "picture {i} is another one again");
    }
    assert_ne!(pictures_of(&before, &places), pictures, "they are not those of before");
}

#[test]
fn a_real_drop_is_explained_by_the_model_that_comes_with_the_program() {
    if !tools_are_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let display = Display::new("1360x884x24");
    let mut opened = display.open_embedded(folder.path(), &[], &[]);
    opened.until("the first sample's counterparts", |report| report.solutions == 16);
    std::thread::sleep(Duration::from_millis(500));
    let before = display.screenshot();
    display.drop_drawing(folder.path());
    opened.until("samples", |report| report.drop_to_samples.is_some() && report.solutions == 16);
    let refined = opened.until("refinement", |report| report.step > 3);
    assert!(refined.messages.is_empty(), "{:?}", refined.messages);
    let after = display.screenshot();
    // Shoes on white: the wall is light, its pictures are of many colours, and they are others than before.
    let (left, right, top, bottom) = (305, after.width() - 305, 100, after.height() / 2 - 80);
    let wall = |shot: &image::RgbaImage| -> Vec<[u8; 4]> {
        (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y))).map(|(x, y)| shot.get_pixel(x, y).0).collect()
    };
    let (old, new) = (wall(&before), wall(&after));
    let light = new.iter().filter(|pixel| pixel[..3].iter().all(|&value| value > 230)).count();
    let distinct: std::collections::HashSet<_> = new.iter().collect();
    let changed = old.iter().zip(&new).filter(|(a, b)| (0..3).any(|c| a[c].abs_diff(b[c]) > 30)).count();
    println!("of {} pixels {light} are light and {changed} changed; {} colours", new.len(), distinct.len());
    assert!(light > new.len() / 10 && distinct.len() > 500 && changed > new.len() / 50);
}

/// The upper left corners of squares on the wall: 16 places where colourful areas begin, found by looking for them in
/// the upper half of the middle of the window.
fn wall_places(shot: &image::RgbaImage) -> Vec<(u32, u32)> {
    let colourful = |x: u32, y: u32| {
        let area: Vec<[u8; 4]> = (0..60).map(|i| shot.get_pixel(x + i % 3, y + i / 3).0).collect();
        let spread = |c: usize| {
            let values = area.iter().map(|pixel| pixel[c]);
            values.clone().max().unwrap_or(0).abs_diff(values.min().unwrap_or(0))
        };
        (0..3).map(spread).max().unwrap_or(0) > 24
    };
    // Rows of pictures are as far apart as columns plus a line of text: scan both for runs.
    let (left, right, top, bottom) = (305, shot.width() - 305, 100, shot.height() / 2 - 30);
    let runs = |from: u32, to: u32, is: &dyn Fn(u32) -> bool| {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let mut begin = None;
        for at in from..to {
            match (is(at), begin) {
                (true, None) => begin = Some(at),
                (false, Some(first)) => {
                    runs.push((first, at));
                    begin = None;
                }
                _ => {}
            }
        }
        runs.into_iter().filter(|(first, end)| end - first >= 40).collect::<Vec<_>>()
    };
    let rows = runs(top, bottom, &|y| (left..right).step_by(8).filter(|&x| colourful(x, y)).count() > 40);
    let Some(&(y, _)) = rows.first() else { return Vec::new() };
    let columns = runs(left, right, &|x| colourful(x, y + 20) || colourful(x, y + 40));
    rows.iter().flat_map(|&(y, _)| columns.iter().map(move |&(x, _)| (x + 6, y + 24))).collect()
}

#[test]
fn a_window_that_refines_with_its_own_device_survives_its_loss() {
    let arguments = ["--device", "gpu", "--lose-device-after", "6"];
    let Some((folder, display, mut opened)) = open(&arguments, &[]) else { return };
    opened.until("the first sample's counterparts", |report| report.solutions == 16);
    display.drop_drawing(folder.path());
    let drawn = opened.until("steps whose pictures stay on the device", |report| report.on_device && report.step > 2);
    println!("drawn by {}, step {}", drawn.renderer, drawn.step);
    let refined = opened.until("steps after the loss", |report| !report.on_device && report.step > 12);
    assert!(refined.messages.iter().any(|message| message.contains("goes on with the CPU")), "{:?}", refined.messages);
    std::thread::sleep(Duration::from_millis(800));
    let shot = display.screenshot();
    if let Some(path) = std::env::var_os("COUNTERPART_SCREENSHOT") {
        shot.save(path).unwrap();
    }
    let places = wall_places(&shot);
    assert_eq!(pictures_of(&shot, &places).len(), 16, "sixteen pictures are on the screen again: {places:?}");
}

#[test]
fn without_a_display_there_is_a_sentence() {
    let output = Command::new(env!("CARGO_BIN_EXE_counterpart"))
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("WAYLAND_SOCKET")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("no display") && text.contains("--help") && !text.contains("panicked"), "{text}");
}

#[test]
fn a_display_that_does_not_answer_gets_a_sentence() {
    let output = Command::new(env!("CARGO_BIN_EXE_counterpart"))
        .env("DISPLAY", ":4242")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("WAYLAND_SOCKET")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("No window could be opened") && !text.contains("panicked"), "{text}");
}

#[test]
fn without_vulkan_the_window_is_drawn_by_opengl() {
    let Some((_folder, display, mut opened)) = open(&[], &[("VK_DRIVER_FILES", "/nonexistent.json")]) else { return };
    let report = opened.until("solutions", |report| report.solutions == 16 && report.first_frame.is_some());
    assert!(report.renderer.to_lowercase().contains("gl"), "{}", report.renderer);
    std::thread::sleep(Duration::from_millis(500));
    let shot = display.screenshot();
    assert_eq!(wall_places(&shot).len(), 16, "the wall is on the screen");
}

#[test]
fn without_any_adapter_of_wgpu_the_window_is_drawn_by_opengl_alone() {
    // Vulkan alone is allowed, and there is none.
    let environment = [("WGPU_BACKEND", "vulkan"), ("VK_DRIVER_FILES", "/nonexistent.json")];
    let Some((folder, display, mut opened)) = open(&[], &environment) else { return };
    let report = opened.until("solutions", |report| report.solutions == 16 && report.first_frame.is_some());
    assert_eq!(report.renderer, "OpenGL", "by glow, not by wgpu");
    std::thread::sleep(Duration::from_millis(500));
    let before = display.screenshot();
    display.drop_drawing(folder.path());
    let refined = opened.until("refinement", |report| report.drop_to_samples.is_some() && report.step > 5);
    assert!(refined.messages.is_empty(), "{:?}", refined.messages);
    let after = display.screenshot();
    let places = wall_places(&after);
    let pictures = pictures_of(&after, &places);
    assert_eq!(pictures.len(), 16, "sixteen pictures on the wall: {places:?}");
    assert_ne!(pictures_of(&before, &places), pictures, "they are not those of before");
}

#[test]
fn the_window_measures_itself_at_rest_and_at_work() {
    if !tools_are_there() {
        return;
    }
    let display = Display::new("1360x884x24");
    let mut bench = display.command(env!("CARGO_BIN_EXE_counterpart"));
    let output = bench.args(["bench", "ui", "--batch", "8", "--seconds", "2", "--json", "-"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let figure = |path: &str| report.pointer(&format!("/figures/{path}")).and_then(|v| v.as_f64()).expect("a figure");
    assert!(figure("first_frame") > 0.0 && figure("first_samples") > figure("first_frame"), "{report}");
    // At rest nothing is drawn, and no thread spins.
    assert_eq!(figure("rest/frames"), 0.0, "{report}");
    assert!(figure("rest/processor_share") < 0.2, "{report}");
    assert!(figure("refining/frames") >= 2.0 && figure("refining/steps_per_second") > 0.0, "{report}");
    assert!(figure("refining/processor/0") > 0.0 && figure("rest/memory") > 0.0, "{report}");
}

#[test]
fn the_window_offers_few_numbers_of_starts_to_measure() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_counterpart")).args(["bench", "ui", "--batch", "5"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("8, 16 or 32 starts, not 5"));
}
