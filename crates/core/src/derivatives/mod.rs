//! Derivatives as functions of functions, as in JAX and `torch.func`: [`grad`], [`vjp`], [`jvp`],
//! [`hvp`], [`jacobian`], [`hessian`], [`per_sample_gradients`], and [`vmap`], which maps a function
//! of one sample over a batch.
//!
//! They work for any function written with tensors, inside `no_grad`, inside one another, and their
//! results have derivatives themselves. `x` need not be a `with_grad` leaf: the function gets a
//! tensor that gradients reach, and a result that does not depend on it has a derivative of zero.
//! Nothing runs until a result is read.
//!
//! For what is already recorded (a model's loss, and its parameters) there are the same as methods:
//! [`Tensor::grads`], [`Tensor::vjp`], [`Tensor::hvp`], [`Tensor::jacobian`], [`Tensor::hessian`].
//! [`functional_call`] makes a model a function of its parameters.
//!
//! ```
//! use gradus_core::{Tensor, derivatives::{grad, hessian, jacobian}};
//! let f = |x: &Tensor| (x * x * x).sum();
//! let x = Tensor::from([1.0, 2.0]);
//! assert_eq!(grad(f, &x)?.to_vec::<f32>()?, [3.0, 12.0]);
//! assert_eq!(hessian(f, &x)?.to_vec::<f32>()?, [6.0, 0.0, 0.0, 12.0]);
//! assert_eq!(jacobian(|x| x * x, &x)?.to_vec::<f32>()?, [2.0, 0.0, 0.0, 4.0]);
//! # Ok::<(), gradus_core::Error>(())
//! ```

mod batch;
pub(crate) mod functional;
mod vmap;

use std::panic::Location;

pub use functional::functional_call;
pub use vmap::{vmap, vmap_many};

use crate::autodiff;
use crate::error::{Code, Error, Result};
use crate::gradients::Gradients;
use crate::graph::recorder::{self, Side};
use crate::graph::shape::Shape;
use crate::graph::trace::open;
use crate::mode;
use crate::ops::Op;
use crate::param::Param;
use crate::tensor::{Tensor, operand};

type Place = &'static Location<'static>;

/// Records `f` with history, whatever the mode; under `no_grad` the results have none.
fn with_history(f: impl FnOnce() -> Result<Vec<Tensor>>) -> Result<Vec<Tensor>> {
    let keep = recorder::with(|r| r.mode.grad);
    let ys = mode::with_history(f)?;
    Ok(if keep { ys } else { ys.iter().map(Tensor::detach).collect() })
}

/// The derivative of `y` for each of `xs` (seeded by a cotangent unless `y` is a scalar), zeros
/// where it does not depend on one.
fn pull(y: &Tensor, xs: &[&Tensor], seed: Option<&Tensor>, place: Place) -> Result<Vec<Tensor>> {
    let found = autodiff::grad_or_none(y, xs, seed, place)?;
    Ok(found.into_iter().zip(xs).map(|(g, x)| g.unwrap_or_else(|| zeros(x, place))).collect())
}

/// Zeros of the shape and type of `like`.
fn zeros(like: &Tensor, place: Place) -> Tensor {
    let meta = like.peek();
    let zero = operand::number(0.0, meta.dtype, place);
    recorder::record(Op::Broadcast, &[&zero], Some(meta.shape), Side::None, place)
}

fn fail<T>(code: Code, text: String, place: Place) -> Result<T> {
    Err(recorder::with(|r| r.locate(Error::new(code, text), r.scopes.current, place)))
}

/// `sum(xs[i] * vs[i])`: what is linear in `vs`.
fn dot(what: &str, xs: &[Tensor], vs: &[&Tensor], place: Place) -> Result<Tensor> {
    let mut total: Option<Tensor> = None;
    for (i, (x, &v)) in xs.iter().zip(vs).enumerate() {
        v.check()?;
        let (want, have) = (x.peek(), v.peek());
        if want != have {
            let (w, h) = ((want.dtype, want.shape), (have.dtype, have.shape));
            let text =
                format!("{what}: direction {i} is {} {}, input {i} is {} {}", h.0, h.1, w.0, w.1);
            return fail(Code::Shape, text, place);
        }
        let part = (x * v).sum();
        total = Some(match total {
            Some(sum) => sum + part,
            None => part,
        });
    }
    match total {
        Some(total) if xs.len() == vs.len() => Ok(total),
        _ => {
            let text = format!("{what}: {} inputs and {} directions", xs.len(), vs.len());
            fail(Code::Argument, text, place)
        }
    }
}

/// Opens the inputs and calls `f` on them.
fn call(
    f: impl FnOnce(&[Tensor]) -> Tensor,
    xs: &[&Tensor],
    place: Place,
) -> Result<(Tensor, Vec<Tensor>)> {
    for x in xs {
        x.check()?;
    }
    let xs: Vec<Tensor> = xs.iter().map(|x| open(x, place)).collect();
    let y = f(&xs);
    y.check()?;
    Ok((y, xs))
}

fn one(mut ts: Vec<Tensor>) -> Result<Tensor> {
    ts.pop().ok_or_else(|| Error::internal("a derivative is missing"))
}

/// The gradient of a scalar function: `jax.grad`.
///
/// # Errors
/// Any of `f`; [`Code::Gradient`] when its result is not a single number.
#[track_caller]
pub fn grad(f: impl FnOnce(&Tensor) -> Tensor, x: &Tensor) -> Result<Tensor> {
    let place = Location::caller();
    with_history(|| {
        let (y, xs) = call(|xs| f(&xs[0]), &[x], place)?;
        pull(&y, &[&xs[0]], None, place)
    })
    .and_then(one)
}

/// The value of a scalar function of several tensors, and its gradient for each:
/// `jax.value_and_grad`.
///
/// ```
/// use gradus_core::{Tensor, derivatives::value_and_grad};
/// let (x, y) = (Tensor::from(3.0), Tensor::from(4.0));
/// let (value, grads) = value_and_grad(|v| &v[0] * &v[1], &[&x, &y])?;
/// assert_eq!((value.item()?, grads[0].item()?, grads[1].item()?), (12.0, 4.0, 3.0));
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// As [`grad`].
#[track_caller]
pub fn value_and_grad(
    f: impl FnOnce(&[Tensor]) -> Tensor,
    xs: &[&Tensor],
) -> Result<(Tensor, Vec<Tensor>)> {
    let place = Location::caller();
    let mut all = with_history(|| {
        let (y, xs) = call(f, xs, place)?;
        let mut all = pull(&y, &xs.iter().collect::<Vec<_>>(), None, place)?;
        all.push(y);
        Ok(all)
    })?;
    let y = all.pop().ok_or_else(|| Error::internal("no value"))?;
    Ok((y, all))
}

/// Value and vector-Jacobian product: the gradient of `sum(f(xs) * cotangent)` for each of `xs`.
///
/// # Errors
/// Any of `f`; [`Code::Shape`] when the cotangent has not the shape and type of the result.
#[track_caller]
pub fn vjp(
    f: impl FnOnce(&[Tensor]) -> Tensor,
    xs: &[&Tensor],
    cotangent: &Tensor,
) -> Result<(Tensor, Vec<Tensor>)> {
    let place = Location::caller();
    let mut all = with_history(|| {
        let (y, xs) = call(f, xs, place)?;
        let mut all = pull(&y, &xs.iter().collect::<Vec<_>>(), Some(cotangent), place)?;
        all.push(y);
        Ok(all)
    })?;
    let y = all.pop().ok_or_else(|| Error::internal("no value"))?;
    Ok((y, all))
}

/// Value and Jacobian-vector product: how fast `f` changes at `xs` in the direction `tangents`.
///
/// Computed as the derivative of a vector-Jacobian product for its cotangent, which it is linear
/// in; it costs about as much as a gradient.
///
/// ```
/// use gradus_core::{Tensor, derivatives::jvp};
/// let (x, v) = (Tensor::from([1.0, 2.0]), Tensor::from([1.0, 0.5]));
/// let (y, dy) = jvp(|x| x[0].square(), &[&x], &[&v])?;
/// assert_eq!((y.to_vec::<f32>()?, dy.to_vec::<f32>()?), (vec![1.0, 4.0], vec![2.0, 2.0]));
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// Any of `f`; [`Code::Shape`] when a tangent has not the shape and type of its input.
#[track_caller]
pub fn jvp(
    f: impl FnOnce(&[Tensor]) -> Tensor,
    xs: &[&Tensor],
    tangents: &[&Tensor],
) -> Result<(Tensor, Tensor)> {
    let place = Location::caller();
    let mut both = with_history(|| {
        let (y, xs) = call(f, xs, place)?;
        let dy = push(&y, &xs, tangents, place)?;
        Ok(vec![dy, y])
    })?;
    let y = both.pop().ok_or_else(|| Error::internal("no value"))?;
    Ok((y, one(both)?))
}

/// The derivative of `y` in a direction of `xs`.
fn push(y: &Tensor, xs: &[Tensor], tangents: &[&Tensor], place: Place) -> Result<Tensor> {
    let seed = open(&zeros(y, place), place);
    let back = pull(y, &xs.iter().collect::<Vec<_>>(), Some(&seed), place)?;
    let along = dot("jvp", &back, tangents, place)?;
    pull(&along, &[&seed], None, place).and_then(one)
}

/// Hessian-vector product of a scalar function: its gradient, and how fast that changes in the
/// direction `vs`. The Hessian is never made, so it costs about two gradients however many
/// parameters there are.
///
/// ```
/// use gradus_core::{Tensor, derivatives::hvp};
/// let (x, v) = (Tensor::from([1.0, 2.0]), Tensor::from([1.0, 0.0]));
/// let (_, hv) = hvp(|x| (&x[0] * &x[0] * &x[0]).sum(), &[&x], &[&v])?;
/// assert_eq!(hv[0].to_vec::<f32>()?, [6.0, 0.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// As [`grad`]; [`Code::Shape`] when a direction has not the shape and type of its input.
#[track_caller]
pub fn hvp(
    f: impl FnOnce(&[Tensor]) -> Tensor,
    xs: &[&Tensor],
    vs: &[&Tensor],
) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
    let place = Location::caller();
    let mut all = with_history(|| {
        let (y, xs) = call(f, xs, place)?;
        let (mut grads, products) = hessian_product(&y, &xs.iter().collect::<Vec<_>>(), vs, place)?;
        grads.extend(products);
        Ok(grads)
    })?;
    let products = all.split_off(all.len() / 2);
    Ok((all, products))
}

fn hessian_product(
    y: &Tensor,
    xs: &[&Tensor],
    vs: &[&Tensor],
    place: Place,
) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
    let grads = pull(y, xs, None, place)?;
    let along = dot("hvp", &grads, vs, place)?;
    let products = pull(&along, xs, None, place)?;
    Ok((grads, products))
}

/// The Jacobian of a function: `J[i][j] = d f(x)[i] / d x[j]`, of shape `[..result, ..x]`.
///
/// One batched computation of all its rows ([`jacrev`]), or of all columns where `x` is smaller
/// than the result ([`jacfwd`]).
///
/// # Errors
/// Any of `f`; [`Code::Shape`] when result and `x` together have more than eight axes.
#[track_caller]
pub fn jacobian(f: impl FnOnce(&Tensor) -> Tensor, x: &Tensor) -> Result<Tensor> {
    let place = Location::caller();
    with_history(|| {
        let (y, xs) = call(|xs| f(&xs[0]), &[x], place)?;
        Ok(vec![both_ways(&y, &xs[0], place)?])
    })
    .and_then(one)
}

/// [`jacobian`] by rows (reverse mode): one forward pass, and a batch of backward passes, one for
/// each element of the result.
///
/// # Errors
/// As [`jacobian`].
#[track_caller]
pub fn jacrev(f: impl FnOnce(&Tensor) -> Tensor, x: &Tensor) -> Result<Tensor> {
    let place = Location::caller();
    with_history(|| {
        let (y, xs) = call(|xs| f(&xs[0]), &[x], place)?;
        Ok(vec![rows(&y, &xs[0], place)?])
    })
    .and_then(one)
}

/// [`jacobian`] by columns (forward mode): a batch of derivatives along each element of `x`.
///
/// # Errors
/// As [`jacobian`].
#[track_caller]
pub fn jacfwd(f: impl FnOnce(&Tensor) -> Tensor, x: &Tensor) -> Result<Tensor> {
    let place = Location::caller();
    with_history(|| {
        let (y, xs) = call(|xs| f(&xs[0]), &[x], place)?;
        Ok(vec![columns(&y, &xs[0], place)?])
    })
    .and_then(one)
}

fn both_ways(y: &Tensor, x: &Tensor, place: Place) -> Result<Tensor> {
    if x.peek().shape.numel() < y.peek().shape.numel() {
        columns(y, x, place)
    } else {
        rows(y, x, place)
    }
}

fn joined(a: Shape, b: Shape) -> Shape {
    Shape::new(&[a.dims(), b.dims()].concat())
}

/// Each of the unit tensors of a shape, along axis 0.
fn units(like: &Tensor) -> Result<Tensor> {
    let meta = like.peek();
    let n = meta.shape.numel();
    let shape = joined([n].into(), meta.shape);
    shape.check("jacobian")?;
    Ok(Tensor::eye(n).cast(meta.dtype).reshape_to(shape))
}

fn rows(y: &Tensor, x: &Tensor, place: Place) -> Result<Tensor> {
    let basis = units(y)?;
    let back = |seed: &[Tensor]| pull(y, &[x], Some(&seed[0]), place);
    let rows = one(vmap::run(back, &[&basis], &[Some(0)], place)?)?;
    let shape = joined(y.peek().shape, x.peek().shape);
    shape.check("jacobian").map(|()| rows.reshape_to(shape))
}

fn columns(y: &Tensor, x: &Tensor, place: Place) -> Result<Tensor> {
    let basis = units(x)?;
    let along = |v: &[Tensor]| Ok(vec![push(y, std::slice::from_ref(x), &[&v[0]], place)?]);
    let columns = one(vmap::run(along, &[&basis], &[Some(0)], place)?)?;
    let (n, m) = (x.peek().shape.numel(), y.peek().shape.numel());
    let flat = columns.reshape_to([n, m]).t();
    let shape = joined(y.peek().shape, x.peek().shape);
    shape.check("jacobian").map(|()| flat.reshape_to(shape))
}

/// The second derivatives of a scalar function: `H[i][j] = d2 f / dx[i] dx[j]`, of shape
/// `[..x, ..x]`.
///
/// # Errors
/// As [`grad`]; [`Code::Shape`] when `x` has more than four axes.
#[track_caller]
pub fn hessian(f: impl FnOnce(&Tensor) -> Tensor, x: &Tensor) -> Result<Tensor> {
    let place = Location::caller();
    with_history(|| {
        let (y, xs) = call(|xs| f(&xs[0]), &[x], place)?;
        let g = one(pull(&y, &[&xs[0]], None, place)?)?;
        Ok(vec![rows(&g, &xs[0], place)?])
    })
    .and_then(one)
}

/// The gradient of each sample's loss for parameters, in one batched computation: for differential
/// privacy, for noise scales, to find the samples that pull hardest.
///
/// `loss` is called once, with one sample of each tensor of `batch` (axis 0); the gradient of a
/// parameter of shape `[..]` is `[samples, ..]`. Their mean is the gradient of the mean loss.
///
/// ```
/// use gradus_core::{Array, Param, Tensor, derivatives::per_sample_gradients};
/// let w = Param::new(Array::new([2], &[1.0f32, 1.0])?);
/// let (x, y) = (Tensor::from([[1.0, 2.0], [3.0, 4.0]]), Tensor::from([3.0, 6.0]));
/// let loss = |s: &[Tensor]| ((&s[0] * w.tensor()).sum() - &s[1]).square();
/// let grads = per_sample_gradients(&[&w], loss, &[&x, &y])?;
/// let of_w = grads.get(&w).ok_or_else(|| gradus_core::Error::internal("none"))?;
/// assert_eq!(of_w.to_vec::<f32>()?, [0.0, 0.0, 6.0, 8.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// As [`vmap_many`]; [`Code::Gradient`] when a sample's loss is not a single number.
#[track_caller]
pub fn per_sample_gradients(
    params: &[&Param],
    loss: impl FnOnce(&[Tensor]) -> Tensor,
    batch: &[&Tensor],
) -> Result<Gradients> {
    let place = Location::caller();
    let axes = vec![Some(0); batch.len()];
    let grads = with_history(|| {
        let of_one = |sample: &[Tensor]| {
            let leaves: Vec<Tensor> = params.iter().map(|p| p.tensor()).collect();
            let y = loss(sample);
            y.check()?;
            pull(&y, &leaves.iter().collect::<Vec<_>>(), None, place)
        };
        vmap::run(of_one, batch, &axes, place)
    })?;
    Ok(Gradients::from_pairs(params.iter().copied().zip(grads)))
}

impl Tensor {
    /// Hessian-vector products of this scalar: `sum over j of d2 self / dxs[i] dxs[j] * vs[j]`, one
    /// for each of `xs`, which may be a model's parameters (`param.tensor()`). The history stays.
    ///
    /// # Errors
    /// As [`derivatives::hvp`](hvp).
    #[track_caller]
    pub fn hvp(&self, xs: &[&Tensor], vs: &[&Tensor]) -> Result<Vec<Tensor>> {
        hessian_product(self, xs, vs, Location::caller()).map(|(_, products)| products)
    }

    /// The Jacobian of this tensor for `x`, of shape `[..self, ..x]`: see
    /// [`derivatives::jacobian`](jacobian). `x` is a tensor that gradients reach, such as
    /// `param.tensor()`. The history stays.
    ///
    /// # Errors
    /// As [`derivatives::jacobian`](jacobian).
    #[track_caller]
    pub fn jacobian(&self, x: &Tensor) -> Result<Tensor> {
        self.check()?;
        both_ways(self, x, Location::caller())
    }

    /// The Hessian of this scalar for `x`, of shape `[..x, ..x]`: see
    /// [`derivatives::hessian`](hessian). The history stays.
    ///
    /// # Errors
    /// As [`derivatives::hessian`](hessian).
    #[track_caller]
    pub fn hessian(&self, x: &Tensor) -> Result<Tensor> {
        let place = Location::caller();
        let g = one(pull(self, &[x], None, place)?)?;
        rows(&g, x, place)
    }
}
