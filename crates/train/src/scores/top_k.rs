//! Whether the right class is among the first few.

use gradus_core::{Array, Code, DType, Error, Result, Tensor};

use super::{Pair, pair};
use crate::metric::Metric;

/// The fraction of samples whose class is among the `k` largest logits, from 0 to 1; for
/// `[batch, classes]` (or `[batch, classes, ..]`) and class ids.
///
/// A class is among them if fewer than `k` others have a larger logit, or an equal one and a smaller
/// id; so `k = 1` is [`Accuracy`](crate::Accuracy), and logits that are all equal are not all right.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_train::{Meter, TopK};
/// let mut top = Meter::new(TopK::new(2));
/// let logits = Tensor::from([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0]]);
/// top.add_batch(&logits, &Tensor::from([1, 2, 2]))?;
/// assert_eq!(top.value(), 1.0 / 3.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TopK {
    k: usize,
    name: String,
}

impl TopK {
    /// The first `k` classes; the metric is called `top_5_accuracy` for `k = 5`.
    pub fn new(k: usize) -> TopK {
        TopK { k, name: format!("top_{k}_accuracy") }
    }
}

impl Metric for TopK {
    fn name(&self) -> &str {
        &self.name
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        match pair(&self.name, prediction, target) {
            Ok(Pair::Classes(x, ids)) => {
                let classes = x.shape().map_or(0, |s| s.last(0));
                let hot = ids.one_hot(classes).gt(0.5);
                let own = hot.where_(&x, 0.0).sum_keepdim(-1);
                let order = Tensor::arange(0, classes as i64);
                let later = x.eq(&own) & order.ge(ids.unsqueeze(-1));
                // As what is not behind, so that a logit of NaN is among no first.
                let before = (!(own.gt(&x) | later)).cast(DType::F32).sum_dim(-1);
                let right = before.lt(self.k as f64).cast(DType::F32).sum();
                Tensor::stack(&[&right, &Tensor::from(ids.numel().unwrap_or(0) as f64)], 0)
            }
            Ok(Pair::Binary(..)) => {
                let title = format!("{}: the targets are no class ids", self.name);
                Tensor::failed(Error::new(Code::Shape, title).help("use `Accuracy` for yes or no"))
            }
            Err(failed) => failed,
        }
    }

    fn value(&self, sums: &[f64], _: usize) -> f64 {
        match sums {
            [right, all] => right / all,
            _ => f64::NAN,
        }
    }

    fn check(&self, targets: &Array) -> Result<()> {
        if !targets.dtype().is_float() {
            return Ok(());
        }
        let title = format!("{} needs class ids, but the targets are values", self.name);
        Err(Error::new(Code::Data, title))
    }
}
