//! The plain recurrent network.

use gradus_core::Tensor;
use gradus_core::ops::Cell;

use super::recurrent_layer;
use super::stack::{Config, Given, Stack};

/// The plain recurrent network of Elman: `h[t] = tanh(W_ih x[t] + b_ih + W_hh h[t-1] + b_hh)`, or
/// with ReLU.
///
/// `[time, batch, input_size]` becomes `[time, batch, hidden_size]`, with the last states, `[layers *
/// directions, batch, hidden_size]`. Parameters are PyTorch's, `weight_ih_l0` and so on, and start
/// uniform in `±1 / sqrt(hidden_size)`.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::Rnn;
/// let layer = Rnn::new(4, 5).num_layers(2).batch_first(true);
/// let (output, h) = layer.forward(&Tensor::zeros([3, 7, 4]));
/// assert_eq!(output.dims::<3>()?, [3, 7, 5]);
/// assert_eq!(h.dims::<3>()?, [2, 3, 5]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Rnn {
    pub(super) stack: Stack,
}
recurrent_layer!(Rnn);

impl Rnn {
    /// One layer, forward. A size of 0 is an error, which the first `forward`, `step` or `save`
    /// reports.
    pub fn new(input_size: usize, hidden_size: usize) -> Rnn {
        Rnn { stack: Stack::new(Config::new("Rnn", Cell::Tanh, input_size, hidden_size)) }
    }

    /// With ReLU instead of tanh (PyTorch: `nonlinearity="relu"`).
    #[must_use]
    pub fn relu(mut self) -> Rnn {
        self.stack.config.cell = Cell::Relu;
        self
    }

    /// The states of all time steps, and the last ones; from zeros.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> (Tensor, Tensor) {
        let states = self.stack.forward(x, Given::default());
        (states.output, states.h)
    }

    /// The same from other states, `[layers * directions, batch, hidden_size]`.
    #[track_caller]
    pub fn forward_from(&self, x: &Tensor, h0: &Tensor) -> (Tensor, Tensor) {
        let states = self.stack.forward(x, Given { h0: Some(h0), ..Given::default() });
        (states.output, states.h)
    }

    /// The same for sequences of different lengths, padded to one: results after the end are 0, the
    /// last states are those at each end, and the reverse direction starts there. It is what PyTorch
    /// does with `pack_padded_sequence` and `pad_packed_sequence(total_length=time)`; here a length
    /// may be 0.
    #[track_caller]
    pub fn forward_packed(
        &self,
        x: &Tensor,
        lengths: &[usize],
        h0: Option<&Tensor>,
    ) -> (Tensor, Tensor) {
        let given = Given { lengths: Some(lengths), h0, c0: None };
        let states = self.stack.forward(x, given);
        (states.output, states.h)
    }
}
