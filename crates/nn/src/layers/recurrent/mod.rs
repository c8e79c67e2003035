//! Recurrent layers and cells.
//!
//! `stack` is what the layers share: parameters with PyTorch's names, layers above one another,
//! both directions. The recurrence itself is an operation, `Tensor::recurrence`.

mod cells;
mod gru;
mod lstm;
mod rnn;
mod stack;

pub use cells::{GruCell, LstmCell, RnnCell};
pub use gru::Gru;
pub use lstm::Lstm;
pub use rnn::Rnn;
pub use stack::RecurrentWeights;

/// The methods that all recurrent layers have.
macro_rules! recurrent_layer {
    ($name:ident) => {
        impl $name {
            /// This many layers, each on the states of the one below.
            #[must_use]
            pub fn num_layers(mut self, count: usize) -> $name {
                self.stack.config.num_layers = count;
                self.rebuilt()
            }

            /// Without biases.
            #[must_use]
            pub fn no_bias(mut self) -> $name {
                self.stack.config.bias = false;
                self.rebuilt()
            }

            /// Whether sequences are `[batch, time, ..]`. As in PyTorch, they are `[time, batch,
            /// ..]` unless this is said. States are `[.., batch, hidden]` in any case.
            #[must_use]
            pub fn batch_first(mut self, yes: bool) -> $name {
                self.stack.config.batch_first = yes;
                self
            }

            /// While training, dropout with this probability after each layer but the last.
            #[must_use]
            pub fn dropout(mut self, p: f64) -> $name {
                self.stack.config.dropout = p;
                self.rebuilt()
            }

            /// Each layer in both directions: the results side by side, `2 * hidden` in all.
            #[must_use]
            pub fn bidirectional(mut self) -> $name {
                self.stack.config.bidirectional = true;
                self.rebuilt()
            }

            /// New parameters for changed sizes.
            fn rebuilt(self) -> $name {
                $name { stack: crate::layers::recurrent::stack::Stack::new(self.stack.config) }
            }

            /// Size of a vector that goes in.
            pub fn input_size(&self) -> usize {
                self.stack.config.input_size
            }

            /// Number of units of a layer, in one direction.
            pub fn hidden_size(&self) -> usize {
                self.stack.config.hidden_size
            }

            /// The parameters of a layer, counted from 0, forward or in reverse.
            pub fn weights(&self, layer: usize, reverse: bool) -> Option<&super::RecurrentWeights> {
                self.stack.weights(layer, reverse)
            }

            /// The same layer again: tied, with the same parameters.
            #[must_use]
            pub fn share(&self) -> $name {
                $name { stack: self.stack.share() }
            }

            /// A layer of its own that starts with the same values.
            #[must_use]
            pub fn duplicate(&self) -> $name {
                $name { stack: self.stack.duplicate() }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.stack.tag.describe())
            }
        }

        impl crate::module::Module for $name {
            fn walk(&self, visitor: &mut dyn crate::module::Visitor) {
                self.stack.walk(visitor);
            }
        }
    };
}
use recurrent_layer;
