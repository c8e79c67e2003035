//! Losses that ask for a margin: of one score over another, of a distance, of an angle.

use super::binary::{bce_of_logits, softplus};
use super::{Loss, Reduction, argument, class_ids, either, matched, sound, weighted, wrong_shapes};
use crate::graph::shape::Shape;
use crate::tensor::Tensor;

macro_rules! margin {
    ($(#[$doc:meta])* $name:ident, $margin:literal, $says:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name {
            #[doc = $says]
            pub margin: f64,
            /// How single losses become the result; the mean by default.
            pub reduction: Reduction,
        }

        impl Default for $name {
            fn default() -> $name {
                $name { margin: $margin, reduction: Reduction::Mean }
            }
        }
    };
}

margin! {
    /// Parameters of [`Tensor::hinge_embedding_loss_with`].
    HingeEmbedding, 1.0, "How far apart dissimilar pairs have to be; 1 by default."
}
margin! {
    /// Parameters of [`Tensor::margin_ranking_loss_with`].
    MarginRanking, 0.0, "By how much the right one has to be ahead; 0 by default."
}
margin! {
    /// Parameters of [`Tensor::cosine_embedding_loss_with`].
    CosineEmbedding, 0.0, "The cosine that dissimilar pairs may have; 0 by default."
}

/// Parameters of [`Tensor::hinge_loss_with`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hinge {
    /// How far on the right side a score has to be; 1 by default.
    pub margin: f64,
    /// Whether what is missing is squared, which has a derivative at the margin; not by default.
    pub squared: bool,
    /// How single losses become the result; the mean by default.
    pub reduction: Reduction,
}

impl Default for Hinge {
    fn default() -> Hinge {
        Hinge { margin: 1.0, squared: false, reduction: Reduction::Mean }
    }
}

/// Parameters of [`Tensor::triplet_margin_loss_with`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TripletMargin {
    /// By how much the negative has to be farther; 1 by default, must be positive.
    pub margin: f64,
    /// The norm of distances; 2 by default, must be positive.
    pub p: f64,
    /// Added to each difference, so that equal vectors have a gradient; 1e-6 by default.
    pub eps: f64,
    /// Whether the distance of the positive from the negative counts where it is the smaller one
    /// (Balntas and others, 2016); not by default.
    pub swap: bool,
    /// How single losses become the result; the mean by default.
    pub reduction: Reduction,
}

impl Default for TripletMargin {
    fn default() -> TripletMargin {
        let reduction = Reduction::Mean;
        TripletMargin { margin: 1.0, p: 2.0, eps: 1e-6, swap: false, reduction }
    }
}

/// Parameters of [`Tensor::multi_margin_loss_with`].
#[derive(Clone, Copy, Debug)]
pub struct MultiMargin<'a> {
    /// Whether what is missing to the margin is squared; not by default (PyTorch's `p = 2`).
    pub squared: bool,
    /// By how much the right class has to be ahead; 1 by default.
    pub margin: f64,
    /// How much each class counts, `[classes]`; all the same by default.
    pub weight: Option<&'a Tensor>,
    /// How single losses become the result; the mean by default.
    pub reduction: Reduction,
}

impl Default for MultiMargin<'_> {
    fn default() -> Self {
        MultiMargin { squared: false, margin: 1.0, weight: None, reduction: Reduction::Mean }
    }
}

/// Parameters of [`Tensor::multilabel_soft_margin_loss_with`].
#[derive(Clone, Copy, Debug, Default)]
pub struct MultilabelSoftMargin<'a> {
    /// What the loss of each class is multiplied with; broadcasts to the logits.
    pub weight: Option<&'a Tensor>,
    /// How the losses of rows become the result; the mean by default.
    pub reduction: Reduction,
}

impl Tensor {
    /// The logistic loss of scores and targets 1 or -1: `mean(ln(1 + e^(-target x)))`; a scalar.
    /// Shapes must be equal.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([0.0, 200.0]).soft_margin_loss(&Tensor::from([1, -1]));
    /// assert!((loss.item()? - (2f64.ln() + 200.0) / 2.0).abs() < 1e-4);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn soft_margin_loss(&self, target: &Tensor) -> Tensor {
        self.soft_margin_loss_with(target, Reduction::Mean)
    }

    /// [`Tensor::soft_margin_loss`] with another reduction.
    #[track_caller]
    #[must_use]
    pub fn soft_margin_loss_with(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        match matched("soft_margin_loss", self, target) {
            Ok(t) => reduction.of(&softplus(&(-t * self))),
            Err(failed) => failed,
        }
    }

    /// The hinge loss of scores and targets 1 or -1, that of a support vector machine:
    /// `mean(max(0, 1 - target x))`; a scalar. Shapes must be equal.
    ///
    /// Source: Cortes and Vapnik, *Support-vector networks*, 1995.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([2.0, 0.5]).hinge_loss(&Tensor::from([1, -1]));
    /// assert_eq!(loss.item()?, 0.75);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn hinge_loss(&self, target: &Tensor) -> Tensor {
        self.hinge_loss_with(target, Hinge::default())
    }

    /// [`Tensor::hinge_loss`] with parameters.
    #[track_caller]
    #[must_use]
    pub fn hinge_loss_with(&self, target: &Tensor, options: Hinge) -> Tensor {
        match matched("hinge_loss", self, target) {
            Ok(t) => {
                let missing = (options.margin - t * self).relu();
                let losses = if options.squared { missing.square() } else { missing };
                options.reduction.of(&losses)
            }
            Err(failed) => failed,
        }
    }

    /// The loss of distances between pairs that are similar (target 1: the distance itself) or not
    /// (target -1: what is missing to a margin of 1); the mean, a scalar. Shapes must be equal.
    ///
    /// Source: Hadsell, Chopra and LeCun, *Dimensionality reduction by learning an invariant
    /// mapping*, 2006, without the squares.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([0.5, 0.25]).hinge_embedding_loss(&Tensor::from([1, -1]));
    /// assert_eq!(loss.item()?, 0.625);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn hinge_embedding_loss(&self, target: &Tensor) -> Tensor {
        self.hinge_embedding_loss_with(target, HingeEmbedding::default())
    }

    /// [`Tensor::hinge_embedding_loss`] with parameters.
    #[track_caller]
    #[must_use]
    pub fn hinge_embedding_loss_with(&self, target: &Tensor, options: HingeEmbedding) -> Tensor {
        match matched("hinge_embedding_loss", self, target) {
            Ok(t) => {
                let far = t.ne(1.0).where_((options.margin - self).relu(), 0.0);
                let near = t.ne(-1.0).where_(self, 0.0);
                options.reduction.of(&(far + near))
            }
            Err(failed) => failed,
        }
    }

    /// The loss of pairs of scores of which this (target 1) or the other (target -1) is to be the
    /// larger: `mean(max(0, -target (self - other)))`; a scalar. Shapes must be equal.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (a, b) = (Tensor::from([1.0, 2.0]), Tensor::from([3.0, 1.0]));
    /// assert_eq!(a.margin_ranking_loss(&b, &Tensor::from([1, 1])).item()?, 1.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn margin_ranking_loss(&self, other: &Tensor, target: &Tensor) -> Tensor {
        self.margin_ranking_loss_with(other, target, MarginRanking::default())
    }

    /// [`Tensor::margin_ranking_loss`] with parameters: `max(0, margin - target (self - other))`.
    #[track_caller]
    #[must_use]
    pub fn margin_ranking_loss_with(
        &self,
        other: &Tensor,
        target: &Tensor,
        options: MarginRanking,
    ) -> Tensor {
        either(ranking(self, other, target, options))
    }

    /// The loss of the angle between rows `[batch, size]` that are similar (target 1: one minus the
    /// cosine) or not (target -1: the cosine, if positive); the mean, a scalar. Targets are
    /// `[batch]`. Two vectors `[size]` with one target work too.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (a, b) = (Tensor::from([[1.0, 0.0]]), Tensor::from([[3.0, 4.0]]));
    /// let loss = a.cosine_embedding_loss(&b, &Tensor::from([-1]));
    /// assert!((loss.item()? - 0.6).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn cosine_embedding_loss(&self, other: &Tensor, target: &Tensor) -> Tensor {
        self.cosine_embedding_loss_with(other, target, CosineEmbedding::default())
    }

    /// [`Tensor::cosine_embedding_loss`] with parameters: for targets -1, `max(0, cosine - margin)`.
    ///
    /// # Errors
    /// [`Code::Argument`](crate::Code::Argument) when `margin` is not in -1 to 1.
    #[track_caller]
    #[must_use]
    pub fn cosine_embedding_loss_with(
        &self,
        other: &Tensor,
        target: &Tensor,
        options: CosineEmbedding,
    ) -> Tensor {
        either(cosine(self, other, target, options))
    }

    /// The loss of an anchor (this), a positive that is to be near and a negative that is to be
    /// farther by 1: the mean of `max(0, 1 + |a - p| - |a - n|)`, distances over the last axis; a
    /// scalar. The three shapes must be equal.
    ///
    /// Source: Schroff, Kalenichenko and Philbin, *FaceNet*, 2015, without the squares.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let a = Tensor::from([[0.0, 0.0]]);
    /// let loss = a.triplet_margin_loss(&Tensor::from([[3.0, 4.0]]), &Tensor::from([[0.0, 2.0]]));
    /// assert!((loss.item()? - 4.0).abs() < 1e-5);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn triplet_margin_loss(&self, positive: &Tensor, negative: &Tensor) -> Tensor {
        self.triplet_margin_loss_with(positive, negative, TripletMargin::default())
    }

    /// [`Tensor::triplet_margin_loss`] with parameters.
    ///
    /// # Errors
    /// [`Code::Argument`](crate::Code::Argument) when `margin` or `p` is not positive.
    #[track_caller]
    #[must_use]
    pub fn triplet_margin_loss_with(
        &self,
        positive: &Tensor,
        negative: &Tensor,
        options: TripletMargin,
    ) -> Tensor {
        either(triplet(self, positive, negative, options))
    }

    /// The loss of scores `[batch, classes]` of which that of the class id is to be ahead of each
    /// other by 1: the mean over rows of `sum_i max(0, 1 - x[id] + x[i]) / classes`, `i` not the id;
    /// a scalar. Scores `[classes]` with one id work too.
    ///
    /// Source: Crammer and Singer, *On the algorithmic implementation of multiclass kernel-based
    /// vector machines*, 2001.
    ///
    /// # Errors
    /// When run, [`Code::Index`](crate::Code::Index) when a class id is out of range.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let loss = Tensor::from([[1.0, 0.5, 0.0]]).multi_margin_loss(&Tensor::from([0]));
    /// assert!((loss.item()? - 0.5 / 3.0).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn multi_margin_loss(&self, target: &Tensor) -> Tensor {
        self.multi_margin_loss_with(target, MultiMargin::default())
    }

    /// [`Tensor::multi_margin_loss`] with parameters.
    #[track_caller]
    #[must_use]
    pub fn multi_margin_loss_with(&self, target: &Tensor, options: MultiMargin<'_>) -> Tensor {
        either(multi(self, target, options))
    }

    /// The loss of scores `[batch, classes]` where those of several right classes are to be ahead
    /// of all others by 1: the mean over rows of `sum max(0, 1 - x[j] + x[i]) / classes` over right
    /// `j` and wrong `i`; a scalar.
    ///
    /// Targets have the scores' shape: ids of the right classes, then -1, then anything.
    ///
    /// # Errors
    /// When run, [`Code::Index`](crate::Code::Index) when a class id is out of range.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[0.1, 0.2, 0.4, 0.8]]);
    /// let loss = x.multilabel_margin_loss(&Tensor::from([[3, 0, -1, 1]]));
    /// assert!((loss.item()? - 0.85).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn multilabel_margin_loss(&self, target: &Tensor) -> Tensor {
        self.multilabel_margin_loss_with(target, Reduction::Mean)
    }

    /// [`Tensor::multilabel_margin_loss`] with another reduction (of the losses of rows).
    #[track_caller]
    #[must_use]
    pub fn multilabel_margin_loss_with(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        either(multilabel(self, target, reduction))
    }

    /// Binary cross-entropy of logits `[batch, classes]` and targets 0 or 1 of that shape, the mean
    /// over classes and then over rows; a scalar.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[0.0, 0.0]]);
    /// let loss = x.multilabel_soft_margin_loss(&Tensor::from([[1, 0]]));
    /// assert!((loss.item()? - 2f64.ln()).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn multilabel_soft_margin_loss(&self, target: &Tensor) -> Tensor {
        self.multilabel_soft_margin_loss_with(target, MultilabelSoftMargin::default())
    }

    /// [`Tensor::multilabel_soft_margin_loss`] with parameters.
    #[track_caller]
    #[must_use]
    pub fn multilabel_soft_margin_loss_with(
        &self,
        target: &Tensor,
        options: MultilabelSoftMargin<'_>,
    ) -> Tensor {
        either(multilabel_soft(self, target, options))
    }
}

#[track_caller]
fn ranking(x: &Tensor, other: &Tensor, target: &Tensor, options: MarginRanking) -> Loss {
    let what = "margin_ranking_loss";
    let other = matched(what, x, other)?;
    let t = matched(what, x, target)?;
    Ok(options.reduction.of(&(options.margin - t * (x - other)).relu()))
}

#[track_caller]
fn cosine(x: &Tensor, other: &Tensor, target: &Tensor, options: CosineEmbedding) -> Loss {
    let what = "cosine_embedding_loss";
    let other = matched(what, x, other)?;
    sound(what, &[x, target])?;
    let margin = options.margin;
    argument(what, (-1.0..=1.0).contains(&margin), "`margin` must be in -1 to 1", margin)?;
    let (shape, of) = (x.peek().shape, target.peek().shape);
    if !(1..=2).contains(&shape.rank()) || of != shape.remove(shape.rank() - 1) {
        let title = format!("{what}: vectors {shape} and targets {of} do not go together");
        return Err(wrong_shapes(title, "vectors are [batch, size], targets [batch]"));
    }
    let t = target.cast(x.peek().dtype);
    // As PyTorch has it, so that a vector of zeros has a cosine and a gradient of 0.
    let eps = 1e-12;
    let norms = (x.square().sum_dim(-1) + eps) * (other.square().sum_dim(-1) + eps);
    let cosine = (x * &other).sum_dim(-1) / norms.sqrt();
    let near = t.eq(1.0).where_(1.0 - &cosine, 0.0);
    let far = t.eq(-1.0).where_((cosine - margin).relu(), 0.0);
    Ok(options.reduction.of(&(near + far)))
}

#[track_caller]
fn distance(a: &Tensor, b: &Tensor, options: TripletMargin) -> Tensor {
    let d = a - b + options.eps;
    if options.p == 2.0 {
        return d.square().sum_dim(-1).sqrt();
    }
    if options.p == 1.0 {
        return d.abs().sum_dim(-1);
    }
    if options.p.is_infinite() {
        return d.abs().max_dim(-1);
    }
    d.abs().pow(options.p).sum_dim(-1).pow(1.0 / options.p)
}

#[track_caller]
fn triplet(a: &Tensor, positive: &Tensor, negative: &Tensor, options: TripletMargin) -> Loss {
    let what = "triplet_margin_loss";
    let (p, n) = (matched(what, a, positive)?, matched(what, a, negative)?);
    argument(what, options.margin > 0.0, "`margin` must be positive", options.margin)?;
    argument(what, options.p > 0.0, "`p` must be positive", options.p)?;
    if a.peek().shape.rank() == 0 {
        let title = format!("{what}: the anchor [] is no vector");
        return Err(wrong_shapes(title, "vectors are [batch, size]"));
    }
    let near = distance(a, &p, options);
    let mut far = distance(a, &n, options);
    if options.swap {
        far = far.minimum(distance(&p, &n, options));
    }
    Ok(options.reduction.of(&(near - far + options.margin).relu()))
}

#[track_caller]
fn multi(x: &Tensor, target: &Tensor, options: MultiMargin<'_>) -> Loss {
    let what = "multi_margin_loss";
    sound(what, &[x, target])?;
    let target = class_ids(what, target)?;
    let (shape, of) = (x.peek().shape, target.peek().shape);
    let single = shape.rank() == 1;
    if !(1..=2).contains(&shape.rank())
        || shape.last(0) == 0
        || of != shape.remove(shape.rank() - 1)
    {
        let title = format!("{what}: scores {shape} and class ids {of} do not go together");
        return Err(wrong_shapes(title, "scores are [batch, classes], class ids are [batch]"));
    }
    let (x, ids) = match single {
        true => (x.unsqueeze(0), target.unsqueeze(0)),
        false => (x.clone(), target.clone()),
    };
    let ids = ids.unsqueeze(1);
    let classes = shape.last(0);
    let mut missing = (&x - x.gather(1, &ids) + options.margin).relu();
    if options.squared {
        missing = missing.square();
    }
    if let Some(weight) = options.weight {
        sound(what, &[weight])?;
        let w = weight.peek().shape;
        if w != Shape::new(&[classes]) {
            let title = format!("{what}: weight {w} is not [classes], which is [{classes}]");
            return Err(wrong_shapes(title, "one weight for each class"));
        }
        let each = weight.cast(x.peek().dtype).index_select(0, &ids.squeeze(1));
        missing = missing * each.unsqueeze(1);
    }
    let others = Tensor::arange(0, classes as i64).ne(&ids);
    let rows = others.where_(missing, 0.0).sum_dim(-1) / classes as f64;
    Ok(options.reduction.of(&if single { rows.squeeze(0) } else { rows }))
}

#[track_caller]
fn multilabel(x: &Tensor, target: &Tensor, reduction: Reduction) -> Loss {
    let what = "multilabel_margin_loss";
    sound(what, &[x, target])?;
    let ids = class_ids(what, target)?;
    let (shape, of) = (x.peek().shape, ids.peek().shape);
    if shape.rank() == 0 && of.rank() == 0 {
        return multilabel(&x.unsqueeze(0), &ids.unsqueeze(0), reduction);
    }
    if !(1..=2).contains(&shape.rank()) || shape.last(0) == 0 || of != shape {
        let title = format!("{what}: scores {shape} and class ids {of} do not go together");
        return Err(wrong_shapes(title, "both are [batch, classes]; ids end with -1"));
    }
    let (classes, dtype) = (shape.last(0), x.peek().dtype);
    // Ids count up to the first negative one: no negative one at or before their place.
    let places = Tensor::arange(0, classes as i64);
    let before = places.unsqueeze(1).le(&places).cast(dtype);
    let negative = ids.lt(0).cast(dtype);
    let negative = if shape.rank() == 1 { negative.unsqueeze(0) } else { negative };
    let counts = negative.matmul(before).reshape_to(shape).eq(0.0);
    let safe = counts.where_(&ids, 0);
    let right = counts.unsqueeze(-1) & safe.unsqueeze(-1).eq(&places);
    let right = right.cast(dtype).sum_dim(-2).gt(0.0);
    // [.., j, i]: the right class j against the other class i.
    let missing = (x.unsqueeze(-2) - x.gather(-1, &safe).unsqueeze(-1) + 1.0).relu();
    let pairs = counts.unsqueeze(-1) & !right.unsqueeze(-2);
    let rows = pairs.where_(missing, 0.0).sum_dim([-1, -2]) / classes as f64;
    Ok(reduction.of(&rows))
}

#[track_caller]
fn multilabel_soft(x: &Tensor, target: &Tensor, options: MultilabelSoftMargin<'_>) -> Loss {
    let what = "multilabel_soft_margin_loss";
    let t = matched(what, x, target)?;
    if x.peek().shape.rank() == 0 {
        let title = format!("{what}: logits [] have no classes");
        return Err(wrong_shapes(title, "logits are [batch, classes]"));
    }
    let losses = weighted(what, bce_of_logits(x, &t), options.weight)?;
    Ok(options.reduction.of(&losses.mean_dim(-1)))
}
