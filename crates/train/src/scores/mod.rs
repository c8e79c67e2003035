//! Metrics of classification beyond accuracy, and of probabilities; and [`Meter`], which runs any
//! metric outside of a training.
//!
//! Where to start: `counts` has what follows from a confusion matrix, `curve` the areas under curves
//! (which need every score, not only sums), `probability` what asks how sure a model is.

mod by_name;
mod counts;
mod curve;
mod meter;
mod probability;
mod top_k;

pub use by_name::{METRIC_NAMES, metric_by_name};
pub use counts::{Average, F1, Iou, Kappa, Mcc, Precision, Recall};
pub use curve::{AveragePrecision, RocAuc, average_precision, roc_auc};
pub use meter::Meter;
pub(crate) use meter::add;
pub use probability::{Brier, CalibrationError, LogLoss, Perplexity};
pub use top_k::TopK;

use gradus_core::{Array, Code, DType, Error, Result, Tensor};

/// A prediction and its target, in one of the forms that classification has.
enum Pair {
    /// Scores `[rows, classes]` and class ids `[rows]`.
    Classes(Tensor, Tensor),
    /// Scores and yes or no, of one shape.
    Binary(Tensor, Tensor),
}

/// What form they have: class ids `[batch, ..]` go with `[batch, classes, ..]`, as for
/// cross-entropy, or with `[batch, .., classes]`; yes or no with scores of the same shape.
fn pair(what: &str, prediction: &Tensor, target: &Tensor) -> Result<Pair, Tensor> {
    let (p, t) = match (prediction.shape(), target.shape()) {
        (Ok(p), Ok(t)) => (p, t),
        (Err(error), _) | (_, Err(error)) => return Err(Tensor::failed(error)),
    };
    if p == t {
        return Ok(Pair::Binary(prediction.clone(), target.clone()));
    }
    let real = target.dtype().is_ok_and(DType::is_float);
    let (front, back): (Vec<usize>, &[usize]) = match p.dims() {
        [batch, _, rest @ ..] => {
            ([&[*batch], rest].concat(), p.dims().get(..p.rank() - 1).unwrap_or(&[]))
        }
        _ => (Vec::new(), &[]),
    };
    let scores = if real || p.rank() < 2 {
        None
    } else if front == t.dims() {
        Some((prediction.movedim(1, -1), p.dims().get(1).copied().unwrap_or(0)))
    } else if back == t.dims() {
        Some((prediction.clone(), p.last(0)))
    } else {
        None
    };
    let Some((scores, classes)) = scores else {
        let title = format!("{what}: prediction {p} and target {t}");
        return Err(Tensor::failed(Error::new(Code::Shape, title).help(
            "class ids [batch] go with logits [batch, classes], 0 or 1 with logits of the same shape",
        )));
    };
    let rows = t.numel();
    Ok(Pair::Classes(
        scores.reshape_to([rows, classes]),
        target.cast(DType::I64).reshape_to([rows]),
    ))
}

/// Fails for targets that are neither class ids nor 0 and 1.
fn classes_only(what: &str, targets: &Array) -> Result<()> {
    let values = if targets.dtype().is_float() { targets.to_f64() } else { Vec::new() };
    match values.iter().find(|&&v| v != 0.0 && v != 1.0) {
        None => Ok(()),
        Some(value) => {
            Err(Error::new(Code::Data, format!("{what} needs classes, but a target is {value}"))
                .help("leave the metric out for regression; class ids are i64, or f32 of 0 and 1"))
        }
    }
}
