//! Attention with several heads.

use std::fmt;

use gradus_core::ops::attention::Attention;
use gradus_core::{Array, Code, DType, Error, Param, Result, Shape, Tag, Tensor};

use super::failed_among;
use super::linear::Linear;
use crate::init;
use crate::module::{Module, Visitor};

/// Attention with several heads: queries, keys and values are mapped, each head attends in its own
/// part of the size, and the results of all heads are mapped once more.
///
/// Queries `[queries, batch, embed_dim]`, keys `[keys, batch, kdim]` and values
/// `[keys, batch, vdim]` give `[queries, batch, embed_dim]`; with
/// [`batch_first`](MultiheadAttention::batch_first) the batch is the first axis, and all may come
/// without it. Parameters, their layouts and initial values are PyTorch's: `in_proj_weight` has the
/// rows for queries, keys and values one above another. Vaswani et al., 2017.
///
/// A query whose keys are all masked attends to nothing and gets `out_proj.bias`; PyTorch gives that
/// without weights, and NaN with them.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::MultiheadAttention;
/// let layer = MultiheadAttention::new(8, 2).batch_first(true);
/// let x = Tensor::ones([3, 5, 8]);
/// assert_eq!(layer.forward(&x, &x, &x).dims::<3>()?, [3, 5, 8]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct MultiheadAttention {
    /// `[3 * embed_dim, embed_dim]`, unless keys or values have sizes of their own.
    pub in_proj_weight: Option<Param>,
    /// `[embed_dim, embed_dim]`, if keys or values have sizes of their own.
    pub q_proj_weight: Option<Param>,
    /// `[embed_dim, kdim]`, if keys or values have sizes of their own.
    pub k_proj_weight: Option<Param>,
    /// `[embed_dim, vdim]`, if keys or values have sizes of their own.
    pub v_proj_weight: Option<Param>,
    /// `[3 * embed_dim]`, unless [`MultiheadAttention::no_bias`].
    pub in_proj_bias: Option<Param>,
    /// `[1, 1, embed_dim]`, with [`MultiheadAttention::add_bias_kv`].
    pub bias_k: Option<Param>,
    /// `[1, 1, embed_dim]`, with [`MultiheadAttention::add_bias_kv`].
    pub bias_v: Option<Param>,
    /// From all heads to the result, `embed_dim -> embed_dim`.
    pub out_proj: Linear,
    embed_dim: usize,
    num_heads: usize,
    kdim: usize,
    vdim: usize,
    dropout: f64,
    batch_first: bool,
    add_zero_attn: bool,
    tag: Tag,
}

/// What [`MultiheadAttention::forward_with`] takes beside the tensors.
///
/// Masks are bool or float. Of a bool mask **true hides**, as in PyTorch's layer (and the other way
/// round than in [`Attention::attn_mask`]); floats are added to the scores.
#[derive(Clone, Copy, Debug)]
pub struct AttentionMasks<'a> {
    /// Which keys nobody may look at, `[batch, keys]`; `[keys]` without a batch.
    pub key_padding_mask: Option<&'a Tensor>,
    /// Which keys a query may not look at, `[queries, keys]` or `[batch * heads, queries, keys]`.
    pub attn_mask: Option<&'a Tensor>,
    /// Whether query `i` sees only the keys `0..=i`, together with the masks.
    pub is_causal: bool,
    /// Whether the weights are the mean over all heads; they are, by default.
    pub average_attn_weights: bool,
}

impl Default for AttentionMasks<'_> {
    fn default() -> Self {
        AttentionMasks {
            key_padding_mask: None,
            attn_mask: None,
            is_causal: false,
            average_attn_weights: true,
        }
    }
}

/// Where the axes of the operands are.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    queries: usize,
    keys: usize,
    /// There is a batch axis, and it is the first.
    first: bool,
    /// There is a batch axis.
    batched: bool,
}

impl MultiheadAttention {
    /// A layer of `num_heads` heads, each of size `embed_dim / num_heads`. Sizes that do not divide
    /// are an error, which the first `forward`, `step` or `save` reports.
    pub fn new(embed_dim: usize, num_heads: usize) -> MultiheadAttention {
        let linear = Linear::new(embed_dim, embed_dim).with_bias_init(init::zeros);
        let mut layer = MultiheadAttention {
            in_proj_weight: None,
            q_proj_weight: None,
            k_proj_weight: None,
            v_proj_weight: None,
            in_proj_bias: None,
            bias_k: None,
            bias_v: None,
            out_proj: linear,
            embed_dim,
            num_heads,
            kdim: embed_dim,
            vdim: embed_dim,
            dropout: 0.0,
            batch_first: false,
            add_zero_attn: false,
            tag: Tag::new(format!("MultiheadAttention({embed_dim}, {num_heads} heads)")),
        };
        layer.in_proj_weight = Some(layer.weight(3 * embed_dim, embed_dim));
        layer.in_proj_bias = Some(layer.start([3 * embed_dim].into(), init::zeros));
        layer
    }

    /// The probability with which an attention weight is dropped while training; 0 by default.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> MultiheadAttention {
        self.dropout = p;
        self
    }

    /// Without `in_proj_bias` and `out_proj.bias`.
    #[must_use]
    pub fn no_bias(mut self) -> MultiheadAttention {
        self.in_proj_bias = None;
        self.out_proj = self.out_proj.no_bias();
        self
    }

    /// Whether the batch is the first axis of inputs and result; not by default.
    #[must_use]
    pub fn batch_first(mut self, first: bool) -> MultiheadAttention {
        self.batch_first = first;
        self
    }

    /// Keys have a size of their own.
    #[must_use]
    pub fn kdim(mut self, size: usize) -> MultiheadAttention {
        self.kdim = size;
        self.split()
    }

    /// Values have a size of their own.
    #[must_use]
    pub fn vdim(mut self, size: usize) -> MultiheadAttention {
        self.vdim = size;
        self.split()
    }

    /// One more key and value that are learned, after all others.
    #[must_use]
    pub fn add_bias_kv(mut self) -> MultiheadAttention {
        let learned = |layer: &MultiheadAttention| {
            let shape = [1, 1, layer.embed_dim].into();
            layer.start(shape, |shape| init::xavier_normal(shape, 1.0))
        };
        (self.bias_k, self.bias_v) = (Some(learned(&self)), Some(learned(&self)));
        self
    }

    /// One more key and value of zeros, after all others.
    #[must_use]
    pub fn add_zero_attn(mut self) -> MultiheadAttention {
        self.add_zero_attn = true;
        self
    }

    /// Size of queries and of the result.
    pub fn embed_dim(&self) -> usize {
        self.embed_dim
    }

    /// Number of heads.
    pub fn num_heads(&self) -> usize {
        self.num_heads
    }

    /// Weights of their own for queries, keys and values, or common ones.
    fn split(mut self) -> MultiheadAttention {
        let size = self.embed_dim;
        let packed = self.kdim == size && self.vdim == size;
        let own = |layer: &MultiheadAttention, columns| {
            (!packed).then(|| layer.weight(layer.embed_dim, columns))
        };
        self.q_proj_weight = own(&self, size);
        self.k_proj_weight = own(&self, self.kdim);
        self.v_proj_weight = own(&self, self.vdim);
        self.in_proj_weight = packed.then(|| self.weight(3 * size, size));
        self
    }

    fn weight(&self, rows: usize, columns: usize) -> Param {
        self.start([rows, columns].into(), |shape| init::xavier_uniform(shape, 1.0))
    }

    /// A parameter, unless the layer's sizes make no sense.
    fn start(&self, shape: Shape, init: impl FnOnce(Shape) -> Result<Array>) -> Param {
        let (size, heads) = (self.embed_dim, self.num_heads);
        let fits = size > 0 && heads > 0 && size % heads == 0 && self.kdim > 0 && self.vdim > 0;
        if fits {
            return Param::from_result(init(shape));
        }
        let text =
            format!("MultiheadAttention: {heads} heads do not share a size of {size} evenly");
        let error = Error::new(Code::Argument, text)
            .help("`embed_dim` is a multiple of `num_heads`; all sizes are at least 1");
        Param::from_result(Err(error))
    }

    fn params(&self) -> impl Iterator<Item = (&'static str, &Param)> {
        [
            ("in_proj_weight", &self.in_proj_weight),
            ("q_proj_weight", &self.q_proj_weight),
            ("k_proj_weight", &self.k_proj_weight),
            ("v_proj_weight", &self.v_proj_weight),
            ("in_proj_bias", &self.in_proj_bias),
            ("bias_k", &self.bias_k),
            ("bias_v", &self.bias_v),
        ]
        .into_iter()
        .filter_map(|(name, param)| param.as_ref().map(|param| (name, param)))
    }

    /// The result for queries, keys and values; `forward(&x, &x, &x)` is self-attention.
    #[track_caller]
    pub fn forward(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> Tensor {
        self.forward_with(query, key, value, AttentionMasks::default()).0
    }

    /// The result with masks, and the attention weights: `[batch, queries, keys]`, or
    /// `[batch, heads, queries, keys]` unless they are averaged. The weights are computed only if
    /// they are read (PyTorch's `need_weights`).
    #[track_caller]
    pub fn forward_with(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        masks: AttentionMasks<'_>,
    ) -> (Tensor, Tensor) {
        let _scope = self.tag.enter();
        match self.attend(query, key, value, masks) {
            Ok(both) => both,
            Err(failed) => (failed.clone(), failed),
        }
    }

    #[track_caller]
    fn attend(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        masks: AttentionMasks<'_>,
    ) -> std::result::Result<(Tensor, Tensor), Tensor> {
        let masked = [masks.key_padding_mask, masks.attn_mask];
        let given = [query, key, value].into_iter().chain(masked.into_iter().flatten());
        if let Some(failed) = failed_among(given) {
            return Err(failed);
        }
        if let Some(error) = self.params().find_map(|(_, param)| param.error()) {
            return Err(Tensor::failed(error.clone()));
        }
        let sizes = self.sizes(query, key, value).map_err(Tensor::failed)?;
        let [q, mut k, mut v] = self.project(query, key, value);
        let mut extra = 0;
        if let (Some(bias_k), Some(bias_v)) = (&self.bias_k, &self.bias_v) {
            (k, v) = (sizes.append(&k, &bias_k.tensor()), sizes.append(&v, &bias_v.tensor()));
            extra += 1;
        }
        if self.add_zero_attn {
            let zeros = q.dtype().map_or_else(Tensor::failed, |dtype| {
                Tensor::zeros([1, 1, self.embed_dim]).cast(dtype)
            });
            (k, v) = (sizes.append(&k, &zeros), sizes.append(&v, &zeros));
            extra += 1;
        }
        let mask = self.mask(sizes, extra, masks).map_err(Tensor::failed)?;
        let options = Attention {
            attn_mask: mask.as_ref(),
            // With more keys than the causal rule knows, it is in the mask.
            is_causal: masks.is_causal && extra == 0,
            dropout_p: self.dropout,
            ..Attention::default()
        };
        let keys = sizes.keys + extra;
        let heads = |x: &Tensor, rows| self.heads(x, sizes, rows);
        let (out, weights) = heads(&q, sizes.queries).attention_with_weights(
            &heads(&k, keys),
            &heads(&v, keys),
            options,
        );
        let out = if sizes.first { out.permute([0, 2, 1, 3]) } else { out.permute([2, 0, 1, 3]) };
        let result = self.out_proj.forward(&match (sizes.batched, sizes.first) {
            (false, _) => out.reshape_to([sizes.queries, self.embed_dim]),
            (_, true) => out.reshape_to([sizes.batch, sizes.queries, self.embed_dim]),
            (_, false) => out.reshape_to([sizes.queries, sizes.batch, self.embed_dim]),
        });
        let weights = if masks.average_attn_weights { weights.mean_dim(1) } else { weights };
        Ok((result, if sizes.batched { weights } else { weights.squeeze(0) }))
    }

    /// Checks the operands against the layer and each other.
    fn sizes(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Sizes> {
        let (q, k, v) = (query.shape()?, key.shape()?, value.shape()?);
        let form = || match self.batch_first {
            true => "they are [batch, rows, size] or [rows, size]",
            false => "they are [rows, batch, size] or [rows, size]; see `batch_first`",
        };
        let rank = q.rank();
        if !(2..=3).contains(&rank) || k.rank() != rank || v.rank() != rank {
            let text = format!("MultiheadAttention: takes rows of vectors, not {q}, {k} and {v}");
            return Err(Error::new(Code::Shape, text).help(form()));
        }
        for (what, have, want) in
            [("queries", q, self.embed_dim), ("keys", k, self.kdim), ("values", v, self.vdim)]
        {
            if have.last(0) != want {
                let text = format!(
                    "MultiheadAttention: {what} {have} do not have the size {want} of this layer"
                );
                return Err(Error::new(Code::Shape, text).help(form()));
            }
        }
        let batched = rank == 3;
        let first = !batched || self.batch_first;
        let (rows, batch) = if self.batch_first && batched { (1, 0) } else { (0, 1) };
        let of = |shape: &Shape| if batched { shape.dim(batch) } else { 1 };
        if k.dim(rows) != v.dim(rows) || of(&q) != of(&k) || of(&k) != of(&v) {
            let text = format!("MultiheadAttention: queries {q}, keys {k} and values {v} differ");
            return Err(Error::new(Code::Shape, text)
                .help("there are as many values as keys, and all have the same batch")
                .line("here", form()));
        }
        Ok(Sizes { batch: of(&q), queries: q.dim(rows), keys: k.dim(rows), first, batched })
    }

    /// Queries, keys and values through the maps that go in; as few products as possible.
    #[track_caller]
    fn project(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> [Tensor; 3] {
        let size = self.embed_dim;
        let bias = self.in_proj_bias.as_ref().map(Param::tensor);
        // Rows `start..start + count` of the biases, and of the common weight.
        let map = |x: &Tensor, weight: &Param, own: bool, start: usize, count: usize| {
            let all = weight.numel() == count * weight.shape().dim(1);
            let weight = weight.tensor();
            let weight = if own || all { weight } else { weight.narrow(0, start, count) };
            match &bias {
                Some(bias) if count == 3 * size => x.linear(weight, Some(bias)),
                Some(bias) => x.linear(weight, Some(&bias.narrow(0, start, count))),
                None => x.linear(weight, None),
            }
        };
        let part = |x: &Tensor, i: usize| x.narrow(-1, i * size, size);
        if let (Some(q), Some(k), Some(v)) =
            (&self.q_proj_weight, &self.k_proj_weight, &self.v_proj_weight)
        {
            return [
                map(query, q, true, 0, size),
                map(key, k, true, size, size),
                map(value, v, true, 2 * size, size),
            ];
        }
        let Some(weight) = &self.in_proj_weight else {
            return [query.clone(), key.clone(), value.clone()];
        };
        let same = std::ptr::eq(key, value);
        if same && std::ptr::eq(query, key) {
            let all = map(query, weight, false, 0, 3 * size);
            return [part(&all, 0), part(&all, 1), part(&all, 2)];
        }
        let q = map(query, weight, false, 0, size);
        if same {
            let both = map(key, weight, false, size, 2 * size);
            return [q, part(&both, 0), part(&both, 1)];
        }
        [q, map(key, weight, false, size, size), map(value, weight, false, 2 * size, size)]
    }

    /// `[batch, heads, rows, size of a head]`, as a view.
    #[track_caller]
    fn heads(&self, x: &Tensor, sizes: Sizes, rows: usize) -> Tensor {
        let (heads, size) = (self.num_heads, self.embed_dim / self.num_heads);
        match sizes.first {
            true => x.reshape_to([sizes.batch, rows, heads, size]).permute([0, 2, 1, 3]),
            false => x.reshape_to([rows, sizes.batch, heads, size]).permute([1, 2, 0, 3]),
        }
    }

    /// All masks as one for the scores, true where a query may look; `extra` keys are never masked.
    #[track_caller]
    fn mask(
        &self,
        sizes: Sizes,
        extra: usize,
        masks: AttentionMasks<'_>,
    ) -> Result<Option<Tensor>> {
        let Sizes { batch, queries, keys, .. } = sizes;
        let mut all: Option<Tensor> = None;
        if let Some(mask) = masks.key_padding_mask {
            let want = if sizes.batched { Shape::from([batch, keys]) } else { [keys].into() };
            check_mask("key_padding_mask", mask, &[want])?;
            all = Some(mask.reshape_to([batch, 1, 1, keys]));
        }
        if let Some(mask) = masks.attn_mask {
            let (common, own) =
                ([queries, keys].into(), [batch * self.num_heads, queries, keys].into());
            check_mask("attn_mask", mask, &[common, own])?;
            let mask = match mask.shape()? == common {
                true => mask.clone(),
                false => mask.reshape_to([batch, self.num_heads, queries, keys]),
            };
            all = Some(match all {
                Some(other) => both(&other, &mask)?,
                None => mask,
            });
        }
        if masks.is_causal && extra > 0 {
            let row = Tensor::arange(0, queries as i64).unsqueeze(1);
            let hidden = row.lt(Tensor::arange(0, keys as i64));
            all = Some(match all {
                Some(other) => both(&other, &hidden)?,
                None => hidden,
            });
        }
        let Some(mask) = all else { return Ok(None) };
        let mask = match extra {
            0 => mask,
            _ => {
                let shape = mask.shape()?;
                let open = shape.with(shape.rank() - 1, extra);
                let open = Tensor::from(false).broadcast_to(open).cast(mask.dtype()?);
                Tensor::concat(&[&mask, &open], -1)
            }
        };
        Ok(Some(if mask.dtype()? == DType::Bool { mask.logical_not() } else { mask }))
    }
}

impl Sizes {
    /// One more row, the same for all of the batch.
    #[track_caller]
    fn append(self, x: &Tensor, row: &Tensor) -> Tensor {
        let Ok(shape) = x.shape() else { return x.clone() };
        let rows = if self.batched && self.first { 1 } else { 0 };
        let row = match self.batched {
            true => row.broadcast_to(shape.with(rows, 1)),
            false => row.squeeze(0),
        };
        Tensor::concat(&[x, &row], rows as isize)
    }
}

/// Two masks (true hides, or floats to add) as one.
#[track_caller]
fn both(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let added = |mask: &Tensor| match mask.dtype() {
        Ok(DType::Bool) => mask.where_(f64::NEG_INFINITY, 0.0),
        _ => mask.clone(),
    };
    Ok(match (a.dtype()?, b.dtype()?) {
        (DType::Bool, DType::Bool) => a.logical_or(b),
        _ => added(a) + added(b),
    })
}

fn check_mask(what: &str, mask: &Tensor, wanted: &[Shape]) -> Result<()> {
    let (shape, dtype) = (mask.shape()?, mask.dtype()?);
    if dtype != DType::Bool && !dtype.is_float() {
        let text = format!("MultiheadAttention: `{what}` is bool or float, not {dtype}");
        return Err(Error::new(Code::DType, text).help("of bool, true hides"));
    }
    if wanted.contains(&shape) {
        return Ok(());
    }
    let wanted: Vec<String> = wanted.iter().map(Shape::to_string).collect();
    let text = format!("MultiheadAttention: `{what}` is {}, not {shape}", wanted.join(" or "));
    Err(Error::new(Code::Shape, text))
}

impl fmt::Debug for MultiheadAttention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for MultiheadAttention {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        for (name, param) in self.params() {
            visitor.param(name, param);
        }
        visitor.child("out_proj", &self.out_proj);
    }
}
