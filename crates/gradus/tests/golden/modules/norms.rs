//! Normalisation, dropouts, bilinear maps and bags of embedded ids.

use super::Made;
use crate::harness::{Arg, Call};
use gradus::Bag;
use gradus::nn::{
    AlphaDropout, BatchNorm, Bilinear, Dropout1d, Dropout2d, Dropout3d, EmbeddingBag,
    FeatureAlphaDropout, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, RmsNorm,
};

/// A layer of this family.
pub(super) fn make(name: &str, c: &Call) -> Result<Option<Made>, String> {
    Ok(match name {
        "BatchNorm1d" => batch::<1>(c)?,
        "BatchNorm2d" => batch::<2>(c)?,
        "BatchNorm3d" => batch::<3>(c)?,
        "InstanceNorm1d" => instance::<1>(c)?,
        "InstanceNorm2d" => instance::<2>(c)?,
        "InstanceNorm3d" => instance::<3>(c)?,
        "LayerNorm" => {
            let mut layer = LayerNorm::new(sizes(c)?).eps(number(c, "eps", 1e-5)?);
            if off(c, "bias") {
                layer = layer.no_bias();
            }
            if off(c, "elementwise_affine") {
                layer = layer.no_affine();
            }
            Made::layer(layer)
        }
        "RMSNorm" => {
            let mut layer = RmsNorm::new(sizes(c)?);
            if !c.named("eps").is_none() {
                layer = layer.eps(number(c, "eps", 0.0)?);
            }
            if off(c, "elementwise_affine") {
                layer = layer.no_affine();
            }
            Made::layer(layer)
        }
        "GroupNorm" => {
            let counts = (c.named("num_groups").size()?, c.named("num_channels").size()?);
            let mut layer = GroupNorm::new(counts.0, counts.1).eps(number(c, "eps", 1e-5)?);
            if off(c, "bias") {
                layer = layer.no_bias();
            }
            if off(c, "affine") {
                layer = layer.no_affine();
            }
            Made::layer(layer)
        }
        "LocalResponseNorm" => {
            let layer = LocalResponseNorm::new(c.named("size").size()?);
            let (alpha, beta) = (number(c, "alpha", 1e-4)?, number(c, "beta", 0.75)?);
            Made::layer(layer.alpha(alpha).beta(beta).k(number(c, "k", 1.0)?))
        }
        "Dropout1d" => Made::layer(Dropout1d::new(number(c, "p", 0.5)?)),
        "Dropout2d" => Made::layer(Dropout2d::new(number(c, "p", 0.5)?)),
        "Dropout3d" => Made::layer(Dropout3d::new(number(c, "p", 0.5)?)),
        "AlphaDropout" => Made::layer(AlphaDropout::new(number(c, "p", 0.5)?)),
        "FeatureAlphaDropout" => Made::layer(FeatureAlphaDropout::new(number(c, "p", 0.5)?)),
        "Bilinear" => {
            let size = |name| c.named(name).size();
            let (a, b, out) = (size("in1_features")?, size("in2_features")?, size("out_features")?);
            let layer = Bilinear::new(a, b, out);
            let layer = if off(c, "bias") { layer.no_bias() } else { layer };
            Made::with(layer, |layer, call| {
                Ok(vec![layer.forward(&call.x()?, &call.get(0, "input2").tensor()?)])
            })
        }
        "EmbeddingBag" => {
            let size = |name| c.named(name).size();
            let layer = EmbeddingBag::new(size("num_embeddings")?, size("embedding_dim")?);
            let layer = match c.named("mode") {
                Arg::Text(how) => layer.mode(mode(&how)?),
                _ => layer,
            };
            let layer = match c.named("padding_idx") {
                Arg::None => layer,
                id => layer.padding_idx(id.size()?),
            };
            Made::with(layer, |layer, call| {
                let offsets = optional(call.get(0, "offsets"));
                let weights = optional(call.get(1, "per_sample_weights"));
                Ok(vec![layer.forward_bags(&call.x()?, offsets.as_ref(), weights.as_ref())])
            })
        }
        _ => None,
    })
}

fn batch<const AXES: usize>(c: &Call) -> Result<Option<Made>, String> {
    let mut layer = BatchNorm::<AXES>::new(c.named("num_features").size()?);
    layer = layer.eps(number(c, "eps", 1e-5)?);
    if c.kwargs.contains_key("momentum") {
        layer = match c.named("momentum") {
            Arg::None => layer.momentum(None),
            some => layer.momentum(some.real()?),
        };
    }
    if off(c, "bias") {
        layer = layer.no_bias();
    }
    if off(c, "affine") {
        layer = layer.no_affine();
    }
    if off(c, "track_running_stats") {
        layer = layer.no_track_running_stats();
    }
    Ok(Made::layer(layer))
}

fn instance<const AXES: usize>(c: &Call) -> Result<Option<Made>, String> {
    let mut layer = InstanceNorm::<AXES>::new(c.named("num_features").size()?);
    layer = layer.eps(number(c, "eps", 1e-5)?).momentum(number(c, "momentum", 0.1)?);
    if matches!(c.named("affine"), Arg::Truth(true)) {
        layer = layer.affine();
    }
    if off(c, "bias") {
        layer = layer.no_bias();
    }
    if matches!(c.named("track_running_stats"), Arg::Truth(true)) {
        layer = layer.track_running_stats();
    }
    Ok(Made::layer(layer))
}

fn optional(arg: Arg) -> Option<gradus::Tensor> {
    arg.tensor().ok()
}

pub(crate) fn mode(how: &str) -> Result<Bag, String> {
    match how {
        "sum" => Ok(Bag::Sum),
        "mean" => Ok(Bag::Mean),
        "max" => Ok(Bag::Max),
        other => Err(format!("a bag's mode `{other}`")),
    }
}

fn sizes(c: &Call) -> Result<Vec<usize>, String> {
    let sizes = c.named("normalized_shape").integers()?;
    sizes.into_iter().map(|n| usize::try_from(n).map_err(|_| "a negative size".into())).collect()
}

fn off(c: &Call, name: &str) -> bool {
    matches!(c.named(name), Arg::Truth(false))
}

fn number(c: &Call, name: &str, default: f64) -> Result<f64, String> {
    match c.named(name) {
        Arg::None => Ok(default),
        some => some.real(),
    }
}
