//! A recurrent language model over characters.

use std::fmt;

use gradus_core::{Code, Error, Result, Rng, Tag, Tensor, inference};

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
/// assert_eq!(model.generate(&[0], 5, 0.0, 17)?, [1, 2, 0, 1, 2]);
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

    /// So many ids after a prompt of at least one, each drawn with the probability that the model
    /// gives it. A `temperature` below 1 is more careful, above 1 more daring; 0 always takes the most
    /// likely. The same seed draws the same.
    ///
    /// # Errors
    /// [`Code::Argument`] for an empty prompt or a temperature that is negative or not finite; the
    /// first error of the model, such as an id that it does not know.
    pub fn generate(
        &self,
        prompt: &[i64],
        count: usize,
        temperature: f64,
        seed: u64,
    ) -> Result<Vec<i64>> {
        if prompt.is_empty() {
            return Err(Error::new(Code::Argument, "generate: the prompt is empty")
                .help("start with at least one id, a line break perhaps"));
        }
        if !(temperature >= 0.0 && temperature.is_finite()) {
            let text = format!("generate: the temperature is {temperature}");
            return Err(Error::new(Code::Argument, text).help("0 to 1 is usual"));
        }
        let draws = Rng::new(seed).uniform([count], 0.0, 1.0)?.to_f64();
        inference(|| {
            let mut out: Vec<i64> = Vec::with_capacity(count);
            let mut next = Tensor::from(prompt.to_vec()).unsqueeze(0);
            let mut state: Option<State> = None;
            for draw in draws {
                let (logits, after) = self.forward_from(&next, state.as_ref());
                let last = logits.select(1, -1).squeeze(0).to_vec::<f32>()?;
                let id = chosen(&last, temperature, draw);
                out.push(id);
                next = Tensor::from(vec![id]).unsqueeze(0);
                state = Some(after);
            }
            Ok(out)
        })
    }
}

/// The id where the cumulative probability passes `draw`; the largest logit at temperature 0.
fn chosen(logits: &[f32], temperature: f64, draw: f64) -> i64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let at = |found: Option<usize>| found.unwrap_or(logits.len().saturating_sub(1)) as i64;
    if temperature == 0.0 {
        return at(logits.iter().position(|&v| v == largest));
    }
    let weight = |v: &f32| libm::exp((f64::from(*v) - f64::from(largest)) / temperature);
    let total: f64 = logits.iter().map(weight).sum();
    let mut sum = 0.0;
    at(logits.iter().position(|v| {
        sum += weight(v);
        sum > draw * total
    }))
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
