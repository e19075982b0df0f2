//! `counterpart models`: what comes with the program.

use super::options::Json;
use crate::Result;
use crate::model_file::embedded;
use candle_core::Device;
use clap::Args;
use serde_json::json;

/// Lists the models that come with the program.
#[derive(Args, Debug)]
pub struct Models {
    #[command(flatten)]
    json: Json,
}

impl Models {
    pub(super) fn run(self) -> Result<()> {
        let mut reports = Vec::new();
        for embedded in embedded::all() {
            let manifest = embedded.open(&Device::Cpu)?.manifest;
            let megabytes = embedded.bytes.len() as f64 / 1e6;
            let (title, size) = (&manifest.title, manifest.size);
            let (x, y) = (&manifest.domain_x, &manifest.domain_y);
            self.json.say(&format!("{:<20} {title}: {y} to {x}, {size}x{size}, {megabytes:.1} MB", embedded.id))?;
            reports.push(json!({
                "id": embedded.id, "title": title, "domain_x": x, "domain_y": y, "size": size,
                "bytes": embedded.bytes.len(), "licence": manifest.licence,
            }));
        }
        if reports.is_empty() {
            self.json.say("No model comes with this build; `counterpart train` makes one.")?;
        }
        self.json.write(&json!({ "models": reports }))
    }
}
