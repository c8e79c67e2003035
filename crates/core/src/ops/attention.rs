//! Attention: rows of values, weighed by how well queries and keys go together.
//!
//! In `node` it is one node, whose kernels compute the scores block by block and keep none of them;
//! `gradient` has its gradients. `composed` is two batched products and a softmax of rows: for the
//! weights, and for what the node cannot do (dropout that draws, a mask that is learned, types and
//! batch axes that differ). There, what is masked, and what a row without any key gives, is decided
//! on the mask before it meets the scores: the mask is mostly much smaller.

pub(in crate::ops) mod gradient;
mod node;

pub use node::Attended;
pub(crate) use node::{gradients, tape};

use std::panic::Location;

use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::tensor::Tensor;

/// Parameters of [`Tensor::scaled_dot_product_attention_with`], named as in PyTorch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attention<'a> {
    /// Which keys a query sees: bool (true where it may look), or floats that are added to the
    /// scores. Broadcasts to `[.., queries, keys]`.
    pub attn_mask: Option<&'a Tensor>,
    /// Whether query `i` sees only the keys `0..=i`; together with a mask, what both allow.
    pub is_causal: bool,
    /// The probability with which a weight is dropped while training.
    pub dropout_p: f64,
    /// The factor of the scores; `1 / sqrt(size)` by default.
    pub scale: Option<f64>,
    /// Whether several heads of queries (axis -3) share one head of keys and values: query head `i`
    /// of `n` takes the key head `i * keys / n`.
    pub enable_gqa: bool,
}

/// What [`attend`] needs to know of the shapes.
struct Heads {
    /// The shape of the scores, with all heads of the queries.
    scores: Shape,
    /// Heads of queries that share one of keys.
    group: usize,
}

impl Tensor {
    /// Attention of queries `self` `[.., queries, size]` over keys `[.., keys, size]` and values
    /// `[.., keys, out]`: `softmax(q k^T / sqrt(size)) v`, of shape `[.., queries, out]`.
    ///
    /// Leading axes (batch, heads) broadcast. Inside [`autocast`](crate::autocast), the operands of both
    /// products are rounded to bf16. Source: Vaswani et al., *Attention is all you need*, 2017.
    ///
    /// # Errors
    /// [`Code::Shape`] when sizes do not go together, [`Code::DType`] for operands that are not
    /// floats.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (q, k, v) = (Tensor::zeros([5, 4]), Tensor::ones([3, 4]), Tensor::ones([3, 2]));
    /// // All keys look the same to these queries, so this is the mean of the values.
    /// assert_eq!(q.scaled_dot_product_attention(&k, &v).to_vec::<f32>()?, [1.0; 10]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn scaled_dot_product_attention(&self, key: &Tensor, value: &Tensor) -> Tensor {
        self.scaled_dot_product_attention_with(key, value, Attention::default())
    }

    /// [`Tensor::scaled_dot_product_attention`] with a mask, causal, with dropout, another scale, or
    /// with fewer heads of keys than of queries.
    ///
    /// A query whose keys are all masked gives zeros, and no gradient, as in PyTorch. Dropout is off
    /// in evaluation (PyTorch's function drops whenever `dropout_p` is above 0), and a mask may be
    /// combined with `is_causal`.
    ///
    /// # Errors
    /// As [`Tensor::scaled_dot_product_attention`]; [`Code::Shape`] for a mask that does not
    /// broadcast to the scores, or heads that cannot be shared, [`Code::DType`] for a mask of another
    /// type, [`Code::Argument`] for a probability outside `[0, 1]`.
    ///
    /// ```
    /// use gradus_core::{Tensor, ops::attention::Attention};
    /// let (x, causal) = (Tensor::ones([2, 3]), Attention { is_causal: true, ..Attention::default() });
    /// let v = Tensor::from([[1.0], [3.0]]);
    /// let y = x.scaled_dot_product_attention_with(&x, &v, causal);
    /// assert_eq!(y.to_vec::<f32>()?, [1.0, 2.0]); // the first query sees the first value only
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn scaled_dot_product_attention_with(
        &self,
        key: &Tensor,
        value: &Tensor,
        options: Attention<'_>,
    ) -> Tensor {
        let _called = called("scaled_dot_product_attention");
        match checked(self, key, value, &options) {
            Ok(heads) => attend(self, key, value, &heads, &options),
            Err(failed) => failed,
        }
    }

    /// The result of [`Tensor::scaled_dot_product_attention_with`], and the weights
    /// `[.., queries, keys]` with which it took the values (after dropout). The weights cost nothing
    /// more unless they are read.
    ///
    /// ```
    /// use gradus_core::{Tensor, ops::attention::Attention};
    /// let (q, k, v) = (Tensor::zeros([1, 4]), Tensor::ones([2, 4]), Tensor::ones([2, 2]));
    /// let (_, weights) = q.attention_with_weights(&k, &v, Attention::default());
    /// assert_eq!(weights.to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn attention_with_weights(
        &self,
        key: &Tensor,
        value: &Tensor,
        options: Attention<'_>,
    ) -> (Tensor, Tensor) {
        let _called = called("scaled_dot_product_attention");
        match checked(self, key, value, &options) {
            Ok(heads) => {
                let (out, weights) = composed(self, key, value, &heads, &options);
                let fits = node::fits(self, key, value, &options).is_some();
                (if fits { attend(self, key, value, &heads, &options) } else { out }, weights)
            }
            Err(failed) => (failed.clone(), failed),
        }
    }
}

/// The factor of the scores.
fn scale(q: &Tensor, options: &Attention<'_>) -> f64 {
    let width = q.peek().shape.last(0);
    options.scale.unwrap_or_else(|| 1.0 / libm::sqrt(width.max(1) as f64))
}

/// The result. Operands are checked.
#[track_caller]
fn attend(q: &Tensor, k: &Tensor, v: &Tensor, heads: &Heads, options: &Attention<'_>) -> Tensor {
    match node::fits(q, k, v, options) {
        Some(shapes) => node::run([q, k, v], shapes, heads, scale(q, options), options),
        None => composed(q, k, v, heads, options).0,
    }
}

/// Result and weights, in other operations.
#[track_caller]
fn composed(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: &Heads,
    options: &Attention<'_>,
) -> (Tensor, Tensor) {
    let width = q.peek().shape.last(0);
    let scale = scale(q, options);
    // Queries that share keys are rows of one product.
    let shared = |x: &Tensor, columns: usize| match heads.group {
        1 => x.clone(),
        group => {
            let to = heads.scores;
            let (head, row) = (to.rank() - 3, to.rank() - 2);
            let to = to.with(head, to.dim(head) / group).with(row, to.dim(row) * group);
            x.reshape_to(to.with(to.rank() - 1, columns))
        }
    };
    let apart = |x: Tensor, columns: usize| match heads.group {
        1 => x,
        _ => x.reshape_to(heads.scores.with(heads.scores.rank() - 1, columns)),
    };
    let keys = heads.scores.last(0);
    let rows = match heads.group {
        1 => q.clone(),
        // With the batch axes that only the keys have.
        _ => q.broadcast_to(heads.scores.with(heads.scores.rank() - 1, width)),
    };
    // The factor goes where there are fewer numbers, or where a mask passes over the scores anyway.
    let early = keys > width && options.attn_mask.is_none() && !options.is_causal;
    let rows = if early { rows * scale } else { rows };
    let scores = apart(shared(&rows, width).matmul(k.mT()), keys);
    let scores = if early { scores } else { scores * scale };
    let (scores, blind) = masked(scores, heads, options);
    let weights = scores.softmax(-1).dropout(options.dropout_p);
    let out = apart(shared(&weights, keys).matmul(v), v.peek().shape.last(0));
    match blind {
        // Their softmax was over zeros instead, so all stays finite.
        Some(blind) => (blind.where_(0.0, &out), blind.where_(0.0, &weights)),
        None => (out, weights),
    }
}

/// The scores with the mask in them, and for which queries nothing is left, `[.., queries, 1]`.
#[track_caller]
fn masked(scores: Tensor, heads: &Heads, options: &Attention<'_>) -> (Tensor, Option<Tensor>) {
    let (queries, keys) = (heads.scores.last(1), heads.scores.last(0));
    if keys == 0 {
        return (scores, None);
    }
    let below = || {
        let row = Tensor::arange(0, queries as i64).unsqueeze(1);
        row.ge(Tensor::arange(0, keys as i64))
    };
    let Some(mask) = options.attn_mask else {
        return match options.is_causal {
            true => (below().where_(scores, f64::NEG_INFINITY), None),
            false => (scores, None),
        };
    };
    if mask.peek().dtype == DType::Bool {
        let seen = if options.is_causal { mask.logical_and(&below()) } else { mask.clone() };
        let blind = seen.max_keepdim(-1).logical_not();
        return (seen.logical_or(&blind).where_(scores, f64::NEG_INFINITY), Some(blind));
    }
    let added = match options.is_causal {
        true => below().where_(mask, f64::NEG_INFINITY),
        false => mask.clone(),
    };
    let blind = added.max_keepdim(-1).eq(f64::NEG_INFINITY);
    (scores + blind.where_(0.0, added), Some(blind))
}

/// What the operands have to be.
const FORM: &str = "they are [.., queries, size], [.., keys, size] and [.., keys, out]";

/// Checks the operands against each other.
#[track_caller]
fn checked(q: &Tensor, k: &Tensor, v: &Tensor, options: &Attention<'_>) -> Result<Heads, Tensor> {
    for t in [Some(q), Some(k), Some(v), options.attn_mask].into_iter().flatten() {
        if recorder::error_of(t).is_some() {
            return Err(t.clone());
        }
    }
    let place = Location::caller();
    let wrong = |code, text: String, help: &str| {
        let text = format!("scaled_dot_product_attention: {text}");
        Err(recorder::failed(Error::new(code, text).help(help), place))
    };
    let (sq, sk, sv) = (q.peek().shape, k.peek().shape, v.peek().shape);
    if [sq, sk, sv].iter().any(|s| s.rank() < 2) {
        return wrong(Code::Shape, format!("takes rows of vectors, not {sq}, {sk} and {sv}"), FORM);
    }
    if let Some(t) = [q, k, v].iter().find(|t| !t.peek().dtype.is_float()) {
        return wrong(Code::DType, format!("takes floats, not {}", t.peek().dtype), "`cast` them");
    }
    if sq.last(0) != sk.last(0) {
        let text = format!("queries have size {}, keys {}", sq.last(0), sk.last(0));
        return wrong(Code::Shape, text, FORM);
    }
    if sk.last(1) != sv.last(1) {
        let text = format!("there are {} keys, but {} values", sk.last(1), sv.last(1));
        return wrong(Code::Shape, text, FORM);
    }
    if !(0.0..=1.0).contains(&options.dropout_p) {
        let text = format!("the probability {} is not in [0, 1]", options.dropout_p);
        return wrong(Code::Argument, text, "`dropout_p` is the part of the weights to drop");
    }
    // The batch axes of the queries, as if each had a head of keys of its own.
    let (mut group, mut of_keys) = (1, sk);
    if options.enable_gqa && sq.rank() > 2 && sk.rank() > 2 && sq.last(2) != sk.last(2) {
        let (many, few) = (sq.last(2), sk.last(2));
        if few == 0 || many % few != 0 || sv.rank() < 3 || sv.last(2) != few {
            let text = format!("{many} heads of queries cannot share {few} heads of keys");
            let help = "queries have a multiple of the heads of keys, which are those of values";
            return wrong(Code::Shape, text, help);
        }
        group = many / few;
        of_keys = sk.with(sk.rank() - 3, many);
    }
    let of_values = match group {
        1 => sv,
        _ => sv.with(sv.rank() - 3, sq.last(2)),
    };
    let batch = |s: &Shape| Shape::new(s.dims().get(..s.rank() - 2).unwrap_or_default());
    let values = batch(&of_values);
    let all = batch(&sq).broadcast(&batch(&of_keys)).and_then(|all| {
        let wide = all.broadcast(&values)?;
        // One reshape takes heads that share keys apart, so there all have all batch axes.
        Some(if group > 1 { wide } else { all })
    });
    let Some(all) = all else {
        let text = format!("the batch axes of {sq}, {sk} and {sv} do not broadcast");
        return wrong(Code::Shape, text, "`enable_gqa` lets heads of queries share keys");
    };
    let scores = Shape::joined([all.dims(), &[sq.last(1), sk.last(1)]]);
    if let Some(mask) = options.attn_mask {
        let (shape, dtype) = (mask.peek().shape, mask.peek().dtype);
        if dtype != DType::Bool && !dtype.is_float() {
            let help = "`mask.ne(0)` is a mask of bool, true where a query may look";
            return wrong(Code::DType, format!("a mask is bool or float, not {dtype}"), help);
        }
        if shape.broadcast(&scores) != Some(scores) {
            let text = format!("a mask {shape} does not broadcast to the scores {scores}");
            return wrong(Code::Shape, text, "they are [.., queries, keys]");
        }
    }
    Ok(Heads { scores, group })
}
