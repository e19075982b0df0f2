//! What `solve` and `sample` found: the grid and the report.

use super::inputs::Input;
use super::options::Json;
use super::output;
use crate::Result;
use crate::data::pictures_of;
use crate::evaluate::mean;
use crate::export::{Cell, Grid, grid, write_png};
use crate::model_file::{LossConfig, Model};
use crate::nam::{Candidates, Networks, pixel_differences};
use crate::nets::{Encoder, Generator, Mapping, Perceptual};
use candle_core::Tensor;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// A model with another loss.
pub struct WithLoss {
    model: Arc<Model>,
    loss: LossConfig,
}

impl WithLoss {
    /// The model with this loss, or with its own.
    pub fn new(model: Arc<Model>, loss: Option<LossConfig>) -> Self {
        let loss = loss.unwrap_or_else(|| model.manifest.loss.clone());
        Self { model, loss }
    }
}

impl Networks for WithLoss {
    fn generator(&self) -> &Generator {
        &self.model.generator
    }

    fn mapping(&self) -> &Mapping {
        &self.model.mapping
    }

    fn encoder(&self) -> Option<&Encoder> {
        self.model.encoder.as_ref()
    }

    fn perceptual(&self) -> Option<&Perceptual> {
        self.model.perceptual.as_ref()
    }

    fn loss(&self) -> &LossConfig {
        &self.loss
    }
}

/// The counterparts of all images.
pub struct Solutions<'a> {
    model: &'a Model,
    how: &'static str,
    rows: Vec<Vec<Cell>>,
    reports: Vec<Value>,
}

impl<'a> Solutions<'a> {
    /// None yet.
    pub fn new(model: &'a Model, how: &'static str) -> Self {
        Self { model, how, rows: Vec::new(), reports: Vec::new() }
    }

    /// Adds the counterparts of an image `y: [1, cy, s, s]`, sorted by loss.
    ///
    /// # Errors
    /// When the device fails.
    pub fn add(&mut self, input: &Input, y: &Tensor, found: &Candidates, steps: usize, seconds: f64) -> Result<()> {
        let l1 = pixel_differences(found, y)?;
        let mut order: Vec<usize> = (0..found.losses.len()).collect();
        // What is not a number comes last, whatever its sign.
        order.sort_by(|&a, &b| {
            let (a, b) = (found.losses[a], found.losses[b]);
            a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(&b))
        });
        let pictures = pictures_of(&found.x)?;
        let mut row = vec![Cell::new(input.y.clone(), "")];
        row.extend(order.iter().map(|&i| Cell::new(pictures[i].clone(), format!("{:.4}", found.losses[i]))));
        self.rows.push(row);
        let sorted = |values: &[f32]| order.iter().map(|&i| values[i]).collect::<Vec<f32>>();
        self.reports.push(json!({
            "image": input.name,
            "losses": sorted(&found.losses),
            "l1": sorted(&l1),
            "mean_l1": mean(&l1),
            // Nothing before as many steps as the held-out images took.
            "belonging_percent": self.model.manifest.held_out.belonging_after(&found.losses, steps),
            "steps": steps,
            "seconds": seconds,
        }));
        Ok(())
    }

    /// Writes the grid and the report; prints a line an image when standard output is free.
    ///
    /// # Errors
    /// When the disk refuses; then the grid is not half-written.
    pub fn write(self, out: Option<&Path>, json: &Json) -> Result<()> {
        if let Some(out) = out {
            let columns = self.rows.iter().map(Vec::len).max().unwrap_or(1);
            let label = |column: usize| if column == 0 { "y".to_owned() } else { column.to_string() };
            let name = |report: &Value| report["image"].as_str().unwrap_or_default().to_owned();
            write_png(
                out,
                &grid(&Grid {
                    title: format!("{}: counterparts by {}, with their losses", self.model.manifest.title, self.how),
                    columns: (0..columns).map(label).collect(),
                    rows: self.reports.iter().map(name).collect(),
                    cells: self.rows,
                    // Large pictures keep all of their pixels.
                    side: Grid::default().side.max(self.model.manifest.generator.size),
                }),
            )?;
        }
        let report = json!({ "command": self.how, "model": self.model.manifest.title, "images": self.reports });
        json.write(&report)?;
        for report in &self.reports {
            let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
            let name = report["image"].as_str().unwrap_or_default();
            let (loss, l1) = (number(&report["losses"][0]), number(&report["l1"][0]));
            let took = output::duration(number(&report["seconds"]));
            let belongs = report["belonging_percent"].as_f64();
            let belongs = belongs.map(|percent| format!(", belongs to Y: {percent:.0} %")).unwrap_or_default();
            json.say(&format!("{name}: best loss {loss:.4}, L1 of T(G(z)) to y {l1:.4}, {took}{belongs}"))?;
        }
        Ok(())
    }
}
