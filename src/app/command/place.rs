//! Where a command is found: its keys, its menu, its page.

use super::{Command, Menu};
use crate::app::new_model::Page;
use eframe::egui::{Key, KeyboardShortcut, Modifiers};

impl Command {
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
            // The same keys as of the search: never both on one page.
            Self::StartTraining => command(Key::Enter),
            Self::PauseTraining | Self::ContinueTraining => command(Key::P),
            Self::StopTraining => command(Key::Period),
            Self::TryTraining => command(Key::R),
            Self::NewModel => command(Key::N),
            Self::BackToCounterparts => Some(KeyboardShortcut::new(Modifiers::NONE, Key::Escape)),
            Self::ChooseX | Self::ChooseY | Self::ChooseGenerator | Self::ChoosePlace => None,
            Self::ResumeTraining | Self::AnotherTraining => None,
            Self::ToggleRefine | Self::StartFromPosterior | Self::StartFromPrior => None,
            Self::SolveWhereFaster | Self::SolveOnCpu | Self::SolveOnGpu => None,
        }
    }

    /// The menu that it is in.
    pub fn menu(self) -> Menu {
        match self {
            Self::OpenPicture | Self::Paste | Self::OpenModel | Self::ExportWall | Self::Quit => Menu::File,
            Self::TreatAsDrawing | Self::TreatAsPhoto | Self::NewModel => Menu::File,
            Self::ChooseX | Self::ChooseY | Self::ChooseGenerator | Self::ChoosePlace => Menu::Training,
            Self::StartTraining | Self::PauseTraining | Self::ContinueTraining => Menu::Training,
            Self::StopTraining | Self::TryTraining | Self::ResumeTraining => Menu::Training,
            Self::AnotherTraining | Self::BackToCounterparts => Menu::Training,
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

    /// The page that it belongs to; `None` when it is of use on every page.
    pub fn page(self) -> Option<Page> {
        match self {
            Self::CompareDifference | Self::CompareHeat | Self::CompareSplit => Some(Page::Counterparts),
            Self::TreatAsDrawing | Self::TreatAsPhoto | Self::ExportWall => Some(Page::Counterparts),
            _ => match self.menu() {
                Menu::Search => Some(Page::Counterparts),
                Menu::Training => Some(Page::NewModel),
                Menu::File | Menu::View | Menu::Help => None,
            },
        }
    }
}
