//! Losses.

use crate::harness::Family::Sums;
use crate::harness::{Arg, Call, Line, Out, is_float, one};
use gradus::Tensor;
use gradus::ops::loss::{
    Bce, BceWithLogits, CosineEmbedding, CrossEntropy, Ctc, GaussianNll, HingeEmbedding, Huber,
    KlDiv, MarginRanking, MultiMargin, MultilabelSoftMargin, Nll, PoissonNll, Reduction, SmoothL1,
    TripletMargin,
};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("nn.functional.mse_loss", Sums, |c| plain(c, Tensor::mse_loss_with)),
        ("nn.functional.l1_loss", Sums, |c| plain(c, Tensor::l1_loss_with)),
        ("nn.functional.soft_margin_loss", Sums, |c| plain(c, Tensor::soft_margin_loss_with)),
        ("nn.functional.multilabel_margin_loss", Sums, |c| {
            one(c.x()?.multilabel_margin_loss_with(&target(c)?, reduction(c)?))
        }),
        ("nn.functional.huber_loss", Sums, |c| {
            let (delta, reduction) = (real(c, "delta", 1.0)?, reduction(c)?);
            one(c.x()?.huber_loss_with(&equal_target(c)?, Huber { delta, reduction }))
        }),
        ("nn.functional.smooth_l1_loss", Sums, |c| {
            let (beta, reduction) = (real(c, "beta", 1.0)?, reduction(c)?);
            one(c.x()?.smooth_l1_loss_with(&equal_target(c)?, SmoothL1 { beta, reduction }))
        }),
        ("nn.functional.poisson_nll_loss", Sums, |c| {
            let options = PoissonNll {
                log_input: flag(c, "log_input", true)?,
                full: flag(c, "full", false)?,
                eps: real(c, "eps", 1e-8)?,
                reduction: reduction(c)?,
            };
            one(c.x()?.poisson_nll_loss_with(&equal_target(c)?, options))
        }),
        ("nn.functional.gaussian_nll_loss", Sums, |c| {
            let options = GaussianNll {
                full: flag(c, "full", false)?,
                eps: real(c, "eps", 1e-6)?,
                reduction: reduction(c)?,
            };
            let var = c.get(1, "var").tensor()?;
            one(c.x()?.gaussian_nll_loss_with(&equal_target(c)?, &var, options))
        }),
        ("nn.functional.kl_div", Sums, |c| {
            let (log_target, reduction) = (flag(c, "log_target", false)?, reduction(c)?);
            one(c.x()?.kl_div_with(&equal_target(c)?, KlDiv { log_target, reduction }))
        }),
        ("nn.functional.cross_entropy", Sums, cross_entropy),
        ("cross_entropy_more", Sums, cross_entropy),
        ("nn.functional.nll_loss", Sums, |c| {
            let weight = optional(c, "weight")?;
            let (ignore_index, reduction) = (ignored(c)?, reduction(c)?);
            let options = Nll { weight: weight.as_ref(), ignore_index, reduction };
            one(c.x()?.nll_loss_with(&target(c)?, options))
        }),
        ("nn.functional.binary_cross_entropy", Sums, |c| {
            let (weight, reduction) = (optional(c, "weight")?, reduction(c)?);
            let options = Bce { weight: weight.as_ref(), reduction };
            one(c.x()?.binary_cross_entropy_with(&equal_target(c)?, options))
        }),
        ("nn.functional.binary_cross_entropy_with_logits", Sums, |c| {
            let (weight, pos_weight) = (optional(c, "weight")?, optional(c, "pos_weight")?);
            let options = BceWithLogits {
                weight: weight.as_ref(),
                pos_weight: pos_weight.as_ref(),
                reduction: reduction(c)?,
            };
            one(c.x()?.binary_cross_entropy_with_logits_with(&equal_target(c)?, options))
        }),
        ("nn.functional.hinge_embedding_loss", Sums, |c| {
            let (margin, reduction) = (real(c, "margin", 1.0)?, reduction(c)?);
            let options = HingeEmbedding { margin, reduction };
            one(c.x()?.hinge_embedding_loss_with(&equal_target(c)?, options))
        }),
        ("nn.functional.margin_ranking_loss", Sums, |c| {
            let (other, target) = (c.get(0, "input2").tensor()?, c.get(1, "target").tensor()?);
            let (margin, reduction) = (real(c, "margin", 0.0)?, reduction(c)?);
            let options = MarginRanking { margin, reduction };
            one(c.x()?.margin_ranking_loss_with(&other, &target, options))
        }),
        ("nn.functional.cosine_embedding_loss", Sums, |c| {
            let (other, target) = (c.get(0, "input2").tensor()?, c.get(1, "target").tensor()?);
            let (margin, reduction) = (real(c, "margin", 0.0)?, reduction(c)?);
            let options = CosineEmbedding { margin, reduction };
            one(c.x()?.cosine_embedding_loss_with(&other, &target, options))
        }),
        ("nn.functional.triplet_margin_loss", Sums, |c| {
            let near = c.get(0, "positive").tensor()?;
            let far = c.get(1, "negative").tensor()?;
            let options = TripletMargin {
                margin: real(c, "margin", 1.0)?,
                p: real(c, "p", 2.0)?,
                eps: real(c, "eps", 1e-6)?,
                swap: flag(c, "swap", false)?,
                reduction: reduction(c)?,
            };
            one(c.x()?.triplet_margin_loss_with(&near, &far, options))
        }),
        ("nn.functional.multi_margin_loss", Sums, |c| {
            let weight = optional(c, "weight")?;
            let options = MultiMargin {
                squared: match c.named("p") {
                    Arg::None | Arg::Integer(1) => false,
                    Arg::Integer(2) => true,
                    _ => return Err("a power that is neither 1 nor 2".into()),
                },
                margin: real(c, "margin", 1.0)?,
                weight: weight.as_ref(),
                reduction: reduction(c)?,
            };
            one(c.x()?.multi_margin_loss_with(&target(c)?, options))
        }),
        ("nn.functional.multilabel_soft_margin_loss", Sums, |c| {
            let (weight, reduction) = (optional(c, "weight")?, reduction(c)?);
            let options = MultilabelSoftMargin { weight: weight.as_ref(), reduction };
            one(c.x()?.multilabel_soft_margin_loss_with(&target(c)?, options))
        }),
        ("ctc_loss_from_logits", Sums, |c| {
            let (targets, inputs) = (c.get(0, "targets"), c.get(1, "input_lengths"));
            let lengths = c.get(2, "target_lengths").tensor()?;
            let options = Ctc {
                blank: c.get(3, "blank").size()?,
                zero_infinity: flag(c, "zero_infinity", false)?,
                reduction: reduction(c)?,
            };
            let x = c.x()?.log_softmax(-1);
            one(x.ctc_loss_with(&targets.tensor()?, &inputs.tensor()?, &lengths, options))
        }),
    ]
}

fn target(c: &Call) -> Result<Tensor, String> {
    c.get(0, "target").tensor()
}

/// A target of the prediction's shape, or one that cannot be broadcast to it.
fn equal_target(c: &Call) -> Result<Tensor, String> {
    let (x, target) = (c.x()?, target(c)?);
    match (x.shape(), target.shape()) {
        (Ok(a), Ok(b)) if a != b && a.broadcast(&b).is_some() => {
            Err("losses never broadcast here".into())
        }
        _ => Ok(target),
    }
}

fn reduction(c: &Call) -> Result<Reduction, String> {
    Ok(match c.named("reduction") {
        Arg::None => Reduction::Mean,
        Arg::Text(how) => match how.as_str() {
            "mean" => Reduction::Mean,
            "sum" => Reduction::Sum,
            "none" => Reduction::None,
            "batchmean" => Reduction::BatchMean,
            _ => return Err("the kind of reduction is a type here".into()),
        },
        _ => return Err("a reduction that is no name".into()),
    })
}

fn real(c: &Call, name: &str, default: f64) -> Result<f64, String> {
    match c.named(name) {
        Arg::None => Ok(default),
        some => some.real(),
    }
}

fn flag(c: &Call, name: &str, default: bool) -> Result<bool, String> {
    match c.named(name) {
        Arg::None => Ok(default),
        Arg::Truth(truth) => Ok(truth),
        _ => Err(format!("`{name}` that is neither true nor false")),
    }
}

fn optional(c: &Call, name: &str) -> Result<Option<Tensor>, String> {
    match c.named(name) {
        Arg::None => Ok(None),
        some => some.tensor().map(Some),
    }
}

/// PyTorch ignores -100 if nobody says what.
fn ignored(c: &Call) -> Result<Option<i64>, String> {
    match c.named("ignore_index") {
        Arg::None => Ok(Some(-100)),
        some => some.integer().map(|id| Some(id as i64)),
    }
}

fn plain(c: &Call, f: fn(&Tensor, &Tensor, Reduction) -> Tensor) -> Out {
    one(f(&c.x()?, &equal_target(c)?, reduction(c)?))
}

fn cross_entropy(c: &Call) -> Out {
    let (x, target, weight) = (c.x()?, target(c)?, optional(c, "weight")?);
    let ignore_index = ignored(c)?;
    let options = CrossEntropy {
        weight: weight.as_ref(),
        // There is nothing to ignore among probabilities.
        ignore_index: if is_float(&target) { None } else { ignore_index },
        label_smoothing: real(c, "label_smoothing", 0.0)?,
        reduction: reduction(c)?,
    };
    one(x.cross_entropy_with(&target, options))
}
