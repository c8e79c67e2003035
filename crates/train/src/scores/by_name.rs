//! Metrics by the names that they have in reports.

use std::sync::Arc;

use crate::metric::{Accuracy, Metric};
use crate::regression::{Mae, Mape, Mse, R2, Rmse};
use crate::scores::{
    Average, AveragePrecision, Brier, CalibrationError, F1, Iou, Kappa, LogLoss, Mcc, Perplexity,
    Precision, Recall, RocAuc, TopK,
};

/// The names that [`metric_by_name`] knows. Beside them are `top_K_accuracy` for any K, and
/// `precision_of_class_N`, `recall_of_class_N`, `f1_of_class_N` and `iou_of_class_N`.
pub const METRIC_NAMES: &[&str] = &[
    "accuracy",
    "average_precision",
    "brier",
    "calibration_error",
    "f1",
    "iou",
    "kappa",
    "linear_kappa",
    "log_loss",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "mae",
    "mape",
    "max_calibration_error",
    "mcc",
    "mean_iou",
    "micro_f1",
    "micro_precision",
    "micro_recall",
    "mse",
    "perplexity",
    "precision",
    "quadratic_kappa",
    "r2",
    "recall",
    "rmse",
    "roc_auc",
    "top_5_accuracy",
    "weighted_f1",
    "weighted_precision",
    "weighted_recall",
];

/// The metric that is called so in reports, with its defaults: for logits, in the unit of the
/// targets. None if there is none of that name.
///
/// ```
/// use gradus_train::{METRIC_NAMES, metric_by_name};
/// for name in METRIC_NAMES.iter().copied().chain(["top_3_accuracy", "iou_of_class_7"]) {
///     assert_eq!(metric_by_name(name).map(|m| m.name().to_string()).as_deref(), Some(name));
/// }
/// assert!(metric_by_name("acuracy").is_none());
/// ```
pub fn metric_by_name(name: &str) -> Option<Arc<dyn Metric>> {
    Some(match name {
        "accuracy" => Arc::new(Accuracy::new()),
        "average_precision" => Arc::new(AveragePrecision::new()),
        "brier" => Arc::new(Brier::new()),
        "calibration_error" => Arc::new(CalibrationError::default()),
        "iou" => Arc::new(Iou::of(1)),
        "kappa" => Arc::new(Kappa::new()),
        "linear_kappa" => Arc::new(Kappa::new().linear()),
        "log_loss" => Arc::new(LogLoss::new()),
        "mae" => Arc::new(Mae::new()),
        "mape" => Arc::new(Mape::new()),
        "max_calibration_error" => Arc::new(CalibrationError::default().max()),
        "mcc" => Arc::new(Mcc::new()),
        "mean_iou" => Arc::new(Iou::mean()),
        "mse" => Arc::new(Mse::new()),
        "perplexity" => Arc::new(Perplexity::new()),
        "quadratic_kappa" => Arc::new(Kappa::new().quadratic()),
        "r2" => Arc::new(R2::new()),
        "rmse" => Arc::new(Rmse::new()),
        "roc_auc" => Arc::new(RocAuc::new()),
        _ => return of_many(name),
    })
}

/// Metrics whose name says an average, a class or a number.
fn of_many(name: &str) -> Option<Arc<dyn Metric>> {
    if let Some(k) = name.strip_prefix("top_").and_then(|rest| rest.strip_suffix("_accuracy")) {
        return Some(Arc::new(TopK::new(k.parse().ok()?)));
    }
    let (of, average) = if let Some((of, class)) = name.split_once("_of_class_") {
        (of, Average::Class(class.parse().ok()?))
    } else if let Some(of) = name.strip_prefix("macro_") {
        (of, Average::Macro)
    } else if let Some(of) = name.strip_prefix("micro_") {
        (of, Average::Micro)
    } else if let Some(of) = name.strip_prefix("weighted_") {
        (of, Average::Weighted)
    } else {
        (name, Average::Class(1))
    };
    Some(match (of, average) {
        ("precision", _) => Arc::new(Precision::new(average)),
        ("recall", _) => Arc::new(Recall::new(average)),
        ("f1", _) => Arc::new(F1::new(average)),
        ("iou", Average::Class(class)) => Arc::new(Iou::of(class)),
        _ => return None,
    })
}
