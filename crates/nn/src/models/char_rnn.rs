//! A recurrent language model over characters.

use std::fmt;

use gradus_core::{Result, Tag, Tensor};

use super::generate::continued;
use crate::layer::Layer;
use crate::layers::{Dropout, Embedding, Linear, Lstm};
use crate::module::{Module, Visitor};

/// The state of the [`Lstm`] between two pieces of a text: `(h, c)`.
type State = (Tensor, Tensor);

/// A language model: characters (or other tokens) by their ids, an embedding, an LSTM, a linear layer
/// to the next character.
///
/// Ids `[batch, time]` become logits `[batch, time, vocabulary]`; at each place they are of what comes
/// next. Source: Karpathy, *The unreasonable effectiveness of recurrent neural networks*, 2015.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Adam, Optimizer, models::CharRnn};
/// gradus_core::seed(17);
/// let model = CharRnn::new(3, 4, 16);
/// let text = Tensor::from([[0, 1, 2, 0, 1, 2, 0, 1, 2]]);
/// let mut opt = Adam::new(&model, 0.05);
/// for _ in 0..30 {
///     opt.step(&model.loss(&text))?;
/// }
/// assert_eq!(model.generate(&[0], 5, 0.0, None)?, [0, 1, 2, 0, 1, 2]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct CharRnn {
    /// A vector for each id.
    pub embedding: Embedding,
    /// Over time.
    pub lstm: Lstm,
    /// To logits: the head.
    pub head: Linear,
    dropout: Dropout,
    tag: Tag,
}

impl CharRnn {
    /// For so many ids, with these sizes of the embedding and of the state.
    pub fn new(vocabulary: usize, embedding_dim: usize, hidden_size: usize) -> CharRnn {
        CharRnn {
            embedding: Embedding::new(vocabulary, embedding_dim),
            lstm: Lstm::new(embedding_dim, hidden_size).batch_first(true),
            head: Linear::new(hidden_size, vocabulary),
            dropout: Dropout::new(0.0),
            tag: Tag::new(format!("CharRnn({vocabulary} ids, {hidden_size})")),
        }
    }

    /// LSTM layers, one on the other; 1 by default. Their weights start anew.
    #[must_use]
    pub fn num_layers(mut self, count: usize) -> CharRnn {
        self.lstm = self.lstm.num_layers(count);
        self
    }

    /// The probability of a zero between the layers and before the head while training; 0 by default.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> CharRnn {
        self.lstm = self.lstm.dropout(p);
        self.dropout = Dropout::new(p);
        self
    }

    /// Logits `[batch, time, vocabulary]`, from a state of zeros.
    #[track_caller]
    pub fn forward(&self, ids: &Tensor) -> Tensor {
        self.forward_from(ids, None).0
    }

    /// The same from the state that an earlier piece of the text left, and the state after this one.
    /// `detach` a state where gradients are to end (truncated backpropagation through time).
    #[track_caller]
    pub fn forward_from(&self, ids: &Tensor, state: Option<&State>) -> (Tensor, State) {
        let _scope = self.tag.enter();
        let x = self.embedding.forward(ids);
        let (output, state) = match state {
            None => self.lstm.forward(&x),
            Some((h, c)) => self.lstm.forward_from(&x, (h, c)),
        };
        (self.head.forward(&self.dropout.forward(&output)), state)
    }

    /// The mean cross-entropy of each character after those before it, in nats; ids are
    /// `[batch, time]` with a time of at least 2.
    #[track_caller]
    pub fn loss(&self, ids: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let logits = self.forward(&ids.slice(1, 0, -1, 1));
        logits.flatten_dims(0, 1).cross_entropy(&ids.slice(1, 1, isize::MAX, 1).flatten(0))
    }

    /// The prompt with `n` more ids, one after the other.
    ///
    /// Each is drawn from the softmax of `logits / temperature`, of the `top_k` most likely ones if
    /// there is such a number; at a temperature of 0 it is the most likely one. Draws come from the
    /// global seed's inference stream.
    ///
    /// # Errors
    /// [`Code::Argument`](gradus_core::Code::Argument) for an empty prompt, a temperature that is
    /// negative or not finite, or a `top_k` of 0; the first error of the model, such as an id that
    /// it does not know.
    #[track_caller]
    pub fn generate(
        &self,
        prompt: &[i64],
        n: usize,
        temperature: f64,
        top_k: Option<usize>,
    ) -> Result<Vec<i64>> {
        // What was read is in the state; only the rest of the text goes in.
        let (mut read, mut state): (usize, Option<State>) = (0, None);
        continued(prompt, n, temperature, top_k, |text| {
            let rest = text.get(read..).unwrap_or_default();
            let (logits, after) =
                self.forward_from(&Tensor::from(rest).unsqueeze(0), state.as_ref());
            (read, state) = (text.len(), Some(after));
            logits.select(1, -1).squeeze(0).to_vec::<f32>()
        })
    }
}

impl fmt::Debug for CharRnn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for CharRnn {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("embedding", &self.embedding);
        visitor.child("lstm", &self.lstm);
        visitor.child("head", &self.head);
        visitor.child("dropout", &self.dropout);
    }
}

impl Layer for CharRnn {
    #[track_caller]
    fn forward(&self, ids: &Tensor) -> Tensor {
        CharRnn::forward(self, ids)
    }
}
