//! The table of operations: one row each.
