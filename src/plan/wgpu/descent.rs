//! The descent of one search on a device: its codes with Adam's state, what they are compared with, and their pictures,
//! all of which stay on the device until they are asked for.

use super::device::{Gpu, locked};
use super::dispatch::{Dispatch, Groups, THREADS, bytes_of};
use super::layout::View;
use super::plan::Plan;
use super::programs::Program;
use crate::gpu::{Sheet, wgpu};
use crate::ops::AdamConfig;
use crate::plan::memory::Kind;
use crate::{Error, Result};
use candle_core::Tensor;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Parts of the state of a code: itself, Adam's two means, the best code, the gradient.
const PARTS: usize = 5;

/// What a row does with its code before the next step. All of it may come together, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Decision {
    /// The code is the best so far.
    pub keep: bool,
    /// The code becomes the best so far.
    pub restore: bool,
    /// The code moves along its gradient, for the so-manieth time.
    pub adam: Option<u32>,
}

/// What a step says of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Its loss.
    pub loss: f32,
    /// Whether every value of the gradient is a number.
    pub sound: bool,
}

/// The state of all codes, `[rows, nz]` each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The codes.
    pub codes: Vec<f32>,
    /// The means of their gradients.
    pub first: Vec<f32>,
    /// The means of the gradients' squares.
    pub second: Vec<f32>,
    /// The code of the lowest loss of each.
    pub best: Vec<f32>,
}

/// A descent on a device.
pub struct Descent {
    plan: Arc<Plan>,
    adam: AdamConfig,
    latent: usize,
    /// Blocks of a code.
    blocks: usize,
    rows: usize,
    views: [View; 2],
    state: wgpu::Buffer,
    slots: wgpu::Buffer,
    decisions: wgpu::Buffer,
    outcomes: wgpu::Buffer,
    pictures: wgpu::Buffer,
    staging: wgpu::Buffer,
    /// Pictures for the window, each with what writes it: those that it shows and those that are free again.
    sheets: Mutex<Vec<(Arc<Sheet>, Dispatch)>>,
    before: [Dispatch; 2],
    load: Dispatch,
    compare: Vec<Dispatch>,
    after: [Dispatch; 3],
}

impl Descent {
    /// Starts at `codes`, `[rows, nz]`, against images of Y, `[n, channels, size, size]`.
    ///
    /// # Errors
    /// When the shapes do not fit or the device has no room.
    pub fn new(plan: Arc<Plan>, images: &Tensor, codes: &[f32], adam: AdamConfig) -> Result<Self> {
        plan.gpu.clone().checked(|| Self::build(plan, images, codes, adam))
    }

    fn build(plan: Arc<Plan>, images: &Tensor, codes: &[f32], adam: AdamConfig) -> Result<Self> {
        let (gpu, graph) = (plan.gpu.clone(), plan.graph());
        let misfit = || Error::new("The codes do not fit the networks or the images that they are compared with.");
        let input = graph.input.ok_or_else(misfit)?;
        let [x, y] = graph.results[..] else { return Err(misfit()) };
        let (latent, height, width) = graph.shape(input);
        let rows = codes.len() / latent.max(1);
        if (height, width) != (1, 1) || rows * latent != codes.len() || rows == 0 {
            return Err(misfit());
        }
        let code = View::place(graph, input);
        let (blocks, views) = (code.blocks(), [View::place(graph, x), View::place(graph, y)]);
        let all: usize = views.iter().map(View::size).sum();
        let state = gpu.storage("codes", (rows * PARTS * blocks * 16) as u64)?;
        let slots = gpu.storage("slots", (plan.capacity() * 8) as u64)?;
        let decisions = gpu.storage("decisions", (rows * 16) as u64)?;
        let outcomes = gpu.storage("outcomes", (rows * 8) as u64)?;
        let pictures = gpu.storage("pictures", (rows * 2 * all * 16) as u64)?;
        let staged = outcomes.size() + state.size();
        let staging = gpu.staging(staged.max((rows * all * 16) as u64))?;
        let rates = [adam.beta1 as f32, adam.beta2 as f32, adam.epsilon as f32].map(f32::to_bits);
        let rates: Vec<u32> = [rows as u32, blocks as u32].into_iter().chain(rates).chain([0; 3]).collect();
        let each = |blocks: usize| Groups::Each(blocks.div_ceil(THREADS));
        let update = gpu.dispatch(Program::Update, &rates, &[&decisions, &state], each(blocks))?;
        let place = [blocks, code.pixel, code.first, 0].map(|word| word as u32);
        let values = |map: usize| plan.buffer(Kind::Values, map);
        let load = gpu.dispatch(Program::Load, &place, &[&state, &slots, values(input.map)], each(blocks))?;
        let gradients = plan.buffer(Kind::Gradient, input.map);
        let totals = [plan.strands, blocks, code.pixel, code.first].map(|word| word as u32);
        let totals: Vec<u32> = totals.into_iter().chain([plan.scale().recip().to_bits(), 0, 0, 0]).collect();
        let total = [&plan.sums, gradients, &slots, &state, &outcomes];
        let total = gpu.dispatch(Program::Total, &totals, &total, Groups::One)?;
        let show = |view: &View, map: usize, begin: usize| {
            let words = [view.size(), view.blocks(), view.pixel, view.first, all, begin, 0, 0];
            let buffers = [values(map), &slots, &decisions, &pictures];
            gpu.dispatch(Program::Show, &words.map(|word| word as u32), &buffers, each(view.size()))
        };
        let show = [show(&views[0], x.map, 0)?, show(&views[1], y.map, views[0].size())?];
        let words = [0, 1, 0, 0, all as u32, 0, 0, 0];
        let keep = gpu.dispatch(Program::Keep, &words, &[values(x.map), &slots, &decisions, &pictures], each(all))?;
        let targets = plan.targets(y, images)?;
        let compare = targets.iter().enumerate().map(|(i, target)| plan.compare(i, target, &slots));
        let compare = compare.collect::<Result<_>>()?;
        let [show_x, show_y] = show;
        let (before, after) = ([update, keep], [total, show_x, show_y]);
        let descent = Self {
            plan,
            adam,
            latent,
            blocks,
            rows,
            views,
            state,
            slots,
            decisions,
            outcomes,
            pictures,
            staging,
            sheets: Mutex::default(),
            before,
            load,
            compare,
            after,
        };
        let mut padded = vec![0.0; rows * PARTS * blocks * 4];
        for (code, row) in codes.chunks_exact(latent).zip(padded.chunks_exact_mut(PARTS * blocks * 4)) {
            row[..latent].copy_from_slice(code);
            // The best so far, until there is a loss.
            row[3 * blocks * 4..][..latent].copy_from_slice(code);
        }
        descent.gpu().place.queue.write_buffer(&descent.state, 0, &bytes_of(padded.into_iter().map(f32::to_le_bytes)));
        Ok(descent)
    }

    fn gpu(&self) -> &Gpu {
        &self.plan.gpu
    }

    /// Does what was decided on every row, then computes losses and gradients of `active`: rows with the rows of the
    /// targets that they are compared with. One submission for as many as fit. The outcomes of other rows are old. With
    /// `snapshot` the state comes too, as it was when the losses were computed.
    ///
    /// # Errors
    /// When the device fails; nothing of the step is to be trusted then.
    pub fn step(
        &self,
        decisions: &[Decision],
        active: &[[usize; 2]],
        snapshot: bool,
    ) -> Result<(Vec<Outcome>, Option<State>)> {
        self.gpu().checked(|| {
            let begin = Instant::now();
            let decided = self.decide(decisions);
            let before: &[Dispatch] = if decided { &self.before } else { &[] };
            let mut work = 0.0;
            let mut sent = None;
            for (i, chunk) in active.chunks(self.plan.capacity()).enumerate() {
                let slots = chunk.iter().flatten().map(|&row| (row as u32).to_le_bytes());
                self.gpu().place.queue.write_buffer(&self.slots, 0, &bytes_of(slots));
                let before = before.iter().filter(|_| i == 0).map(|dispatch| (dispatch, self.rows));
                let step = std::iter::once(&self.load).chain(self.plan.forward()).chain(&self.compare);
                let step = step.chain(self.plan.backward()).chain(&self.after);
                let all: Vec<_> = before.chain(step.map(|dispatch| (dispatch, chunk.len()))).collect();
                work += all.iter().map(|(dispatch, count)| dispatch.work(*count)).sum::<f64>();
                let is_last = (i + 1) * self.plan.capacity() >= active.len();
                sent = Some(self.gpu().send(&all, |encoder| {
                    if is_last {
                        self.stage_outcomes(encoder, snapshot);
                    }
                })?);
            }
            let sent = sent.ok_or_else(|| Error::new("There is no start to descend from."))?;
            let outcomes = self.rows * 2;
            let bytes = if snapshot { self.outcomes.size() + self.state.size() } else { (outcomes * 4) as u64 };
            let values = self.gpu().read(&self.staging, bytes, sent)?;
            self.gpu().pace().took(work, begin.elapsed());
            let outcome = |pair: &[f32]| Outcome { loss: pair[0], sound: pair[1] != 0.0 };
            let state = snapshot.then(|| self.unpack(&values[self.outcomes.size() as usize / 4..]));
            Ok((values[..outcomes].chunks_exact(2).map(outcome).collect(), state))
        })
    }

    fn stage_outcomes(&self, encoder: &mut wgpu::CommandEncoder, snapshot: bool) {
        encoder.copy_buffer_to_buffer(&self.outcomes, 0, &self.staging, 0, self.outcomes.size());
        if snapshot {
            encoder.copy_buffer_to_buffer(&self.state, 0, &self.staging, self.outcomes.size(), self.state.size());
        }
    }

    /// Does what was decided, without a step, and reads the state.
    ///
    /// # Errors
    /// When the device fails.
    pub fn state(&self, decisions: &[Decision]) -> Result<State> {
        self.gpu().checked(|| {
            let sent = self.gpu().submit(|encoder| {
                self.apply(encoder, decisions);
                encoder.copy_buffer_to_buffer(&self.state, 0, &self.staging, 0, self.state.size());
            });
            Ok(self.unpack(&self.gpu().read(&self.staging, self.state.size(), sent)?))
        })
    }

    /// Does what was decided, without a step, and reads G(z) and T(G(z)) of every row: as its latest step saw them, or
    /// of its best code where that was restored, `[rows, channels, size, size]`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn pictures(&self, decisions: &[Decision]) -> Result<[Vec<f32>; 2]> {
        self.gpu().checked(|| {
            let sizes = [0, 1].map(|i| self.views[i].size() as u64 * 16);
            let row = 2 * (sizes[0] + sizes[1]);
            let begins = [0, self.rows as u64 * sizes[0]];
            let sent = self.gpu().submit(|encoder| {
                self.apply(encoder, decisions);
                for at in 0..self.rows as u64 {
                    for (i, offset) in [0, sizes[0]].into_iter().enumerate() {
                        let to = begins[i] + at * sizes[i];
                        encoder.copy_buffer_to_buffer(&self.pictures, at * row + offset, &self.staging, to, sizes[i]);
                    }
                }
            });
            let values = self.gpu().read(&self.staging, self.rows as u64 * (sizes[0] + sizes[1]), sent)?;
            let (x, y) = values.split_at(begins[1] as usize / 4);
            Ok([self.views[0].unpack(x), self.views[1].unpack(y)])
        })
    }

    /// Does what was decided, without a step, and leaves the pictures, as [`Self::pictures`] has them, where the window
    /// draws: G(z) of row i in layer 2 i of a sheet, T(G(z)) behind it. Waits for nothing. `None` where the window draws
    /// with another device, or for more rows than a sheet has room for.
    ///
    /// # Errors
    /// When the device fails.
    pub fn sheet(&self, decisions: &[Decision]) -> Result<Option<Arc<Sheet>>> {
        if !self.gpu().place.draws {
            return Ok(None);
        }
        self.gpu().checked(|| {
            let mut sheets = locked(&self.sheets);
            // One that nobody looks at any more is written anew.
            let free = sheets.iter().position(|(sheet, _)| Arc::strong_count(sheet) == 1);
            let free = match free {
                Some(free) => free,
                None => {
                    let Some(made) = self.make_sheet()? else { return Ok(None) };
                    sheets.push(made);
                    sheets.len() - 1
                }
            };
            let (sheet, dispatch) = &sheets[free];
            self.gpu().submit(|encoder| {
                self.apply(encoder, decisions);
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                dispatch.run(&mut pass, self.rows);
            });
            Ok(Some(sheet.clone()))
        })
    }

    fn make_sheet(&self) -> Result<Option<(Arc<Sheet>, Dispatch)>> {
        let [x, y] = &self.views;
        let (width, area) = (x.width, x.width * x.height);
        let sheet = Sheet::new(&self.gpu().place, (width, x.height), 2 * self.rows);
        let Some(sheet) = sheet.filter(|_| (x.width, x.height) == (y.width, y.height)) else { return Ok(None) };
        let grey = |view: &View| usize::from(view.channels() < 3);
        let words = [area, width, x.size() + y.size(), x.size(), x.blocks(), y.blocks(), grey(x), grey(y)];
        let (words, groups) = (words.map(|word| word as u32), Groups::Pairs(area.div_ceil(THREADS)));
        let dispatch = self.gpu().dispatch_to(Program::Sheet, &words, &self.pictures, &sheet.layers(), groups)?;
        Ok(Some((Arc::new(sheet), dispatch)))
    }

    /// Does what was decided.
    fn apply(&self, encoder: &mut wgpu::CommandEncoder, decisions: &[Decision]) {
        if self.decide(decisions) {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            self.before.iter().for_each(|dispatch| dispatch.run(&mut pass, self.rows));
        }
    }

    /// Brings decisions to the device; says whether there are any.
    fn decide(&self, decisions: &[Decision]) -> bool {
        if decisions.is_empty() {
            return false;
        }
        let AdamConfig { learning_rate, beta1, beta2, .. } = self.adam;
        let words = decisions.iter().flat_map(|decision| {
            let steps = decision.adam.unwrap_or(1) as i32;
            let rate = (learning_rate / (1.0 - beta1.powi(steps))) as f32;
            let root = (1.0 - beta2.powi(steps)).sqrt() as f32;
            let Decision { keep, restore, adam } = decision;
            let what = u32::from(*keep) + 2 * u32::from(*restore) + 4 * u32::from(adam.is_some());
            [what, rate.to_bits(), root.to_bits(), 0].map(u32::to_le_bytes)
        });
        self.gpu().place.queue.write_buffer(&self.decisions, 0, &bytes_of(words));
        true
    }

    fn unpack(&self, values: &[f32]) -> State {
        let length = self.blocks * 4;
        let part = |i: usize| -> Vec<f32> {
            values.chunks_exact(PARTS * length).flat_map(|row| &row[i * length..][..self.latent]).copied().collect()
        };
        State { codes: part(0), first: part(1), second: part(2), best: part(3) }
    }
}
