//! Sorting, searching, counting.

use crate::harness::Line;

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    Vec::new()
}
