//! What the optimizers that are a formula an element share: their structs, setters and numbers.
//!
//! The formulas are `Pointwise` of the engine; an optimizer's file says which numbers go in.

use super::engine::{Numbers, numbers_of};

/// How the gradient and the weight decay enter a formula.
pub(super) struct Common {
    pub(super) maximize: bool,
    /// Added to the gradient as `weight_decay * p`.
    pub(super) coupled: f64,
    /// What the parameter is multiplied by beside the step; 1 for none.
    pub(super) shrink: f64,
}

impl Common {
    /// The numbers of a step: what all formulas share, then the formula's own.
    pub(super) fn numbers<const N: usize>(self, own: [f64; N]) -> Numbers {
        let sign = if self.maximize { -1.0 } else { 1.0 };
        let mut numbers = numbers_of([sign, self.coupled, self.shrink]);
        for (to, from) in numbers.iter_mut().skip(3).zip(own) {
            *to = from;
        }
        numbers
    }
}

/// 1 at the first step of a parameter, else 0: a flag among numbers.
pub(super) fn first(count: u64) -> f64 {
    f64::from(u8::from(count == 0))
}

/// An optimizer and its rule: the struct, the constructor with PyTorch's defaults, a setter an
/// option, the trait. What the rule does is written beside it.
macro_rules! settings {
    (
        $(#[$doc:meta])*
        $name:ident, $rule:ident by $engine:ty, usual $usual:literal, decay $decay:literal
        $(, moves $($momentum:tt).+)?;
        $( $(#[$option_doc:meta])* $option:ident: $t:ty = $default:expr; )*
    ) => {
        $(#[$doc])*
        pub struct $name {
            pub(super) engine: $engine,
            pub(super) rule: $rule,
        }

        #[derive(Clone)]
        pub(super) struct $rule {
            pub(super) lr: f64,
            weight_decay: f64,
            maximize: bool,
            $($option: $t,)*
        }

        impl $name {
            #[doc = concat!("Trains all parameters of a model at a learning rate; ", $usual, ".")]
            pub fn new<M: $crate::module::Module + ?Sized>(model: &M, lr: f64) -> $name {
                $name {
                    engine: <$engine>::new(model),
                    rule: $rule {
                        lr, weight_decay: $decay, maximize: false, $($option: $default,)*
                    },
                }
            }

            #[doc = concat!("Weight decay; default ", $decay, ".")]
            /// It is added to the gradient as `weight_decay * p`, unless the optimizer says that it
            /// is decoupled.
            #[must_use]
            pub fn weight_decay(mut self, weight_decay: f64) -> $name {
                self.rule.weight_decay = weight_decay;
                self
            }

            /// Climbs instead of descending. Default off.
            #[must_use]
            pub fn maximize(mut self, maximize: bool) -> $name {
                self.rule.maximize = maximize;
                self
            }

            $(
                $(#[$option_doc])*
                #[must_use]
                pub fn $option(mut self, $option: $t) -> $name {
                    self.rule.$option = $option;
                    self
                }
            )*
        }

        $crate::optim::optimizer!($name $(, moves $($momentum).+)?);
    };
}
pub(super) use settings;

/// [`settings`] of an optimizer that is one pass of the engine and has no decay by default.
macro_rules! pointwise {
    (
        $(#[$doc:meta])*
        $name:ident, $rule:ident, usual $usual:literal $(, moves $($momentum:tt).+)?;
        $($options:tt)*
    ) => {
        $crate::optim::pointwise::settings! {
            $(#[$doc])*
            $name, $rule by $crate::optim::engine::Engine, usual $usual, decay 0.0
            $(, moves $($momentum).+)?;
            $($options)*
        }
    };
}
pub(super) use pointwise;

/// The parts of a `Method` that are the same for all.
macro_rules! method {
    ($name:literal, $($state:literal),*) => {
        const NAME: &'static str = $name;

        fn states(&self) -> &'static [&'static str] {
            &[$($state),*]
        }

        fn lr(&self) -> f64 {
            self.lr
        }

        fn weight_decay(&self) -> f64 {
            self.weight_decay
        }
    };
}
pub(super) use method;
