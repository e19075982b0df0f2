//! The one list of what a person can do: menus, shortcuts, the palette and the tests all read it.

use super::state::{Comparison, Phase, STARTS, State};
use crate::data::Treatment;
use crate::engine::{SolveDevice, StartFrom};
use eframe::egui::{Key, KeyboardShortcut, Modifiers};

/// Something the window can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Open a picture.
    OpenPicture,
    /// Take a picture from the clipboard.
    Paste,
    /// Take the picture for a line drawing.
    TreatAsDrawing,
    /// Take the picture for a photograph, and make its line drawing.
    TreatAsPhoto,
    /// Open a model file.
    OpenModel,
    /// Write the wall as a PNG.
    ExportWall,
    /// Close the window.
    Quit,
    /// Draw samples, then refine if wanted.
    Start,
    /// Hold refinement.
    Pause,
    /// Go on refining.
    Continue,
    /// End refinement.
    Stop,
    /// Start again with the next seed.
    Reroll,
    /// Whether refinement starts as soon as the samples are there.
    ToggleRefine,
    /// Begin at samples of the encoder's posterior.
    StartFromPosterior,
    /// Begin at samples of the prior.
    StartFromPrior,
    /// Refine wherever it is faster.
    SolveWhereFaster,
    /// Refine on the CPU.
    SolveOnCpu,
    /// Refine on the graphics processor.
    SolveOnGpu,
    /// Fewer starts.
    FewerStarts,
    /// More starts.
    MoreStarts,
    /// Choose the next better solution.
    BetterSolution,
    /// Choose the next worse solution.
    WorseSolution,
    /// Follow the best solution again.
    FollowBest,
    /// Bring all sliders back to the middle.
    ResetDirections,
    /// Compare by signed difference.
    CompareDifference,
    /// Compare by heat.
    CompareHeat,
    /// Compare across a divider.
    CompareSplit,
    /// Blend pixels or show them.
    ToggleSmooth,
    /// Dark or light.
    ToggleTheme,
    /// Everything larger.
    ScaleUp,
    /// Everything smaller.
    ScaleDown,
    /// Everything at its own size.
    ScaleReset,
    /// Find a command by typing.
    Palette,
    /// List the shortcuts.
    Shortcuts,
}

/// A menu of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    /// Pictures, models, export.
    File,
    /// The search.
    Search,
    /// What is shown and how.
    View,
    /// Help.
    Help,
}

impl Menu {
    /// All menus, in their order.
    pub const ALL: [Self; 4] = [Self::File, Self::Search, Self::View, Self::Help];

    /// What the menu is called.
    pub fn label(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::Search => "Search",
            Self::View => "View",
            Self::Help => "Help",
        }
    }
}

impl Command {
    /// All commands, in the order of menus and palette.
    pub const ALL: [Self; 34] = [
        Self::OpenPicture,
        Self::Paste,
        Self::TreatAsDrawing,
        Self::TreatAsPhoto,
        Self::OpenModel,
        Self::ExportWall,
        Self::Quit,
        Self::Start,
        Self::Pause,
        Self::Continue,
        Self::Stop,
        Self::Reroll,
        Self::ToggleRefine,
        Self::StartFromPosterior,
        Self::StartFromPrior,
        Self::FewerStarts,
        Self::MoreStarts,
        Self::SolveWhereFaster,
        Self::SolveOnCpu,
        Self::SolveOnGpu,
        Self::BetterSolution,
        Self::WorseSolution,
        Self::FollowBest,
        Self::ResetDirections,
        Self::CompareDifference,
        Self::CompareHeat,
        Self::CompareSplit,
        Self::ToggleSmooth,
        Self::ToggleTheme,
        Self::ScaleUp,
        Self::ScaleDown,
        Self::ScaleReset,
        Self::Palette,
        Self::Shortcuts,
    ];

    /// What it is called.
    pub fn label(self) -> &'static str {
        match self {
            Self::OpenPicture => "Open picture…",
            Self::Paste => "Paste picture",
            Self::TreatAsDrawing => "Treat as drawing",
            Self::TreatAsPhoto => "Treat as photograph",
            Self::OpenModel => "Open model…",
            Self::ExportWall => "Export wall…",
            Self::Quit => "Quit",
            Self::Start => "Find counterparts",
            Self::Pause => "Pause",
            Self::Continue => "Continue",
            Self::Stop => "Stop",
            Self::Reroll => "Re-roll",
            Self::ToggleRefine => "Refine by itself",
            Self::StartFromPosterior => "Begin at the posterior",
            Self::StartFromPrior => "Begin at the prior",
            Self::SolveWhereFaster => "Refine where it is faster",
            Self::SolveOnCpu => "Refine on the CPU",
            Self::SolveOnGpu => "Refine on the graphics processor",
            Self::FewerStarts => "Fewer starts",
            Self::MoreStarts => "More starts",
            Self::BetterSolution => "Better solution",
            Self::WorseSolution => "Worse solution",
            Self::FollowBest => "Follow the best solution",
            Self::ResetDirections => "Reset sliders",
            Self::CompareDifference => "Compare by difference",
            Self::CompareHeat => "Compare by heat map",
            Self::CompareSplit => "Compare across a divider",
            Self::ToggleSmooth => "Smooth pixels",
            Self::ToggleTheme => "Dark or light",
            Self::ScaleUp => "Larger",
            Self::ScaleDown => "Smaller",
            Self::ScaleReset => "Normal size",
            Self::Palette => "Find a command…",
            Self::Shortcuts => "Keyboard shortcuts",
        }
    }

    /// What it does, in a sentence.
    pub fn tooltip(self) -> &'static str {
        match self {
            Self::OpenPicture => "Choose a picture to find counterparts of.",
            Self::Paste => "Use the picture, or the path of a picture, on the clipboard.",
            Self::TreatAsDrawing => "Take the picture for a line drawing, and bring its strokes to one width.",
            Self::TreatAsPhoto => "Take the picture for a photograph, and make its line drawing.",
            Self::OpenModel => "Use a model file.",
            Self::ExportWall => "Write the input and its solutions as one labelled PNG.",
            Self::Quit => "Close the window.",
            Self::Start => "Draw counterparts with the present seed, and refine them if that is switched on.",
            Self::Pause => "Hold refinement; nothing is lost.",
            Self::Continue => "Go on refining the solutions.",
            Self::Stop => "End refinement; the solutions stay.",
            Self::Reroll => "Draw other counterparts with the next seed.",
            Self::ToggleRefine => "Whether refinement starts as soon as the samples are there.",
            Self::StartFromPosterior => {
                "Begin at samples of the encoder's posterior: close to the input from the start."
            }
            Self::StartFromPrior => "Begin at samples of the prior N(0, I): more different, and slower to come close.",
            Self::SolveWhereFaster => {
                "Measure for a moment whether the CPU or the graphics processor refines faster, and remember it."
            }
            Self::SolveOnCpu => "Refine on the CPU; the search starts again.",
            Self::SolveOnGpu => {
                "Refine on the graphics processor, or on the CPU where that fails; the search starts again."
            }
            Self::FewerStarts => "Search from fewer starts: each step is faster.",
            Self::MoreStarts => "Search from more starts: each step is slower, and more is found.",
            Self::BetterSolution => "Choose the solution that explains the input a little better.",
            Self::WorseSolution => "Choose the solution that explains the input a little worse.",
            Self::FollowBest => "Always show the solution of the lowest loss large.",
            Self::ResetDirections => "Bring all direction sliders back to the middle.",
            Self::CompareDifference => "Show where the reconstruction is darker and brighter than the input.",
            Self::CompareHeat => "Show how much the reconstruction differs from the input.",
            Self::CompareSplit => "Show the input left and the reconstruction right of a divider that can be moved.",
            Self::ToggleSmooth => "Blend the pixels of large pictures, or show each of them.",
            Self::ToggleTheme => "Change between the dark and the light theme.",
            Self::ScaleUp => "Draw everything larger, up to twice its size.",
            Self::ScaleDown => "Draw everything smaller, down to its own size.",
            Self::ScaleReset => "Draw everything at its own size.",
            Self::Palette => "Find a command by typing a part of its name.",
            Self::Shortcuts => "List all keyboard shortcuts.",
        }
    }

    /// The keys for it.
    pub fn shortcut(self) -> Option<KeyboardShortcut> {
        let command = |key| Some(KeyboardShortcut::new(Modifiers::COMMAND, key));
        let shifted = |key| Some(KeyboardShortcut::new(Modifiers::COMMAND | Modifiers::SHIFT, key));
        match self {
            Self::OpenPicture => command(Key::O),
            Self::Paste => command(Key::V),
            Self::OpenModel => shifted(Key::O),
            Self::ExportWall => command(Key::E),
            Self::Quit => command(Key::Q),
            Self::Start => command(Key::Enter),
            Self::Pause | Self::Continue => command(Key::P),
            Self::Stop => command(Key::Period),
            Self::Reroll => command(Key::R),
            Self::BetterSolution => command(Key::ArrowLeft),
            Self::WorseSolution => command(Key::ArrowRight),
            Self::FollowBest => command(Key::B),
            Self::ResetDirections => command(Key::Backspace),
            Self::MoreStarts => shifted(Key::ArrowUp),
            Self::FewerStarts => shifted(Key::ArrowDown),
            Self::CompareDifference => command(Key::Num1),
            Self::CompareHeat => command(Key::Num2),
            Self::CompareSplit => command(Key::Num3),
            Self::ToggleSmooth => command(Key::M),
            Self::ToggleTheme => command(Key::T),
            Self::ScaleUp => command(Key::Plus),
            Self::ScaleDown => command(Key::Minus),
            Self::ScaleReset => command(Key::Num0),
            Self::Palette => command(Key::K),
            Self::Shortcuts => Some(KeyboardShortcut::new(Modifiers::NONE, Key::F1)),
            Self::TreatAsDrawing => shifted(Key::D),
            Self::TreatAsPhoto => shifted(Key::P),
            Self::ToggleRefine | Self::StartFromPosterior | Self::StartFromPrior => None,
            Self::SolveWhereFaster | Self::SolveOnCpu | Self::SolveOnGpu => None,
        }
    }

    /// The menu that it is in.
    pub fn menu(self) -> Menu {
        match self {
            Self::OpenPicture | Self::Paste | Self::OpenModel | Self::ExportWall | Self::Quit => Menu::File,
            Self::TreatAsDrawing | Self::TreatAsPhoto => Menu::File,
            Self::Start | Self::Pause | Self::Continue | Self::Stop | Self::Reroll | Self::BetterSolution => {
                Menu::Search
            }
            Self::WorseSolution | Self::FollowBest | Self::ResetDirections | Self::ToggleRefine => Menu::Search,
            Self::StartFromPosterior | Self::StartFromPrior | Self::FewerStarts | Self::MoreStarts => Menu::Search,
            Self::SolveWhereFaster | Self::SolveOnCpu | Self::SolveOnGpu => Menu::Search,
            Self::CompareDifference | Self::CompareHeat | Self::CompareSplit | Self::ToggleSmooth => Menu::View,
            Self::ToggleTheme | Self::ScaleUp | Self::ScaleDown | Self::ScaleReset => Menu::View,
            Self::Palette | Self::Shortcuts => Menu::Help,
        }
    }

    /// The part of its menu that opens by itself, if it is in one.
    pub fn submenu(self) -> Option<&'static str> {
        match self {
            Self::SolveWhereFaster | Self::SolveOnCpu | Self::SolveOnGpu => Some("Device"),
            _ => None,
        }
    }

    /// Whether it can be done now.
    pub fn enabled(self, state: &State) -> bool {
        let search = state.search.as_ref();
        let phase = search.map(|search| search.phase);
        let has_solutions = state.frame().is_some();
        match self {
            Self::OpenPicture | Self::OpenModel => !state.in_dialog,
            Self::ExportWall => has_solutions && !state.exporting && !state.in_dialog,
            Self::Start | Self::Reroll => {
                state.model.is_some() && state.input.as_ref().is_some_and(|input| input.y.is_some())
            }
            Self::TreatAsDrawing | Self::TreatAsPhoto => state.choices().is_some(),
            Self::StartFromPosterior | Self::StartFromPrior => {
                state.model.as_ref().is_some_and(|model| model.card.has_posterior)
            }
            Self::FewerStarts => state.model.is_some() && state.settings.starts > STARTS[0],
            Self::MoreStarts => state.model.is_some() && state.settings.starts < STARTS[STARTS.len() - 1],
            Self::ToggleRefine | Self::SolveWhereFaster | Self::SolveOnCpu | Self::SolveOnGpu => state.model.is_some(),
            Self::Pause => phase == Some(Phase::Refining),
            Self::Continue => has_solutions && search.is_some_and(|search| search.can_continue()),
            Self::Stop => matches!(phase, Some(Phase::Refining | Phase::Paused)),
            Self::BetterSolution => has_solutions && search.is_some_and(|search| search.rank(search.chosen) > 0),
            Self::WorseSolution => search.is_some_and(|search| search.rank(search.chosen) + 1 < search.order.len()),
            Self::FollowBest => search.is_some_and(|search| search.chosen_by_hand),
            Self::ResetDirections => search.is_some_and(|search| search.is_scrubbed()),
            Self::ScaleUp => state.settings.scale < 2.0,
            Self::ScaleDown | Self::ScaleReset => state.settings.scale > 1.0,
            _ => true,
        }
    }

    /// Whether it is switched on, for commands that are a choice.
    pub fn checked(self, state: &State) -> Option<bool> {
        let settings = &state.settings;
        match self {
            Self::CompareDifference => Some(settings.comparison == Comparison::Difference),
            Self::CompareHeat => Some(settings.comparison == Comparison::Heat),
            Self::CompareSplit => Some(settings.comparison == Comparison::Split),
            Self::ToggleSmooth => Some(settings.smooth),
            Self::ToggleRefine => Some(settings.refine),
            Self::StartFromPosterior => Some(settings.from == StartFrom::Posterior),
            Self::StartFromPrior => Some(settings.from == StartFrom::Prior),
            Self::SolveWhereFaster => Some(settings.device == SolveDevice::Auto),
            Self::SolveOnCpu => Some(settings.device == SolveDevice::Cpu),
            Self::SolveOnGpu => Some(settings.device == SolveDevice::Gpu),
            Self::TreatAsDrawing => Some(state.choices()?.treatment == Treatment::Drawing),
            Self::TreatAsPhoto => Some(state.choices()?.treatment == Treatment::EdgesFromPhoto),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_complete_and_no_keys_collide() {
        for (i, command) in Command::ALL.into_iter().enumerate() {
            assert!(command.tooltip().ends_with('.'), "{command:?}");
            assert!(!Command::ALL[..i].contains(&command));
            for other in &Command::ALL[..i] {
                assert_ne!(command.label(), other.label());
                let never_both = [command, *other] == [Command::Continue, Command::Pause];
                let differ = command.shortcut().is_none() || command.shortcut() != other.shortcut();
                assert!(never_both || differ, "{command:?} and {other:?}");
            }
        }
        assert!(Menu::ALL.into_iter().all(|menu| Command::ALL.iter().any(|command| command.menu() == menu)));
    }

    #[test]
    fn without_a_model_there_is_nothing_to_search() {
        let state = State::default();
        let possible: Vec<_> =
            Command::ALL.into_iter().filter(|c| c.menu() == Menu::Search && c.enabled(&state)).collect();
        assert!(possible.is_empty(), "{possible:?}");
        assert!(Command::OpenPicture.enabled(&state) && Command::Quit.enabled(&state));
    }
}
