//! The callbacks that come with the trainer.

mod averaging;
mod checkpoint;
mod early_stopping;
mod monitor;
mod schedule;

pub use averaging::Averaging;
pub use checkpoint::Checkpoint;
pub use early_stopping::EarlyStopping;
pub use monitor::{Mode, Monitor};
pub use schedule::Scheduler;
