//! Measuring a model on a dataset, without training it.

use std::sync::LazyLock;

use gradus_core::{Code, Error, Result, Tag, Tensor, inference};
use gradus_data::Dataset;
use gradus_nn::Layer;

use crate::check;
use crate::loss::Loss;
use crate::metric::{Accuracy, Metric, Metrics};
use crate::stop::StopToken;
use crate::tally::Tally;

/// Measures a model on a dataset: `loss`, and each metric under its name.
///
/// In evaluation mode (no gradients, dropout off), in the order of the data. Every sample counts
/// the same, also those of a smaller last batch.
///
/// ```
/// use gradus_nn::{Linear, seq};
/// use gradus_train::{Accuracy, Loss, evaluate};
/// let digits = gradus_data::digits()?;
/// let model = seq![Linear::new(64, 10)];
/// let metrics = evaluate(&model, &digits, 256, Loss::CrossEntropy, &[&Accuracy::new()])?;
/// assert!(metrics.get("accuracy").is_some_and(|a| (0.0..=1.0).contains(&a)));
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::Data`] when the data is empty or does not fit the loss or the model,
/// [`Code::Argument`] for a batch size of 0, the first error of the model.
#[track_caller]
pub fn evaluate<L: Layer + ?Sized>(
    model: &L,
    data: &Dataset,
    batch_size: usize,
    loss: impl Into<Loss>,
    metrics: &[&dyn Metric],
) -> Result<Metrics> {
    static TAG: LazyLock<Tag> = LazyLock::new(|| Tag::new("evaluate"));
    let _scope = TAG.enter();
    let loss = loss.into();
    check::fits(&model, &loss, metrics, data, batch_size)?;
    let tally = measure(&model, data, batch_size, &loss, metrics, &StopToken::new())?;
    let tally = tally.ok_or_else(|| Error::internal("an evaluation stopped by itself"))?;
    Ok(tally.metrics(metrics))
}

/// The fraction of samples whose class a model gets right, from 0 to 1.
///
/// ```
/// use gradus_nn::{Linear, seq};
/// use gradus_train::accuracy;
/// let digits = gradus_data::digits()?;
/// let model = seq![Linear::new(64, 10)];
/// assert!((0.0..=1.0).contains(&accuracy(&model, &digits)?));
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// As [`evaluate`].
#[track_caller]
pub fn accuracy<L: Layer + ?Sized>(model: &L, data: &Dataset) -> Result<f64> {
    let loss = if data.classes().is_some() { Loss::CrossEntropy } else { Loss::BceWithLogits };
    if let Some(batch) = data.array_batches(256).next() {
        Accuracy::new().check(&batch?.y)?;
    }
    let metrics = evaluate(model, data, 256, loss, &[&Accuracy::new()])?;
    metrics.get("accuracy").ok_or_else(|| Error::internal("no accuracy was measured"))
}

/// The sums over a dataset; `None` if somebody asked to stop.
pub(crate) fn measure(
    model: &dyn Layer,
    data: &Dataset,
    batch_size: usize,
    loss: &Loss,
    metrics: &[&dyn Metric],
    stop: &StopToken,
) -> Result<Option<Tally>> {
    let mut tally = Tally::default();
    let mut recorded: Vec<Tensor> = Vec::new();
    for batch in data.array_batches(batch_size) {
        if stop.is_stopped() {
            return Ok(None);
        }
        let batch = batch?;
        let samples = batch.len();
        let number = batch.number();
        let (x, y) = (Tensor::from(batch.x), Tensor::from(batch.y));
        let prediction = model.predict(&x);
        let value = inference(|| {
            recorded.clear();
            recorded.extend(metrics.iter().map(|m| m.record(&prediction, &y)));
            loss.compute(&prediction, &y)
        });
        // Reading the loss also computes the prediction, which is held; the metrics start there.
        let recorded = recorded.iter().zip(metrics.iter().map(|m| m.gathers()));
        let read = value.item().and_then(|value| tally.add(samples, value, recorded));
        read.map_err(|e| {
            let first = number * batch_size;
            let rows = format!("{first} to {} of `{}`", first + samples - 1, data.name());
            e.line("samples", rows)
        })?;
    }
    if tally.samples == 0 {
        return Err(Error::new(Code::Data, format!("`{}` has no samples", data.name())));
    }
    Ok(Some(tally))
}
