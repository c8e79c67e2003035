//! Clipping that needs the parameters beside the gradients. By norm and by value: see `Gradients`.

use gradus_core::{Gradients, Tensor, no_grad};

use crate::module::Module;
use crate::walk;

/// Adaptive clipping: each unit's gradient is at most `clipping` times as long as the unit's weights,
/// `g *= min(1, clipping * max(|w|, eps) / |g|)` with 2-norms. A unit is a row of a weight (all but the
/// first axis), or a whole vector. 0.01 and an `eps` of 1e-3 are usual. Brock et al., 2021.
///
/// Gradients of parameters that are not of the model are left out.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Linear, Optimizer, Sgd, optim::clip_adaptive};
/// let model = Linear::new(2, 1);
/// let mut opt = Sgd::new(&model, 0.1);
/// let (x, y) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[300.0]]));
/// let gradients = model.forward(&x).mse_loss(&y).backward()?;
/// opt.apply(&clip_adaptive(&model, &gradients, 0.01, 1e-3))?;
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[track_caller]
#[must_use]
pub fn clip_adaptive<M: Module + ?Sized>(
    model: &M,
    gradients: &Gradients,
    clipping: f64,
    eps: f64,
) -> Gradients {
    let params = walk::parts(model).params;
    let clipped = params.iter().filter_map(|(_, param)| {
        let gradient = gradients.get(param)?;
        let rank = param.shape().rank();
        let norm = |x: &Tensor| match rank {
            0 | 1 => x.square().sum().sqrt(),
            2 => x.square().sum_keepdim(-1).sqrt(),
            3 => x.square().sum_keepdim([1, 2]).sqrt(),
            _ => {
                x.reshape([param.shape().dim(0) as isize, -1]).square().sum_dim(-1).sqrt().reshape(
                    (0..rank).map(|axis| if axis == 0 { -1 } else { 1 }).collect::<Vec<isize>>(),
                )
            }
        };
        let most = clipping * norm(&no_grad(|| param.tensor())).clamp_min(eps);
        let factor = (most / norm(gradient).clamp_min(1e-6)).clamp_max(1.0);
        Some((param, gradient * factor))
    });
    Gradients::from_pairs(clipped)
}
