//! Long short-term memory.

use gradus_core::ops::{Cell, States};
use gradus_core::{Error, Tensor};

use super::recurrent_layer;
use super::stack::{Config, Given, Stack};

/// Long short-term memory: gates `i`, `f`, `g`, `o` of each unit, `c[t] = f c[t-1] + i g`,
/// `h[t] = o tanh(c[t])`.
///
/// `[time, batch, input_size]` becomes `[time, batch, hidden_size]`, with the last states `(h, c)`,
/// each `[layers * directions, batch, hidden_size]`. Parameters are PyTorch's, `weight_ih_l0` and so
/// on, and start uniform in `±1 / sqrt(hidden_size)`.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::Lstm;
/// let layer = Lstm::new(4, 5).bidirectional();
/// let (output, (h, c)) = layer.forward(&Tensor::zeros([7, 3, 4]));
/// assert_eq!(output.dims::<3>()?, [7, 3, 10]);
/// assert_eq!((h.dims::<3>()?, c.dims::<3>()?), ([2, 3, 5], [2, 3, 5]));
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Lstm {
    pub(super) stack: Stack,
}
recurrent_layer!(Lstm);

/// The output, and the states at the end.
type Output = (Tensor, (Tensor, Tensor));

impl Lstm {
    /// One layer, forward. A size of 0 is an error, which the first `forward`, `step` or `save`
    /// reports.
    pub fn new(input_size: usize, hidden_size: usize) -> Lstm {
        Lstm { stack: Stack::new(Config::new("Lstm", Cell::Lstm, input_size, hidden_size)) }
    }

    /// States of this size, smaller than `hidden_size`, by a matrix `weight_hr` after each step.
    /// Sak and others, *Long short-term memory based recurrent neural network architectures*, 2014.
    #[must_use]
    pub fn proj_size(mut self, size: usize) -> Lstm {
        self.stack.config.proj_size = size;
        self.rebuilt()
    }

    /// The states of all time steps, and the last `(h, c)`; from zeros.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Output {
        parts(self.stack.forward(x, Given::default()))
    }

    /// The same from other states `(h0, c0)`, each `[layers * directions, batch, hidden_size]`.
    #[track_caller]
    pub fn forward_from(&self, x: &Tensor, (h0, c0): (&Tensor, &Tensor)) -> Output {
        let given = Given { h0: Some(h0), c0: Some(c0), ..Given::default() };
        parts(self.stack.forward(x, given))
    }

    /// The same for sequences of different lengths, padded to one: results after the end are 0, the
    /// last states are those at each end, and the reverse direction starts there. It is what PyTorch
    /// does with `pack_padded_sequence` and `pad_packed_sequence(total_length=time)`; here a length
    /// may be 0.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::Lstm;
    /// let x = Tensor::ones([4, 2, 3]);
    /// let (output, _) = Lstm::new(3, 5).forward_packed(&x, &[4, 1], None);
    /// assert_eq!(output.to_vec3::<f32>()?[1][1], [0.0; 5]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn forward_packed(
        &self,
        x: &Tensor,
        lengths: &[usize],
        state: Option<(&Tensor, &Tensor)>,
    ) -> Output {
        let (h0, c0) = (state.map(|s| s.0), state.map(|s| s.1));
        parts(self.stack.forward(x, Given { lengths: Some(lengths), h0, c0 }))
    }
}

fn parts(states: States) -> Output {
    let missing = || Tensor::failed(Error::internal("an LSTM without a memory"));
    (states.output, (states.h, states.c.unwrap_or_else(missing)))
}
