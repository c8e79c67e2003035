//! Losses. They never broadcast: a prediction and a target of different shapes are an error.

use std::panic::Location;

use super::{Binary, Op, Rows};
use crate::error::{Code, Error};
use crate::graph::dtype::DType;
use crate::graph::recorder::{self, Side};
use crate::tensor::Tensor;

impl Tensor {
    /// Fails unless both have the same shape; the classic silent `[64, 1]` against `[64]`.
    #[track_caller]
    fn same_shape(&self, target: &Tensor, what: &str) -> Result<Tensor, Tensor> {
        let place = Location::caller();
        let (a, b) = (self.peek(), target.peek());
        for t in [self, target] {
            if recorder::error_of(t).is_some() {
                return Err(t.clone());
            }
        }
        if a.shape != b.shape {
            let help = if a.shape.numel() == b.shape.numel() {
                format!(
                    "`target.view_as(..)` or `prediction.squeeze(-1)` makes them equal; \
                     broadcasting would compare all {} pairs",
                    a.shape.broadcast(&b.shape).map_or(0, |s| s.numel())
                )
            } else {
                "a loss compares element by element; the shapes must be equal".to_string()
            };
            let error = Error::new(
                Code::Shape,
                format!("{what}: prediction {} and target {} differ", a.shape, b.shape),
            );
            let error = recorder::with(|r| {
                error
                    .cells("prediction", r.describe(self.slot()))
                    .cells("target", r.describe(target.slot()))
            });
            return Err(recorder::failed(error.help(help), place));
        }
        Ok(target.cast(a.dtype))
    }

    /// Mean squared error, `mean((self - target)^2)`; a scalar. Shapes must be equal.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([1.0, 2.0]).mse_loss(&Tensor::from([1.0, 4.0]));
    /// assert_eq!(loss.item()?, 2.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn mse_loss(&self, target: &Tensor) -> Tensor {
        match self.same_shape(target, "mse_loss") {
            Ok(target) => (self - target).square().mean(),
            Err(failed) => failed,
        }
    }

    /// Binary cross-entropy of logits, `mean(max(x, 0) - x y + log(1 + e^-|x|))`; a scalar.
    ///
    /// The sigmoid is inside, so it neither overflows nor loses digits. Targets are 0 or 1, or
    /// probabilities; the shapes must be equal.
    #[track_caller]
    #[must_use]
    pub fn binary_cross_entropy_with_logits(&self, target: &Tensor) -> Tensor {
        let place = Location::caller();
        match self.same_shape(target, "binary_cross_entropy_with_logits") {
            Ok(target) => {
                let op = Op::Binary(Binary::BceLogits);
                recorder::record(op, &[self, &target], None, Side::None, place).mean()
            }
            Err(failed) => failed,
        }
    }

    /// Cross-entropy of logits `[batch, classes]`, averaged over the batch; a scalar in nats.
    ///
    /// Targets are class ids (`[batch]`, i64, in `0..classes`), or probabilities of the logits'
    /// shape. The softmax is inside.
    ///
    /// # Errors
    /// When run, [`Code::Index`] with the row of the first class id that is out of range.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let logits = Tensor::from([[2.0, 0.0], [0.0, 2.0]]);
    /// let loss = logits.cross_entropy(&Tensor::from([0, 1]));
    /// assert!((loss.item()? - 0.126928).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn cross_entropy(&self, target: &Tensor) -> Tensor {
        if target.peek().dtype.is_float() && recorder::error_of(target).is_none() {
            return match self.same_shape(target, "cross_entropy") {
                Ok(target) => {
                    let rows = (self.log_softmax(-1) * target).sum_dim(-1);
                    -rows.mean()
                }
                Err(failed) => failed,
            };
        }
        self.cross_entropy_rows(target).mean()
    }

    /// The cross-entropy of each row, `[batch]`; see [`Tensor::cross_entropy`].
    #[track_caller]
    #[must_use]
    pub fn cross_entropy_rows(&self, target: &Tensor) -> Tensor {
        let target = if target.peek().dtype == DType::Bool {
            target.cast(DType::I64)
        } else {
            target.clone()
        };
        self.apply(Op::Rows(Rows::CrossEntropy { ignore: None }), &[&target], None)
    }
}
