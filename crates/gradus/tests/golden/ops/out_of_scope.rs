//! Functions that Gradus does not have, or not in a form that can be compared, and why.

/// Name of PyTorch's function and the reason.
pub(super) const REASONS: &[(&str, &str)] = &[];
