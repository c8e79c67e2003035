//! Cells: one time step of a recurrent network.

use gradus_core::ops::{Cell, States};
use gradus_core::{Code, Error, Tag, Tensor};

use super::stack::{Config, RecurrentWeights};
use crate::module::{Module, Visitor};

/// What the cells share.
struct Step {
    config: Config,
    weights: RecurrentWeights,
    tag: Tag,
}

impl Step {
    fn new(config: Config) -> Step {
        let text = format!("{}({} -> {})", config.name, config.input_size, config.hidden_size);
        Step {
            weights: RecurrentWeights::new(&config, config.input_size, ""),
            tag: Tag::new(text),
            config,
        }
    }

    /// One step from `[batch, input]` or `[input]`.
    #[track_caller]
    fn forward(&self, x: &Tensor, states: [Option<&Tensor>; 2]) -> States {
        let _scope = self.tag.enter();
        match self.step(x, states) {
            Ok(states) => states,
            Err(failed) => {
                let c = (self.config.cell == Cell::Lstm).then(|| failed.clone());
                States { output: failed.clone(), h: failed, c }
            }
        }
    }

    #[track_caller]
    fn step(&self, x: &Tensor, states: [Option<&Tensor>; 2]) -> Result<States, Tensor> {
        let Ok(shape) = x.shape() else { return Err(x.clone()) };
        if let Some(error) = self.weights.error() {
            return Err(Tensor::failed(error.clone()));
        }
        let (name, input, hidden) =
            (self.config.name, self.config.input_size, self.config.hidden_size);
        let wrong = |text: String| Err(Tensor::failed(Error::new(Code::Shape, text)));
        let alone = shape.rank() == 1;
        if !(alone || shape.rank() == 2) || shape.last(0) != input {
            return wrong(format!("{name}: takes [batch, {input}] or [{input}], not {shape}"));
        }
        let batched = |t: &Tensor| if alone { t.unsqueeze(0) } else { t.clone() };
        let want = shape.with(shape.rank() - 1, hidden);
        let mut own = [None, None];
        for (state, to) in states.into_iter().zip(&mut own) {
            let Some(state) = state else { continue };
            let Ok(have) = state.shape() else { return Err(state.clone()) };
            if have != want {
                return wrong(format!("{name}: a state is {have}, not {want}"));
            }
            *to = Some(batched(state));
        }
        let own = [own[0].as_ref(), own[1].as_ref()];
        let x = batched(x).unsqueeze(0);
        let States { h, c, .. } = self.weights.run(&x, self.config.cell, false, None, own);
        let single = |t: Tensor| if alone { t.squeeze(0) } else { t };
        let h = single(h);
        Ok(States { output: h.clone(), h, c: c.map(single) })
    }
}

macro_rules! cell {
    ($name:ident, $cell:ident, $doc:literal) => {
        #[doc = $doc]
        ///
        /// Parameters are PyTorch's, `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`, and start uniform
        /// in `±1 / sqrt(hidden_size)`.
        pub struct $name {
            step: Step,
        }

        impl $name {
            /// A cell. A size of 0 is an error, which the first `forward`, `step` or `save` reports.
            pub fn new(input_size: usize, hidden_size: usize) -> $name {
                let name = stringify!($name);
                $name { step: Step::new(Config::new(name, Cell::$cell, input_size, hidden_size)) }
            }

            /// Without biases.
            #[must_use]
            pub fn no_bias(self) -> $name {
                $name { step: Step::new(Config { bias: false, ..self.step.config }) }
            }

            /// The parameters.
            pub fn weights(&self) -> &RecurrentWeights {
                &self.step.weights
            }

            /// The same cell again: tied, with the same parameters.
            #[must_use]
            pub fn share(&self) -> $name {
                let Step { config, weights, tag } = &self.step;
                let (config, weights, tag) = (*config, weights.share(), tag.clone());
                $name { step: Step { config, weights, tag } }
            }

            /// A cell of its own that starts with the same values.
            #[must_use]
            pub fn duplicate(&self) -> $name {
                let Step { config, weights, tag } = &self.step;
                let (weights, tag) = (weights.duplicate(), Tag::new(tag.describe()));
                $name { step: Step { config: *config, weights, tag } }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.step.tag.describe())
            }
        }

        impl Module for $name {
            fn walk(&self, visitor: &mut dyn Visitor) {
                visitor.tag(&self.step.tag);
                self.step.weights.walk(visitor);
            }
        }
    };
}
cell!(RnnCell, Tanh, "One time step of a plain recurrent network, [`Rnn`](crate::Rnn).");
cell!(GruCell, Gru, "One time step of a gated recurrent unit, [`Gru`](crate::Gru).");
cell!(LstmCell, Lstm, "One time step of an LSTM, [`Lstm`](crate::Lstm).");

impl RnnCell {
    /// With ReLU instead of tanh (PyTorch: `nonlinearity="relu"`).
    #[must_use]
    pub fn relu(mut self) -> RnnCell {
        self.step.config.cell = Cell::Relu;
        self
    }

    /// The next state of `[batch, input_size]` and a state `[batch, hidden_size]`, zeros if there is
    /// none; without a batch too.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::RnnCell;
    /// let cell = RnnCell::new(4, 5);
    /// let h = cell.forward(&Tensor::ones([2, 4]), None);
    /// let h = cell.forward(&Tensor::ones([2, 4]), Some(&h));
    /// assert_eq!(h.dims::<2>()?, [2, 5]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn forward(&self, x: &Tensor, h: Option<&Tensor>) -> Tensor {
        self.step.forward(x, [h, None]).h
    }
}

impl GruCell {
    /// The next state of `[batch, input_size]` and a state `[batch, hidden_size]`, zeros if there is
    /// none; without a batch too.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, h: Option<&Tensor>) -> Tensor {
        self.step.forward(x, [h, None]).h
    }
}

impl LstmCell {
    /// The next state `(h, c)` of `[batch, input_size]` and a state of two times `[batch,
    /// hidden_size]`, zeros if there is none; without a batch too.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, state: Option<(&Tensor, &Tensor)>) -> (Tensor, Tensor) {
        let states = self.step.forward(x, [state.map(|s| s.0), state.map(|s| s.1)]);
        let missing = || Tensor::failed(Error::internal("an LSTM without a memory"));
        (states.h, states.c.unwrap_or_else(missing))
    }
}
