//! Autoencoders: a network that says its input again, through a narrow place.

use gradus_core::{Tag, Tensor, is_training};

use super::Mlp;
use crate::layer::Layer;
use crate::layers::Linear;
use crate::module::{Module, Visitor};

/// An encoder to a small code and a decoder back; trained to give the input again.
///
/// `forward` is `decode(encode(x))`. For pre-training: train it on inputs without labels, then put
/// the encoder under a new head; both are fields, and parameters are `encoder.0.weight`, .. of
/// whatever they are. Source: Hinton and Salakhutdinov, *Reducing the dimensionality of data with
/// neural networks*, 2006.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Adam, Layer, Linear, ModuleExt, Optimizer, models::AutoEncoder, seq};
/// let x = Tensor::rand([8, 20]);
/// let model = AutoEncoder::new(&[20, 12, 3]);
/// let mut opt = Adam::new(&model, 1e-2);
/// opt.step(&model.forward(&x).mse_loss(&x))?;
/// assert_eq!(model.encode(&x).dims::<2>()?, [8, 3]);
/// // Then with labels: first the head alone, then all.
/// let classifier = seq![model.encoder, Linear::new(3, 2)];
/// if let Some(encoder) = classifier.get(0) {
///     encoder.freeze();
/// }
/// Adam::new(&classifier, 1e-2).step(&classifier.forward(&x).cross_entropy(&Tensor::from([0; 8])))?;
/// classifier.thaw();
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct AutoEncoder {
    /// From the input to the code.
    pub encoder: Box<dyn Layer>,
    /// From the code to the input.
    pub decoder: Box<dyn Layer>,
    tag: Tag,
}

impl AutoEncoder {
    /// Of two perceptrons with ReLU between their layers: an encoder with these sizes, the last of
    /// which is that of the code, and a decoder with the same backwards.
    pub fn new(sizes: &[usize]) -> AutoEncoder {
        let back: Vec<usize> = sizes.iter().rev().copied().collect();
        AutoEncoder::of(Mlp::new(sizes), Mlp::new(&back))
    }

    /// Of any two layers, convolutions perhaps.
    pub fn of(encoder: impl Layer + 'static, decoder: impl Layer + 'static) -> AutoEncoder {
        let (encoder, decoder) = (Box::new(encoder), Box::new(decoder));
        AutoEncoder { encoder, decoder, tag: Tag::new("AutoEncoder") }
    }

    /// The code of an input.
    #[track_caller]
    pub fn encode(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        self.encoder.forward(x)
    }

    /// The input of a code.
    #[track_caller]
    pub fn decode(&self, code: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        self.decoder.forward(code)
    }

    /// The input again, as far as the code has it.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        self.decoder.forward(&self.encoder.forward(x))
    }
}

impl Module for AutoEncoder {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("encoder", &self.encoder);
        visitor.child("decoder", &self.decoder);
    }
}

impl Layer for AutoEncoder {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        AutoEncoder::forward(self, x)
    }
}

/// What a [`VariationalAutoEncoder`] takes its inputs for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Observed {
    /// Probabilities or 0 and 1, such as pixels; the decoder gives logits.
    #[default]
    Bernoulli,
    /// Numbers with a variance of 1 around what the decoder gives.
    Normal,
}

/// What a [`VariationalAutoEncoder`] gives for a batch.
#[derive(Debug)]
pub struct Reconstruction {
    /// The input again: logits of [`Observed::Bernoulli`], means of [`Observed::Normal`].
    pub output: Tensor,
    /// Means of the codes, `[batch, code]`.
    pub mean: Tensor,
    /// Logarithms of the codes' variances, `[batch, code]`.
    pub log_var: Tensor,
}

/// An autoencoder whose code is a normal distribution near the standard one, so that codes drawn from
/// that decode to new inputs.
///
/// Inputs are `[batch, sizes[0]]`. The encoder is a perceptron with ReLU up to the size before the
/// last; `mean` and `log_var` are linear layers from there to the code; the decoder is a perceptron
/// back. While training a code is `mean + exp(log_var / 2) * noise` (the reparametrisation, so that
/// gradients reach both); in `predict` and in evaluation it is the mean.
///
/// Source: Kingma and Welling, *Auto-encoding variational Bayes*, 2014; `beta`: Higgins and others,
/// 2017.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Adam, Optimizer, models::VariationalAutoEncoder};
/// let model = VariationalAutoEncoder::new(&[20, 12, 3]);
/// let x = Tensor::rand([8, 20]);
/// let mut opt = Adam::new(&model, 1e-2);
/// opt.step(&model.loss(&x))?;
/// let new = model.decode(&Tensor::randn([4, 3])).sigmoid();
/// assert_eq!(new.dims::<2>()?, [4, 20]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct VariationalAutoEncoder {
    /// From the input to what the two below take.
    pub encoder: Mlp,
    /// The mean of the code.
    pub mean: Linear,
    /// The logarithm of its variance.
    pub log_var: Linear,
    /// From the code to the input.
    pub decoder: Mlp,
    observed: Observed,
    beta: f64,
    tag: Tag,
}

impl VariationalAutoEncoder {
    /// With these sizes: of the input, of the hidden layers, of the code. At least the first and last
    /// are needed; with fewer the parameters are an error that the first `forward` reports.
    pub fn new(sizes: &[usize]) -> VariationalAutoEncoder {
        let back: Vec<usize> = sizes.iter().rev().copied().collect();
        let code = if sizes.len() < 2 { 0 } else { sizes.last().copied().unwrap_or(0) };
        let hidden = sizes.split_last().map_or(sizes, |(_, hidden)| hidden);
        let width = hidden.last().copied().unwrap_or(0);
        VariationalAutoEncoder {
            encoder: Mlp::new(hidden),
            mean: Linear::new(width, code),
            log_var: Linear::new(width, code),
            decoder: Mlp::new(&back),
            observed: Observed::Bernoulli,
            beta: 1.0,
            tag: Tag::new("VariationalAutoEncoder"),
        }
    }

    /// What the inputs are; [`Observed::Bernoulli`] by default.
    #[must_use]
    pub fn observed(mut self, observed: Observed) -> VariationalAutoEncoder {
        self.observed = observed;
        self
    }

    /// How much the divergence counts in the loss; 1 by default, more for codes whose parts are
    /// independent.
    #[must_use]
    pub fn beta(mut self, beta: f64) -> VariationalAutoEncoder {
        self.beta = beta;
        self
    }

    /// Mean and logarithm of the variance of the codes, each `[batch, code]`.
    #[track_caller]
    pub fn encode(&self, x: &Tensor) -> (Tensor, Tensor) {
        let _scope = self.tag.enter();
        let mut h = self.encoder.forward(x);
        // The last hidden layer is one inside the encoder, so it has its activation here.
        if !self.encoder.layers.is_empty() {
            h = h.relu();
        }
        (self.mean.forward(&h), self.log_var.forward(&h))
    }

    /// Inputs of codes `[batch, code]`, as logits or means.
    #[track_caller]
    pub fn decode(&self, code: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        self.decoder.forward(code)
    }

    /// Encodes, draws a code (or takes the mean in evaluation) and decodes it.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Reconstruction {
        let _scope = self.tag.enter();
        let (mean, log_var) = self.encode(x);
        let code = match is_training() {
            true => &mean + (&log_var * 0.5).exp() * mean.detach().randn_like(),
            false => mean.clone(),
        };
        Reconstruction { output: self.decoder.forward(&code), mean, log_var }
    }

    /// The negative evidence bound, the mean over the batch; a scalar in nats: how badly the input is
    /// reconstructed (the sum over its elements) plus `beta` times the divergence of the code from
    /// the standard normal distribution.
    #[track_caller]
    pub fn loss(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let Reconstruction { output, mean, log_var } = self.forward(x);
        let each = match self.observed {
            Observed::Bernoulli => output.relu() - &output * x + (-output.abs()).exp().log1p(),
            Observed::Normal => (output - x).square() * 0.5,
        };
        // KL(N(mean, var) || N(0, 1)), in closed form.
        let divergence = (mean.square() + log_var.exp() - 1.0 - log_var) * 0.5;
        let sum = |t: Tensor| t.flatten(1).sum_dim(-1);
        (sum(each) + sum(divergence) * self.beta).mean()
    }
}

impl Module for VariationalAutoEncoder {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("encoder", &self.encoder);
        visitor.child("mean", &self.mean);
        visitor.child("log_var", &self.log_var);
        visitor.child("decoder", &self.decoder);
    }
}

impl Layer for VariationalAutoEncoder {
    /// The reconstruction alone.
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        VariationalAutoEncoder::forward(self, x).output
    }
}
