//! Losses that pull the vectors of like things together and push others apart.

use super::{Loss, Reduction, TripletMargin, argument, either, matched, sound, wrong_shapes};
use crate::tensor::Tensor;

/// Parameters of [`Tensor::contrastive_loss_with`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrastive {
    /// How far apart dissimilar pairs have to be; 1 by default, must be positive.
    pub margin: f64,
    /// How single losses become the result; the mean by default.
    pub reduction: Reduction,
}

impl Default for Contrastive {
    fn default() -> Contrastive {
        Contrastive { margin: 1.0, reduction: Reduction::Mean }
    }
}

/// Parameters of [`Tensor::info_nce_loss_with`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InfoNce {
    /// What the cosines are divided by; 0.1 by default, must be positive. Small ones look at the
    /// nearest negatives only.
    pub temperature: f64,
    /// Whether each key has to find its query too (CLIP); then the loss is the mean of both
    /// directions. Not by default.
    pub symmetric: bool,
    /// Whether vectors are divided by their length first, so that products are cosines; by default
    /// they are.
    pub normalize: bool,
    /// How the losses of rows become the result; the mean by default.
    pub reduction: Reduction,
}

impl Default for InfoNce {
    fn default() -> InfoNce {
        let reduction = Reduction::Mean;
        InfoNce { temperature: 0.1, symmetric: false, normalize: true, reduction }
    }
}

impl Tensor {
    /// The contrastive loss of pairs of vectors `[batch, size]` that are similar (target 1: half the
    /// squared distance `d`) or not (target 0: `max(0, 1 - d)^2 / 2`); the mean, a scalar. Targets
    /// are `[batch]`. Two vectors `[size]` with one target work too.
    ///
    /// Source: Hadsell, Chopra and LeCun, *Dimensionality reduction by learning an invariant
    /// mapping*, 2006 (where 0 means similar).
    ///
    /// # Errors
    /// [`Code::Shape`](crate::Code::Shape) when the vectors differ in shape or the targets are not
    /// one a pair.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let a = Tensor::from([[0.0, 0.0], [0.0, 0.0]]);
    /// let b = Tensor::from([[0.6, 0.8], [0.3, 0.4]]);
    /// let loss = a.contrastive_loss(&b, &Tensor::from([1, 0]));
    /// assert!((loss.item()? - (0.5 + 0.125) / 2.0).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn contrastive_loss(&self, other: &Tensor, target: &Tensor) -> Tensor {
        self.contrastive_loss_with(other, target, Contrastive::default())
    }

    /// [`Tensor::contrastive_loss`] with parameters: `max(0, margin - d)^2 / 2` for targets 0.
    ///
    /// # Errors
    /// [`Code::Argument`](crate::Code::Argument) when `margin` is not positive.
    #[track_caller]
    #[must_use]
    pub fn contrastive_loss_with(
        &self,
        other: &Tensor,
        target: &Tensor,
        options: Contrastive,
    ) -> Tensor {
        either(contrastive(self, other, target, options))
    }

    /// [`Tensor::triplet_margin_loss`] with another distance: the mean of
    /// `max(0, margin + distance(a, p) - distance(a, n))`; a scalar. Of the options, `margin`, `swap`
    /// and `reduction` count. `distance` gives a number for each pair, of any shape.
    ///
    /// # Errors
    /// [`Code::Shape`](crate::Code::Shape) when the three shapes differ,
    /// [`Code::Argument`](crate::Code::Argument) when `margin` is not positive.
    ///
    /// ```
    /// use gradus_core::{Tensor, ops::loss::TripletMargin};
    /// let angle = |a: &Tensor, b: &Tensor| 1.0 - a.cosine_similarity(b, -1, 1e-8);
    /// let (a, n) = (Tensor::from([[1.0, 0.0]]), Tensor::from([[0.0, 1.0]]));
    /// let options = TripletMargin { margin: 1.5, ..TripletMargin::default() };
    /// let loss = a.triplet_margin_with_distance_loss(&(&a * 3.0), &n, angle, options);
    /// assert!((loss.item()? - 0.5).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn triplet_margin_with_distance_loss(
        &self,
        positive: &Tensor,
        negative: &Tensor,
        distance: impl Fn(&Tensor, &Tensor) -> Tensor,
        options: TripletMargin,
    ) -> Tensor {
        either(triplet(self, positive, negative, &distance, options))
    }

    /// InfoNCE: of queries (this) and keys `[batch, size]`, each query has to find the key of its
    /// row among all keys of the batch; a scalar in nats. With `c` the cosines divided by a
    /// temperature of 0.1, it is the mean over rows of `ln sum_j e^c[i, j] - c[i, i]`.
    ///
    /// The other rows are the negatives, so larger batches ask more. It is at most about
    /// `ln(batch)` where nothing is learned.
    ///
    /// Source: van den Oord, Li and Vinyals, *Representation learning with contrastive predictive
    /// coding*, 2018; symmetric: Radford and others, *CLIP*, 2021.
    ///
    /// # Errors
    /// [`Code::Shape`](crate::Code::Shape) unless both are `[batch, size]`, of one shape.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let queries = Tensor::from([[1.0, 0.0], [0.0, 2.0]]);
    /// let loss = queries.info_nce_loss(&queries);
    /// assert!((loss.item()? - (-10f64).exp().ln_1p()).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn info_nce_loss(&self, keys: &Tensor) -> Tensor {
        self.info_nce_loss_with(keys, InfoNce::default())
    }

    /// [`Tensor::info_nce_loss`] with parameters.
    ///
    /// # Errors
    /// [`Code::Argument`](crate::Code::Argument) when `temperature` is not positive.
    #[track_caller]
    #[must_use]
    pub fn info_nce_loss_with(&self, keys: &Tensor, options: InfoNce) -> Tensor {
        either(info_nce(self, keys, options))
    }
}

#[track_caller]
fn contrastive(x: &Tensor, other: &Tensor, target: &Tensor, options: Contrastive) -> Loss {
    let what = "contrastive_loss";
    let other = matched(what, x, other)?;
    sound(what, &[x, target])?;
    argument(what, options.margin > 0.0, "`margin` must be positive", options.margin)?;
    let (shape, of) = (x.peek().shape, target.peek().shape);
    if !(1..=2).contains(&shape.rank()) || of != shape.remove(shape.rank() - 1) {
        let title = format!("{what}: vectors {shape} and targets {of} do not go together");
        return Err(wrong_shapes(title, "vectors are [batch, size], targets [batch]"));
    }
    let t = target.cast(x.peek().dtype);
    let square = (x - other).square().sum_dim(-1);
    // The root has no derivative at 0; equal vectors that should differ are pushed nowhere.
    let apart = square.gt(0.0);
    let distance = apart.where_(apart.where_(&square, 1.0).sqrt(), 0.0);
    let missing = (options.margin - distance).relu().square();
    Ok(options.reduction.of(&((&t * square + (1.0 - &t) * missing) * 0.5)))
}

#[track_caller]
fn info_nce(x: &Tensor, keys: &Tensor, options: InfoNce) -> Loss {
    let what = "info_nce_loss";
    let keys = matched(what, x, keys)?;
    argument(
        what,
        options.temperature > 0.0,
        "`temperature` must be positive",
        options.temperature,
    )?;
    let shape = x.peek().shape;
    if shape.rank() != 2 {
        let title = format!("{what}: vectors {shape} are not [batch, size]");
        return Err(wrong_shapes(title, "a row of queries goes with that row of keys"));
    }
    let unit = |v: &Tensor| match options.normalize {
        true => v.normalize(2, -1, 1e-12),
        false => v.clone(),
    };
    let logits = unit(x).matmul(unit(&keys).t()) / options.temperature;
    let own = Tensor::arange(0, shape.dim(0) as i64);
    let mut losses = logits.cross_entropy_rows(&own);
    if options.symmetric {
        losses = (losses + logits.t().cross_entropy_rows(&own)) * 0.5;
    }
    Ok(options.reduction.of(&losses))
}

#[track_caller]
fn triplet(
    a: &Tensor,
    positive: &Tensor,
    negative: &Tensor,
    distance: &dyn Fn(&Tensor, &Tensor) -> Tensor,
    options: TripletMargin,
) -> Loss {
    let what = "triplet_margin_with_distance_loss";
    let (p, n) = (matched(what, a, positive)?, matched(what, a, negative)?);
    argument(what, options.margin > 0.0, "`margin` must be positive", options.margin)?;
    let near = distance(a, &p);
    let mut far = distance(a, &n);
    if options.swap {
        far = far.minimum(distance(&p, &n));
    }
    Ok(options.reduction.of(&(near - far + options.margin).relu()))
}
