//! The callbacks that come with the trainer.

mod checkpoint;
mod early_stopping;
mod monitor;

pub use checkpoint::Checkpoint;
pub use early_stopping::EarlyStopping;
pub use monitor::{Mode, Monitor};
