//! A language model that reads from left to right, as GPT-2.

use std::fmt;

use gradus_core::ops::attention::Attention;
use gradus_core::{Array, Code, DType, Error, Result, Tag, Tensor, inference};

use super::generate::continued;
use crate::init;
use crate::layer::Layer;
use crate::layers::{Dropout, Embedding, LayerNorm, Linear};
use crate::module::{Module, Visitor};
use crate::state::StateDict;
use crate::walk::ModuleExt;

/// The sizes of a [`Gpt`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GptConfig {
    /// Number of different tokens.
    pub vocab_size: usize,
    /// The longest sequence.
    pub n_positions: usize,
    /// Size of a token's vector.
    pub n_embd: usize,
    /// Number of blocks.
    pub n_layer: usize,
    /// Number of heads; divides `n_embd`.
    pub n_head: usize,
    /// The probability of dropout while training; 0.1 in GPT-2.
    pub dropout: f64,
}

impl GptConfig {
    /// GPT-2 with 124 million parameters.
    pub fn gpt2() -> GptConfig {
        GptConfig {
            vocab_size: 50257,
            n_positions: 1024,
            n_embd: 768,
            n_layer: 12,
            n_head: 12,
            dropout: 0.1,
        }
    }
}

/// A language model: for each token of a sequence the logits of the next one.
///
/// Ids `[batch, tokens]` of i64 give `[batch, tokens, vocab_size]`. Blocks of causal attention and
/// two maps, each normalised before and added to its input. The parts have GPT-2's names: `wte`,
/// `wpe`, `h.N.ln_1`, `h.N.attn.c_attn`, `h.N.attn.c_proj`, `h.N.ln_2`, `h.N.mlp.c_fc`,
/// `h.N.mlp.c_proj`, `ln_f`; the last map is `wte` again. Weights are `[out, in]` as in a [`Linear`],
/// where GPT-2's files have `[in, out]`: [`Gpt::load_gpt2`] turns them. Radford et al., *Language
/// models are unsupervised multitask learners*, 2019.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Adam, Layer, Optimizer, models::{Gpt, GptConfig}};
///
/// gradus_core::seed(17);
/// let sizes = GptConfig {
///     vocab_size: 5, n_positions: 8, n_embd: 16, n_layer: 1, n_head: 2, dropout: 0.0,
/// };
/// let model = Gpt::new(sizes);
/// let mut opt = Adam::new(&model, 1e-2);
/// let text = Tensor::from([[0, 1, 2, 3, 4, 0, 1, 2, 3]]);
/// let (x, y) = (text.narrow(1, 0, 8), text.narrow(1, 1, 8)); // each token and the next one
/// for _ in 0..60 {
///     let logits = model.forward(&x).flatten_dims(0, 1);
///     opt.step(&logits.cross_entropy(&y.flatten(0)))?;
/// }
/// assert_eq!(model.generate(&[0, 1, 2], 3, 0.0, None)?, [0, 1, 2, 3, 4, 0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Gpt {
    /// A vector for each token, `[vocab_size, n_embd]`; also the last map.
    pub wte: Embedding,
    /// A vector for each position, `[n_positions, n_embd]`.
    pub wpe: Embedding,
    /// The blocks, in order.
    pub h: Vec<GptBlock>,
    /// Before the last map.
    pub ln_f: LayerNorm,
    drop: Dropout,
    sizes: GptConfig,
    tag: Tag,
}

/// One block of a [`Gpt`].
pub struct GptBlock {
    /// Before attention.
    pub ln_1: LayerNorm,
    /// To queries, keys and values side by side, `[3 * n_embd, n_embd]`.
    pub c_attn: Linear,
    /// From all heads back, `[n_embd, n_embd]`.
    pub c_proj: Linear,
    /// Before the two maps.
    pub ln_2: LayerNorm,
    /// The first map, `[4 * n_embd, n_embd]`.
    pub mlp_c_fc: Linear,
    /// The second map, `[n_embd, 4 * n_embd]`.
    pub mlp_c_proj: Linear,
    heads: usize,
    dropout: Dropout,
}

impl GptBlock {
    fn new(sizes: GptConfig) -> GptBlock {
        let size = sizes.n_embd;
        let linear = |from, to, std: f64| {
            Linear::new(from, to)
                .with_init(|shape| init::normal(shape, 0.0, std as f32))
                .with_bias_init(init::zeros)
        };
        // What is added to the stream starts smaller, the more of it there is.
        let small = 0.02 / libm::sqrt(2.0 * sizes.n_layer.max(1) as f64);
        GptBlock {
            ln_1: LayerNorm::new(size),
            c_attn: linear(size, 3 * size, 0.02),
            c_proj: linear(size, size, small),
            ln_2: LayerNorm::new(size),
            mlp_c_fc: linear(size, 4 * size, 0.02),
            mlp_c_proj: linear(4 * size, size, small),
            heads: sizes.n_head,
            dropout: Dropout::new(sizes.dropout),
        }
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x + self.dropout.forward(&self.attend(&self.ln_1.forward(x)));
        let hidden = self.mlp_c_fc.forward(&self.ln_2.forward(&x)).gelu_tanh();
        &x + self.dropout.forward(&self.mlp_c_proj.forward(&hidden))
    }

    #[track_caller]
    fn attend(&self, x: &Tensor) -> Tensor {
        let Ok([batch, tokens, size]) = x.dims::<3>() else { return x.clone() };
        let all = self.c_attn.forward(x);
        let part = |i: usize| {
            let part = all.narrow(-1, i * size, size);
            part.reshape_to([batch, tokens, self.heads, size / self.heads]).transpose(1, 2)
        };
        let options =
            Attention { is_causal: true, dropout_p: self.dropout.p(), ..Attention::default() };
        let y = part(0).scaled_dot_product_attention_with(&part(1), &part(2), options);
        self.c_proj.forward(&y.transpose(1, 2).reshape_to([batch, tokens, size]))
    }
}

impl Gpt {
    /// A model with GPT-2's initial values. Sizes that do not go together are an error, which the
    /// first `forward` reports.
    pub fn new(sizes: GptConfig) -> Gpt {
        let table = |rows, std| {
            Embedding::new(rows, sizes.n_embd).with_init(|shape| init::normal(shape, 0.0, std))
        };
        Gpt {
            wte: table(sizes.vocab_size, 0.02),
            wpe: table(sizes.n_positions, 0.01),
            h: (0..sizes.n_layer).map(|_| GptBlock::new(sizes)).collect(),
            ln_f: LayerNorm::new(sizes.n_embd),
            drop: Dropout::new(sizes.dropout),
            sizes,
            tag: Tag::new(format!(
                "Gpt({} tokens, {} layers, {} wide)",
                sizes.vocab_size, sizes.n_layer, sizes.n_embd
            )),
        }
    }

    /// The sizes.
    pub fn config(&self) -> GptConfig {
        self.sizes
    }

    /// The logits of the next token after each of `[batch, tokens]`, which are at most
    /// `n_positions`.
    #[track_caller]
    pub fn forward(&self, ids: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let hidden = self.hidden(ids);
        self.logits(&hidden)
    }

    /// The stream after the last block.
    #[track_caller]
    fn hidden(&self, ids: &Tensor) -> Tensor {
        let tokens = match self.checked(ids) {
            Ok(tokens) => tokens,
            Err(_) if ids.check().is_err() => return ids.clone(),
            Err(error) => return Tensor::failed(error),
        };
        let places = Tensor::arange(0, tokens as i64);
        let x = self.wte.forward(ids) + self.wpe.forward(&places);
        self.h.iter().fold(self.drop.forward(&x), |x, block| block.forward(&x))
    }

    #[track_caller]
    fn logits(&self, hidden: &Tensor) -> Tensor {
        self.ln_f.forward(hidden).linear(&self.wte.weight, None)
    }

    /// The number of tokens, if they fit.
    fn checked(&self, ids: &Tensor) -> Result<usize> {
        let GptConfig { n_positions, n_embd, n_head, .. } = self.sizes;
        if n_head == 0 || n_embd % n_head != 0 {
            let text = format!("Gpt: {n_head} heads do not share a size of {n_embd} evenly");
            return Err(Error::new(Code::Argument, text).help("`n_head` divides `n_embd`"));
        }
        let shape = ids.shape()?;
        if shape.rank() != 2 || ids.dtype()? != DType::I64 {
            let text = format!("Gpt: takes [batch, tokens] of i64, not {} {shape}", ids.dtype()?);
            return Err(Error::new(Code::Shape, text));
        }
        if shape.dim(1) > n_positions {
            let text = format!("Gpt: {} tokens, but only {n_positions} positions", shape.dim(1));
            return Err(Error::new(Code::Shape, text).help("`n_positions` is the longest sequence"));
        }
        Ok(shape.dim(1))
    }

    /// The prompt with `n` more tokens, one after the other.
    ///
    /// Each is drawn from the softmax of `logits / temperature`, of the `top_k` most likely tokens if
    /// there is such a number; at a temperature of 0 it is the most likely one. Draws come from the
    /// global seed's inference stream. Of a text longer than `n_positions` the model sees the end. All of what it sees
    /// is computed again for each token (there is no cache of keys and values), in lengths that
    /// double, so that few plans are made.
    ///
    /// # Errors
    /// [`Code::Argument`] for an empty prompt, a negative temperature or a `top_k` of 0;
    /// [`Code::Index`] for an id that is no token; the errors of computing the logits.
    #[track_caller]
    pub fn generate(
        &self,
        prompt: &[i64],
        n: usize,
        temperature: f64,
        top_k: Option<usize>,
    ) -> Result<Vec<i64>> {
        continued(prompt, n, temperature, top_k, |text| self.next(text))
    }

    /// The logits after a text.
    #[track_caller]
    fn next(&self, text: &[i64]) -> Result<Vec<f32>> {
        let _scope = self.tag.enter();
        let most = self.sizes.n_positions;
        let seen = text.get(text.len().saturating_sub(most)..).unwrap_or(text);
        // Nothing looks to the right, so what is appended changes nothing.
        let length = seen.len().next_power_of_two().max(16).min(most);
        let mut ids = seen.to_vec();
        ids.resize(length, 0);
        let hidden = self.hidden(&Tensor::from(ids).unsqueeze(0));
        let last = Tensor::from(vec![seen.len() as i64 - 1]);
        self.logits(&hidden.index_select(1, &last)).to_vec::<f32>()
    }

    /// Takes over a state with the names and layouts of GPT-2's files (of Hugging Face): the weights
    /// `c_attn`, `c_proj` and `c_fc` are turned, a `transformer.` before names is dropped, and masks
    /// (`attn.bias`, `attn.masked_bias`) and a copy of the last map are passed over.
    ///
    /// # Errors
    /// As [`ModuleExt::load_state_dict`].
    pub fn load_gpt2(&self, state: &StateDict) -> Result<()> {
        let mut own = StateDict::new();
        for (name, array) in state.iter() {
            let name = name.strip_prefix("transformer.").unwrap_or(name);
            let mask = name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
            if mask || name == "lm_head.weight" {
                continue;
            }
            let turned = ["c_attn.weight", "c_proj.weight", "c_fc.weight"];
            if turned.iter().any(|end| name.ends_with(end)) {
                own.insert(name.to_string(), turn(array)?);
            } else {
                own.insert(name.to_string(), array.clone());
            }
        }
        self.load_state_dict(&own)
    }
}

fn turn(array: &Array) -> Result<Array> {
    inference(|| Tensor::from(array).t().to_array())
}

impl fmt::Debug for Gpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for Gpt {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("wte", &self.wte);
        visitor.child("wpe", &self.wpe);
        visitor.child("drop", &self.drop);
        visitor.child("h", &self.h);
        visitor.child("ln_f", &self.ln_f);
    }
}

/// Children under one more name.
struct Group<'a, const N: usize>([(&'static str, &'a dyn Module); N]);

impl<const N: usize> Module for Group<'_, N> {
    fn walk(&self, visitor: &mut dyn Visitor) {
        for (name, child) in self.0 {
            visitor.child(name, child);
        }
    }
}

impl Module for GptBlock {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.child("ln_1", &self.ln_1);
        visitor.child("attn", &Group([("c_attn", &self.c_attn), ("c_proj", &self.c_proj)]));
        visitor.child("ln_2", &self.ln_2);
        visitor.child("mlp", &Group([("c_fc", &self.mlp_c_fc), ("c_proj", &self.mlp_c_proj)]));
        visitor.child("dropout", &self.dropout);
    }
}

impl Layer for Gpt {
    #[track_caller]
    fn forward(&self, ids: &Tensor) -> Tensor {
        Gpt::forward(self, ids)
    }
}
