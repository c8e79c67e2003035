//! Data for Gradus: datasets in memory, file formats, splits, shuffles, batches, a loader.
//!
//! This crate turns bytes on disk into batches of [`Array`](gradus_core::Array)s. It knows nothing
//! of models or training, and it never prints. Start reading at [`Dataset`].
//!
//! ```
//! let (train, test) = gradus_data::digits()?.split(0.8, 17)?;
//! assert_eq!((train.len(), test.len()), (1438, 359));
//! for epoch in 0..2 {
//!     for batch in train.shuffled(epoch).array_batches(64) {
//!         let batch = batch?;
//!         assert_eq!(batch.x.dims()[1..], [64]); // pixels as f32 in 0..=1
//!         assert_eq!(batch.y.dims().len(), 1); // class ids as i64
//!     }
//! }
//! # Ok::<(), gradus_core::Error>(())
//! ```

// What is read here was written by strangers: a wrong index must be a message, not a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod batch;
mod dataset;
mod digits;
mod disk;
mod graph;
mod idx;
mod images;
mod loader;
mod rng;
mod rows;
mod sniff;
mod source;
mod split;
mod standardize;
mod store;
pub mod table;
mod tensors;
mod toys;

pub use batch::{Batch, Batches};
pub use dataset::Dataset;
pub use digits::{digits, digits_images};
pub use graph::{GraphData, karate_club};
pub use idx::{Idx, IdxType};
pub use images::{ImageFolder, load_idx, mnist_folder};
pub use loader::{Loader, Loading};
pub use rng::{mix, permutation};
pub use standardize::Standardizer;
pub use tensors::{BatchItem, FromBatch};
pub use toys::{and_gate, moons, nand_gate, noisy_line, or_gate, spirals, two_blobs, xor};
