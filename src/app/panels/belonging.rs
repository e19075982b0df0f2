//! How well the picture belongs to the images that the model knows: a meter, a sentence, and what else to try.

use crate::Picture;
use crate::app::command::Command;
use crate::app::state::State;
use crate::app::theme::tokens;
use crate::app::widgets::{Scene, caption};
use crate::data::{Treatment, YKind};
use eframe::egui::{self, Color32, CornerRadius, Rect, Role, Sense, Vec2, WidgetInfo};

/// From this percentage on, an image looks like those that the model knows.
const FAMILIAR: f32 = 15.0;
/// Below this percentage an image is unlike them: the line drawings of bags and emoji reach at most 2 with the model of
/// shoes, shoes of another collection 50 and more.
const FOREIGN: f32 = 5.0;
/// Height of the meter, in points.
const BAR: f32 = 6.0;

/// What is known about how well the input fits.
#[derive(Clone, Debug, PartialEq)]
struct Verdict {
    /// How well it fits, in percent, once the search has taken as many steps as the held-out images were measured after
    /// (see [`crate::app::state::SearchView::judge`]).
    percent: Option<f32>,
    sentence: String,
    /// What to try instead, and the command that does it.
    advice: Option<(&'static str, Option<Command>)>,
}

impl Verdict {
    /// `None` while there is no picture, and for models that were not measured.
    fn of(state: &State) -> Option<Self> {
        let (card, input) = (&state.model.as_ref()?.card, state.input.as_ref()?);
        let y = input.y.as_ref()?;
        let percent = state.search.as_ref().and_then(|search| search.belonging);
        let known = if card.domain_y.is_empty() { "images" } else { card.domain_y.as_str() };
        let steps = card.held_out.steps;
        let empty = is_empty(y);
        let sentence = match percent {
            _ if empty => "The model sees an empty picture: there is nothing to explain.".to_owned(),
            None if card.held_out.percentiles.is_empty() => String::new(),
            None => format!("How well it fits: known after {steps} steps."),
            Some(percent) if percent >= FAMILIAR => format!("Looks like the {known} that this model knows."),
            Some(percent) if percent >= FOREIGN => format!("Unusual among the {known} that this model knows."),
            Some(_) => format!("Unlike the {known} that this model knows: expect poor counterparts."),
        };
        let percent = percent.filter(|_| !empty);
        let poor = empty || percent.is_some_and(|percent| percent < FOREIGN);
        let advice = state.choices().and_then(|choices| match choices.treatment {
            Treatment::Drawing if poor || input.is_faint => {
                Some(("If this is a photograph, switch from Drawing to Photo.", Some(Command::TreatAsPhoto)))
            }
            Treatment::EdgesFromPhoto if poor => {
                Some(("If this is a drawing, switch from Photo to Drawing.", Some(Command::TreatAsDrawing)))
            }
            _ if !poor => None,
            Treatment::AsIs if card.y_kind == YKind::Edges => Some(("Switch to Drawing or Photo.", None)),
            _ => Some(("Try another crop, or Invert.", None)),
        });
        (!sentence.is_empty() || advice.is_some()).then_some(Self { percent, sentence, advice })
    }

    /// What a screen reader says of the meter.
    fn name(&self) -> String {
        match self.percent {
            Some(percent) => format!("Belonging {percent:.0} percent. {}", self.sentence),
            None => format!("Belonging unknown. {}", self.sentence),
        }
    }
}

/// Draws the meter, or nothing when there is nothing to say.
pub fn show(ui: &mut egui::Ui, scene: &mut Scene<'_>) {
    let Some(verdict) = Verdict::of(scene.state) else { return };
    let tokens = tokens(ui);
    let colour = match verdict.percent {
        Some(percent) if percent < FOREIGN => tokens.error,
        Some(percent) if percent < FAMILIAR => tokens.muted,
        _ => tokens.accent,
    };
    if !verdict.sentence.is_empty() {
        meter(ui, &verdict, colour);
        caption(ui, &verdict.sentence);
    }
    if let Some((sentence, command)) = verdict.advice {
        let colour = tokens.text;
        ui.label(egui::RichText::new(sentence).small().color(colour));
        if let Some(command) = command {
            scene.command(ui, command);
        }
    }
}

fn meter(ui: &mut egui::Ui, verdict: &Verdict, colour: Color32) {
    let (bar, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), BAR), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Meter, true, verdict.name()));
    let radius = CornerRadius::same((BAR / 2.0) as u8);
    ui.painter().rect_filled(bar, radius, tokens(ui).raised);
    if let Some(percent) = verdict.percent {
        // Even nothing at all can be seen.
        let width = (bar.width() * percent / 100.0).clamp(BAR, bar.width());
        ui.painter().rect_filled(Rect::from_min_size(bar.min, Vec2::new(width, BAR)), radius, colour);
    }
    response.on_hover_text(match verdict.percent {
        Some(percent) => format!("{percent:.0} % of the held-out images were explained no better."),
        None => "How many of the held-out images were explained no better.".into(),
    });
}

/// Whether a picture is of one brightness all over, but for noise.
fn is_empty(picture: &Picture) -> bool {
    /// Levels of 255 that are noise.
    const NOISE: u8 = 24;
    let bytes = || picture.rgba().chunks_exact(4).flat_map(|pixel| pixel[..3].iter().copied());
    bytes().max().unwrap_or(0) - bytes().min().unwrap_or(0) <= NOISE
}
