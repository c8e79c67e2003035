//! Rows of losses.

use super::arrays::{any, exact, ids, positive, truth, unit, whole};
use super::{Gradient, Kind, OpRow, Sample, fails};
use crate::ops::loss::{BceWithLogits, CrossEntropy, Reduction};
use crate::tensor::Tensor;

pub(super) type Call = fn(&[Tensor]) -> Tensor;

const NONE: CrossEntropy<'static> = CrossEntropy {
    weight: None,
    ignore_index: None,
    label_smoothing: 0.0,
    reduction: Reduction::Mean,
};

/// A row of this file.
pub(super) const fn row(
    [name, signature, formula, pytorch]: [&'static str; 4],
    onnx: Option<&'static str>,
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<super::ErrorCase>,
) -> OpRow {
    let (kind, gradient) = (Kind::Loss, Gradient::Yes);
    OpRow { name, signature, formula, kind, pytorch, onnx, gradient, samples, errors }
}

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        row(
            [
                "cross_entropy",
                "logits.cross_entropy(&ids)",
                "mean over rows of ln sum(e^x) - x[id]",
                "torch.nn.functional.cross_entropy",
            ],
            Some("SoftmaxCrossEntropyLoss"),
            || {
                let run: Call = |v| v[0].cross_entropy(&v[1]);
                let rows: Call = |v| v[0].cross_entropy_rows(&v[1]);
                let weighted: Call = |v| {
                    let (weight, smooth) = (Some(&v[2]), 0.1);
                    let options = CrossEntropy { weight, label_smoothing: smooth, ..NONE };
                    v[0].cross_entropy_with(&v[1], options)
                };
                let all = || vec![any(&[6, 4], 1), ids(&[6], 4, 2), positive(&[4], 3)];
                vec![
                    Sample::new("a batch", vec![any(&[5, 3], 1), ids(&[5], 3, 2)], run),
                    Sample::new("rows", vec![any(&[5, 37], 1), ids(&[5], 37, 2)], rows),
                    Sample::new("one class", vec![any(&[3, 1], 1), ids(&[3], 1, 2)], run),
                    Sample::new("one row", vec![any(&[1, 4], 1), ids(&[1], 4, 2)], run),
                    Sample::new("one row of no batch", vec![any(&[4], 1), ids(&[], 4, 2)], run),
                    Sample::new("pixels", vec![any(&[2, 3, 4], 1), ids(&[2, 4], 3, 2)], rows),
                    Sample::new("weights, smoothing", all(), weighted),
                    Sample::new("an ignored id", all(), |v| {
                        let options = CrossEntropy { ignore_index: Some(2), ..NONE };
                        v[0].cross_entropy_with(
                            &v[1],
                            CrossEntropy { weight: Some(&v[2]), ..options },
                        )
                    }),
                    Sample::new(
                        "smoothing, an ignored id",
                        vec![any(&[6, 4], 1), ids(&[6], 4, 2)],
                        |v| {
                            let reduction = Reduction::BatchMean;
                            let options = CrossEntropy { ignore_index: Some(1), reduction, ..NONE };
                            v[0].cross_entropy_with(
                                &v[1],
                                CrossEntropy { label_smoothing: 0.3, ..options },
                            )
                        },
                    ),
                    Sample::new(
                        "weights, smoothing, probabilities",
                        vec![any(&[2, 3, 4], 1), unit(&[2, 3, 4], 2), positive(&[3], 3)],
                        weighted,
                    ),
                    Sample::new("turned", vec![any(&[3, 5], 1), ids(&[5], 3, 2)], |v| {
                        v[0].t().cross_entropy(&v[1].flip(0))
                    }),
                    Sample::new("a broadcast id", vec![any(&[4, 3], 1), ids(&[1], 3, 2)], |v| {
                        v[0].cross_entropy(&v[1].broadcast_to([4]))
                    }),
                    Sample::new("bools", vec![any(&[5, 2], 1), truth(&[5], 2)], run),
                    Sample::new("probabilities", vec![any(&[5, 3], 1), unit(&[5, 3], 2)], run),
                    Sample::new("no rows", vec![any(&[0, 3], 1), ids(&[0], 3, 2)], rows),
                    Sample::new("mean of no rows", vec![any(&[0, 3], 1), ids(&[0], 3, 2)], run)
                        .kinks(),
                    Sample::new("large logits", vec![any(&[5, 3], 1), ids(&[5], 3, 2)], |v| {
                        (&v[0] * 300.0).cross_entropy(&v[1])
                    })
                    .kinks(),
                ]
            },
            || {
                vec![
                    fails!("an id out of range", Index, "cross_entropy: class id 3 at row 1", {
                        Tensor::zeros([2, 3]).cross_entropy(&Tensor::from([0, 3]))
                    }),
                    fails!("a negative id", Index, "cross_entropy: class id -1 at row 0", {
                        Tensor::zeros([2, 3]).cross_entropy(&Tensor::from([-1, 0]))
                    }),
                    fails!("batches that differ", Shape, "cross_entropy: logits [2, 3]", {
                        Tensor::zeros([2, 3]).cross_entropy(&Tensor::from([0, 1, 2]))
                    }),
                    fails!("ids as a column", Shape, "cross_entropy: logits [2, 3]", {
                        Tensor::zeros([2, 3]).cross_entropy(&Tensor::from([[0], [1]]))
                    }),
                    fails!("probabilities that differ", Shape, "cross_entropy: prediction", {
                        Tensor::zeros([2, 3]).cross_entropy(&Tensor::zeros([2, 2]))
                    }),
                    fails!("weights of other classes", Shape, "cross_entropy: weight [2] is", {
                        let (w, x) = (Tensor::ones([2]), Tensor::zeros([2, 3]));
                        let options = CrossEntropy { weight: Some(&w), ..NONE };
                        x.cross_entropy_with(&Tensor::from([0, 1]), options)
                    }),
                    fails!("too much smoothing", Argument, "cross_entropy: `label_smoothing`", {
                        let options = CrossEntropy { label_smoothing: 1.5, ..NONE };
                        Tensor::zeros([2, 3]).cross_entropy_with(&Tensor::from([0, 1]), options)
                    }),
                    fails!("an ignored probability", Argument, "cross_entropy: class id 1", {
                        let options = CrossEntropy { ignore_index: Some(1), ..NONE };
                        Tensor::zeros([2, 3]).cross_entropy_with(&Tensor::zeros([2, 3]), options)
                    }),
                    fails!("pixels that differ", Shape, "cross_entropy: logits [2, 3, 4] and", {
                        Tensor::zeros([2, 3, 4]).cross_entropy(&Tensor::from([0, 1]))
                    }),
                    fails!("no classes", Shape, "cross_entropy: there are no classes", {
                        Tensor::zeros([2, 0]).cross_entropy(&Tensor::from([0, 0]))
                    }),
                    fails!("logits of integers", DType, "cross_entropy: takes f32", {
                        Tensor::from([[1, 2]]).cross_entropy(&Tensor::from([0]))
                    }),
                ]
            },
        ),
        row(
            [
                "mse_loss",
                "x.mse_loss(&target)",
                "mean((x - target)^2)",
                "torch.nn.functional.mse_loss",
            ],
            None,
            || {
                let run: Call = |v| v[0].mse_loss(&v[1]);
                vec![
                    Sample::new("vectors", vec![any(&[7], 1), any(&[7], 2)], run),
                    Sample::new("matrices", vec![any(&[3, 5], 1), any(&[3, 5], 2)], run),
                    Sample::new("scalars", vec![any(&[], 1), any(&[], 2)], run),
                    Sample::new("views", vec![any(&[5, 3], 1), any(&[3, 5], 2)], |v| {
                        v[0].t().mse_loss(&v[1].flip(0))
                    }),
                    Sample::new("integer targets", vec![any(&[4], 1), whole(&[4], 2)], run),
                    Sample::new("sum", vec![any(&[3, 5], 1), any(&[3, 5], 2)], |v| {
                        v[0].mse_loss_with(&v[1], Reduction::Sum)
                    }),
                    Sample::new("no reduction", vec![any(&[3, 5], 1), any(&[3, 5], 2)], |v| {
                        v[0].mse_loss_with(&v[1], Reduction::None)
                    }),
                    Sample::new("mean of a batch", vec![any(&[3, 5], 1), any(&[3, 5], 2)], |v| {
                        v[0].mse_loss_with(&v[1], Reduction::BatchMean)
                    }),
                    Sample::new("nothing", vec![any(&[0], 1), any(&[0], 2)], run).kinks(),
                ]
            },
            || {
                vec![
                    fails!("integers", DType, "mse_loss: takes f32 or f64", {
                        Tensor::from([1, 2]).mse_loss(&Tensor::from([1, 2]))
                    }),
                    fails!("a column against a vector", Shape, "mse_loss: prediction [3, 1]", {
                        Tensor::zeros([3, 1]).mse_loss(&Tensor::zeros([3]))
                    }),
                    fails!("other sizes", Shape, "mse_loss: prediction [3]", {
                        Tensor::zeros([3]).mse_loss(&Tensor::zeros([4]))
                    }),
                ]
            },
        ),
        row(
            [
                "binary_cross_entropy_with_logits",
                "x.binary_cross_entropy_with_logits(&target)",
                "mean(max(x, 0) - x * target + ln(1 + e^-|x|))",
                "torch.nn.functional.binary_cross_entropy_with_logits",
            ],
            None,
            || {
                let run: Call = |v| v[0].binary_cross_entropy_with_logits(&v[1]);
                let large = exact(&[1000.0f32, -1000.0, 1000.0, -1000.0, 0.0]);
                vec![
                    Sample::new("probabilities", vec![any(&[7], 1), unit(&[7], 2)], run),
                    Sample::new("bools", vec![any(&[3, 5], 1), truth(&[3, 5], 2)], run),
                    Sample::new("classes", vec![any(&[9], 1), ids(&[9], 2, 2)], run),
                    Sample::new("views", vec![any(&[5, 3], 1), unit(&[3, 5], 2)], |v| {
                        v[0].t().binary_cross_entropy_with_logits(&v[1].flip(0))
                    }),
                    Sample::new(
                        "weights",
                        vec![
                            any(&[4, 3], 1),
                            unit(&[4, 3], 2),
                            positive(&[3], 3),
                            positive(&[4, 1], 4),
                        ],
                        |v| {
                            let (weight, pos_weight) = (Some(&v[3]), Some(&v[2]));
                            let options =
                                BceWithLogits { weight, pos_weight, ..Default::default() };
                            v[0].binary_cross_entropy_with_logits_with(&v[1], options)
                        },
                    ),
                    Sample::new(
                        "large logits",
                        vec![large, exact(&[1.0f32, 1.0, 0.0, 0.0, 1.0])],
                        run,
                    )
                    .kinks(),
                    Sample::new("nothing", vec![any(&[0], 1), any(&[0], 2)], run).kinks(),
                ]
            },
            || {
                vec![
                    fails!("a column against a vector", Shape, "binary_cross_entropy", {
                        Tensor::zeros([3, 1]).binary_cross_entropy_with_logits(&Tensor::zeros([3]))
                    }),
                    fails!("a large weight", Shape, "binary_cross_entropy_with_logits: weight", {
                        let (w, x) = (Tensor::ones([2, 3]), Tensor::zeros([3]));
                        let options = BceWithLogits { weight: Some(&w), ..Default::default() };
                        x.binary_cross_entropy_with_logits_with(&x, options)
                    }),
                    fails!("logits of integers", DType, "binary_cross_entropy", {
                        let x = Tensor::from([1, 2]);
                        x.binary_cross_entropy_with_logits(&Tensor::from([1.0, 0.0]))
                    }),
                ]
            },
        ),
    ]
}
