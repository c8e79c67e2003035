//! The callbacks that come with the trainer.

mod checkpoint;
mod early_stopping;
mod monitor;
mod schedule;

pub use checkpoint::Checkpoint;
pub use early_stopping::EarlyStopping;
pub use monitor::{Mode, Monitor};
pub use schedule::{Schedule, ScheduleName};
