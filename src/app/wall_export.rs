//! The wall as one labelled picture.

use super::widgets::loss_text;
use crate::engine::Frame;
use crate::export::{Cell, Grid, grid};
use crate::{Picture, Result};
use std::sync::Arc;

/// Solutions side by side.
const COLUMNS: usize = 4;
/// The side of each picture, a whole number of pixels for each of a model's.
const SIDE: usize = 192;

/// A moment of a search, to be drawn elsewhere than in the window's frame.
pub struct Wall {
    /// What the model is called.
    pub title: String,
    /// What the input is called.
    pub input: String,
    /// What the model saw.
    pub y: Arc<Picture>,
    /// The seed of the starts.
    pub seed: u64,
    /// Starts, the best first.
    pub order: Vec<usize>,
    /// The solutions.
    pub frame: Arc<Frame>,
}

impl Wall {
    /// The grid: the input with its best explanation in the first column, the solutions beside it. What is on the window's
    /// device is brought to memory first, so this may wait.
    ///
    /// # Errors
    /// When pictures were lost with that device.
    pub fn draw(&self) -> Result<Picture> {
        let solution = |&start: &usize| self.frame.solutions.get(start);
        let mut cells: Vec<Vec<Cell>> = self
            .order
            .chunks(COLUMNS)
            .enumerate()
            .map(|(row, starts)| {
                let ranked = starts.iter().filter_map(solution).enumerate();
                ranked
                    .map(|(i, solution)| {
                        let caption = format!("{}: loss {}", row * COLUMNS + i + 1, loss_text(solution.loss));
                        Ok(Cell::new((*solution.x.picture()?).clone(), caption))
                    })
                    .collect::<Result<_>>()
            })
            .collect::<Result<_>>()?;
        let best = self.order.first().and_then(solution);
        let mut beside = vec![Cell::new((*self.y).clone(), "y")];
        if let Some(best) = best {
            beside.push(Cell::new((*best.reconstruction.picture()?).clone(), "T(G(z)) of 1"));
        }
        let mut beside = beside.into_iter();
        for row in &mut cells {
            row.insert(0, beside.next().unwrap_or_default());
        }
        let Frame { step, .. } = *self.frame;
        let title = format!("{}: {}, seed {}, step {step}", self.title, self.input, self.seed);
        // Large pictures keep all of their pixels.
        let side = self.frame.solutions.iter().map(|solution| solution.x.width()).fold(SIDE, usize::max);
        Ok(grid(&Grid { title, cells, side, ..Grid::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Curves, JobId, Solution};

    #[test]
    fn every_solution_is_on_the_wall_in_its_colour() {
        let y = Arc::new(Picture::filled(8, 8, [0, 0, 0, 255]));
        let solutions = (0..16)
            .map(|i| {
                let x = Picture::filled(8, 8, [10 * i as u8 + 20, 200, 90, 255]).into();
                Solution { x, reconstruction: (&y).into(), loss: i as f32, settled: false }
            })
            .collect();
        let frame = Frame { job: JobId::new(), step: 3, steps_per_second: 0.0, solutions, curves: Curves::new(16) };
        let order: Vec<usize> = (0..16).rev().collect();
        let wall = Wall { title: "T".into(), input: "i".into(), y, seed: 1, order, frame: Arc::new(frame) };
        let drawn = wall.draw().unwrap();
        let has = |colour: [u8; 4]| drawn.rgba().chunks_exact(4).filter(|pixel| *pixel == colour).count();
        for i in 0..16 {
            assert_eq!(has([10 * i + 20, 200, 90, 255]), SIDE * SIDE, "solution {i}");
        }
        assert!(has([0, 0, 0, 255]) >= 2 * SIDE * SIDE);
    }
}
