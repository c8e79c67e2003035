//! Reverse-mode differentiation: recording a request for gradients, and expanding it.
//!
//! `backward` and `grad` record one [`Op::Grad`] node and one [`Op::Pick`] a result ([`request`]).
//! Only when a plan is compiled does [`expand`] walk the graph ([`reverse`]); the rules live with the
//! operations. Because gradients are ordinary nodes, fusion, memory planning and second derivatives
//! apply to them.
//!
//! [`Op::Grad`]: crate::ops::Op::Grad
//! [`Op::Pick`]: crate::ops::Op::Pick

mod request;
mod reverse;

pub(crate) use request::{Reached, backward, grad, grad_or_none, record_step};
pub(crate) use reverse::{expand, walk};
