//! Training for Gradus: the loop, callbacks, metrics, checkpoints and runs on disk.
//!
//! This crate drives `gradus-nn`'s models and optimizers over `gradus-data`'s datasets. It never
//! touches graph nodes, never prints and never looks at a test set while training. Start reading
//! at [`Trainer`]; what callbacks see is in `event`, what a run leaves on disk in `run`.
//!
//! ```
//! use gradus_nn::{Adam, Linear, Relu, seq};
//! use gradus_train::{Accuracy, EarlyStopping, Epochs, Loss, Trainer};
//!
//! let (train, valid) = gradus_data::digits()?.split(0.8, 17)?;
//! gradus_core::seed(17);
//! let model = seq![Linear::new(64, 32), Relu, Linear::new(32, 10)];
//! let report = Trainer::new(&model, Adam::new(&model, 3e-3))
//!     .loss(Loss::CrossEntropy)
//!     .metric(Accuracy::new())
//!     .batch_size(32)
//!     .seed(17)
//!     .callback(EarlyStopping::on("valid.loss").patience(3).restore_best())
//!     .fit(&train, &valid, Epochs(3))?;
//! assert!(report.last("valid.accuracy").unwrap_or(0.0) > 0.9);
//! # Ok::<(), gradus_core::Error>(())
//! ```

mod baseline;
mod callbacks;
mod check;
mod clipping;
mod config;
mod confusion;
mod evaluate;
mod event;
mod files;
mod hash;
mod lock;
mod loss;
mod metric;
mod optimizer;
mod predict;
mod regression;
mod report;
mod resume;
mod run;
pub mod schedule;
mod scores;
mod session;
pub mod stats;
mod stop;
mod tabular;
mod tally;
mod trainer;

pub use baseline::Baseline;
pub use callbacks::{Averaging, Checkpoint, EarlyStopping, Mode, Monitor, Scheduler};
pub use config::{Activation, DataConfig, ModelConfig, RunConfig, Task, TrainingConfig};
pub use confusion::{ClassScores, Confusion, MacroF1};
pub use evaluate::{accuracy, evaluate};
pub use event::{Callback, CallbackState, Event, FitInfo, Flow, Saved, StopReason, TrainState};
pub use hash::{model_sha256, state_sha256};
pub use loss::{Loss, bce_with_logits, cross_entropy, huber, mae, mse};
pub use metric::{Accuracy, Metric, Metrics};
pub use optimizer::{OptimizerConfig, OptimizerName};
pub use predict::{Chunks, Predictions, Predictor};
pub use regression::{Mae, Mape, Mse, R2, RegressionScores, Rmse};
pub use report::{EpochRecord, Report};
pub use run::Run;
pub use schedule::{Schedule, ScheduleName, SchedulePlan};
pub use scores::{
    Average, AveragePrecision, Brier, CalibrationError, F1, Iou, Kappa, LogLoss, METRIC_NAMES, Mcc,
    Meter, Perplexity, Precision, Recall, RocAuc, TopK, average_precision, metric_by_name, roc_auc,
};
pub use stop::StopToken;
pub use tabular::{TableConfig, prepared_sha256};
pub use trainer::{Epochs, Trainer};
