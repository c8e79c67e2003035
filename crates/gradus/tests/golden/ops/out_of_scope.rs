//! Functions that Gradus does not have, or not in a form that can be compared, and why.

/// Name of PyTorch's function and the reason.
pub(super) const REASONS: &[(&str, &str)] = &[
    ("allclose", "a check of two tensors that gives no tensor: `Tensor::to_array` and Rust's own"),
    ("equal", "a check of two tensors that gives no tensor: `Array::same_bits`"),
];
