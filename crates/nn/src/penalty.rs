//! Penalties on parameters, to add to a loss: lasso, ridge, elastic net, and one of your own.
//!
//! A penalty is a tensor like any other, so it can count some of the parameters only, and its factor
//! may change from step to step. For decay inside the update see the optimizers' `weight_decay`: with
//! plain SGD an L2 penalty of `lambda` is a decay of `2 * lambda`; with Adam the two differ.

use gradus_core::{Param, Tensor};

use crate::module::Module;
use crate::walk;

/// Picks weights and leaves out biases: what a penalty usually counts. By name: the last part of a
/// bias's name begins or ends with `bias`.
///
/// ```
/// use gradus_nn::{Linear, ModuleExt, penalty};
/// let model = Linear::new(3, 2);
/// assert_eq!(model.select(penalty::weights).num_parameters(), 6);
/// ```
pub fn weights(name: &str, _: &Param) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    !(last.starts_with("bias") || last.ends_with("bias"))
}

/// Picks every parameter.
pub fn all(_: &str, _: &Param) -> bool {
    true
}

/// The sum of `f` over the parameters of a model; those for which it is `None` do not count. Nothing
/// counted is 0.
///
/// ```
/// use gradus_nn::{Linear, penalty};
/// let model = Linear::new(3, 2);
/// // Weights far from 1 cost, the more the further; biases do not.
/// let cost = penalty::sum(&model, |name, w| (name == "weight").then(|| (w - 1.0).square().sum()));
/// assert!(cost.item()? > 0.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[track_caller]
#[must_use]
pub fn sum<M: Module + ?Sized>(model: &M, f: impl Fn(&str, &Tensor) -> Option<Tensor>) -> Tensor {
    over(model, |name, param| f(name, &param.tensor()))
}

#[track_caller]
fn over<M: Module + ?Sized>(model: &M, f: impl Fn(&str, &Param) -> Option<Tensor>) -> Tensor {
    let params = walk::parts(model).params;
    let own = params.iter().filter_map(|(name, param)| f(name, param));
    own.reduce(|a, b| a + b).unwrap_or_else(|| Tensor::from(0.0))
}

#[track_caller]
fn selected<M: Module + ?Sized>(
    model: &M,
    select: impl Fn(&str, &Param) -> bool,
    f: impl Fn(&Tensor) -> Tensor,
) -> Tensor {
    over(model, |name, param| select(name, param).then(|| f(&param.tensor())))
}

/// `lambda * sum |w|` over the parameters that `select` picks: lasso, which makes weights exactly
/// small. Tibshirani, 1996.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Linear, Optimizer, Sgd, penalty};
/// let model = Linear::new(3, 2);
/// let mut opt = Sgd::new(&model, 0.1);
/// let (x, y) = (Tensor::ones([4, 3]), Tensor::ones([4, 2]));
/// let loss = model.forward(&x).mse_loss(&y) + penalty::l1(&model, 1e-3, penalty::weights);
/// opt.step(&loss)?;
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[track_caller]
#[must_use]
pub fn l1<M: Module + ?Sized>(
    model: &M,
    lambda: f64,
    select: impl Fn(&str, &Param) -> bool,
) -> Tensor {
    lambda * selected(model, select, |w| w.abs().sum())
}

/// [`l1`] over the number of values that it counts: `lambda` times their mean size.
///
/// ```
/// use gradus_core::{Array, Tensor};
/// use gradus_nn::{Linear, penalty};
/// let model = Linear::new(2, 1);
/// model.weight.set(Array::new([1, 2], &[3.0f32, -5.0])?)?;
/// assert_eq!(penalty::l1_mean(&model, 0.5, penalty::weights).item()?, 2.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[track_caller]
#[must_use]
pub fn l1_mean<M: Module + ?Sized>(
    model: &M,
    lambda: f64,
    select: impl Fn(&str, &Param) -> bool,
) -> Tensor {
    let picked = walk::parts(model).params.into_iter().filter(|(name, p)| select(name, p));
    let numel: usize = picked.map(|(_, p)| p.numel()).sum();
    l1(model, lambda / numel.max(1) as f64, select)
}

/// `lambda * sum w^2` over the parameters that `select` picks: ridge. Hoerl and Kennard, 1970.
///
/// ```
/// use gradus_core::Array;
/// use gradus_nn::{Linear, penalty};
/// let model = Linear::new(2, 1);
/// model.weight.set(Array::new([1, 2], &[3.0f32, -5.0])?)?;
/// assert_eq!(penalty::l2(&model, 0.5, penalty::weights).item()?, 17.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[track_caller]
#[must_use]
pub fn l2<M: Module + ?Sized>(
    model: &M,
    lambda: f64,
    select: impl Fn(&str, &Param) -> bool,
) -> Tensor {
    lambda * selected(model, select, |w| w.square().sum())
}

/// `lambda * (l1_ratio * sum |w| + (1 - l1_ratio) / 2 * sum w^2)`: the elastic net, as scikit-learn
/// weighs it. Zou and Hastie, 2005.
///
/// ```
/// use gradus_core::Array;
/// use gradus_nn::{Linear, penalty};
/// let model = Linear::new(2, 1);
/// model.weight.set(Array::new([1, 2], &[3.0f32, -5.0])?)?;
/// let penalty = penalty::elastic_net(&model, 0.1, 0.5, penalty::weights);
/// assert!((penalty.item()? - 0.1 * (0.5 * 8.0 + 0.25 * 34.0)).abs() < 1e-6);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[track_caller]
#[must_use]
pub fn elastic_net<M: Module + ?Sized>(
    model: &M,
    lambda: f64,
    l1_ratio: f64,
    select: impl Fn(&str, &Param) -> bool,
) -> Tensor {
    let (first, second) = (lambda * l1_ratio, lambda * (1.0 - l1_ratio) / 2.0);
    selected(model, select, |w| first * w.abs().sum() + second * w.square().sum())
}
