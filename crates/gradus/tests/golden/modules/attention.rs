//! Attention and transformers.

use super::Made;
use crate::harness::{Arg, Call};
use gradus::Tensor;
use gradus::nn::{
    AttentionMasks, MultiheadAttention, TransformerDecoderLayer, TransformerEncoderLayer,
};

/// A layer of this family.
pub(super) fn make(name: &str, c: &Call) -> Result<Option<Made>, String> {
    Ok(match name {
        "MultiheadAttention" => {
            let layer = MultiheadAttention::new(
                c.get(0, "embed_dim").size()?,
                c.get(1, "num_heads").size()?,
            );
            Made::with(multihead(c, layer)?, |layer, call| {
                let (key, value) = (call.get(0, "key").tensor()?, call.get(1, "value").tensor()?);
                let (padding, mask) = (mask(call, "key_padding_mask")?, mask(call, "attn_mask")?);
                let masks = AttentionMasks {
                    key_padding_mask: padding.as_ref(),
                    attn_mask: mask.as_ref(),
                    average_attn_weights: !is_false(call, "average_attn_weights"),
                    ..AttentionMasks::default()
                };
                let (out, weights) = layer.forward_with(&call.x()?, &key, &value, masks);
                Ok(if is_false(call, "need_weights") { vec![out] } else { vec![out, weights] })
            })
        }
        "TransformerEncoderLayer" => {
            let mut layer = TransformerEncoderLayer::new(
                c.get(0, "d_model").size()?,
                c.get(1, "nhead").size()?,
            )
            .dim_feedforward(c.get(2, "dim_feedforward").size()?)
            .dropout(c.get(3, "dropout").real()?);
            if let Arg::Text(how) = c.named("activation") {
                layer = layer.activation(activation(&how)?);
            }
            if c.flag(9, "batch_first") {
                layer = layer.batch_first(true);
            }
            if c.flag(9, "norm_first") {
                layer = layer.norm_first(true);
            }
            if is_false(c, "bias") {
                layer = layer.no_bias();
            }
            Made::with(layer, |layer, call| {
                let (padding, mask) =
                    (mask(call, "src_key_padding_mask")?, mask(call, "src_mask")?);
                Ok(vec![layer.forward_with(&call.x()?, both(&padding, &mask))])
            })
        }
        "TransformerDecoderLayer" => {
            let mut layer = TransformerDecoderLayer::new(
                c.get(0, "d_model").size()?,
                c.get(1, "nhead").size()?,
            )
            .dim_feedforward(c.get(2, "dim_feedforward").size()?)
            .dropout(c.get(3, "dropout").real()?);
            if let Arg::Text(how) = c.named("activation") {
                layer = layer.activation(activation(&how)?);
            }
            if c.flag(9, "batch_first") {
                layer = layer.batch_first(true);
            }
            if c.flag(9, "norm_first") {
                layer = layer.norm_first(true);
            }
            if is_false(c, "bias") {
                layer = layer.no_bias();
            }
            Made::with(layer, |layer, call| {
                let (padding, own) = (mask(call, "tgt_key_padding_mask")?, mask(call, "tgt_mask")?);
                let (hidden, other) =
                    (mask(call, "memory_key_padding_mask")?, mask(call, "memory_mask")?);
                let memory = call.get(0, "memory").tensor()?;
                let (own, other) = (both(&padding, &own), both(&hidden, &other));
                Ok(vec![layer.forward_with(&call.x()?, &memory, own, other)])
            })
        }
        _ => None,
    })
}

fn multihead(c: &Call, mut layer: MultiheadAttention) -> Result<MultiheadAttention, String> {
    if is_false(c, "bias") {
        layer = layer.no_bias();
    }
    if c.flag(9, "batch_first") {
        layer = layer.batch_first(true);
    }
    if let Arg::Integer(size) = c.named("kdim") {
        layer = layer.kdim(size as usize);
    }
    if let Arg::Integer(size) = c.named("vdim") {
        layer = layer.vdim(size as usize);
    }
    if c.flag(9, "add_bias_kv") {
        layer = layer.add_bias_kv();
    }
    if c.flag(9, "add_zero_attn") {
        layer = layer.add_zero_attn();
    }
    Ok(layer)
}

fn both<'a>(padding: &'a Option<Tensor>, mask: &'a Option<Tensor>) -> AttentionMasks<'a> {
    AttentionMasks {
        key_padding_mask: padding.as_ref(),
        attn_mask: mask.as_ref(),
        ..AttentionMasks::default()
    }
}

fn mask(c: &Call, name: &str) -> Result<Option<Tensor>, String> {
    match c.named(name) {
        Arg::None => Ok(None),
        some => some.tensor().map(Some),
    }
}

fn is_false(c: &Call, name: &str) -> bool {
    matches!(c.named(name), Arg::Truth(false))
}

fn activation(how: &str) -> Result<fn(&Tensor) -> Tensor, String> {
    match how {
        "relu" => Ok(Tensor::relu),
        "gelu" => Ok(Tensor::gelu),
        _ => Err(format!("the activation `{how}`")),
    }
}
