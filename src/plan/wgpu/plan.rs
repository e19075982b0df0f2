//! A graph on a device: every buffer and every dispatch of a step, made once for a number of pictures.

use super::convolution::Convolution;
use super::device::Gpu;
use super::dispatch::{Dispatch, Finish, Groups, THREADS, bytes_of};
use super::layout::View;
use super::programs::Program;
use crate::gpu::wgpu;
use crate::ops::Activation;
use crate::plan::build::own_target;
use crate::plan::graph::{Apply, Compare, Conv, Graph, Node, Place, Resample};
use crate::plan::layout::Layout;
use crate::plan::memory::{Kind, Memory, Writer, writers};
use crate::{Error, Result};
use candle_core::Tensor;
use std::sync::Arc;

/// Strands that a picture's part of the loss is summed up in, at most.
const STRANDS: usize = 1024;
/// What gradients are multiplied with on their way where they are kept in f16, which ends at 6e-8.
const HALF_SCALE: f32 = 4096.0;

/// A graph on a device, for up to [`Plan::capacity`] pictures at once. What belongs to one descent is in
/// [`super::Descent`], so that several may use the same plan, one after the other.
pub struct Plan {
    pub(super) gpu: Arc<Gpu>,
    graph: Graph,
    capacity: usize,
    memory: Memory,
    slots: Vec<wgpu::Buffer>,
    scratch: wgpu::Buffer,
    idle: wgpu::Buffer,
    pub(super) sums: wgpu::Buffer,
    /// Sums of a picture, of all parts of the loss.
    pub(super) strands: usize,
    /// With the nodes that they belong to.
    forward: Vec<(usize, Dispatch)>,
    backward: Vec<Dispatch>,
}

impl Plan {
    /// Plans a graph for so many pictures and brings its kernels to the device.
    ///
    /// # Errors
    /// When the device has no room, its limits are too small, or a convolution cannot be done there.
    pub fn new(gpu: Arc<Gpu>, graph: Graph, capacity: usize) -> Result<Self> {
        gpu.clone().checked(|| Self::build(gpu, graph, capacity))
    }

    fn build(gpu: Arc<Gpu>, graph: Graph, capacity: usize) -> Result<Self> {
        // Said before memory is taken for maps, which may be large.
        if let Some(what) = graph.nodes.iter().find_map(|node| node.applied()) {
            return Err(unknown(what));
        }
        // The lives of the maps are those on the processor; their sizes are our own.
        let layouts: Vec<Layout> = graph.maps.iter().map(Layout::new).collect();
        let memory = Memory::new(&graph, &layouts, true);
        let mut sizes = vec![0; memory.slots.len()];
        for (map, kind) in (0..graph.maps.len()).flat_map(|map| [Kind::Values, Kind::Gradient].map(|kind| (map, kind)))
        {
            if let Some(size) = sizes.get_mut(memory.slot(kind, map)) {
                *size = View::map(&graph.maps[map]).image().max(*size);
            }
        }
        let bytes = gpu.block_bytes();
        let slots = sizes.iter().map(|&blocks| gpu.storage("map", (blocks * capacity) as u64 * bytes));
        let slots = slots.collect::<Result<_>>()?;
        let strands = graph.losses.iter().map(|loss| strands(&View::place(&graph, loss.place))).sum();
        let sums = gpu.storage("sums", (strands * capacity * 4) as u64)?;
        let idle = gpu.storage("idle", 16)?;
        let scratch = gpu.storage("shares", 16)?;
        let mut plan = Self {
            gpu,
            graph,
            capacity,
            memory,
            slots,
            scratch,
            idle,
            sums,
            strands,
            forward: Vec::new(),
            backward: Vec::new(),
        };
        let convolutions = plan.convolutions()?;
        let scratch = convolutions.iter().flatten().flatten().map(|(conv, _)| conv.scratch).max().unwrap_or(0);
        plan.scratch = plan.gpu.storage("shares", scratch as u64 * 16)?;
        for (i, pair) in convolutions.iter().enumerate() {
            let forward = plan.node_forward(i, pair.as_ref().map(|pair| &pair[0]))?;
            plan.forward.extend(forward.into_iter().map(|dispatch| (i, dispatch)));
        }
        for (i, pair) in convolutions.iter().enumerate().rev() {
            let backward = plan.node_backward(i, pair.as_ref().map(|pair| &pair[1]))?;
            plan.backward.extend(backward);
        }
        Ok(plan)
    }

    /// The pictures that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where the values of a map, or the gradients in it, lie.
    pub(super) fn buffer(&self, kind: Kind, map: usize) -> &wgpu::Buffer {
        &self.slots[self.memory.slot(kind, map)]
    }

    /// What gradients are multiplied with on their way.
    pub(super) fn scale(&self) -> f32 {
        if self.gpu.half { HALF_SCALE } else { 1.0 }
    }

    /// The forward pass, of pictures whose input is there.
    pub(super) fn forward(&self) -> impl Iterator<Item = &Dispatch> {
        self.forward.iter().map(|(_, dispatch)| dispatch)
    }

    /// What the losses compare with, for images `[rows, channels, height, width]` that stand in `place`: for each part
    /// of the loss its map, made of them by what follows that place.
    pub(super) fn targets(&self, place: Place, images: &Tensor) -> Result<Vec<wgpu::Buffer>> {
        let (rows, c, h, w) = images.dims4()?;
        let maker = self.graph.nodes.iter().position(|node| node.to() == place);
        let first = maker.map_or(0, |maker| maker + 1);
        let behind = |at: Place| at == place || self.graph.nodes[first..].iter().any(|node| node.to() == at);
        if self.graph.shape(place) != (c, h, w) || !self.graph.losses.iter().all(|loss| behind(loss.place)) {
            return Err(Error::new("The images do not fit what they are compared with."));
        }
        let bytes = self.gpu.block_bytes();
        let image = |place: Place| View::place(&self.graph, place).image() as u64 * bytes;
        let targets = self.graph.losses.iter().map(|loss| self.gpu.storage("target", rows as u64 * image(loss.place)));
        let targets = targets.collect::<Result<Vec<_>>>()?;
        let map = View::place(&self.graph, place).pack(&values(images)?);
        let chunk = map.len() / rows.max(1) * self.capacity;
        for (i, pictures) in map.chunks(chunk.max(1)).enumerate() {
            let count = (rows - i * self.capacity).min(self.capacity);
            self.gpu.place.queue.write_buffer(self.buffer(Kind::Values, place.map), 0, &self.gpu.stored(pictures));
            let following = self.forward.iter().filter(|(node, _)| *node >= first);
            let following: Vec<_> = following.map(|(_, dispatch)| (dispatch, count)).collect();
            self.gpu.send(&following, |encoder| {
                for (target, loss) in targets.iter().zip(&self.graph.losses) {
                    let (from, size) = (self.buffer(Kind::Values, loss.place.map), image(loss.place));
                    let at = (i * self.capacity) as u64 * size;
                    encoder.copy_buffer_to_buffer(from, 0, target, at, count as u64 * size);
                }
            })?;
        }
        for (target, loss) in targets.iter().zip(&self.graph.losses) {
            if let Some(wanted) = own_target(loss, images)? {
                let wanted = View::place(&self.graph, loss.place).pack(&values(&wanted)?);
                self.gpu.place.queue.write_buffer(target, 0, &self.gpu.stored(&wanted));
            }
        }
        Ok(targets)
    }

    /// The backward pass, after the losses.
    pub(super) fn backward(&self) -> impl Iterator<Item = &Dispatch> {
        self.backward.iter()
    }

    /// The comparison of a part of the loss with its targets, for the pictures in `slots`.
    pub(super) fn compare(&self, index: usize, targets: &wgpu::Buffer, slots: &wgpu::Buffer) -> Result<Dispatch> {
        let loss = &self.graph.losses[index];
        let view = View::place(&self.graph, loss.place);
        let first: usize =
            self.graph.losses[..index].iter().map(|loss| strands(&View::place(&self.graph, loss.place))).sum();
        let own = strands(&view);
        let (channels, height, width) = self.graph.shape(loss.place);
        let factor = loss.weight / (channels * height * width) as f32;
        let squares = usize::from(loss.compare == Compare::L2);
        let words = [view.size(), view.blocks(), view.pixel, view.first, own, first, self.strands, squares];
        let finish = self.backward_finish(loss.place, Writer::Loss(index));
        let uniforms: Vec<u32> = words
            .map(|word| word as u32)
            .into_iter()
            .chain([factor.to_bits(), self.scale().to_bits(), 0, 0])
            .chain(finish.words())
            .collect();
        let values = self.buffer(Kind::Values, loss.place.map);
        let gradient = self.buffer(Kind::Gradient, loss.place.map);
        let buffers = [values, targets, slots, gradient, &self.sums];
        self.gpu.dispatch(Program::Compare, &uniforms, &buffers, Groups::Each(own / THREADS))
    }

    /// Forward and backward of every node that is a convolution, with its packed kernels.
    #[allow(clippy::type_complexity, reason = "a convolution and its kernels on the device, in both directions")]
    fn convolutions(&self) -> Result<Vec<Option<[(Convolution, wgpu::Buffer); 2]>>> {
        let plan = |node: &Node| {
            let Node::Conv { conv, from, to } = node else { return Ok(None) };
            let (from, to) = (View::map(&self.graph.maps[*from]), View::place(&self.graph, *to));
            let weights = values(&conv.weight)?;
            let make = |spec: &crate::ops::ConvSpec, from: &View, to: &View| {
                let planned = Convolution::new(spec, &weights, from, to, self.capacity, self.gpu.style);
                let mut planned = planned
                    .ok_or_else(|| Error::new("The graphics processor cannot compute a layer of this model."))?;
                let kernels = self.gpu.stored(&std::mem::take(&mut planned.kernels));
                let kernels = self.gpu.filled(wgpu::BufferUsages::STORAGE, &kernels)?;
                Ok::<_, Error>((planned, kernels))
            };
            Ok(Some([make(&conv.spec, &from, &to)?, make(&conv.spec.reversed(), &to, &from)?]))
        };
        self.graph.nodes.iter().map(plan).collect()
    }

    /// The dispatches of a convolution. `columns` says what follows for every block of outputs; pixels that are taken for
    /// channels have those of their channels each.
    fn convolve(
        &self,
        (conv, kernels): &(Convolution, wgpu::Buffer),
        columns: &[([f32; 4], Finish)],
        (from, seen, to): (&wgpu::Buffer, &wgpu::Buffer, &wgpu::Buffer),
    ) -> Result<Vec<Dispatch>> {
        let words = columns.iter().flat_map(|(bias, finish)| bias.map(f32::to_bits).into_iter().chain(finish.words()));
        let columns = self.gpu.filled(wgpu::BufferUsages::STORAGE, &bytes_of(words.map(u32::to_le_bytes)))?;
        let ((area, pixels), (y, z)) = (conv.grid, conv.groups);
        let groups = Groups::Pixels(area, pixels, y, z);
        if conv.splits == 1 {
            let buffers = [from, kernels, &columns, seen, to];
            return Ok(vec![self.gpu.dispatch(conv.program, &conv.uniforms, &buffers, groups)?.with_work(conv.work)]);
        }
        let shares = [from, kernels, &columns, &self.idle, &self.scratch];
        let blocks = conv.scratch / (conv.splits * conv.phases * self.capacity).max(1);
        let sum = [&self.scratch, kernels, &columns, seen, to];
        Ok(vec![
            self.gpu.dispatch(conv.program, &conv.uniforms, &shares, groups)?.with_work(conv.work),
            self.gpu.dispatch(Program::Sum, &conv.uniforms, &sum, Groups::Pieces(blocks, conv.phases))?,
        ])
    }

    fn node_forward(&self, index: usize, conv: Option<&(Convolution, wgpu::Buffer)>) -> Result<Vec<Dispatch>> {
        let node = &self.graph.nodes[index];
        let to = node.to();
        let finish = Finish { activation: node.activation(), ..Finish::default() };
        let values = |map: usize| self.buffer(Kind::Values, map);
        Ok(match node {
            Node::Conv { conv: layer, from, .. } => {
                let Some(planned) = conv else { return Ok(Vec::new()) };
                let view = View::place(&self.graph, to);
                let columns: Vec<_> =
                    self.biases(layer, &view, planned)?.into_iter().map(|bias| (bias, finish)).collect();
                self.convolve(planned, &columns, (values(*from), &self.idle, values(to.map)))?
            }
            Node::Resample { how, from, .. } => {
                let entry = match how {
                    Resample::AveragePool => "average",
                    Resample::MaxPool => "maximum",
                    Resample::Bilinear => "bilinear",
                    Resample::Unfold => "unfold",
                };
                let channels = self.graph.shape(to).0;
                let buffers = [values(from.map), &self.idle, &self.idle, values(to.map)];
                vec![self.elementwise(entry, (*from, None, to), channels, finish, &buffers)?]
            }
            Node::Add { terms: [a, b], .. } => {
                let buffers = [values(a.map), values(b.map), &self.idle, values(to.map)];
                vec![self.elementwise("add", (*a, Some(*b), to), 0, finish, &buffers)?]
            }
            Node::Apply { what, .. } => return Err(unknown(what)),
            Node::Gram { from, .. } => vec![self.gram(*from, to, finish)?],
        })
    }

    fn node_backward(&self, index: usize, conv: Option<&(Convolution, wgpu::Buffer)>) -> Result<Vec<Dispatch>> {
        let node = &self.graph.nodes[index];
        let to = node.to();
        if writers(&self.graph, to).is_empty() {
            return Err(Error::new("The graphics processor cannot solve with a layer whose result nobody uses."));
        }
        let gradient = |map: usize| self.buffer(Kind::Gradient, map);
        let values = |map: usize| self.buffer(Kind::Values, map);
        let finish = |place: Place| self.backward_finish(place, Writer::Node(index));
        let seen = |place: Place| match finish(place).slope {
            Activation::None => &self.idle,
            _ => values(place.map),
        };
        Ok(match node {
            Node::Conv { from, .. } => {
                let Some(planned) = conv else { return Ok(Vec::new()) };
                let of_group = |place: Place| {
                    let blocks = self.graph.shape(place).0.div_ceil(4);
                    std::iter::repeat_n(([0.0; 4], finish(place)), blocks)
                };
                let columns: Vec<_> = self.graph.places(*from).flat_map(of_group).collect();
                let columns = columns.repeat(planned.0.flattened);
                let sloped = self.graph.places(*from).any(|place| finish(place).slope != Activation::None);
                let seen = if sloped { values(*from) } else { &self.idle };
                self.convolve(planned, &columns, (gradient(to.map), seen, gradient(*from)))?
            }
            Node::Resample { how, from, .. } => {
                let entry = match how {
                    Resample::AveragePool => "average_back",
                    Resample::MaxPool => "maximum_back",
                    Resample::Bilinear => "bilinear_back",
                    Resample::Unfold => "unfold_back",
                };
                let origin = if *how == Resample::MaxPool { values(from.map) } else { &self.idle };
                let buffers = [gradient(to.map), origin, seen(*from), gradient(from.map)];
                let channels = self.graph.shape(to).0;
                vec![self.elementwise(entry, (to, Some(*from), *from), channels, finish(*from), &buffers)?]
            }
            Node::Add { terms, .. } => {
                let back = |term: &Place| {
                    let buffers = [gradient(to.map), &self.idle, seen(*term), gradient(term.map)];
                    self.elementwise("add_back", (to, None, *term), 0, finish(*term), &buffers)
                };
                terms.iter().map(back).collect::<Result<_>>()?
            }
            Node::Apply { what, .. } => return Err(unknown(what)),
            Node::Gram { from, .. } => {
                let buffers = [gradient(to.map), values(from.map), seen(*from), gradient(from.map)];
                vec![self.elementwise("gram_back", (to, Some(*from), *from), 0, finish(*from), &buffers)?]
            }
        })
    }

    /// The Gram matrix of a place.
    fn gram(&self, from: Place, to: Place, finish: Finish) -> Result<Dispatch> {
        let (view, matrix) = (View::place(&self.graph, from), View::place(&self.graph, to));
        let (channels, height, width) = self.graph.shape(from);
        let pixels = height * width;
        let groups = view.blocks() * view.blocks();
        if groups > self.gpu.place.device.limits().max_compute_workgroups_per_dimension as usize {
            return Err(Error::new("The graphics processor cannot compute so many channels' products."));
        }
        let words = [pixels, view.pixel, view.first, view.blocks(), channels, matrix.pixel, matrix.first];
        let factor = 1.0 / (channels * pixels) as f32;
        let words = words.map(|word| word as u32).into_iter().chain([factor.to_bits()]);
        let uniforms: Vec<u32> = words.chain(finish.words()).collect();
        let buffers = [self.buffer(Kind::Values, from.map), &self.idle, self.buffer(Kind::Values, to.map)];
        let work = 16.0 * (groups * pixels) as f64;
        Ok(self.gpu.dispatch(Program::Gram, &uniforms, &buffers, Groups::Each(groups))?.with_work(work))
    }

    /// A dispatch of an elementwise entry: what it reads first, what it reads besides, and what it writes.
    fn elementwise(
        &self,
        entry: &'static str,
        (from, other, to): (Place, Option<Place>, Place),
        channels: usize,
        finish: Finish,
        buffers: &[&wgpu::Buffer; 4],
    ) -> Result<Dispatch> {
        let view = |place: Place| View::place(&self.graph, place);
        let (from, other, to) = (view(from), view(other.unwrap_or(from)), view(to));
        let place = |view: &View| [view.height, view.width, view.pixel, view.first];
        let rest = [to.blocks(), other.pixel, other.first, channels];
        let words = [place(&from), place(&to), rest].into_iter().flatten().map(|word| word as u32);
        let uniforms: Vec<u32> = words.chain(finish.words()).collect();
        let groups = Groups::Each(to.size().div_ceil(THREADS));
        self.gpu.dispatch(Program::Elementwise(entry), &uniforms, buffers, groups)
    }

    /// What a writer does to the gradient of a place: the first writes, the others add, and the last multiplies by the
    /// slope of the activation behind which the place lies.
    fn backward_finish(&self, place: Place, writer: Writer) -> Finish {
        let all = writers(&self.graph, place);
        let slope = match all.last() == Some(&writer) {
            true => self.graph.producer(place).map_or(Activation::None, Node::activation),
            false => Activation::None,
        };
        Finish { add: all.first() != Some(&writer), slope, activation: Activation::None }
    }

    /// The bias of every block of outputs.
    fn biases(&self, conv: &Conv, view: &View, (planned, _): &(Convolution, wgpu::Buffer)) -> Result<Vec<[f32; 4]>> {
        let values = conv.bias.as_ref().map(values).transpose()?.unwrap_or_default();
        let bias =
            |lane: &Option<super::layout::Lane>| lane.and_then(|lane| values.get(lane.channel)).copied().unwrap_or(0.0);
        let blocks: Vec<[f32; 4]> =
            view.lanes.chunks_exact(4).map(|lanes| [0, 1, 2, 3].map(|i| bias(&lanes[i]))).collect();
        Ok(blocks.repeat(planned.flattened))
    }
}

/// Why a graph with such a step is left to the processor.
fn unknown(what: &Apply) -> Error {
    let what = match what {
        Apply::PixelNorm(_) => "pixel normalisation",
        Apply::Sample(_) => "a generator of another size than the mapping's",
        Apply::Spread(_) | Apply::Square | Apply::InverseRoot(_) => "StyleGAN2",
        Apply::Scale { .. } | Apply::Uniform | Apply::Reshape | Apply::Shuffle(_) => {
            "a layer of the imported generator"
        }
    };
    Error::new(format!("The graphics processor does not know {what}, which only the CPU computes; use --device cpu."))
}

/// Invocations that share a picture of a place in its part of the loss.
fn strands(view: &View) -> usize {
    view.size().min(STRANDS).next_multiple_of(THREADS)
}

/// The values of a weight.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}
