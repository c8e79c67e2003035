//! The optimizer of a run by name, as its `config.toml` and `gradus train --optimizer` have it.
//!
//! Which names there are, and which settings each has, is in the rows of
//! [`gradus_nn::optim::registry`]: an optimizer that has a name there can be named here.

use std::fmt;

use gradus_core::{Code, Error, Result};
use gradus_nn::optim::registry::{Named, Settings, all_named};
use gradus_nn::{Module, Optimizer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An optimizer that a file or an argument can name: any that needs no closure.
///
/// ```
/// use gradus_train::OptimizerName;
/// assert_eq!(OptimizerName::parse("adam"), Some(OptimizerName::ADAM));
/// assert!(OptimizerName::all().any(|name| name.name() == "muon"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OptimizerName(&'static str);

impl OptimizerName {
    /// Adam, the default.
    pub const ADAM: OptimizerName = OptimizerName("adam");
    /// Adam with decoupled weight decay.
    pub const ADAMW: OptimizerName = OptimizerName("adamw");
    /// Stochastic gradient descent.
    pub const SGD: OptimizerName = OptimizerName("sgd");

    /// All, in the order of messages.
    pub fn all() -> impl Iterator<Item = OptimizerName> {
        all_named().map(|named| OptimizerName(named.name))
    }

    /// The name in files and arguments.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// The optimizer of that name.
    pub fn parse(name: &str) -> Option<OptimizerName> {
        OptimizerName::all().find(|own| own.0 == name)
    }

    /// A learning rate to begin with, for a small network.
    pub fn lr(self) -> f64 {
        self.row().map_or(1e-3, |named| named.lr)
    }

    /// Whether it has a setting of [`OptimizerConfig`], such as `momentum`.
    pub fn has(self, setting: &str) -> bool {
        self.row().is_ok_and(|named| named.options.contains(&setting))
    }

    fn row(self) -> Result<&'static Named> {
        all_named()
            .find(|named| named.name == self.0)
            .ok_or_else(|| Error::internal(format!("an optimizer `{}` without a row", self.0)))
    }
}

impl Default for OptimizerName {
    fn default() -> OptimizerName {
        OptimizerName::ADAM
    }
}

impl fmt::Debug for OptimizerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for OptimizerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for OptimizerName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<OptimizerName, D::Error> {
        let word = String::deserialize(from)?;
        OptimizerName::parse(&word).ok_or_else(|| {
            let names: Vec<&str> = OptimizerName::all().map(OptimizerName::name).collect();
            let known = names.join(", ");
            serde::de::Error::custom(format!("there is no optimizer `{word}`; there are {known}"))
        })
    }
}

/// An optimizer by name, with the settings that differ from its defaults.
///
/// ```
/// use gradus_nn::{Linear, Optimizer};
/// use gradus_train::{OptimizerConfig, OptimizerName};
/// let mut config = OptimizerConfig::new(OptimizerName::SGD, 0.1);
/// config.momentum = Some(0.9);
/// assert_eq!(config.build(&Linear::new(2, 1))?.lr(), 0.1);
/// config.betas = Some((0.9, 0.99));
/// assert!(config.build(&Linear::new(2, 1)).is_err());
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OptimizerConfig {
    /// Which; none for one that this file cannot describe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<OptimizerName>,
    /// Learning rate.
    pub lr: f64,
    /// Weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Momentum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Nesterov's momentum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// How slowly the averages of Adam and its relatives move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub betas: Option<(f64, f64)>,
    /// What keeps divisors away from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
}

impl OptimizerConfig {
    /// An optimizer with a learning rate and its defaults.
    pub fn new(name: OptimizerName, lr: f64) -> OptimizerConfig {
        OptimizerConfig { name: Some(name), lr, ..OptimizerConfig::default() }
    }

    /// The optimizer for a model.
    ///
    /// # Errors
    /// [`Code::Config`] without a name, or for a setting that this optimizer does not have. A
    /// value out of range is an error of the first step.
    pub fn build<M: Module + ?Sized>(&self, model: &M) -> Result<Box<dyn Optimizer>> {
        let named = self.check()?.row()?;
        let settings = Settings {
            lr: self.lr,
            weight_decay: self.weight_decay,
            momentum: self.momentum,
            nesterov: self.nesterov,
            betas: self.betas,
            eps: self.eps,
        };
        Ok((named.build)(&model, &settings))
    }

    /// Whether it has a name, and only settings that this optimizer has; the result is the name.
    ///
    /// # Errors
    /// As [`OptimizerConfig::build`].
    pub fn check(&self) -> Result<OptimizerName> {
        let Some(name) = self.name else {
            return Err(Error::new(Code::Config, "the configuration names no optimizer"));
        };
        let given = [
            ("weight_decay", self.weight_decay.is_some()),
            ("momentum", self.momentum.is_some()),
            ("nesterov", self.nesterov.is_some()),
            ("betas", self.betas.is_some()),
            ("eps", self.eps.is_some()),
        ];
        if let Some((setting, _)) = given.iter().find(|(s, given)| *given && !name.has(s)) {
            let text = format!("the optimizer {} has no {setting}", name.name());
            let have = OptimizerName::all().filter(|other| other.has(setting));
            let have: Vec<&str> = have.map(OptimizerName::name).collect();
            return Err(Error::new(Code::Config, text)
                .help(format!("those that have one are {}", have.join(", "))));
        }
        Ok(name)
    }
}
