//! Neural networks for Gradus: modules, layers, initialisers, optimizers and saved states.
//!
//! Everything here is made from `gradus-core`'s public interface, so a user can write all of it.
//! Nothing here reads data, loops over epochs or prints. Start at [`Module`] and [`Layer`], then
//! [`Linear`] and [`optim::Adam`].
//!
//! ```
//! use gradus_core::Tensor;
//! use gradus_nn::{Adam, Layer, Linear, Optimizer, Tanh, seq};
//!
//! gradus_core::seed(17);
//! let x = Tensor::from([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]);
//! let y = Tensor::from([0, 1, 1, 0]);
//! let model = seq![Linear::new(2, 8), Tanh, Linear::new(8, 2)];
//! let mut opt = Adam::new(&model, 0.1);
//! for _ in 0..200 {
//!     let loss = model.forward(&x).cross_entropy(&y);
//!     opt.step(&loss)?; // backward and update: one plan
//! }
//! assert_eq!(model.predict(&x).argmax(-1).to_vec::<i64>()?, [0, 1, 1, 0]);
//! # Ok::<(), gradus_core::Error>(())
//! ```

// The derive names this crate, also when it is used inside it.
extern crate self as gradus_nn;

pub mod derivatives;
mod file;
pub mod init;
mod layer;
mod layers;
pub mod models;
mod module;
mod monte_carlo;
pub mod optim;
pub mod penalty;
pub mod registry;
mod state;
mod walk;

pub use gradus_derive::Module;
pub use layer::Layer;
pub use layers::*;
pub use module::{Field, Module, Visitor};
pub use monte_carlo::mc_predict;
pub use optim::{Adam, AdamW, Optimizer, Sgd};
pub use state::StateDict;
pub use walk::{ModuleExt, Selection};
