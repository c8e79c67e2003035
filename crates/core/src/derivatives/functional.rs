//! A model as a function of its parameters: other values in their place while a closure records.

use std::cell::RefCell;

use crate::error::{Code, Error};
use crate::param::Param;
use crate::tensor::Tensor;

thread_local! {
    /// What stands for which parameter, by id; the last entry counts.
    static VALUES: RefCell<Vec<(u64, Tensor)>> = const { RefCell::new(Vec::new()) };
}

/// Takes entries away again when dropped, also when the closure panics.
struct Restore(usize);

impl Drop for Restore {
    fn drop(&mut self) {
        VALUES.with(|v| {
            // Dropped after the borrow: a tensor's drop may look at parameters.
            let gone = v.borrow_mut().split_off(self.0);
            drop(gone);
        });
    }
}

/// Calls `f` with tensors in the place of parameters: wherever `f` records a parameter of the list,
/// the tensor beside it is recorded instead. The parameters themselves do not change.
///
/// So derivatives of models are those of functions: gradients through an optimizer's step
/// (meta-learning), Hessians of a loss, gradient checks in f64 (a value may have another float
/// type). As `torch.func.functional_call`, with handles in place of names.
///
/// ```
/// use gradus_core::{Array, Param, Tensor, derivatives::{functional_call, hessian}};
/// let w = Param::new(Array::new([2], &[1.0f32, 2.0])?);
/// let model = |x: &Tensor| (x * &w).sum().square();
/// let x = Tensor::from([3.0, 1.0]);
/// let of_w = |v: &Tensor| functional_call(&[(&w, v)], || model(&x));
/// assert_eq!(hessian(of_w, &w.tensor())?.to_vec::<f32>()?, [18.0, 6.0, 6.0, 2.0]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// A value of another shape than its parameter's is an error of what is recorded with it
/// ([`Code::Shape`]).
#[track_caller]
pub fn functional_call<R>(values: &[(&Param, &Tensor)], f: impl FnOnce() -> R) -> R {
    let checked: Vec<(u64, Tensor)> =
        values.iter().map(|(param, value)| (param.id(), fitting(param, value))).collect();
    let _restore = VALUES.with(|v| {
        let mut v = v.borrow_mut();
        let before = v.len();
        v.extend(checked);
        Restore(before)
    });
    f()
}

#[track_caller]
fn fitting(param: &Param, value: &Tensor) -> Tensor {
    match value.shape() {
        Ok(shape) if shape != param.shape() => {
            let text = format!(
                "functional_call: parameter {} is {}, the value for it {shape}",
                param.0.name(),
                param.shape()
            );
            Tensor::failed(Error::new(Code::Shape, text))
        }
        _ => value.clone(),
    }
}

/// Whether any parameter has something else in its place.
pub(crate) fn is_active() -> bool {
    VALUES.with(|v| !v.borrow().is_empty())
}

/// What stands for this parameter now.
pub(crate) fn value_for(param: &Param) -> Option<Tensor> {
    VALUES.with(|v| {
        let v = v.borrow();
        if v.is_empty() {
            return None;
        }
        v.iter().rev().find(|(id, _)| *id == param.id()).map(|(_, value)| value.clone())
    })
}
