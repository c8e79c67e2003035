//! Derivatives for all parameters of a model.

use gradus_core::{Code, Error, Gradients, Result, Tensor, derivatives};

use crate::{Module, ModuleExt};

/// The gradient of each sample's loss for every parameter of a model that is not frozen, in one
/// batched computation.
///
/// `loss` gets one sample of each tensor of `batch` (along axis 0), so it sees no batch axis: layers
/// that need one get it with `unsqueeze(0)`. A parameter of shape `[..]` has the gradient
/// `[samples, ..]`.
///
/// ```
/// use gradus_core::{Tensor, Error};
/// use gradus_nn::{Layer, Linear, derivatives::per_sample_gradients};
/// let model = Linear::new(3, 2);
/// let (x, y) = (Tensor::ones([5, 3]), Tensor::from([0i64, 1, 0, 1, 1]));
/// let loss = |s: &[Tensor]| model.forward(&s[0].unsqueeze(0)).cross_entropy(&s[1].unsqueeze(0));
/// let grads = per_sample_gradients(&model, loss, &[&x, &y])?;
/// let of_weight = grads.get(&model.weight).ok_or_else(|| Error::internal("none"))?;
/// assert_eq!(of_weight.dims()?, [5, 2, 3]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// As [`gradus_core::derivatives::per_sample_gradients`].
#[track_caller]
pub fn per_sample_gradients<M: Module + ?Sized>(
    model: &M,
    loss: impl FnOnce(&[Tensor]) -> Tensor,
    batch: &[&Tensor],
) -> Result<Gradients> {
    let params: Vec<_> = model.parameters().into_iter().filter(|p| !p.is_frozen()).collect();
    derivatives::per_sample_gradients(&params.iter().collect::<Vec<_>>(), loss, batch)
}

/// The Hessian of a model's loss times a direction `v` (one tensor a parameter, for example the
/// gradients themselves), without making the Hessian: about the cost of two gradients. The history
/// of `loss` stays.
///
/// Repeated on its own normalised result it finds the largest curvature (the sharpness).
///
/// ```
/// use gradus_core::{Gradients, Tensor};
/// use gradus_nn::{Layer, Linear, ModuleExt, derivatives::hvp};
/// let model = Linear::new(3, 1);
/// let loss = model.forward(&Tensor::ones([4, 3])).square().mean();
/// let params = model.parameters();
/// let ones = params.iter().map(|p| (p, Tensor::ones(p.shape())));
/// let hv = hvp(&model, &loss, &Gradients::from_pairs(ones))?;
/// assert_eq!(hv.get(&model.weight).map(|t| t.to_vec::<f32>()), Some(Ok(vec![8.0, 8.0, 8.0])));
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// As [`Tensor::hvp`]; [`Code::Gradient`] when `v` has nothing for any parameter of the model.
#[track_caller]
pub fn hvp<M: Module + ?Sized>(model: &M, loss: &Tensor, v: &Gradients) -> Result<Gradients> {
    let params = model.parameters();
    let (params, vs): (Vec<_>, Vec<_>) =
        params.iter().filter_map(|p| v.get(p).map(|v| (p, v))).unzip();
    if params.is_empty() {
        return Err(Error::new(Code::Gradient, "hvp: the direction has no parameter of the model"));
    }
    let leaves: Vec<Tensor> = params.iter().map(|p| p.tensor()).collect();
    let products = loss.hvp(&leaves.iter().collect::<Vec<_>>(), &vs)?;
    Ok(Gradients::from_pairs(params.into_iter().zip(products)))
}
