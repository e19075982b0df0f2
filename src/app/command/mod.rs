//! The one list of what a person can do: menus, shortcuts, the palette and the tests all read it.

mod place;

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
    /// Open the page on which a model is trained.
    NewModel,
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
    /// Leave the page on which a model is trained.
    BackToCounterparts,
    /// Choose the folders of X.
    ChooseX,
    /// Choose the folders of Y.
    ChooseY,
    /// Choose a generator that is there.
    ChooseGenerator,
    /// Choose where the model goes.
    ChoosePlace,
    /// Train the model.
    StartTraining,
    /// Hold the training.
    PauseTraining,
    /// Go on training.
    ContinueTraining,
    /// End the training.
    StopTraining,
    /// Use the model that is being trained, as it is.
    TryTraining,
    /// Go on with a training that was stopped or broke off.
    ResumeTraining,
    /// Choose the settings of another training.
    AnotherTraining,
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
    /// The training of a model.
    Training,
    /// What is shown and how.
    View,
    /// Help.
    Help,
}

impl Menu {
    /// All menus, in their order.
    pub const ALL: [Self; 5] = [Self::File, Self::Search, Self::Training, Self::View, Self::Help];

    /// What the menu is called.
    pub fn label(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::Search => "Search",
            Self::Training => "Training",
            Self::View => "View",
            Self::Help => "Help",
        }
    }
}

impl Command {
    /// All commands, in the order of menus and palette.
    pub const ALL: [Self; 47] = [
        Self::OpenPicture,
        Self::Paste,
        Self::TreatAsDrawing,
        Self::TreatAsPhoto,
        Self::OpenModel,
        Self::ExportWall,
        Self::NewModel,
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
        Self::ChooseX,
        Self::ChooseY,
        Self::ChooseGenerator,
        Self::ChoosePlace,
        Self::StartTraining,
        Self::PauseTraining,
        Self::ContinueTraining,
        Self::StopTraining,
        Self::TryTraining,
        Self::ResumeTraining,
        Self::AnotherTraining,
        Self::BackToCounterparts,
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
            Self::NewModel => "New model…",
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
            Self::BackToCounterparts => "Back to counterparts",
            Self::ChooseX => "Choose pictures of X…",
            Self::ChooseY => "Choose pictures of Y…",
            Self::ChooseGenerator => "Use an existing generator…",
            Self::ChoosePlace => "Choose where the model goes…",
            Self::StartTraining => "Start training",
            Self::PauseTraining => "Pause training",
            Self::ContinueTraining => "Continue training",
            Self::StopTraining => "Stop training",
            Self::TryTraining => "Try the model now",
            Self::ResumeTraining => "Resume training",
            Self::AnotherTraining => "Set up another model",
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
            Self::NewModel => "Train a model on pictures of your own, or see how the training goes.",
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
            Self::BackToCounterparts => "Leave this page; a training goes on meanwhile.",
            Self::ChooseX => "Choose the folders with pictures of what is to be found.",
            Self::ChooseY => "Choose the folders with pictures of what a person will give.",
            Self::ChooseGenerator => "Take the generator from a file instead of training one.",
            Self::ChoosePlace => "Choose the name of the model file that the training will write.",
            Self::StartTraining => "Train the model; everything else can go on meanwhile.",
            Self::PauseTraining => "Hold the training after the present step; nothing is lost.",
            Self::ContinueTraining => "Go on after a pause.",
            Self::StopTraining => "End the training after the present step; it can be resumed later.",
            Self::TryTraining => "Use the model as it is now, while the training goes on.",
            Self::ResumeTraining => "Go on with the training that was stopped or broke off.",
            Self::AnotherTraining => "Go back to the settings for a model.",
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
                let other_pages = command.page().zip(other.page()).is_some_and(|(one, other)| one != other);
                let never_both = other_pages
                    || [command, *other] == [Command::Continue, Command::Pause]
                    || [command, *other] == [Command::ContinueTraining, Command::PauseTraining];
                let differ = command.shortcut().is_none() || command.shortcut() != other.shortcut();
                assert!(never_both || differ, "{command:?} and {other:?}");
            }
        }
        assert!(Menu::ALL.into_iter().all(|menu| Command::ALL.iter().any(|command| command.menu() == menu)));
    }
}
