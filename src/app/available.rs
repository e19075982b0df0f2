//! What can be done now, and what is switched on.

use super::command::Command;
use super::new_model::Page;
use super::state::{Comparison, Phase, STARTS, State};
use crate::data::Treatment;
use crate::engine::{SolveDevice, StartFrom};

impl Command {
    /// Whether it can be done now.
    pub fn enabled(self, state: &State) -> bool {
        let search = state.search.as_ref();
        let phase = search.map(|search| search.phase);
        let has_solutions = state.frame().is_some();
        if self.page().is_some_and(|page| page != state.page) {
            return false;
        }
        let new_model = &state.new_model;
        let setting_up = new_model.run.is_none() && !state.in_dialog;
        match self {
            Self::NewModel => state.page != Page::NewModel,
            Self::ChooseX | Self::ChooseY | Self::ChooseGenerator | Self::ChoosePlace => setting_up,
            Self::StartTraining => setting_up && new_model.missing().is_none(),
            Self::PauseTraining => new_model.is_active() && !new_model.is_paused(),
            Self::ContinueTraining => new_model.is_active() && new_model.is_paused(),
            Self::StopTraining => new_model.is_active(),
            Self::TryTraining => new_model.can_be_tried(),
            Self::ResumeTraining => !new_model.is_running() && new_model.unfinished.is_some(),
            Self::AnotherTraining => new_model.run.is_some() && !new_model.is_running(),
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
    use crate::app::command::Menu;

    #[test]
    fn without_a_model_there_is_nothing_to_search() {
        let state = State::default();
        let possible: Vec<_> =
            Command::ALL.into_iter().filter(|c| c.menu() == Menu::Search && c.enabled(&state)).collect();
        assert!(possible.is_empty(), "{possible:?}");
        assert!(Command::OpenPicture.enabled(&state) && Command::Quit.enabled(&state));
    }
}
