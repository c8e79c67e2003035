//! Tables: from the file that people have to a [`Dataset`](crate::Dataset).
//!
//! ```
//! use gradus_data::table::{Parts, ReadOptions, Table, TaskOptions};
//!
//! let mut csv = String::from("size,color,price\n");
//! for i in 0..100 {
//!     let color = ["red", "green", "blue"][i % 3];
//!     csv += &format!("{},{color},{}\n", i * i % 37, i * 2);
//! }
//! // What is in the file ...
//! let table = Table::from_bytes("prices", csv, &ReadOptions::new())?;
//! // ... what is wanted of it ...
//! let task = table.task(&TaskOptions::new().target("price"))?;
//! assert_eq!(task.reason(), "`price` holds numbers with many different values");
//! // ... and the numbers: split first, fitted on the training rows only.
//! let data = task.prepare(Parts { valid: 0.0, test: 0.2 }, 17)?;
//! assert_eq!((data.train.len(), data.encoder.features()), (80, 4));
//!
//! // Later, with the saved encoder, another file with the same columns.
//! let new = Table::from_bytes("new", "color,size\nred,7\n", &data.encoder.read_options())?;
//! assert_eq!(data.encoder.encode(&new)?.x().dims(), [1, 4]);
//! # Ok::<(), gradus_core::Error>(())
//! ```
//!
//! The way of a cell: `source` (bytes, again and again) -> `dialect` (separator, header) ->
//! `pump` (blocks, threads, bounded memory) -> `block` (typed columns) -> `stats` (what a
//! column holds) -> `task` (target, what is done with columns) -> `fit` (training rows only)
//! -> `encode` (rows of f32). Every pass goes over blocks in order, whether they are kept in
//! memory or parsed again, so the bits are the same.

mod block;
mod dialect;
mod encode;
mod encoder;
mod few;
mod fields;
mod fit;
mod number;
mod options;
mod pump;
mod read;
mod report;
mod schema;
mod source;
mod stats;
mod target;
mod task;

pub use encode::{Encoded, EncodedParts, Labels};
pub use encoder::Encoder;
pub use options::{MEMORY_LIMIT, MISSING, ReadOptions, Storage};
pub use read::Table;
pub use report::{Report, Unknown};
pub use schema::{Column, ColumnInfo, Kind, Role, Schema};
pub use task::{Parts, Prepared, Task, TaskKind, TaskOptions};
