//! What the window wants of the desktop, behind a trait so that tests bring their own. Every call may block and is
//! made on a thread of its own.

use crate::{Because, Error, Picture, Result};
use std::path::PathBuf;
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

/// Tells a dialog that was cancelled from one that never came up: both answer with nothing.
fn shown(dialog: impl FnOnce() -> Option<PathBuf>) -> Result<Option<PathBuf>> {
    let begin = Instant::now();
    let answer = dialog();
    if answer.is_none() && cfg!(target_os = "linux") && begin.elapsed() < SOONEST_ANSWER {
        return Err(Error::because(
            "No file dialog could be opened; drop the file on the window instead, or install zenity.",
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
        assert!(shown(|| None).unwrap_err().to_string().contains("zenity"));
        let cancelled = shown(|| {
            std::thread::sleep(SOONEST_ANSWER);
            None
        });
        assert_eq!(cancelled.unwrap(), None);
        assert_eq!(shown(|| Some("a.png".into())).unwrap(), Some("a.png".into()));
    }
}
