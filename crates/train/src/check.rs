//! What can be known to be wrong before the first step: a model, a loss, metrics and data that do
//! not go together. One message per cause, in words of the data.

use gradus_core::{Array, Code, Error, Result, Shape, Tensor, inference};
use gradus_data::Dataset;
use gradus_nn::Layer;

use crate::loss::Loss;
use crate::metric::Metric;

/// Records the first batch in evaluation mode, which computes nothing, and looks at the shapes.
pub(crate) fn fits(
    model: &dyn Layer,
    loss: &Loss,
    metrics: &[&dyn Metric],
    data: &Dataset,
    batch_size: usize,
) -> Result<()> {
    if batch_size == 0 {
        return Err(Error::new(Code::Argument, "the batch size is 0")
            .help("use at least 1 sample a batch; 32 to 256 is usual"));
    }
    let batch = data.array_batches(batch_size).next();
    let Some(batch) = batch else {
        return Err(Error::new(Code::Data, format!("`{}` has no samples", data.name()))
            .help("a part of a split or `take(0)` can be empty; use more samples"));
    };
    let batch = batch?;
    let (x, y) = (Tensor::from(&batch.x), Tensor::from(&batch.y));
    let prediction = inference(|| model.forward(&x));
    let about = |error: Error| error.line("data", data.to_string());
    let shape = prediction.shape().map_err(about)?;
    suits(loss, &shape, &batch.y, data)?;
    let value = inference(|| loss.compute(&prediction, &y));
    let size = value.shape().map_err(about)?;
    if size.numel() != 1 {
        let text = format!("the loss is {size}, it must be a single number");
        return Err(Error::new(Code::Shape, text).help("end it with `.mean()`"));
    }
    for metric in metrics {
        metric.check(&batch.y).map_err(about)?;
        inference(|| metric.record(&prediction, &y)).check().map_err(about)?;
    }
    Ok(())
}

/// Whether a named loss can take the targets of this data from a prediction of this shape.
fn suits(loss: &Loss, prediction: &Shape, targets: &Array, data: &Dataset) -> Result<()> {
    let outputs = prediction.dims().last().copied().unwrap_or(1);
    let name = data.name();
    let wrong = |title: String, help: String| {
        Err(Error::new(Code::Data, title)
            .line("prediction", prediction.to_string())
            .line("target", format!("{} {}", targets.dtype(), targets.shape()))
            .line("data", data.to_string())
            .help(help))
    };
    let values = targets.dtype().is_float();
    match loss {
        Loss::CrossEntropy if values && *prediction != targets.shape() => wrong(
            format!("cross entropy needs class ids, but the targets of `{name}` are values"),
            "to predict values use `Loss::Mse`; for targets of 0 and 1 `Loss::BceWithLogits`"
                .to_string(),
        ),
        Loss::CrossEntropy if !values && outputs < data.classes().unwrap_or(0).max(2) => {
            let classes = data.classes().unwrap_or(2);
            wrong(
                format!(
                    "the model has {outputs} output{}, but `{name}` has {classes} classes",
                    if outputs == 1 { "" } else { "s" }
                ),
                format!("the last layer needs {} outputs, one a class", classes.max(2)),
            )
        }
        Loss::Mse | Loss::Mae | Loss::Huber if !values => wrong(
            format!("the loss {} compares values, but `{name}` has class ids", loss.name()),
            "use `Loss::CrossEntropy`, with one output a class".to_string(),
        ),
        Loss::BceWithLogits if !values && data.classes().is_some_and(|c| c > 2) => wrong(
            format!("binary cross entropy is for two classes, but `{name}` has more"),
            "use `Loss::CrossEntropy`, with one output a class".to_string(),
        ),
        Loss::BceWithLogits if !values && *prediction != targets.shape() => wrong(
            format!("binary cross entropy wants one target a logit, `{name}` has class ids"),
            "`binary_targets()` on the data makes them f32 [batch, 1]; or use \
             `Loss::CrossEntropy` with two outputs"
                .to_string(),
        ),
        Loss::BceWithLogits if values => {
            match targets.to_f64().iter().find(|v| !(0.0..=1.0).contains(*v) && !v.is_nan()) {
                Some(value) => wrong(
                    format!("binary cross entropy wants targets from 0 to 1, there is {value}"),
                    "to predict values use `Loss::Mse`".to_string(),
                ),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Whether two datasets can be used with one model.
pub(crate) fn alike(train: &Dataset, valid: &Dataset) -> Result<()> {
    let differ = |what: &str, a: String, b: String| {
        Err(Error::new(Code::Data, format!("training and validation data differ in their {what}"))
            .line("train", format!("{a}   `{}`", train.name()))
            .line("valid", format!("{b}   `{}`", valid.name())))
    };
    if train.sample_shape() != valid.sample_shape() {
        let (a, b) = (train.sample_shape().to_string(), valid.sample_shape().to_string());
        return differ("samples", a, b);
    }
    let kinds = |d: &Dataset| match d.classes() {
        Some(_) => "class ids".to_string(),
        None => format!("values {}", d.target_shape()),
    };
    if kinds(train) != kinds(valid) {
        return differ("targets", kinds(train), kinds(valid));
    }
    Ok(())
}
