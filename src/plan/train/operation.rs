//! A planned network as an operation of candle's.
//!
//! Custom operations take three operands at most, and a network has more parameters than that. They enter by way of a
//! chain of single values, one link a parameter, which the network's operation depends on: candle runs its backward pass
//! before theirs, it leaves all gradients of parameters behind, and every link passes on its own. Candle adds what is passed
//! on to zeros that it makes for the purpose; [`gradients`] takes the gradients of variables past that.

use super::network::Network;
use super::workspace::{Gradients, Parameters, Workspace};
use crate::Result;
use crate::nets::TrainingLayer;
use crate::ops::cpu;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp2, DType, Device, Result as CandleResult, Shape, Storage, Tensor};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

thread_local! {
    /// Variables and their gradients, while [`gradients`] collects them.
    static COLLECTED: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

/// The gradients of `loss`, as [`Tensor::backward`] gives them.
///
/// # Errors
/// When the computation fails.
pub fn gradients(loss: &Tensor) -> CandleResult<GradStore> {
    /// Puts back what was collected outside, after a panic too.
    struct Outer(Option<Vec<(Tensor, Tensor)>>);

    impl Drop for Outer {
        fn drop(&mut self) {
            COLLECTED.set(self.0.take());
        }
    }

    let outer = Outer(COLLECTED.replace(Some(Vec::new())));
    let mut found = loss.backward()?;
    let collected = COLLECTED.take();
    drop(outer);
    for (variable, gradient) in collected.unwrap_or_default() {
        let sum = found.get(&variable).map(|other| other + &gradient).transpose()?;
        found.insert(&variable, sum.unwrap_or(gradient));
    }
    Ok(found)
}

/// One pass through a network, forward and perhaps backward.
struct Pass {
    network: Arc<Network>,
    layers: Vec<TrainingLayer>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    work: Option<Workspace>,
    gradients: Vec<Gradients>,
}

impl Pass {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `work` with the values of all parameters.
    fn with_parameters<R>(&self, work: impl FnOnce(&[Parameters]) -> R) -> CandleResult<R> {
        let tensors = self.layers.iter().map(|layer| {
            let scales = layer.norm.as_ref().map(|norm| (norm.scales(), norm.epsilon()));
            (
                layer.weight.storage_and_layout(),
                layer.bias.as_ref().map(Tensor::storage_and_layout),
                scales.map(|((a, b), e)| (a.storage_and_layout(), b.storage_and_layout(), e)),
            )
        });
        let held: Vec<_> = tensors.collect();
        let parameters = held.iter().map(|((weight, layout), bias, norm)| {
            let bias = bias.as_ref().map(|(bias, layout)| values(bias, layout)).transpose()?;
            let norm = norm.as_ref().map(|((a, a_layout), (b, b_layout), epsilon)| {
                Ok::<_, candle_core::Error>((values(a, a_layout)?, values(b, b_layout)?, *epsilon))
            });
            Ok(Parameters { weight: values(weight, layout)?, bias, norm: norm.transpose()? })
        });
        Ok(work(&parameters.collect::<CandleResult<Vec<_>>>()?))
    }
}

fn values<'a>(storage: &'a Storage, layout: &candle_core::Layout) -> CandleResult<&'a [f32]> {
    match storage {
        Storage::Cpu(storage) => cpu::values(storage, layout),
        _ => candle_core::bail!("a parameter is not on the CPU"),
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(work) = self.lock().work.take() {
            self.network.give_back(work);
        }
    }
}

/// The network itself: input and the end of the chain of its parameters.
struct Whole(Arc<Pass>, usize);

impl CustomOp2 for Whole {
    fn name(&self) -> &'static str {
        "a planned network"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &candle_core::Layout,
        _: &CpuStorage,
        _: &candle_core::Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let Self(pass, parts) = self;
        let (x, count) = (cpu::values(x, layout)?, layout.dims()[0]);
        let mut work = pass.network.workspace(count, *parts);
        let y = pass.with_parameters(|parameters| pass.network.forward(&mut work, x, parameters))?;
        pass.lock().work = Some(work);
        let shape = match pass.network.results()[..] {
            [(c, h, w)] => Shape::from((count, c, h, w)),
            _ => Shape::from(y.len()),
        };
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        chain: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let pass = &self.0;
        let mut state = pass.lock();
        let Some(mut work) = state.work.take() else { candle_core::bail!("a network was run backward twice") };
        let wanted = (x.track_op(), chain.track_op());
        let (of_x, gradients) = cpu::with_values(&grad.contiguous()?, |grad| {
            pass.with_parameters(|parameters| pass.network.backward(&mut work, grad, parameters, wanted))
        })?;
        state.gradients = gradients;
        pass.network.give_back(work);
        let of_x = wanted.0.then(|| Tensor::from_vec(of_x, x.shape(), x.device())).transpose()?;
        Ok((of_x, wanted.1.then(|| chain.zeros_like()).transpose()?))
    }
}

/// Which parameter of a layer.
#[derive(Clone, Copy)]
enum Part {
    Weight,
    Bias,
    Scales,
    Shifts,
}

/// A link of the chain: what came before, and a parameter.
struct Link {
    pass: Arc<Pass>,
    layer: usize,
    part: Part,
}

impl CustomOp2 for Link {
    fn name(&self) -> &'static str {
        "a parameter of a planned network"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &candle_core::Layout,
        _: &CpuStorage,
        _: &candle_core::Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
    }

    fn bwd(
        &self,
        chain: &Tensor,
        parameter: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let mut state = self.pass.lock();
        let Some(gradients) = state.gradients.get_mut(self.layer) else {
            candle_core::bail!("a parameter has no gradient")
        };
        let gradient = std::mem::take(match self.part {
            Part::Weight => &mut gradients.weight,
            Part::Bias => &mut gradients.bias,
            Part::Scales => &mut gradients.scales,
            Part::Shifts => &mut gradients.shifts,
        });
        let gradient = parameter.track_op().then(|| Tensor::from_vec(gradient, parameter.shape(), parameter.device()));
        let mut gradient = gradient.transpose()?;
        if parameter.is_variable() {
            COLLECTED.with_borrow_mut(|collected| {
                if let Some(collected) = collected {
                    collected.extend(gradient.take().map(|gradient| (parameter.clone(), gradient)));
                }
            });
        }
        Ok((chain.track_op().then(|| chain.zeros_like()).transpose()?, gradient))
    }
}

/// Runs a planned network on `x`, in so many parts; `None` where the tensors are not those that it can read. Of several
/// results come the values alone, one after the other.
pub(super) fn apply(
    network: &Arc<Network>,
    layers: &[TrainingLayer],
    x: &Tensor,
    parts: usize,
) -> Result<Option<Tensor>> {
    let (c, h, w) = network.input();
    let parameters = |layer: &TrainingLayer| {
        let (scales, shifts) = layer.norm.as_ref().map(|norm| norm.scales()).unzip();
        let all = [Some(&layer.weight), layer.bias.as_ref(), scales, shifts].map(Option::<&Tensor>::cloned);
        all.into_iter().zip([Part::Weight, Part::Bias, Part::Scales, Part::Shifts])
    };
    let tensors = |layer: &TrainingLayer| parameters(layer).filter_map(|(tensor, _)| tensor);
    let readable = |tensor: &Tensor| cpu::ours(&[tensor]) && tensor.is_contiguous();
    if !cpu::ours(&[x])
        || x.elem_count() != x.dim(0)? * c * h * w
        || !layers.iter().flat_map(tensors).all(|t| readable(&t))
    {
        return Ok(None);
    }
    let pass = Arc::new(Pass { network: network.clone(), layers: layers.to_vec(), state: Mutex::default() });
    let mut chain = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
    for (i, layer) in layers.iter().enumerate() {
        for (parameter, part) in parameters(layer) {
            let Some(parameter) = parameter else { continue };
            chain = chain.apply_op2(&parameter, Link { pass: pass.clone(), layer: i, part })?;
        }
    }
    let y = x.contiguous()?.apply_op2(&chain, Whole(pass.clone(), parts))?;
    if let Some(work) = &pass.lock().work {
        for (i, layer) in layers.iter().enumerate() {
            let Some(norm) = &layer.norm else { continue };
            let (count, moments) = network.moments(work, i);
            let channels = layer.spec.outputs;
            let length = moments.means.len() / parts;
            for part in 0..parts {
                let single = |values: &[f64]| {
                    let values = values[part * length..][..channels].iter().map(|&value| value as f32);
                    Tensor::from_vec(values.collect::<Vec<_>>(), channels, &Device::Cpu)
                };
                norm.follow(count, &single(&moments.means)?, &single(&moments.variances)?)?;
            }
        }
    }
    Ok(Some(y))
}
