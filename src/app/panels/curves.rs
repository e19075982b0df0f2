//! Loss curves: of all starts of a search, and of whatever else has losses.

use crate::app::theme::{GAP, PICTURE_RADIUS, tokens};
use crate::app::widgets::loss_text;
use crate::engine::Frame;
use eframe::egui::{self, Align2, Color32, Pos2, Rect, Role, Sense, Shape, Stroke, Vec2, WidgetInfo};

/// One curve of a chart.
pub struct Line<'a> {
    /// Its values, evenly spread over the steps.
    pub values: &'a [f32],
    /// Its colour.
    pub colour: Color32,
    /// Its width, in points.
    pub width: f32,
    /// Whether its end is marked.
    pub marked: bool,
}

/// Draws the curves of a frame; the chosen start stands out.
pub fn show(ui: &mut egui::Ui, frame: Option<&Frame>, chosen: usize, size: Vec2) {
    let tokens = tokens(ui);
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
    let losses = frame.map_or(&[][..], |frame| &frame.curves.losses);
    let line = |start: usize| {
        let (colour, width) = if start == chosen { (tokens.accent, 2.0) } else { (tokens.curve, 1.0) };
        losses.get(start).map(|values| Line { values, colour, width, marked: start == chosen })
    };
    // The chosen one over all others.
    let order = (0..losses.len()).filter(|&start| start != chosen).chain([chosen]);
    let lines: Vec<_> = order.filter_map(line).collect();
    chart(ui, "curves", &name, &lines, &format!("step {}", frame.map_or(0, |frame| frame.step)), size);
}

/// Draws curves over the same steps; on a logarithmic scale where all values are above zero.
pub fn chart(ui: &mut egui::Ui, key: &str, name: &str, lines: &[Line<'_>], end: &str, size: Vec2) {
    let tokens = tokens(ui);
    let (area, _) = ui.allocate_exact_size(size, Sense::hover());
    let response = ui.interact(area, egui::Id::unique(key), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    let hairline = Stroke::new(1.0, tokens.line);
    ui.painter().rect(area, PICTURE_RADIUS, tokens.canvas, hairline, egui::StrokeKind::Inside);
    let plot = Rect::from_min_max(area.min + Vec2::new(GAP, GAP + 10.0), area.max - Vec2::new(GAP, GAP + 12.0));
    let Some(scale) = Scale::of(lines, plot) else { return };
    let painter = ui.painter_at(area);
    for line in lines {
        let points = scale.points(line.values);
        if let Some(&end) = points.last().filter(|_| line.marked) {
            painter.circle_filled(end, line.width + 1.0, line.colour);
        }
        painter.add(Shape::line(points, Stroke::new(line.width, line.colour)));
    }
    let font = egui::TextStyle::Small.resolve(ui.style());
    let text = |at: Pos2, align, text: String| _ = painter.text(at, align, text, font.clone(), tokens.muted);
    text(area.left_top() + Vec2::new(GAP, 4.0), Align2::LEFT_TOP, loss_text(scale.high));
    text(area.left_bottom() + Vec2::new(GAP, -4.0), Align2::LEFT_BOTTOM, loss_text(scale.low));
    text(area.right_bottom() + Vec2::new(-GAP, -4.0), Align2::RIGHT_BOTTOM, end.to_owned());
}

/// From values to points.
struct Scale {
    plot: Rect,
    low: f32,
    high: f32,
    points: usize,
    logarithmic: bool,
}

impl Scale {
    fn of(lines: &[Line<'_>], plot: Rect) -> Option<Self> {
        let all = || lines.iter().flat_map(|line| line.values).copied().filter(|value| value.is_finite());
        let (low, high) = (all().reduce(f32::min)?, all().reduce(f32::max)?);
        let points = lines.iter().map(|line| line.values.len()).max()?;
        let logarithmic = low > 0.0;
        let high = if logarithmic { high.max(low * 1.001) } else { high.max(low + 1e-6) };
        Some(Self { plot, low, high, points, logarithmic })
    }

    /// How high a value is, from 0 to 1.
    fn height(&self, value: f32) -> f32 {
        if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    fn points(&self, values: &[f32]) -> Vec<Pos2> {
        // The plot grows until it holds ten points, so that the first steps are not a blur.
        let last = self.points.saturating_sub(1).max(10) as f32;
        values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.is_finite())
            .map(|(i, &value)| {
                let x = egui::lerp(self.plot.x_range(), i as f32 / last);
                Pos2::new(x, egui::lerp(self.plot.bottom()..=self.plot.top(), self.height(value)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(curves: &[Vec<f32>]) -> Vec<Vec<Pos2>> {
        let line = |values| Line { values, colour: Color32::PLACEHOLDER, width: 1.0, marked: false };
        let lines: Vec<_> = curves.iter().map(|values| line(values.as_slice())).collect();
        let plot = Rect::from_min_max(Pos2::new(10.0, 20.0), Pos2::new(110.0, 70.0));
        let scale = Scale::of(&lines, plot).unwrap();
        let points: Vec<_> = curves.iter().map(|values| scale.points(values)).collect();
        assert!(points.iter().flatten().all(|&point| plot.expand(0.01).contains(point)), "{points:?}");
        points
    }

    #[test]
    fn curves_stay_inside_the_plot() {
        let points = inside(&[(0..100).map(|i| 1.0 / (i + 1) as f32).collect(), vec![0.5; 100]]);
        assert_eq!(points[0][0].y, 20.0, "the highest loss is at the top");
    }

    #[test]
    fn losses_below_zero_and_constant_ones_are_drawn_too() {
        let points = inside(&[vec![-1.0, 0.0, 1.0], vec![f32::NAN, 0.0, f32::INFINITY]]);
        assert_eq!(points[0].iter().map(|point| point.y).collect::<Vec<_>>(), [70.0, 45.0, 20.0]);
        assert_eq!(points[1].len(), 1);
        inside(&[vec![0.0; 3]]);
        inside(&[vec![2.0; 3]]);
    }
}
