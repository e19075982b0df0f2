//! Ctrl-C: the first asks long work to save and stop, the second ends the process at once.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static HAPPENED: AtomicBool = AtomicBool::new(false);
static LISTEN: Once = Once::new();

/// From now on Ctrl-C is a request that [`happened`] tells of.
pub fn listen() {
    LISTEN.call_once(|| {
        let installed = ctrlc::set_handler(|| {
            if HAPPENED.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            super::output::note("Stopping after this step; press Ctrl-C again to end at once.");
        });
        if let Err(error) = installed {
            log::warn!("Ctrl-C ends the program without saving: {error}");
        }
    });
}

/// Whether Ctrl-C was pressed since [`listen`].
pub fn happened() -> bool {
    HAPPENED.load(Ordering::SeqCst)
}
