//! Losses.

use crate::harness::Family::Sums;
use crate::harness::{Arg, Call, Line, Out, is_float, one, rank};
use gradus::Tensor;

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("nn.functional.mse_loss", Sums, |c| {
            let t = c.get(0, "target").tensor()?;
            one(match c.named("reduction") {
                Arg::None => c.x()?.mse_loss(&t),
                Arg::Text(how) if how == "mean" => c.x()?.mse_loss(&t),
                _ => return Err("a loss that is not averaged".into()),
            })
        }),
        ("nn.functional.cross_entropy", Sums, cross_entropy),
        ("cross_entropy_more", Sums, cross_entropy),
        ("nn.functional.binary_cross_entropy_with_logits", Sums, |c| {
            if !c.named("weight").is_none() || !c.named("pos_weight").is_none() {
                return Err("a weighted binary cross-entropy".into());
            }
            one(c.x()?.binary_cross_entropy_with_logits(&c.get(0, "target").tensor()?))
        }),
    ]
}

fn reduced(y: Tensor, how: &Arg) -> Out {
    one(match how {
        Arg::None => y.mean(),
        Arg::Text(how) => match how.as_str() {
            "mean" => y.mean(),
            "sum" => y.sum(),
            _ => y,
        },
        _ => return Err("a reduction that is no name".into()),
    })
}

fn cross_entropy(c: &Call) -> Out {
    let (x, t) = (c.x()?, c.get(0, "target").tensor()?);
    if rank(&x) != 2 {
        return Err("cross-entropy of logits that are not [batch, classes]".into());
    }
    if is_float(&t) {
        return match c.named("reduction") {
            Arg::None => one(x.cross_entropy(&t)),
            Arg::Text(how) if how == "mean" => one(x.cross_entropy(&t)),
            _ => Err("a cross-entropy of probabilities that is not averaged".into()),
        };
    }
    if !c.named("weight").is_none() {
        return Err("a weighted cross-entropy".into());
    }
    if !matches!(c.named("label_smoothing"), Arg::None | Arg::Real(0.0)) {
        return Err("label smoothing".into());
    }
    if !matches!(c.named("ignore_index"), Arg::None | Arg::Integer(-100)) {
        return Err("an ignored class".into());
    }
    reduced(x.cross_entropy_rows(&t), &c.named("reduction"))
}
