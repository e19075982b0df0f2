//! The loss curves of all starts.

use crate::app::theme::{GAP, PICTURE_RADIUS, tokens};
use crate::app::widgets::loss_text;
use crate::engine::Frame;
use eframe::egui::{self, Align2, Pos2, Rect, Role, Sense, Shape, Stroke, Vec2, WidgetInfo};

/// Draws the curves of a frame; the chosen start stands out. Losses are drawn on a logarithmic scale.
pub fn show(ui: &mut egui::Ui, frame: Option<&Frame>, chosen: usize, size: Vec2) {
    let tokens = tokens(ui);
    let (area, _) = ui.allocate_exact_size(size, Sense::hover());
    let response = ui.interact(area, egui::Id::unique("curves"), Sense::hover());
    let best = frame.and_then(|frame| frame.solutions.iter().map(|solution| solution.loss).reduce(f32::min));
    let name = match (frame, best) {
        (Some(frame), Some(best)) => format!(
            "Loss curves of {} starts, lowest loss {} at step {}",
            frame.solutions.len(),
            loss_text(best),
            frame.step
        ),
        _ => "Loss curves, empty".into(),
    };
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    let hairline = Stroke::new(1.0, tokens.line);
    ui.painter().rect(area, PICTURE_RADIUS, tokens.canvas, hairline, egui::StrokeKind::Inside);
    let plot = Rect::from_min_max(area.min + Vec2::new(GAP, GAP + 10.0), area.max - Vec2::new(GAP, GAP + 12.0));
    let Some(scale) = frame.and_then(|frame| Scale::of(frame, plot)) else { return };
    let painter = ui.painter_at(area);
    for (_, losses) in scale.frame.curves.losses.iter().enumerate().filter(|&(start, _)| start != chosen) {
        painter.add(Shape::line(scale.line(losses), Stroke::new(1.0, tokens.curve)));
    }
    if let Some(losses) = scale.frame.curves.losses.get(chosen) {
        let line = scale.line(losses);
        if let Some(&end) = line.last() {
            painter.circle_filled(end, 3.0, tokens.accent);
        }
        painter.add(Shape::line(line, Stroke::new(2.0, tokens.accent)));
    }
    let font = egui::TextStyle::Small.resolve(ui.style());
    let text = |at: Pos2, align, text: String| _ = painter.text(at, align, text, font.clone(), tokens.muted);
    text(area.left_top() + Vec2::new(GAP, 4.0), Align2::LEFT_TOP, loss_text(scale.high));
    text(area.left_bottom() + Vec2::new(GAP, -4.0), Align2::LEFT_BOTTOM, loss_text(scale.low));
    text(area.right_bottom() + Vec2::new(-GAP, -4.0), Align2::RIGHT_BOTTOM, format!("step {}", scale.frame.step));
}

/// From steps and losses to points.
struct Scale<'a> {
    frame: &'a Frame,
    plot: Rect,
    low: f32,
    high: f32,
    points: usize,
}

impl<'a> Scale<'a> {
    fn of(frame: &'a Frame, plot: Rect) -> Option<Self> {
        let all = || frame.curves.losses.iter().flatten().copied().filter(|loss| loss.is_finite() && *loss > 0.0);
        let (low, high) = (all().reduce(f32::min)?, all().reduce(f32::max)?);
        let points = frame.curves.losses.first()?.len();
        Some(Self { frame, plot, low, high: high.max(low * 1.001), points })
    }

    fn line(&self, losses: &[f32]) -> Vec<Pos2> {
        // The plot grows with the search until it holds ten points, so that the first steps are not a blur.
        let last = self.points.saturating_sub(1).max(10) as f32;
        let height = (self.high / self.low).ln();
        losses
            .iter()
            .enumerate()
            .filter(|(_, loss)| loss.is_finite() && **loss > 0.0)
            .map(|(i, loss)| {
                let x = egui::lerp(self.plot.x_range(), i as f32 / last);
                let y = egui::remap((loss / self.low).ln(), 0.0..=height, self.plot.bottom()..=self.plot.top());
                Pos2::new(x, y)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Curves, JobId};

    #[test]
    fn curves_stay_inside_the_plot() {
        let losses = vec![(0..100).map(|i| 1.0 / (i + 1) as f32).collect(), vec![0.5; 100]];
        let curves = Curves { stride: 1, losses };
        let frame = Frame { job: JobId::new(), step: 99, steps_per_second: 0.0, solutions: Vec::new(), curves };
        let plot = Rect::from_min_max(Pos2::new(10.0, 20.0), Pos2::new(110.0, 70.0));
        let scale = Scale::of(&frame, plot).unwrap();
        for losses in &frame.curves.losses {
            assert!(scale.line(losses).into_iter().all(|point| plot.expand(0.01).contains(point)));
        }
        assert_eq!(scale.line(&frame.curves.losses[0])[0].y, plot.top(), "the highest loss is at the top");
    }
}
