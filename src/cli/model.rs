//! The model that a subcommand works with.

use crate::model_file::{Model, embedded};
use crate::{Error, Result};
use candle_core::Device;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

/// `--model`.
#[derive(Args, Clone, Debug)]
pub struct ModelOption {
    /// A model file, or the name of a model that comes with the program [default: the first of `counterpart models`]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
}

impl ModelOption {
    /// Opens it.
    ///
    /// # Errors
    /// When there is no such model, or its file is bad.
    pub fn open(&self, device: &Device) -> Result<Arc<Model>> {
        let all = embedded::all();
        let model = match &self.model {
            None => match all.first() {
                Some(first) => first.open(device)?,
                None => return Err(Error::new("No model comes with this build; name one with --model.")),
            },
            Some(path) => match all.iter().find(|model| path.as_os_str() == model.id && !path.exists()) {
                Some(known) => known.open(device)?,
                None => Model::open(path, device)?,
            },
        };
        Ok(Arc::new(model))
    }
}
