//! Averaged copies of weights.

use gradus_core::{Array, Buffer, Code, Error, Param, Result, no_grad, transaction};

use super::members::{count, in_range};
use crate::module::Module;
use crate::state::StateDict;
use crate::walk;

/// How [`Average`] weighs the values it has seen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// The last ones most.
    Moving(f64),
    /// All alike.
    Equal,
}

/// A second set of weights that is an average over a training: often better than the last ones, and
/// steadier. [`Average::ema`] is a moving average, [`Average::swa`] the mean of all.
///
/// The first [`Average::update`] takes over the values. Buffers (running statistics) are copied, not
/// averaged; for SWA let them settle on the averaged weights by some forward passes in training mode.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Linear, ModuleExt, Optimizer, Sgd, optim::Average};
/// let model = Linear::new(2, 1);
/// let mut opt = Sgd::new(&model, 0.05);
/// let mut average = Average::ema(&model, 0.9);
/// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0]]));
/// for _ in 0..10 {
///     opt.step(&model.forward(&x).mse_loss(&y))?;
///     average.update()?;
/// }
/// let last = model.weight.get()?;
/// let loss = average.with_averaged(|| model.predict(&x).mse_loss(&y).item())??;
/// assert!(loss.is_finite() && model.weight.get()?.same_bits(&last));
/// # use gradus_nn::Layer;
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Average {
    kind: Kind,
    params: Vec<(String, Param)>,
    buffers: Vec<(String, Buffer)>,
    /// The averages; those of parameters, then copies of buffers.
    averages: Vec<Buffer>,
    copies: Vec<Buffer>,
    updates: u64,
    swapped: bool,
    error: Option<Error>,
}

impl Average {
    /// A moving average: `average += (1 - decay) (weights - average)` at each update; 0.99 to 0.9999
    /// is usual, the larger the more updates. Polyak and Juditsky, 1992.
    pub fn ema<M: Module + ?Sized>(model: &M, decay: f64) -> Average {
        Average::new(model, Kind::Moving(decay))
    }

    /// The mean of all weights that it is updated with, such as those at the end of each of the last
    /// epochs: stochastic weight averaging. Izmailov et al., 2018.
    pub fn swa<M: Module + ?Sized>(model: &M) -> Average {
        Average::new(model, Kind::Equal)
    }

    fn new<M: Module + ?Sized>(model: &M, kind: Kind) -> Average {
        walk::stamp_once(model);
        let parts = walk::parts(model);
        let mut average = Average {
            kind,
            params: parts.params,
            buffers: parts.buffers,
            averages: Vec::new(),
            copies: Vec::new(),
            updates: 0,
            swapped: false,
            error: None,
        };
        if let Kind::Moving(decay) = kind {
            let ok = (0.0..=1.0).contains(&decay);
            average.error = in_range("Average", "decay", decay, ok, "from 0 to 1").err();
        }
        average
    }

    /// How often it was updated.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Takes in the weights as they are, as one plan that allocates nothing.
    ///
    /// # Errors
    /// [`Code::Argument`] for a decay out of range, or while the averaged weights are in the model;
    /// the error of a layer whose constructor failed.
    pub fn update(&mut self) -> Result<()> {
        gradus_core::refuse_capture("Average")?;
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        if self.swapped {
            let text = "Average: the averaged weights are in the model";
            return Err(Error::new(Code::Argument, text).help("call `swap` before `update`"));
        }
        if self.updates == 0 {
            let get = |value: Result<Array>| value.map(Buffer::new);
            self.averages = self.params.iter().map(|(_, p)| get(p.get())).collect::<Result<_>>()?;
            self.copies = self.buffers.iter().map(|(_, b)| get(b.read())).collect::<Result<_>>()?;
            self.updates = 1;
            return Ok(());
        }
        let weight = match self.kind {
            Kind::Moving(decay) => 1.0 - decay,
            Kind::Equal => 1.0 / (self.updates + 1) as f64,
        };
        transaction(|| {
            no_grad(|| {
                for ((_, param), average) in self.params.iter().zip(&self.averages) {
                    average.assign(&average.tensor().lerp(&param.tensor(), weight));
                }
            });
            Ok(())
        })?;
        for ((_, buffer), copy) in self.buffers.iter().zip(&self.copies) {
            copy.set(buffer.get()?)?;
        }
        self.updates += 1;
        Ok(())
    }

    /// Exchanges the model's weights and the averaged ones; a second call puts them back.
    ///
    /// # Errors
    /// [`Code::Argument`] before the first update.
    pub fn swap(&mut self) -> Result<()> {
        if self.updates == 0 {
            return Err(Error::new(Code::Argument, "Average: there is no average yet")
                .help("call `update` after a step first"));
        }
        for ((_, param), average) in self.params.iter().zip(&self.averages) {
            let value = param.get()?;
            param.set(average.get()?)?;
            average.set(value)?;
        }
        for ((_, buffer), copy) in self.buffers.iter().zip(&self.copies) {
            let value = buffer.read()?;
            buffer.set(copy.get()?)?;
            copy.set(value)?;
        }
        self.swapped = !self.swapped;
        Ok(())
    }

    /// Runs `f` with the averaged weights in the model, and puts the others back.
    ///
    /// # Errors
    /// As [`Average::swap`].
    pub fn with_averaged<R>(&mut self, f: impl FnOnce() -> R) -> Result<R> {
        self.swap()?;
        let done = f();
        self.swap()?;
        Ok(done)
    }

    /// The averaged weights and copies of buffers, by their names in the model: what
    /// [`ModuleExt::load_state_dict`](crate::ModuleExt::load_state_dict) takes.
    ///
    /// # Errors
    /// [`Code::Argument`] before the first update, or while they are in the model.
    pub fn weights(&self) -> Result<StateDict> {
        if self.updates == 0 || self.swapped {
            let text = "Average: there is no average, or it is in the model";
            return Err(Error::new(Code::Argument, text));
        }
        let mut state = StateDict::new();
        for ((name, _), value) in self.params.iter().zip(&self.averages) {
            state.insert(name, value.get()?);
        }
        for ((name, _), value) in self.buffers.iter().zip(&self.copies) {
            state.insert(name, value.get()?);
        }
        Ok(state)
    }

    /// What a later run needs to go on: the averages, and how often they were updated.
    ///
    /// # Errors
    /// [`Code::Argument`] while the averaged weights are in the model.
    pub fn state_dict(&self) -> Result<StateDict> {
        let mut state = if self.updates == 0 { StateDict::new() } else { self.weights()? };
        state.insert("average.updates", Array::new((), &[self.updates as i64])?);
        Ok(state)
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// [`Code::State`] when it is of another model; nothing is changed then.
    pub fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        let missing = |name: &str| {
            Error::new(Code::State, format!("the saved average has no `{name}` that fits"))
        };
        let updates =
            count(state.get("average.updates").ok_or_else(|| missing("average.updates"))?)?;
        let (mut averages, mut copies) = (Vec::new(), Vec::new());
        if updates > 0 {
            let value = |name: &str, shape, dtype| {
                let found = state.get(name).filter(|v| v.shape() == shape && v.dtype() == dtype);
                found.cloned().map(Buffer::new).ok_or_else(|| missing(name))
            };
            for (name, param) in &self.params {
                averages.push(value(name, param.shape(), param.dtype())?);
            }
            for (name, buffer) in &self.buffers {
                copies.push(value(name, buffer.shape(), buffer.dtype())?);
            }
        }
        (self.updates, self.averages, self.copies) = (updates, averages, copies);
        self.swapped = false;
        Ok(())
    }
}
