//! What a person asks for: commands, their shortcuts, and the actions of panels.

use super::Window;
use crate::app::background::Background;
use crate::app::command::Command;
use crate::app::state::{Comparison, STARTS};
use crate::app::widgets::Action;
use crate::data::Treatment;
use crate::engine::{JobId, Request, SolveDevice, StartFrom};
use eframe::egui;

impl Window {
    /// Runs a command as a menu does.
    pub fn run(&mut self, command: Command, ctx: &egui::Context) {
        if !command.enabled(&self.state) {
            return;
        }
        let settings = &mut self.state.settings;
        match command {
            Command::OpenPicture => self.dialog(Background::pick_picture),
            Command::OpenModel => self.dialog(Background::pick_model),
            Command::Paste => self.background.paste(),
            Command::ExportWall => {
                let name = format!("{}-counterparts.png", self.state.input.as_ref().map_or("wall", |i| stem(&i.name)));
                self.dialog(|background| background.pick_export(name));
            }
            Command::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
            Command::Start => self.find(),
            Command::Reroll => {
                settings.seed = settings.seed.wrapping_add(1) & u64::from(u32::MAX);
                self.find();
            }
            Command::Pause => self.control(Request::Pause),
            Command::Continue => self.control(Request::Continue),
            Command::Stop => self.control(Request::Stop),
            Command::ToggleRefine => settings.refine = !settings.refine,
            Command::StartFromPosterior => self.start_from(StartFrom::Posterior),
            Command::StartFromPrior => self.start_from(StartFrom::Prior),
            Command::SolveWhereFaster => self.solve_on(SolveDevice::Auto),
            Command::SolveOnCpu => self.solve_on(SolveDevice::Cpu),
            Command::SolveOnGpu => self.solve_on(SolveDevice::Gpu),
            Command::FewerStarts => self.change_starts(-1),
            Command::MoreStarts => self.change_starts(1),
            Command::TreatAsDrawing => self.treat_as(Treatment::Drawing),
            Command::TreatAsPhoto => self.treat_as(Treatment::EdgesFromPhoto),
            Command::BetterSolution => self.step_choice(-1),
            Command::WorseSolution => self.step_choice(1),
            Command::FollowBest => {
                if let Some(search) = &mut self.state.search {
                    search.choose(search.order.first().copied().unwrap_or(0));
                    search.chosen_by_hand = false;
                }
            }
            Command::ResetDirections => {
                if let Some(search) = &mut self.state.search {
                    search.offsets = Default::default();
                    search.scrub = None;
                }
            }
            Command::CompareDifference => settings.comparison = Comparison::Difference,
            Command::CompareHeat => settings.comparison = Comparison::Heat,
            Command::CompareSplit => settings.comparison = Comparison::Split,
            Command::ToggleSmooth => settings.smooth = !settings.smooth,
            Command::ToggleTheme => settings.dark = Some(ctx.theme() != egui::Theme::Dark),
            Command::ScaleUp => settings.scale = (settings.scale + 0.1).min(2.0),
            Command::ScaleDown => settings.scale = (settings.scale - 0.1).max(1.0),
            Command::ScaleReset => settings.scale = 1.0,
            Command::Palette => self.state.palette = Some(String::new()),
            Command::Shortcuts => self.state.shortcuts = true,
        }
    }

    fn dialog(&mut self, open: impl FnOnce(&Background)) {
        self.state.in_dialog = true;
        open(&self.background);
    }

    fn control(&self, request: fn(JobId) -> Request) {
        if let Some(search) = &self.state.search {
            self.engine.send(request(search.job));
        }
    }

    fn start_from(&mut self, from: StartFrom) {
        if std::mem::replace(&mut self.state.settings.from, from) != from {
            self.find();
        }
    }

    /// Refines on another device from the next search on, which begins now.
    fn solve_on(&mut self, device: SolveDevice) {
        if std::mem::replace(&mut self.state.settings.device, device) != device {
            self.find();
        }
    }

    fn change_starts(&mut self, by: isize) {
        let settings = &mut self.state.settings;
        let place = STARTS.iter().position(|&starts| starts == settings.starts).unwrap_or(0);
        if let Some(&starts) = STARTS.get(place.saturating_add_signed(by)) {
            settings.starts = starts;
            self.find();
        }
    }

    fn treat_as(&mut self, treatment: Treatment) {
        if let Some(choices) = self.state.input.as_mut().and_then(|input| input.choices.as_mut()) {
            choices.treatment = treatment;
            self.prepare();
        }
    }

    fn step_choice(&mut self, by: isize) {
        if let Some(search) = &mut self.state.search {
            let rank = search.rank(search.chosen).saturating_add_signed(by);
            if let Some(&start) = search.order.get(rank) {
                search.choose(start);
            }
        }
    }

    pub(super) fn shortcuts(&mut self, ctx: &egui::Context) {
        self.editing = ctx.text_edit_focused();
        if self.editing
            && ctx.input_mut(|input| Command::Paste.shortcut().is_some_and(|keys| input.consume_shortcut(&keys)))
        {
            self.background.paste();
        }
        if self.state.palette.is_some() || self.state.shortcuts {
            return;
        }
        let editing = self.editing;
        // Keys with Shift first: Ctrl+O also fits Ctrl+Shift+O.
        let mut commands = Command::ALL;
        commands.sort_by_key(|command| command.shortcut().is_none_or(|keys| !keys.modifiers.shift));
        for command in commands {
            let edits = [Command::BetterSolution, Command::WorseSolution, Command::ResetDirections].contains(&command);
            let Some(keys) = command.shortcut().filter(|_| !(editing && edits)) else { continue };
            if command.enabled(&self.state) && ctx.input_mut(|input| input.consume_shortcut(&keys)) {
                self.run(command, ctx);
            }
        }
    }

    pub(super) fn act(&mut self, action: Action, ctx: &egui::Context) {
        match action {
            Action::Run(command) => self.run(command, ctx),
            Action::UseModel(i) => {
                if let Some(source) = self.state.models.get(i).map(|model| model.source.clone()) {
                    self.load(source);
                }
            }
            Action::UseSample(i) => self.use_sample(i),
            Action::Prepare => self.prepare(),
            Action::Choose(start) => {
                if let Some(search) = &mut self.state.search {
                    search.choose(start);
                }
            }
            Action::Scrub => self.scrub(),
            Action::LimitSteps => {
                let steps = self.state.settings.step_limit;
                if let Some(search) = &self.state.search {
                    self.engine.send(Request::LimitSteps { job: search.job, steps });
                }
            }
            Action::Dismiss(number) => self.state.toasts.retain(|toast| toast.number != number),
        }
    }
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
