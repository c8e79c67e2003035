//! Metrics against values from NumPy, SciPy and PyTorch, and the laws that all of them have: parts
//! merge to the whole, in any order.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first failure")]

use gradus_core::{DType, Tensor};
use gradus_train::{
    Accuracy, Brier, CalibrationError, LogLoss, METRIC_NAMES, Meter, Metric, Perplexity,
    average_precision, metric_by_name, roc_auc,
};
use proptest::prelude::*;

/// Whole numbers in `0..below` from a linear congruential generator, which NumPy has too.
fn numbers(n: usize, below: i64, seed: i64) -> Vec<i64> {
    let mut x = seed;
    let mut next = || {
        x = (x * 1_103_515_245 + 12345) % (1 << 31);
        (x >> 16) % below
    };
    (0..n).map(|_| next()).collect()
}

/// 40 logits of 4 classes, and ids.
fn classes() -> (Tensor, Tensor) {
    let x: Vec<f32> = numbers(160, 997, 1).iter().map(|&v| v as f32 / 256.0 - 2.0).collect();
    (Tensor::from(x).reshape([40, 4]), Tensor::from(numbers(40, 4, 2)))
}

/// 60 logits of yes, many of them equal, and 0 or 1.
fn yes_or_no() -> (Tensor, Tensor) {
    let x: Vec<f32> = numbers(60, 11, 3).iter().map(|&v| v as f32 / 2.0 - 2.5).collect();
    (Tensor::from(x), Tensor::from(numbers(60, 2, 4)).cast(DType::F32))
}

fn value(metric: &dyn Metric, x: &Tensor, y: &Tensor) -> f64 {
    let kept = metric.record(x, y).to_array().unwrap().to_f64();
    metric.value(&kept, x.shape().unwrap().dim(0))
}

fn compare(expected: &[(&str, f64)], x: &Tensor, y: &Tensor) {
    for (name, expected) in expected {
        let metric = metric_by_name(name).unwrap();
        let have = value(&*metric, x, y);
        assert!((have - expected).abs() < 1e-12, "{name}: {have}, not {expected}");
    }
}

/// From NumPy in f64: the confusion matrix and the definitions (Matthews' as the correlation of the
/// indicator matrices, kappa from its expected matrix, areas by counting all pairs and thresholds),
/// probabilities by SciPy's softmax.
const OF_CLASSES: &[(&str, f64)] = &[
    ("macro_precision", 0.3105540293040293),
    ("macro_recall", 0.31351495726495726),
    ("macro_f1", 0.3075757575757576),
    ("weighted_precision", 0.32696886446886453),
    ("weighted_f1", 0.32181818181818184),
    ("micro_f1", 0.325),
    ("f1", 0.13333333333333333),
    ("mcc", 0.09406901267823396),
    ("kappa", 0.09319899244332486),
    ("linear_kappa", 0.10028116213683214),
    ("quadratic_kappa", 0.12549191080017497),
    ("mean_iou", 0.18591269841269842),
    ("iou_of_class_2", 0.2),
    ("log_loss", 1.7155357013955193),
    ("perplexity", 5.559653028646447),
    ("brier", 0.9161426435364751),
    ("roc_auc", 0.5377174662255307),
    ("average_precision", 0.330534353203949),
    ("calibration_error", 0.27162246022334025),
    ("max_calibration_error", 0.8992007228687293),
    ("top_2_accuracy", 0.55),
];

/// As before; Matthews' is `numpy.corrcoef`, the logarithmic loss is PyTorch's.
const OF_YES_OR_NO: &[(&str, f64)] = &[
    ("precision", 0.6),
    ("recall", 0.45454545454545453),
    ("f1", 0.5172413793103449),
    ("iou", 0.3488372093023256),
    ("mcc", 0.08494119857293758),
    ("log_loss", 0.8658651145669422),
    ("brier", 0.3014431332766313),
    ("roc_auc", 0.5544332210998878),
    ("average_precision", 0.6706478045763761),
    ("calibration_error", 0.22611256303144925),
];

#[test]
fn scores_of_classes_are_numpys() {
    let (x, y) = classes();
    compare(OF_CLASSES, &x, &y);
    // The same with pixels: the classes in the second axis or in the last.
    let (pixels, ids) = (x.reshape([4, 10, 4]), y.reshape([4, 10]));
    for x in [pixels.transpose(1, 2), pixels] {
        for (name, expected) in OF_CLASSES {
            let metric = metric_by_name(name).unwrap();
            if metric.gathers() {
                let error = metric.record(&x, &ids).check().unwrap_err();
                assert!(error.title().contains("more than one row"), "{error}");
                continue;
            }
            let have = value(&*metric, &x, &ids);
            assert!((have - expected).abs() < 1e-12, "{name}: {have}, not {expected}");
        }
    }
}

#[test]
fn scores_of_yes_or_no_are_numpys() {
    let (x, y) = yes_or_no();
    compare(OF_YES_OR_NO, &x, &y);
    compare(OF_YES_OR_NO, &x.unsqueeze(1), &y.unsqueeze(1));
    // As two classes, of which the second is yes.
    let two = Tensor::stack(&[&x.zeros_like(), &x], 1);
    let ids = y.cast(DType::I64);
    let same: Vec<_> = OF_YES_OR_NO
        .iter()
        .copied()
        .filter(|(name, _)| !["brier", "calibration_error"].contains(name))
        .collect();
    compare(&same, &two, &ids);
}

#[test]
fn probabilities_give_what_logits_give() {
    let (x, y) = classes();
    let (p, q) = (x.cast(DType::F64).softmax(-1), x.cast(DType::F64));
    let pairs: [(&dyn Metric, &dyn Metric); 4] = [
        (&LogLoss::new(), &LogLoss::new().probabilities()),
        (&Perplexity::new(), &Perplexity::new().probabilities()),
        (&Brier::new(), &Brier::new().probabilities()),
        (&CalibrationError::new(10), &CalibrationError::new(10).probabilities()),
    ];
    for (logits, probabilities) in pairs {
        let (a, b) = (value(logits, &q, &y), value(probabilities, &p, &y));
        assert!((a - b).abs() < 1e-12, "{}: {a} and {b}", logits.name());
    }
    // A sure mistake is as bad as the type can say, not infinite.
    let sure = value(&LogLoss::new().probabilities(), &Tensor::from([1.0]), &Tensor::from([0.0]));
    assert!((sure + f64::from(f32::EPSILON).ln()).abs() < 1e-6, "{sure}");
}

#[test]
fn areas_are_defined_where_there_is_something_to_find() {
    assert!(roc_auc([(0.5, true)]).is_nan());
    assert!(average_precision([(0.5, false)]).is_nan());
    assert!(roc_auc([(f64::NAN, true), (0.0, false)]).is_nan());
    assert_eq!(roc_auc([(0.5, true), (0.5, false)]), 0.5);
    let infinite = [(f64::INFINITY, true), (f64::NEG_INFINITY, false)];
    assert_eq!((roc_auc(infinite), average_precision(infinite)), (1.0, 1.0));
    // A class that does not occur is left out of the mean.
    let x = Tensor::from([[2.0, 1.0, 0.0], [0.0, 1.0, 0.5]]);
    let y = Tensor::from([0, 1]);
    assert_eq!(value(&*metric_by_name("roc_auc").unwrap(), &x, &y), 1.0);
}

#[test]
fn wrong_targets_are_refused_before_a_training() {
    let values = Tensor::from([0.5, 0.0]).to_array().unwrap();
    let ids = Tensor::from([0, 1]).to_array().unwrap();
    for name in METRIC_NAMES {
        let metric = metric_by_name(name).unwrap();
        let of_values = ["mae", "mape", "mse", "r2", "rmse"].contains(name);
        assert_eq!(metric.check(&values).is_ok(), of_values, "{name}");
        assert_eq!(metric.check(&ids).is_ok(), !of_values, "{name}");
        let (x, y) = (Tensor::zeros([2, 3]), Tensor::zeros([3]));
        let error = metric.record(&x, &y).check().unwrap_err();
        assert!(error.title().contains(name), "{name}: {error}");
    }
}

#[test]
fn a_batch_that_does_not_fit_adds_nothing() {
    let mut meter = Meter::new(Accuracy::new());
    assert!(meter.value().is_nan());
    meter.add_batch(&Tensor::from([[1.0, 0.0]]), &Tensor::from([0])).unwrap();
    assert!(meter.add_batch(&Tensor::zeros([2, 2]), &Tensor::zeros([3])).is_err());
    assert_eq!((meter.samples(), meter.value()), (1, 1.0));
}

/// A metric that is only borrowed.
struct Part<'a>(&'a dyn Metric);

impl Metric for Part<'_> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn record(&self, prediction: &Tensor, target: &Tensor) -> Tensor {
        self.0.record(prediction, target)
    }

    fn value(&self, sums: &[f64], samples: usize) -> f64 {
        self.0.value(sums, samples)
    }

    fn gathers(&self) -> bool {
        self.0.gathers()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    /// Every metric, whatever the batches, whichever part comes first.
    #[test]
    fn parts_merge_to_the_whole_in_any_order(
        rows in prop::collection::vec((prop::array::uniform3(-8i8..8), 0i64..3), 2..40),
        cut in 0.0..1.0f64,
    ) {
        let cut = ((rows.len() as f64 * cut) as usize).clamp(1, rows.len() - 1);
        let tensors = |rows: &[([i8; 3], i64)], values: bool| {
            let n = rows.len() as isize;
            let ids: Vec<i64> = rows.iter().map(|r| r.1).collect();
            if values {
                let x: Vec<f32> = rows.iter().map(|r| f32::from(r.0[0]) / 4.0).collect();
                let y: Vec<f32> = ids.iter().map(|&id| id as f32 + 0.5).collect();
                return (Tensor::from(x).reshape([n, 1]), Tensor::from(y).reshape([n, 1]));
            }
            let x: Vec<f32> = rows.iter().flat_map(|r| r.0.map(|v| f32::from(v) / 4.0)).collect();
            (Tensor::from(x).reshape([n, 3]), Tensor::from(ids))
        };
        for name in METRIC_NAMES {
            let metric = metric_by_name(name).unwrap();
            let of_values = ["mae", "mape", "mse", "r2", "rmse"].contains(name);
            let of = |parts: &[&[([i8; 3], i64)]]| {
                let mut all = Meter::new(Part(&*metric));
                for part in parts {
                    let mut meter = Meter::new(Part(&*metric));
                    let (x, y) = tensors(part, of_values);
                    meter.add_batch(&x, &y).unwrap();
                    all.merge(&meter);
                }
                all.value()
            };
            let (a, b) = rows.split_at(cut);
            let (whole, parts, turned) = (of(&[&rows]), of(&[a, b]), of(&[b, a]));
            for other in [parts, turned] {
                let near = (whole - other).abs() <= 1e-12 * whole.abs().max(1.0);
                prop_assert!(near || whole.is_nan() && other.is_nan(), "{name}: {whole} {other}");
            }
            if metric.gathers() {
                prop_assert!(parts.to_bits() == turned.to_bits(), "{name}");
            }
        }
    }
}
