//! What the window wants of the desktop, behind a trait so that tests bring their own. Every call may block and is
//! made on a thread of its own.

use crate::workshop::GENERATORS;
use crate::{Because, Error, Picture, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A dialog that ends sooner than a person can answer was never shown.
const SOONEST_ANSWER: Duration = Duration::from_millis(250);

/// What is on the clipboard.
#[derive(Clone, Debug, PartialEq)]
pub enum Clipping {
    /// A picture.
    Picture(Picture),
    /// Text, which may be the path of a picture.
    Text(String),
}

/// File dialogs and the clipboard.
pub trait Desktop: Send + Sync {
    /// Asks for a picture file; `None` when the person changed their mind.
    fn pick_picture(&self) -> Result<Option<PathBuf>>;
    /// Asks for a model file.
    fn pick_model(&self) -> Result<Option<PathBuf>>;
    /// Asks where to write a PNG, proposing a name.
    fn pick_export(&self, name: &str) -> Result<Option<PathBuf>>;
    /// Asks for folders of pictures, under a heading.
    fn pick_folders(&self, heading: &str) -> Result<Option<Vec<PathBuf>>>;
    /// Asks for the file of a generator.
    fn pick_generator(&self) -> Result<Option<PathBuf>>;
    /// Asks where to write a model, proposing a name.
    fn pick_place(&self, name: &str) -> Result<Option<PathBuf>>;
    /// The model file of the training that was under way last, so that it can be resumed after a restart.
    fn last_training(&self) -> Option<PathBuf>;
    /// Remembers the training under way by its model file, or that there is none.
    ///
    /// # Errors
    /// When nothing can be written where the desktop keeps such things.
    fn remember_training(&self, out: Option<&Path>) -> Result<()>;
    /// What is on the clipboard.
    fn clipboard(&self) -> Result<Clipping>;
}

/// The desktop that the program runs on.
pub struct RealDesktop;

impl Desktop for RealDesktop {
    fn pick_picture(&self) -> Result<Option<PathBuf>> {
        let dialog = rfd::FileDialog::new().set_title("Open a picture");
        shown(|| dialog.add_filter("Pictures", &crate::data::EXTENSIONS).add_filter("All files", &["*"]).pick_file())
    }

    fn pick_model(&self) -> Result<Option<PathBuf>> {
        let dialog = rfd::FileDialog::new().set_title("Open a model");
        shown(|| dialog.add_filter("Models", &["safetensors"]).pick_file())
    }

    fn pick_export(&self, name: &str) -> Result<Option<PathBuf>> {
        let dialog = rfd::FileDialog::new().set_title("Export the wall").set_file_name(name);
        shown(|| dialog.add_filter("PNG", &["png"]).save_file())
    }

    fn pick_folders(&self, heading: &str) -> Result<Option<Vec<PathBuf>>> {
        shown(|| rfd::FileDialog::new().set_title(heading).pick_folders())
    }

    fn pick_generator(&self) -> Result<Option<PathBuf>> {
        let dialog = rfd::FileDialog::new().set_title("Use a generator");
        shown(|| dialog.add_filter("Generators and models", &GENERATORS).pick_file())
    }

    fn pick_place(&self, name: &str) -> Result<Option<PathBuf>> {
        let dialog = rfd::FileDialog::new().set_title("Where the model goes").set_file_name(name);
        shown(|| dialog.add_filter("Models", &["safetensors"]).save_file())
    }

    fn last_training(&self) -> Option<PathBuf> {
        let path = std::fs::read_to_string(notes()?.join(LAST_TRAINING)).ok()?;
        Some(path.trim_end().into())
    }

    fn remember_training(&self, out: Option<&Path>) -> Result<()> {
        let Some(folder) = notes() else { return Ok(()) };
        let file = folder.join(LAST_TRAINING);
        let written = match out.and_then(Path::to_str) {
            Some(path) => std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, path)),
            None if file.exists() => std::fs::remove_file(&file),
            None => Ok(()),
        };
        written.because(|| format!("{} cannot be written, so the training is not remembered.", file.display()))
    }

    fn clipboard(&self) -> Result<Clipping> {
        let mut clipboard = arboard::Clipboard::new().because(|| "The clipboard of this desktop cannot be reached.")?;
        if let Ok(image) = clipboard.get_image() {
            return Picture::new(image.width, image.height, image.bytes.into_owned())
                .because(|| "The picture on the clipboard is damaged; copy it again.")
                .map(Clipping::Picture);
        }
        clipboard
            .get_text()
            .map(Clipping::Text)
            .because(|| "There is no picture on the clipboard; copy one first, or drop its file on the window.")
    }
}

/// The file that names the training under way.
const LAST_TRAINING: &str = "last-training";

/// Where this desktop keeps what programs remember; `None` where it says nothing about that.
fn notes() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = if cfg!(windows) {
        variable("LOCALAPPDATA")?
    } else if cfg!(target_os = "macos") {
        variable("HOME")?.join("Library/Application Support")
    } else {
        variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?
    };
    Some(folder.join("counterpart"))
}

/// Tells a dialog that was cancelled from one that never came up: both answer with nothing.
fn shown<T>(dialog: impl FnOnce() -> Option<T>) -> Result<Option<T>> {
    let begin = Instant::now();
    let answer = dialog();
    if answer.is_none() && cfg!(target_os = "linux") && begin.elapsed() < SOONEST_ANSWER {
        return Err(Error::because(
            "No file dialog could be opened; drop the file or folder on the window instead, or install zenity.",
            "neither a desktop portal (xdg-desktop-portal) nor zenity answered",
        ));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_dialog_that_never_came_up_is_told_from_a_cancelled_one() {
        assert!(shown(|| None::<PathBuf>).unwrap_err().to_string().contains("zenity"));
        let cancelled = shown(|| {
            std::thread::sleep(SOONEST_ANSWER);
            None::<PathBuf>
        });
        assert_eq!(cancelled.unwrap(), None);
        assert_eq!(shown(|| Some("a.png")).unwrap(), Some("a.png"));
    }
}
