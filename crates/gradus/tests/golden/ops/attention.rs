//! Attention.

use crate::harness::Family::Sums;
use crate::harness::{Arg, Call, Line, Out, one};
use gradus::Tensor;
use gradus::ops::attention::Attention;

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("attention_more", Sums, attention),
        ("nn.functional.scaled_dot_product_attention", Sums, attention),
    ]
}

fn attention(c: &Call) -> Out {
    let (key, value) = (c.get(0, "key").tensor()?, c.get(1, "value").tensor()?);
    let mask = optional(c, 2, "attn_mask")?;
    let dropout_p = match c.get(3, "dropout_p") {
        Arg::None => 0.0,
        some => some.real()?,
    };
    let scale = match c.named("scale") {
        Arg::None => None,
        some => Some(some.real()?),
    };
    let options = Attention {
        attn_mask: mask.as_ref(),
        is_causal: c.flag(4, "is_causal"),
        dropout_p,
        scale,
        enable_gqa: matches!(c.named("enable_gqa"), Arg::Truth(true)),
    };
    one(c.x()?.scaled_dot_product_attention_with(&key, &value, options))
}

fn optional(c: &Call, i: usize, name: &str) -> Result<Option<Tensor>, String> {
    match c.get(i, name) {
        Arg::None => Ok(None),
        some => some.tensor().map(Some),
    }
}
