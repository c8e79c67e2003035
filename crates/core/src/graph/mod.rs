//! Recording: how operations become a graph before anything runs.
//!
//! Start at [`recorder`], which appends nodes; [`flush`] turns what is needed into a request for
//! the planner and puts the results back.

pub(crate) mod called;
pub(crate) mod dtype;
pub(crate) mod effect;
pub(crate) mod flush;
mod message;
pub(crate) mod place;
pub(crate) mod recorder;
pub(crate) mod scope;
pub(crate) mod shape;
pub(crate) mod sizes;
pub(crate) mod snapshot;
pub(crate) mod step;
pub(crate) mod trace;
