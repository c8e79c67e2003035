//! Losses of class ids and of distributions over classes.

use std::panic::Location;

use super::{Loss, Reduction, argument, class_ids, either, matched, sound, weighted, wrong_shapes};
use crate::error::{Code, Error};
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::ops::{Op, Rows};
use crate::tensor::Tensor;

/// Parameters of [`Tensor::cross_entropy_with`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CrossEntropy<'a> {
    /// How much each class counts, `[classes]`; all the same by default.
    pub weight: Option<&'a Tensor>,
    /// The class id that does not count, such as that of padding; none by default (PyTorch: -100).
    pub ignore_index: Option<i64>,
    /// The part of the target that goes to all classes alike; 0 by default.
    pub label_smoothing: f64,
    /// How the losses become the result; by default the mean over what counts, weighted.
    pub reduction: Reduction,
}

/// Parameters of [`Tensor::nll_loss_with`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Nll<'a> {
    /// How much each class counts, `[classes]`; all the same by default.
    pub weight: Option<&'a Tensor>,
    /// The class id that does not count; none by default (PyTorch: -100).
    pub ignore_index: Option<i64>,
    /// How the losses become the result; by default the mean over what counts, weighted.
    pub reduction: Reduction,
}

impl Tensor {
    /// Cross-entropy of logits `[batch, classes]`, averaged over the batch; a scalar in nats.
    ///
    /// Targets are class ids (`[batch]`, i64, in `0..classes`), or probabilities of the logits'
    /// shape. The softmax is inside. Logits may have more axes, `[batch, classes, ..]`, with ids
    /// `[batch, ..]`: then the mean is over all of them. Logits `[classes]` with one id work too.
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
        self.cross_entropy_with(target, CrossEntropy::default())
    }

    /// The cross-entropy of each row, of the ids' shape; see [`Tensor::cross_entropy`].
    #[track_caller]
    #[must_use]
    pub fn cross_entropy_rows(&self, target: &Tensor) -> Tensor {
        let reduction = Reduction::None;
        self.cross_entropy_with(target, CrossEntropy { reduction, ..CrossEntropy::default() })
    }

    /// [`Tensor::cross_entropy`] with parameters.
    ///
    /// With weights, the mean divides by the sum of the weights of the targets (by the number of
    /// rows if targets are probabilities), as in PyTorch. An ignored row is 0 and is not counted.
    ///
    /// Source of label smoothing: Szegedy and others, *Rethinking the inception architecture*, 2016.
    ///
    /// # Errors
    /// [`Code::Argument`] when `label_smoothing` is not in 0 to 1, or an id is to be ignored among
    /// probabilities.
    ///
    /// ```
    /// use gradus_core::{Tensor, ops::loss::CrossEntropy};
    /// let logits = Tensor::from([[2.0, 0.0], [0.0, 2.0]]);
    /// let options = CrossEntropy { ignore_index: Some(-1), ..CrossEntropy::default() };
    /// let loss = logits.cross_entropy_with(&Tensor::from([0, -1]), options);
    /// assert!((loss.item()? - 0.126928).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn cross_entropy_with(&self, target: &Tensor, options: CrossEntropy<'_>) -> Tensor {
        if target.peek().dtype.is_float() && recorder::error_of(target).is_none() {
            either(of_probabilities(self, target, options))
        } else {
            either(of_ids(self, target, options))
        }
    }

    /// The negative log-likelihood of class ids: of log-probabilities `[batch, classes]` the mean of
    /// `-x[id]`; a scalar. After [`Tensor::log_softmax`] it is [`Tensor::cross_entropy`], which is
    /// faster. More axes as there.
    ///
    /// # Errors
    /// When run, [`Code::Index`] when a class id is out of range.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([[-1.0, -2.0], [-3.0, -4.0]]).nll_loss(&Tensor::from([0, 1]));
    /// assert_eq!(loss.item()?, 2.5);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn nll_loss(&self, target: &Tensor) -> Tensor {
        self.nll_loss_with(target, Nll::default())
    }

    /// [`Tensor::nll_loss`] with parameters; weights and ignored ids as in
    /// [`Tensor::cross_entropy_with`].
    #[track_caller]
    #[must_use]
    pub fn nll_loss_with(&self, target: &Tensor, options: Nll<'_>) -> Tensor {
        either(nll(self, target, options))
    }
}

/// Logits with the classes last, `[rows, classes]`.
#[track_caller]
fn rows_of(x: &Tensor) -> Tensor {
    let shape = x.peek().shape;
    match shape.rank() {
        1 => x.unsqueeze(0),
        0 | 2 => x.clone(),
        _ => {
            let (batch, classes) = (shape.dim(0), shape.dim(1));
            let rest: usize = shape.dims().iter().skip(2).product();
            let turned = x.reshape_to(Shape::new(&[batch, classes, rest])).transpose(1, 2);
            turned.reshape_to(Shape::new(&[batch * rest, classes]))
        }
    }
}

/// The class axis, and the shape without it.
fn without_classes(x: &Tensor) -> (usize, Shape) {
    let shape = x.peek().shape;
    let axis = usize::from(shape.rank() > 1);
    (axis, if shape.rank() == 0 { shape } else { shape.remove(axis) })
}

/// Class ids as i64, `[rows]`, if they go with the logits.
#[track_caller]
fn ids_of(what: &str, x: &Tensor, target: &Tensor) -> Loss {
    sound(what, &[x, target])?;
    let target = class_ids(what, target)?;
    let (logits, ids) = (x.peek().shape, target.peek());
    if logits.rank() == 0 || without_classes(x).1 != ids.shape {
        let title =
            format!("{what}: logits {logits} and class ids {} do not go together", ids.shape);
        let help = match logits.rank() {
            0 | 1 => "logits of one row are [classes], with one class id",
            2 => "logits are [batch, classes], class ids are [batch]",
            _ => "logits are [batch, classes, ..], class ids are [batch, ..]",
        };
        return Err(wrong_shapes(title, help));
    }
    let flat = Shape::new(&[ids.shape.numel()]);
    Ok(target.reshape_to(flat))
}

/// The weight of each row, 0 for those that do not count; nothing if all count alike.
#[track_caller]
fn counts(
    what: &str,
    x: &Tensor,
    ids: &Tensor,
    weight: Option<&Tensor>,
    ignore: Option<i64>,
) -> Result<Option<Tensor>, Tensor> {
    let meta = x.peek();
    if let Some(weight) = weight {
        sound(what, &[weight])?;
        let (w, classes) = (weight.peek().shape, meta.shape.last(0));
        if w != Shape::new(&[classes]) {
            let title = format!("{what}: weight {w} is not [classes], which is [{classes}]");
            return Err(wrong_shapes(title, "one weight for each class"));
        }
    }
    let mask = ignore.map(|id| ids.ne(id));
    Ok(match (weight, mask) {
        (None, None) => None,
        (None, Some(mask)) => Some(mask.cast(meta.dtype)),
        (Some(weight), None) => Some(weight.cast(meta.dtype).index_select(0, ids)),
        (Some(weight), Some(mask)) => {
            let safe = mask.where_(ids, 0);
            Some(mask.where_(weight.cast(meta.dtype).index_select(0, &safe), 0.0))
        }
    })
}

/// The result from the losses of rows, which have their weights in them already.
#[track_caller]
fn reduced(rows: Tensor, counts: Option<&Tensor>, reduction: Reduction, shape: Shape) -> Tensor {
    match (reduction, counts) {
        (Reduction::Mean, Some(counts)) => rows.sum() / counts.sum(),
        (Reduction::Mean | Reduction::Sum, _) => reduction.of(&rows),
        _ => reduction.of(&rows.reshape_to(shape)),
    }
}

#[track_caller]
fn smoothing(options: &CrossEntropy<'_>) -> Result<f64, Tensor> {
    let smooth = options.label_smoothing;
    let rule = "`label_smoothing` must be in 0 to 1";
    argument("cross_entropy", (0.0..=1.0).contains(&smooth), rule, smooth)?;
    Ok(smooth)
}

#[track_caller]
fn of_ids(x: &Tensor, target: &Tensor, options: CrossEntropy<'_>) -> Loss {
    let what = "cross_entropy";
    let ids = ids_of(what, x, target)?;
    let smooth = smoothing(&options)?;
    let shape = target.peek().shape;
    let x = rows_of(x);
    let op = Op::Rows(Rows::CrossEntropy { ignore: options.ignore_index });
    let mut rows = x.apply(op, &[&ids], None);
    let counts = counts(what, &x, &ids, options.weight, options.ignore_index)?;
    if options.weight.is_some()
        && let Some(counts) = &counts
    {
        rows = rows * counts;
    }
    if smooth > 0.0 {
        let logs = weighted(what, x.log_softmax(-1), options.weight)?;
        let mut all = -logs.sum_dim(-1);
        if let Some(id) = options.ignore_index {
            all = ids.ne(id).where_(all, 0.0);
        }
        rows = rows * (1.0 - smooth) + all * (smooth / x.peek().shape.last(0) as f64);
    }
    Ok(reduced(rows, counts.as_ref(), options.reduction, shape))
}

#[track_caller]
fn of_probabilities(x: &Tensor, target: &Tensor, options: CrossEntropy<'_>) -> Loss {
    let what = "cross_entropy";
    let t = matched(what, x, target)?;
    let smooth = smoothing(&options)?;
    if let Some(id) = options.ignore_index {
        let title = format!("{what}: class id {id} cannot be ignored among probabilities");
        return Err(recorder::failed(Error::new(Code::Argument, title), Location::caller()));
    }
    if x.peek().shape.rank() == 0 {
        let title = format!("{what}: logits [] have no classes");
        return Err(wrong_shapes(title, "logits are [batch, classes]"));
    }
    let (_, shape) = without_classes(x);
    let (x, mut t) = (rows_of(x), rows_of(&t));
    if smooth > 0.0 {
        t = t * (1.0 - smooth) + smooth / x.peek().shape.last(0) as f64;
    }
    let terms = weighted(what, x.log_softmax(-1) * t, options.weight)?;
    Ok(reduced(-terms.sum_dim(-1), None, options.reduction, shape))
}

#[track_caller]
fn nll(x: &Tensor, target: &Tensor, options: Nll<'_>) -> Loss {
    let what = "nll_loss";
    let ids = ids_of(what, x, target)?;
    let shape = target.peek().shape;
    let x = rows_of(x);
    let counts = counts(what, &x, &ids, options.weight, options.ignore_index)?;
    let mask = options.ignore_index.map(|id| ids.ne(id));
    let safe = match &mask {
        Some(mask) => mask.where_(&ids, 0),
        None => ids,
    };
    let mut rows = -x.gather(1, &safe.unsqueeze(1)).squeeze(1);
    if options.weight.is_some()
        && let Some(counts) = &counts
    {
        rows = rows * counts;
    }
    if let Some(mask) = mask {
        rows = mask.where_(rows, 0.0);
    }
    Ok(reduced(rows, counts.as_ref(), options.reduction, shape))
}
