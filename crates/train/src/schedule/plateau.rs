//! A rate that falls when a metric no longer gets better.

use serde::{Deserialize, Serialize};

/// Lowers the rate when a metric has not got better for some time; PyTorch's `ReduceLROnPlateau`.
///
/// ```
/// use gradus_train::schedule::Plateau;
/// let mut plateau = Plateau::new().patience(1).factor(0.5);
/// let rates: Vec<f64> = [1.0, 0.5, 0.5, 0.5].iter().map(|&loss| plateau.rate(0.1, loss)).collect();
/// assert_eq!(rates, [0.1, 0.1, 0.1, 0.05]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plateau {
    maximize: bool,
    factor: f64,
    patience: u64,
    threshold: f64,
    absolute: bool,
    cooldown: u64,
    min_lr: f64,
    best: Option<f64>,
    bad: u64,
    cooling: u64,
}

impl Default for Plateau {
    fn default() -> Plateau {
        Plateau {
            maximize: false,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            absolute: false,
            cooldown: 0,
            min_lr: 0.0,
            best: None,
            bad: 0,
            cooling: 0,
        }
    }
}

impl Plateau {
    /// With PyTorch's defaults.
    pub fn new() -> Plateau {
        Plateau::default()
    }

    /// Whether higher is better. Default lower.
    #[must_use]
    pub fn maximize(mut self, maximize: bool) -> Plateau {
        self.maximize = maximize;
        self
    }

    /// What the rate is multiplied by; default 0.1.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Plateau {
        self.factor = factor;
        self
    }

    /// How many values may be no better before the rate falls; default 10.
    #[must_use]
    pub fn patience(mut self, patience: u64) -> Plateau {
        self.patience = patience;
        self
    }

    /// How much better is better; default 1e-4.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Plateau {
        self.threshold = threshold;
        self
    }

    /// Whether the threshold is a difference instead of a part of the best value. Default off.
    #[must_use]
    pub fn absolute(mut self, absolute: bool) -> Plateau {
        self.absolute = absolute;
        self
    }

    /// Values after a fall that do not count; default 0.
    #[must_use]
    pub fn cooldown(mut self, cooldown: u64) -> Plateau {
        self.cooldown = cooldown;
        self
    }

    /// The lowest rate; default 0.
    #[must_use]
    pub fn min_lr(mut self, min_lr: f64) -> Plateau {
        self.min_lr = min_lr;
        self
    }

    /// The rate after one more value of the metric, from the rate `lr` before it.
    pub fn rate(&mut self, lr: f64, metric: f64) -> f64 {
        let better = self.best.is_none_or(|best| {
            let margin = if self.absolute { self.threshold } else { best * self.threshold };
            // As PyTorch has it: a part of a negative best value is negative.
            if self.maximize { metric > best + margin } else { metric < best - margin }
        });
        if better && !metric.is_nan() {
            self.best = Some(metric);
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad <= self.patience {
            return lr;
        }
        self.cooling = self.cooldown;
        self.bad = 0;
        let lower = (lr * self.factor).max(self.min_lr);
        // A change that small is noise of the rounding.
        if lr - lower > 1e-8 { lower } else { lr }
    }
}
