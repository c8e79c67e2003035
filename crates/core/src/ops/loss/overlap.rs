//! The loss of regions: how much of a predicted one and of the true one is not common to both.

use super::{Loss, Reduction, argument, class_ids, either, matched, sound, wrong_shapes};
use crate::graph::shape::Shape;
use crate::tensor::Tensor;

/// Parameters of [`Tensor::dice_loss_with`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dice {
    /// Added to both sides of the fraction, so that two empty regions are equal; 1 by default, must
    /// not be negative.
    pub smooth: f64,
    /// Whether the sizes below the fraction are sums of squares, as in V-Net; not by default.
    pub squared: bool,
    /// Whether targets of the prediction's shape, `[batch, channels, ..]`, have a region in each
    /// channel; by default all of a sample is one region. With class ids it is always so.
    pub channels: bool,
    /// How the losses of regions become the result; the mean by default.
    pub reduction: Reduction,
}

impl Default for Dice {
    fn default() -> Dice {
        Dice { smooth: 1.0, squared: false, channels: false, reduction: Reduction::Mean }
    }
}

impl Tensor {
    /// The soft Dice loss of probabilities: the mean over regions of
    /// `1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1)`; a scalar, 0 if both regions are equal. It
    /// does not let a large background hide a small object.
    ///
    /// Two classes: targets are 0, 1 or probabilities, of the prediction's shape, `[batch, ..]`, and
    /// all of a sample is one region. More classes: probabilities are `[batch, classes, ..]` (after
    /// `softmax(1)`), targets are class ids `[batch, ..]`, and each class of each sample is a region.
    /// A vector is one region.
    ///
    /// Source: Milletari, Navab and Ahmadi, *V-Net*, 2016; Dice, 1945.
    ///
    /// # Errors
    /// [`Code::Shape`](crate::Code::Shape) when the shapes are neither; when run,
    /// [`Code::Index`](crate::Code::Index) when a class id is out of range.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let p = Tensor::from([[1.0, 1.0, 0.0, 0.0]]);
    /// let loss = p.dice_loss(&Tensor::from([[1, 0, 1, 0]]));
    /// assert!((loss.item()? - 0.4).abs() < 1e-6);
    /// let classes = Tensor::from([[[1.0, 0.0], [0.0, 1.0]]]);
    /// assert_eq!(classes.dice_loss(&Tensor::from([[0, 1]])).item()?, 0.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn dice_loss(&self, target: &Tensor) -> Tensor {
        self.dice_loss_with(target, Dice::default())
    }

    /// [`Tensor::dice_loss`] with parameters.
    ///
    /// Without a reduction the result has one loss for each region: `[batch]`, or
    /// `[batch, channels]`.
    ///
    /// # Errors
    /// [`Code::Argument`](crate::Code::Argument) when `smooth` is negative.
    #[track_caller]
    #[must_use]
    pub fn dice_loss_with(&self, target: &Tensor, options: Dice) -> Tensor {
        either(dice(self, target, options))
    }
}

#[track_caller]
fn dice(x: &Tensor, target: &Tensor, options: Dice) -> Loss {
    let what = "dice_loss";
    sound(what, &[x, target])?;
    argument(what, options.smooth >= 0.0, "`smooth` must not be negative", options.smooth)?;
    let (shape, of) = (x.peek().shape, target.peek().shape);
    let rank = shape.rank();
    let ids = rank >= 2 && of == shape.remove(1) && !target.peek().dtype.is_float();
    let t = if ids {
        let hot = class_ids(what, target)?.one_hot(shape.dim(1)).cast(x.peek().dtype);
        hot.movedim(-1, 1)
    } else {
        matched(what, x, target)?
    };
    // The first axes say which region, the rest is the region.
    let of_region = match (rank, ids || options.channels) {
        (0 | 1, true) => {
            let title = format!("{what}: predictions {shape} have no channels");
            return Err(wrong_shapes(title, "they are [batch, channels, ..]"));
        }
        (0 | 1, false) => 0,
        (_, channels) => 1 + usize::from(channels),
    };
    let regions = shape.dims().iter().take(of_region).copied();
    let inside: usize = shape.dims().iter().skip(of_region).product();
    let flat: Vec<usize> = regions.chain([inside]).collect();
    let flat = Shape::new(&flat);
    let (p, t) = (x.reshape_to(flat), t.reshape_to(flat));
    let common = (&p * &t).sum_dim(-1);
    let sizes = match options.squared {
        true => p.square() + t.square(),
        false => p + t,
    };
    let sizes = sizes.sum_dim(-1);
    let losses = 1.0 - (common * 2.0 + options.smooth) / (sizes + options.smooth);
    Ok(options.reduction.of(&losses))
}
