//! Theme tokens: every colour, gap and size of the window.

use crate::gpu::Colours;
use eframe::egui::{self, Color32, CornerRadius, FontFamily, FontId, Margin, Stroke, TextStyle, Theme, Vec2};
use std::collections::BTreeMap;

/// The gap between things that belong together, in points.
pub const GAP: f32 = 8.0;
/// The gap between groups, in points.
pub const SECTION: f32 = 18.0;
/// The margin of panels, in points.
pub const MARGIN: i8 = 16;
/// Radius of pictures' corners, in points.
pub const PICTURE_RADIUS: f32 = 6.0;
/// Radius of the corners of buttons and fields, in points.
pub const RADIUS: u8 = 6;
/// Height of buttons and fields, in points.
pub const CONTROL: f32 = 28.0;
/// From this width, in points, there is a panel on either side of the solutions.
pub const WIDE: f32 = 1080.0;
/// Below this width, in points, everything stands in one column.
pub const NARROW: f32 = 680.0;

/// The colours of one theme.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tokens {
    /// Behind the solutions.
    pub canvas: Color32,
    /// Side panels and bars.
    pub panel: Color32,
    /// Buttons, fields, empty pictures.
    pub raised: Color32,
    /// The same under the pointer.
    pub hover: Color32,
    /// The same while pressed.
    pub pressed: Color32,
    /// Separators and outlines.
    pub line: Color32,
    /// Text.
    pub text: Color32,
    /// Captions and what is less important.
    pub muted: Color32,
    /// What is chosen, and the main action.
    pub accent: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// The accent as a background behind text.
    pub accent_faint: Color32,
    /// Errors.
    pub error: Color32,
    /// Behind the text of errors.
    pub error_faint: Color32,
    /// Loss curves other than the chosen one.
    pub curve: Color32,
    /// Lines of a chart that are told apart by their names.
    pub series: [Color32; 4],
    /// Shadows.
    pub shadow: Color32,
    /// What views of pictures add.
    pub views: Colours,
}

/// The tokens of the dark theme.
pub const DARK: Tokens = Tokens {
    canvas: Color32::from_rgb(0x12, 0x13, 0x16),
    panel: Color32::from_rgb(0x1a, 0x1c, 0x20),
    raised: Color32::from_rgb(0x27, 0x2a, 0x31),
    hover: Color32::from_rgb(0x32, 0x36, 0x3f),
    pressed: Color32::from_rgb(0x3c, 0x41, 0x4c),
    line: Color32::from_rgb(0x2b, 0x2e, 0x36),
    text: Color32::from_rgb(0xe9, 0xea, 0xee),
    muted: Color32::from_rgb(0x9c, 0xa3, 0xaf),
    accent: Color32::from_rgb(0x7f, 0xb2, 0xff),
    on_accent: Color32::from_rgb(0x0b, 0x16, 0x28),
    accent_faint: Color32::from_rgb(0x22, 0x31, 0x4b),
    error: Color32::from_rgb(0xff, 0x8f, 0x82),
    error_faint: Color32::from_rgb(0x3a, 0x20, 0x20),
    curve: Color32::from_rgb(0x4b, 0x52, 0x60),
    series: [
        Color32::from_rgb(0x7f, 0xb2, 0xff),
        Color32::from_rgb(0xff, 0x8a, 0x4c),
        Color32::from_rgb(0x6f, 0xd3, 0x9f),
        Color32::from_rgb(0xd0, 0x9a, 0xff),
    ],
    shadow: Color32::from_black_alpha(110),
    views: Colours {
        negative: [0x4d, 0x9b, 0xff, 0xff],
        neutral: [0x1f, 0x22, 0x27, 0xff],
        positive: [0xff, 0x8a, 0x4c, 0xff],
        divider: [0x7f, 0xb2, 0xff, 0xff],
    },
};

/// The tokens of the light theme.
pub const LIGHT: Tokens = Tokens {
    canvas: Color32::from_rgb(0xf3, 0xf4, 0xf6),
    panel: Color32::from_rgb(0xfc, 0xfc, 0xfd),
    raised: Color32::from_rgb(0xe9, 0xeb, 0xef),
    hover: Color32::from_rgb(0xde, 0xe2, 0xe8),
    pressed: Color32::from_rgb(0xd0, 0xd5, 0xde),
    line: Color32::from_rgb(0xe0, 0xe3, 0xe8),
    text: Color32::from_rgb(0x1b, 0x1f, 0x26),
    muted: Color32::from_rgb(0x59, 0x61, 0x6e),
    accent: Color32::from_rgb(0x25, 0x5f, 0xd6),
    on_accent: Color32::from_rgb(0xff, 0xff, 0xff),
    accent_faint: Color32::from_rgb(0xdc, 0xe7, 0xfb),
    error: Color32::from_rgb(0xb3, 0x26, 0x1e),
    error_faint: Color32::from_rgb(0xfd, 0xe8, 0xe6),
    curve: Color32::from_rgb(0xb9, 0xc0, 0xcb),
    series: [
        Color32::from_rgb(0x25, 0x5f, 0xd6),
        Color32::from_rgb(0xc2, 0x4a, 0x10),
        Color32::from_rgb(0x13, 0x7a, 0x50),
        Color32::from_rgb(0x8a, 0x3f, 0xc2),
    ],
    shadow: Color32::from_black_alpha(36),
    views: Colours {
        negative: [0x1f, 0x6f, 0xe0, 0xff],
        neutral: [0xff, 0xff, 0xff, 0xff],
        positive: [0xe2, 0x5a, 0x1c, 0xff],
        divider: [0x25, 0x5f, 0xd6, 0xff],
    },
};

/// The tokens of the theme that a ui is drawn in.
pub fn tokens(ui: &egui::Ui) -> &'static Tokens {
    if ui.visuals().dark_mode { &DARK } else { &LIGHT }
}

/// Gives both themes to a window.
pub fn install(ctx: &egui::Context) {
    ctx.options_mut(|options| options.zoom_with_keyboard = false);
    for (theme, tokens) in [(Theme::Dark, &DARK), (Theme::Light, &LIGHT)] {
        ctx.style_mut_of(theme, |style| apply(style, tokens));
    }
}

fn apply(style: &mut egui::Style, tokens: &Tokens) {
    let font = |size| FontId::new(size, FontFamily::Proportional);
    style.text_styles = BTreeMap::from([
        (TextStyle::Heading, font(19.0)),
        (TextStyle::Body, font(14.0)),
        (TextStyle::Button, font(14.0)),
        (TextStyle::Small, font(12.0)),
        (TextStyle::Monospace, FontId::new(12.5, FontFamily::Monospace)),
    ]);
    let spacing = &mut style.spacing;
    spacing.item_spacing = Vec2::splat(GAP);
    spacing.button_padding = Vec2::new(12.0, 5.0);
    spacing.interact_size = Vec2::new(40.0, CONTROL);
    spacing.menu_margin = Margin::same(6);
    spacing.window_margin = Margin::same(MARGIN);
    spacing.slider_rail_height = 4.0;
    spacing.combo_width = 60.0;
    spacing.icon_width = 16.0;
    spacing.tooltip_width = 320.0;
    style.interaction.selectable_labels = false;
    style.interaction.tooltip_delay = 0.4;
    style.animation_time = 0.12;
    let visuals = &mut style.visuals;
    visuals.panel_fill = tokens.panel;
    visuals.window_fill = tokens.panel;
    visuals.window_stroke = Stroke::new(1.0, tokens.line);
    visuals.window_corner_radius = CornerRadius::same(10);
    visuals.menu_corner_radius = CornerRadius::same(8);
    visuals.extreme_bg_color = tokens.canvas;
    visuals.faint_bg_color = tokens.raised;
    visuals.code_bg_color = tokens.raised;
    visuals.text_edit_bg_color = Some(tokens.raised);
    visuals.override_text_color = None;
    visuals.weak_text_color = Some(tokens.muted);
    visuals.hyperlink_color = tokens.accent;
    visuals.warn_fg_color = tokens.error;
    visuals.error_fg_color = tokens.error;
    visuals.selection.bg_fill = tokens.accent_faint;
    visuals.selection.stroke = Stroke::new(1.0, tokens.accent);
    visuals.slider_trailing_fill = true;
    visuals.handle_shape = egui::style::HandleShape::Circle;
    visuals.interact_cursor = Some(egui::CursorIcon::PointingHand);
    for shadow in [&mut visuals.window_shadow, &mut visuals.popup_shadow] {
        *shadow = egui::Shadow { offset: [0, 6], blur: 24, spread: 0, color: tokens.shadow };
    }
    let widgets = &mut visuals.widgets;
    let states = [
        (&mut widgets.noninteractive, tokens.panel, tokens.text),
        (&mut widgets.inactive, tokens.raised, tokens.text),
        (&mut widgets.hovered, tokens.hover, tokens.text),
        (&mut widgets.active, tokens.pressed, tokens.text),
        (&mut widgets.open, tokens.hover, tokens.text),
    ];
    for (widget, fill, text) in states {
        widget.bg_fill = fill;
        widget.weak_bg_fill = fill;
        widget.bg_stroke = Stroke::NONE;
        widget.fg_stroke = Stroke::new(1.0, text);
        widget.corner_radius = CornerRadius::same(RADIUS);
        widget.expansion = 0.0;
    }
    widgets.noninteractive.bg_stroke = Stroke::new(1.0, tokens.line);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG relative luminance.
    fn luminance(colour: Color32) -> f32 {
        let linear = |value: u8| {
            let value = f32::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(colour.r()) + 0.7152 * linear(colour.g()) + 0.0722 * linear(colour.b())
    }

    fn contrast(a: Color32, b: Color32) -> f32 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_in_both_themes() {
        for tokens in [DARK, LIGHT] {
            for ground in [tokens.canvas, tokens.panel, tokens.raised] {
                assert!(contrast(tokens.text, ground) >= 7.0, "text on {ground:?}");
                assert!(contrast(tokens.muted, ground) >= 4.5, "muted text on {ground:?}");
            }
            assert!(contrast(tokens.on_accent, tokens.accent) >= 4.5);
            assert!(contrast(tokens.error, tokens.error_faint) >= 4.5);
            assert!(contrast(tokens.accent, tokens.panel) >= 3.0);
            assert!(tokens.series.into_iter().all(|colour| contrast(colour, tokens.canvas) >= 3.0));
            assert!(contrast(tokens.text, tokens.accent_faint) >= 7.0);
        }
    }
}
