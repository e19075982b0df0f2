//! Work that may take long or block, each on a thread of its own; what comes of it arrives in the window's frame.

use super::desktop::{Clipping, Desktop};
use super::new_model::LOOK;
use crate::data::{self, Preparation};
use crate::engine::{Problem, Wake};
use crate::workshop::{Domain, Recipe};
use crate::{Picture, Result, export};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Pixels on the longer side of the small copy that the window shows.
const THUMBNAIL: usize = 384;

/// A picture that was read.
#[derive(Debug)]
pub struct Arrived {
    /// Its name for the person.
    pub name: String,
    /// The picture.
    pub picture: Arc<Picture>,
    /// A small copy.
    pub thumbnail: Arc<Picture>,
    /// Whether it looks like a photograph.
    pub is_photo: bool,
    /// Whether it is so pale that a photograph can be taken for a drawing.
    pub is_faint: bool,
}

/// What comes back from the background.
#[derive(Debug)]
pub enum Arrival {
    /// A picture was read.
    Picture(Arrived),
    /// A picture could not be read.
    NoPicture(Problem),
    /// Text was on the clipboard.
    Text(String),
    /// The preparation of this number is done.
    Prepared(u64, Arc<Picture>),
    /// A picture file was picked.
    PicturePicked(PathBuf),
    /// A model file was picked.
    ModelPicked(PathBuf),
    /// A place for the export was picked.
    ExportPicked(PathBuf),
    /// Folders with the pictures of a domain were picked.
    FoldersPicked(Domain, Vec<PathBuf>),
    /// The file of a generator was picked.
    GeneratorPicked(PathBuf),
    /// A place for a model was picked.
    PlacePicked(PathBuf),
    /// The pictures of a domain were read as this recipe has it, or not.
    Looked(Domain, Box<Recipe>, Result<Vec<Arc<Picture>>, Problem>),
    /// Whether there is an unfinished training for this model file.
    Unfinished(PathBuf, Option<Box<Recipe>>),
    /// Nothing that the window needs to know.
    Nothing,
    /// A dialog was closed without an answer.
    Cancelled,
    /// A dialog failed.
    DialogFailed(Problem),
    /// The export is written, or not.
    Exported(Result<PathBuf, Problem>),
}

/// Starts work and collects what comes of it.
pub struct Background {
    desktop: Arc<dyn Desktop>,
    sender: Sender<Arrival>,
    receiver: Receiver<Arrival>,
    wake: Wake,
}

impl Background {
    /// A background for a desktop; `wake` is called when something arrives.
    pub fn new(desktop: Arc<dyn Desktop>, wake: Wake) -> Self {
        let (sender, receiver) = channel();
        Self { desktop, sender, receiver, wake }
    }

    /// What arrived since the last call.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.receiver.try_iter().collect()
    }

    fn start(&self, name: &str, work: impl FnOnce(&dyn Desktop) -> Arrival + Send + 'static) {
        self.start_or(name, work, Arrival::DialogFailed);
    }

    /// The same, where a failure of the work itself is answered with `failed`.
    fn start_or(
        &self,
        name: &str,
        work: impl FnOnce(&dyn Desktop) -> Arrival + Send + 'static,
        failed: impl Fn(Problem) -> Arrival + Send + Clone + 'static,
    ) {
        let (sender, wake, desktop) = (self.sender.clone(), self.wake.clone(), self.desktop.clone());
        let finish = move |arrival| {
            // The window may be gone, and then nobody needs the answer.
            _ = sender.send(arrival);
            wake();
        };
        let (on_failure, broken) = (finish.clone(), failed.clone());
        let spawned = std::thread::Builder::new().name(format!("counterpart-{name}")).spawn(move || {
            let arrival = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&*desktop)));
            finish(arrival.unwrap_or_else(|_| {
                broken(Problem::new("Something broke down in the background; please report this."))
            }));
        });
        if spawned.is_err() {
            on_failure(failed(Problem::new("The system gave no thread; close other programs and try again.")));
        }
    }

    /// Reads a picture file.
    pub fn read(&self, path: PathBuf) {
        self.start("read", move |_| {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            picture_arrival(name, data::load_picture(&path))
        });
    }

    /// Reads the clipboard.
    pub fn paste(&self) {
        self.start("clipboard", |desktop| match desktop.clipboard() {
            Ok(Clipping::Picture(picture)) => picture_arrival("Pasted picture".into(), Ok(picture)),
            Ok(Clipping::Text(text)) => Arrival::Text(text),
            Err(error) => Arrival::NoPicture(error.into()),
        });
    }

    /// Prepares a picture for the model.
    pub fn prepare(&self, number: u64, picture: Arc<Picture>, preparation: Preparation) {
        self.start("prepare", move |_| Arrival::Prepared(number, Arc::new(data::prepare(&picture, &preparation))));
    }

    /// Asks for a picture file.
    pub fn pick_picture(&self) {
        self.start("dialog", |desktop| picked(desktop.pick_picture(), Arrival::PicturePicked));
    }

    /// Asks for a model file.
    pub fn pick_model(&self) {
        self.start("dialog", |desktop| picked(desktop.pick_model(), Arrival::ModelPicked));
    }

    /// Asks where to export to.
    pub fn pick_export(&self, name: String) {
        self.start("dialog", move |desktop| picked(desktop.pick_export(&name), Arrival::ExportPicked));
    }

    /// Asks for the folders of a domain.
    pub fn pick_folders(&self, domain: Domain) {
        let heading = match domain {
            Domain::X => "Pictures of X: what is to be found",
            Domain::Y => "Pictures of Y: what a person will give",
        };
        self.start("dialog", move |desktop| {
            picked(desktop.pick_folders(heading), |folders| Arrival::FoldersPicked(domain, folders))
        });
    }

    /// Asks for the file of a generator.
    pub fn pick_generator(&self) {
        self.start("dialog", |desktop| picked(desktop.pick_generator(), Arrival::GeneratorPicked));
    }

    /// Asks where a model goes.
    pub fn pick_place(&self, name: String) {
        self.start("dialog", move |desktop| {
            picked(desktop.pick_place(&name), |path| Arrival::PlacePicked(with_ending(path, "safetensors")))
        });
    }

    /// Reads some pictures of a domain as the networks will see them.
    pub fn look(&self, domain: Domain, recipe: Recipe) {
        let of = recipe.clone();
        let look = move |_: &dyn Desktop| {
            let pictures = recipe.look(domain, LOOK).map(|pictures| pictures.into_iter().map(Arc::new).collect());
            Arrival::Looked(domain, Box::new(recipe), pictures.map_err(Problem::from))
        };
        self.start_or("look", look, move |problem| Arrival::Looked(domain, Box::new(of.clone()), Err(problem)));
    }

    /// Looks for an unfinished training: of a model file, or the one that was under way last.
    pub fn find_unfinished(&self, out: Option<PathBuf>) {
        self.start("unfinished", move |desktop| match out.or_else(|| desktop.last_training()) {
            Some(out) => {
                let recipe = Recipe::of_training(&out).map(Box::new);
                Arrival::Unfinished(out, recipe)
            }
            None => Arrival::Nothing,
        });
    }

    /// Remembers a training by its model file, to be found after a restart, or that there is none.
    pub fn remember_training(&self, out: Option<PathBuf>) {
        self.start("remember", move |desktop| {
            if let Err(error) = desktop.remember_training(out.as_deref()) {
                log::warn!("{error}");
            }
            Arrival::Nothing
        });
    }

    /// Draws a grid and writes it.
    pub fn export(&self, path: PathBuf, grid: impl FnOnce() -> Result<Picture> + Send + 'static) {
        self.start("export", move |_| {
            let path = with_ending(path, "png");
            let written = grid().and_then(|grid| export::write_png(&path, &grid));
            Arrival::Exported(written.map(|()| path).map_err(Problem::from))
        });
    }
}

fn picked<T>(answer: Result<Option<T>>, arrival: impl FnOnce(T) -> Arrival) -> Arrival {
    match answer {
        Ok(Some(answer)) => arrival(answer),
        Ok(None) => Arrival::Cancelled,
        Err(error) => Arrival::DialogFailed(error.into()),
    }
}

fn picture_arrival(name: String, picture: Result<Picture>) -> Arrival {
    match picture {
        Ok(picture) => {
            let thumbnail = thumbnail(&picture);
            Arrival::Picture(Arrived {
                name,
                is_photo: !data::looks_like_drawing(&picture),
                is_faint: is_faint(&thumbnail),
                thumbnail: Arc::new(thumbnail),
                picture: Arc::new(picture),
            })
        }
        Err(error) => Arrival::NoPicture(error.into()),
    }
}

/// Whether a picture is pale all over: ink is darker than this, even a pencil's, and a washed-out photograph is not.
fn is_faint(picture: &Picture) -> bool {
    /// The brightness, of 255, that hardly anything in a faint picture is below.
    const PALE: u32 = 170;
    /// The share of the pixels that may be darker.
    const DARK_SHARE: f32 = 0.002;
    let luma =
        |pixel: &[u8]| (299 * u32::from(pixel[0]) + 587 * u32::from(pixel[1]) + 114 * u32::from(pixel[2])) / 1000;
    let dark = picture.rgba().chunks_exact(4).filter(|pixel| luma(pixel) < PALE).count();
    (dark as f32) < DARK_SHARE * (picture.width() * picture.height()) as f32
}

/// A path with an ending, whatever was typed.
fn with_ending(path: PathBuf, wanted: &str) -> PathBuf {
    let has_it = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(wanted));
    if has_it { path } else { Path::new(&format!("{}.{wanted}", path.display())).to_owned() }
}

/// A copy of at most [`THUMBNAIL`] pixels a side, each the mean of those it stands for, transparency over white.
fn thumbnail(picture: &Picture) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let factor = width.max(height).div_ceil(THUMBNAIL).max(1);
    let (small_width, small_height) = ((width / factor).max(1), (height / factor).max(1));
    let mut small = Picture::filled(small_width, small_height, [255; 4]);
    for (i, pixel) in small.rgba_mut().chunks_exact_mut(4).enumerate() {
        let (x0, y0) = (i % small_width * factor, i / small_width * factor);
        let mut sum = [0_u32; 3];
        let mut count = 0;
        for y in y0..(y0 + factor).min(height) {
            for source in picture.rgba()[4 * (y * width + x0)..][..4 * factor.min(width - x0)].chunks_exact(4) {
                let alpha = u32::from(source[3]);
                for (sum, &value) in sum.iter_mut().zip(source) {
                    *sum += (u32::from(value) * alpha + 255 * (255 - alpha)) / 255;
                }
                count += 1;
            }
        }
        for (value, sum) in pixel.iter_mut().zip(sum) {
            *value = (sum / count.max(1)) as u8;
        }
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_are_small_and_transparent_is_white() {
        let small = thumbnail(&Picture::filled(4000, 20, [0; 4]));
        assert!(small.width() <= THUMBNAIL && small.height() >= 1);
        assert_eq!(small.pixel(0, 0), Some([255; 4]));
    }

    #[test]
    fn pale_pictures_are_told_from_ink() {
        let mut picture = Picture::filled(100, 100, [255; 4]);
        let mut line = |shade: u8| {
            picture.rgba_mut()[4 * 100 * 40..4 * 100 * 41].fill(shade);
            is_faint(&picture)
        };
        assert!(line(225) && line(180));
        assert!(!line(120) && !line(0));
    }

    #[test]
    fn exports_are_pngs() {
        assert_eq!(with_ending("wall".into(), "png"), PathBuf::from("wall.png"));
        assert_eq!(with_ending("wall.PNG".into(), "png"), PathBuf::from("wall.PNG"));
    }
}
