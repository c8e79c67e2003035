//! The update rules that are a formula an element: one scalar function each, applied to vectors.
//!
//! The caller has already folded step counts, bias corrections and rates into the numbers, so a
//! formula is what is left of an optimizer when everything that is the same for all elements is
//! taken out. Every formula gets the gradient with its sign and coupled decay applied, and the
//! parameter with its decoupled decay applied.

use super::real::{LANES, Real};
use super::{Kernel, Part};
use crate::levels::{leveled, one_vector_a_turn};

/// Which formula; its numbers are `[sign, decay, shrink, a, b, c, d, e, f, g]`.
///
/// First `g = sign * g + decay * p` and `p = shrink * p`, then as said at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pointwise {
    /// `s0 += g^2` (`s0 = d + g^2` if `c`, the first step), `p += a * g / (sqrt(s0) + b)`.
    Adagrad,
    /// `s0 = b s0 + c g^2`, `x = sqrt(s1 + d) / sqrt(s0 + d) * g`, `s1 = b s1 + c x^2`, `p += a x`.
    Adadelta,
    /// `s0 = b s0 + c g^2`, `r = sqrt(s0) + d`; centered: the last state is a mean `m` of `g`
    /// that moves by `c`, and `r = sqrt(s0 - m^2) + d`; then `p += a g / r`, or with momentum
    /// `s1 = e s1 + g / r`, `p += a s1`.
    RmsProp {
        /// Subtracts the squared mean of the gradient.
        centered: bool,
        /// Keeps a momentum buffer, as state 1.
        momentum: bool,
    },
    /// `s0` moves to `g` by `b`, `s1 = max(c s1, |g| + d)`, `p += a s0 / s1`.
    Adamax,
    /// `s0` moves to `g` by `b`, `s1 = c s1 + d g^2`, `r = sqrt(s1 / e) + f`,
    /// `p += a g / r + g s0 / r`, the last `g` being the last number.
    NAdam,
    /// `s0` moves to `g` by `b`, `s1 = c s1 + d g^2`, then `p += a s0 / (sqrt(s1) + e)`; or
    /// `p += a s0` if `f`, while the variance is not to be trusted.
    RAdam,
    /// `p = b p + a g`, then `s0` (the average) moves to `p` by `c`.
    Asgd,
    /// `s0` is the last gradient, `s1` the step (`e` at the first, when `f`): times `a` where the
    /// signs agree, times `b` and the gradient left out where they do not, from `c` to `d`;
    /// `p -= sign(g) s1`.
    Rprop,
    /// `p += a * sign(b s0 + (1 - b) g)`, then `s0 = c s0 + (1 - c) g`.
    Lion,
}

/// How many numbers a formula gets.
pub const NUMBERS: usize = 10;

impl Pointwise {
    /// How many state windows each tensor needs.
    pub fn states(self) -> usize {
        match self {
            Pointwise::Adagrad | Pointwise::Asgd | Pointwise::Lion => 1,
            Pointwise::Adadelta
            | Pointwise::Adamax
            | Pointwise::NAdam
            | Pointwise::RAdam
            | Pointwise::Rprop => 2,
            Pointwise::RmsProp { centered, momentum } => {
                1 + usize::from(centered) + usize::from(momentum)
            }
        }
    }

    /// Nanoseconds an element, about, for the pool.
    pub(super) fn ns(self) -> f64 {
        match self {
            Pointwise::Asgd | Pointwise::Lion => 0.5,
            _ => 1.0,
        }
    }
}

/// A formula with its numbers in the type of the tensors.
pub(super) struct PointwiseWith<T> {
    kind: Pointwise,
    n: [T; NUMBERS],
    /// `1 - b` and `1 - c`, rounded once.
    rest: [T; 2],
}

pub(super) fn with<T: Real>(kind: Pointwise, numbers: &[f64; NUMBERS]) -> PointwiseWith<T> {
    PointwiseWith {
        kind,
        n: numbers.map(T::of),
        rest: [T::of(1.0 - numbers[4]), T::of(1.0 - numbers[5])],
    }
}

// SAFETY: the body touches `n` elements of each window that the formula has, and nothing else.
unsafe impl<T: Real> Kernel<T> for PointwiseWith<T> {
    unsafe fn run(&self, part: Part<T>) {
        match self.kind {
            Pointwise::Adagrad => adagrad(self, &part),
            Pointwise::Adadelta => adadelta(self, &part),
            Pointwise::RmsProp { centered: false, momentum: false } => rmsprop(self, &part),
            Pointwise::RmsProp { centered: false, momentum: true } => rmsprop_momentum(self, &part),
            Pointwise::RmsProp { centered: true, momentum: false } => rmsprop_centered(self, &part),
            Pointwise::RmsProp { centered: true, momentum: true } => rmsprop_both(self, &part),
            Pointwise::Adamax => adamax(self, &part),
            Pointwise::NAdam => nadam(self, &part),
            Pointwise::RAdam => radam(self, &part),
            Pointwise::Asgd => asgd(self, &part),
            Pointwise::Rprop => rprop(self, &part),
            Pointwise::Lion => lion(self, &part),
        }
    }
}

/// `from` moved to `to` by `weight`, as PyTorch's `lerp`: exact at both ends.
#[inline(always)]
fn lerp<T: Real, const FMA: bool>(from: T, to: T, weight: T, rest: T) -> T {
    if weight.less_than_half() {
        (to - from).fma::<FMA>(weight, from)
    } else {
        (from - to).fma::<FMA>(rest, to)
    }
}

/// A formula of `(numbers, rest, p, g, states)` over a part, compiled for each level.
macro_rules! formula {
    ($name:ident, $body:ident, $states:literal,
     |$n:ident, $rest:ident, $p:ident, $g:ident, $s:ident| $formula:block) => {
        leveled!(fn $name[T: Real](with: &PointwiseWith<T>, part: &Part<T>) => $body);
        #[inline(always)]
        fn $body<const FMA: bool, T: Real>(with: &PointwiseWith<T>, part: &Part<T>) {
            let ($n, $rest) = (&with.n, &with.rest);
            let mut i = 0;
            while i < part.n {
                let len = (part.n - i).min(LANES);
                // SAFETY: i + len <= part.n, and the formula has `$states` states, which the
                // caller vouches for; all sources are loaded before anything is stored.
                unsafe {
                    let mut p = T::load(part.p.0.add(i), len);
                    let g = T::load(part.g.add(i), len);
                    let mut states = [[T::default(); LANES]; $states];
                    for (v, window) in states.iter_mut().zip(&part.states) {
                        *v = T::load(window.0.add(i), len);
                    }
                    for lane in 0..LANES {
                        let $g = p[lane].fma::<FMA>($n[1], g[lane] * $n[0]);
                        let $p = p[lane] * $n[2];
                        let mut $s = [T::default(); $states];
                        for (s, v) in $s.iter_mut().zip(&states) {
                            *s = v[lane];
                        }
                        p[lane] = $formula.flushed();
                        for (s, v) in $s.iter().zip(&mut states) {
                            v[lane] = s.flushed();
                        }
                    }
                    T::store(part.p.1.add(i), p, len);
                    for (v, window) in states.iter().zip(&part.states) {
                        T::store(window.1.add(i), *v, len);
                    }
                }
                i += LANES;
                one_vector_a_turn();
            }
        }
    };
}

formula!(adagrad, adagrad_body, 1, |n, _rest, p, g, s| {
    let before = if n[5] == T::of(1.0) { n[6] } else { s[0] };
    s[0] = g.fma::<FMA>(g, before);
    p + n[3] * g / (s[0].root() + n[4])
});

formula!(adadelta, adadelta_body, 2, |n, _rest, p, g, s| {
    s[0] = s[0] * n[4] + n[5] * g * g;
    let step = (s[1] + n[6]).root() / (s[0] + n[6]).root() * g;
    s[1] = s[1] * n[4] + n[5] * step * step;
    step.fma::<FMA>(n[3], p)
});

formula!(rmsprop, rmsprop_body, 1, |n, _rest, p, g, s| {
    s[0] = s[0] * n[4] + n[5] * g * g;
    p + n[3] * g / (s[0].root() + n[6])
});

formula!(rmsprop_momentum, rmsprop_momentum_body, 2, |n, _rest, p, g, s| {
    s[0] = s[0] * n[4] + n[5] * g * g;
    s[1] = s[1] * n[7] + g / (s[0].root() + n[6]);
    s[1].fma::<FMA>(n[3], p)
});

formula!(rmsprop_centered, rmsprop_centered_body, 2, |n, rest, p, g, s| {
    s[0] = s[0] * n[4] + n[5] * g * g;
    s[1] = lerp::<T, FMA>(s[1], g, n[5], rest[1]);
    p + n[3] * g / ((s[0] - s[1] * s[1]).root() + n[6])
});

formula!(rmsprop_both, rmsprop_both_body, 3, |n, rest, p, g, s| {
    s[0] = s[0] * n[4] + n[5] * g * g;
    s[2] = lerp::<T, FMA>(s[2], g, n[5], rest[1]);
    s[1] = s[1] * n[7] + g / ((s[0] - s[2] * s[2]).root() + n[6]);
    s[1].fma::<FMA>(n[3], p)
});

formula!(adamax, adamax_body, 2, |n, rest, p, g, s| {
    s[0] = lerp::<T, FMA>(s[0], g, n[4], rest[0]);
    s[1] = (s[1] * n[5]).larger(g.absolute() + n[6]);
    p + n[3] * s[0] / s[1]
});

formula!(nadam, nadam_body, 2, |n, rest, p, g, s| {
    s[0] = lerp::<T, FMA>(s[0], g, n[4], rest[0]);
    s[1] = s[1] * n[5] + n[6] * g * g;
    let root = (s[1] / n[7]).root() + n[8];
    p + n[3] * g / root + n[9] * s[0] / root
});

formula!(radam, radam_body, 2, |n, rest, p, g, s| {
    s[0] = lerp::<T, FMA>(s[0], g, n[4], rest[0]);
    s[1] = s[1] * n[5] + n[6] * g * g;
    let plain = n[8] == T::of(1.0);
    p + n[3] * s[0] / if plain { T::of(1.0) } else { s[1].root() + n[7] }
});

formula!(asgd, asgd_body, 1, |n, _rest, p, g, s| {
    let p = g.fma::<FMA>(n[3], p * n[4]);
    // At a weight of 1 the average is the parameter, to the bit.
    s[0] = if n[5] == T::of(1.0) { p } else { (p - s[0]).fma::<FMA>(n[5], s[0]) };
    p
});

formula!(rprop, rprop_body, 2, |n, _rest, p, g, s| {
    let before = if n[8] == T::of(1.0) { n[7] } else { s[1] };
    let agree = g * s[0];
    let zero = T::default();
    let factor = if agree > zero {
        n[3]
    } else if agree < zero {
        n[4]
    } else {
        T::of(1.0)
    };
    // `larger` and `smaller` pass NaN on, so that a bad gradient does not hide.
    s[1] = (before * factor).larger(n[5]).smaller(n[6]);
    let g = if agree < zero { zero } else { g };
    s[0] = g;
    (-g.signed()).fma::<FMA>(s[1], p)
});

formula!(lion, lion_body, 1, |n, rest, p, g, s| {
    let way = s[0] * n[4] + rest[0] * g;
    s[0] = s[0] * n[5] + rest[1] * g;
    way.signed().fma::<FMA>(n[3], p)
});
