//! Predictions with an uncertainty: dropout as samples of a model.

use gradus_core::{Code, Error, Tensor, no_grad, sampling};

use crate::layer::Layer;

/// Mean and standard deviation (of the sample, over `n - 1`) of the results of a model whose dropout
/// draws, while its norms behave as in evaluation: Monte-Carlo dropout.
///
/// `samples` forward passes, at least 2, are made one after the other, so that memory does not grow
/// with them; both results have the shape of the model's. Masks come from the inference stream of
/// the global seed: a training goes on with the same numbers. Gal and Ghahramani, 2016.
///
/// # Errors
/// Both results are in error state for fewer than two samples, or when the model fails.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{Dropout, Linear, mc_predict, seq};
/// let model = seq![Dropout::new(0.5), Linear::new(8, 1)];
/// let (mean, std) = mc_predict(&model, &Tensor::ones([4, 8]), 50);
/// assert_eq!(mean.dims::<2>()?, [4, 1]);
/// assert!(std.min().item()? > 0.0);
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[track_caller]
pub fn mc_predict<L: Layer + ?Sized>(model: &L, x: &Tensor, samples: usize) -> (Tensor, Tensor) {
    if samples < 2 {
        let text = format!("mc_predict: {samples} samples have no deviation");
        let failed = Tensor::failed(Error::new(Code::Argument, text).help("draw 2 or more"));
        return (failed.clone(), failed);
    }
    // Welford's sums: the mean so far, and the squared deviations from it.
    let mut sums: Option<(Tensor, Tensor)> = None;
    for i in 1..=samples {
        let y = sampling(|| model.forward(x));
        let next = no_grad(|| match &sums {
            None => (y.clone(), &y * 0.0),
            Some((mean, squares)) => {
                let off = &y - mean;
                let moved = mean + &off * (1.0 / i as f64);
                let squares = squares + off * (&y - &moved);
                (moved, squares)
            }
        });
        // Computed now, so that a sample is gone before the next.
        match next.1.to_array().and_then(|squares| Ok((next.0.to_array()?, squares))) {
            Ok((mean, squares)) => {
                sums = Some((Tensor::from_array(&mean), Tensor::from_array(&squares)));
            }
            Err(error) => {
                let failed = Tensor::failed(error);
                return (failed.clone(), failed);
            }
        }
    }
    match sums {
        Some((mean, squares)) => {
            let std = no_grad(|| (squares * (1.0 / (samples - 1) as f64)).sqrt());
            (mean, std)
        }
        None => (x.clone(), x.clone()),
    }
}
