//! Whole models, one a file, with the names of their parts as in the models they are known from.

mod gcn;

pub use gcn::Gcn;
