//! A small problem on which samples run, and plain loops over it.

use gradus_core::{Array, DType, Param, Result, Tensor};

use crate::module::{Module, Visitor};

/// A matrix `weight` and a vector `bias` that shall become given numbers: the loss is
/// `sum(scale * (p - target)^2) / 2` over both, with a scale of its own for each element.
pub struct Problem {
    /// `[rows, columns]`.
    pub weight: Param,
    /// `[columns]`.
    pub bias: Param,
    start: Vec<f64>,
    target: Vec<f64>,
    scale: Vec<f64>,
    columns: usize,
}

impl Module for Problem {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.param("weight", &self.weight);
        visitor.param("bias", &self.bias);
    }
}

impl Problem {
    /// The rate of the plain gradient descent that averages are made of.
    pub const LR: f64 = 0.1;

    /// A problem of this size and type: the same numbers every time.
    ///
    /// # Errors
    /// Of the arrays.
    pub fn new(rows: usize, columns: usize, dtype: DType) -> Result<Problem> {
        let count = (rows + 1) * columns;
        // Numbers that f32 has too.
        let wave = |i: usize, step: usize| ((i * step + 3) % 17) as f64 / 16.0;
        let start: Vec<f64> = (0..count).map(|i| 2.0 * wave(i, 7) - 1.0).collect();
        let array = |values: &[f64], dims: &[usize]| Array::new(dims, values)?.cast(dtype);
        let (w, b) = start.split_at(rows * columns);
        Ok(Problem {
            weight: Param::new(array(w, &[rows, columns])?),
            bias: Param::new(array(b, &[columns])?),
            target: (0..count).map(|i| 2.0 * wave(i, 5) - 0.75).collect(),
            scale: (0..count).map(|i| 0.25 + 2.0 * wave(i, 11)).collect(),
            start,
            columns,
        })
    }

    /// What is to be made small; its least value is 0.
    #[track_caller]
    pub fn loss(&self) -> Tensor {
        let part = |param: &Param, scale: &[f64], target: &[f64]| {
            let like = |values: &[f64]| {
                let made = Array::new(param.shape(), values).and_then(|a| a.cast(param.dtype()));
                made.map_or_else(Tensor::failed, Tensor::from)
            };
            (like(scale) * (param.tensor() - like(target)).square()).sum() * 0.5
        };
        let (w_scale, b_scale) = self.scale.split_at(self.matrix());
        let (w_target, b_target) = self.target.split_at(self.matrix());
        part(&self.weight, w_scale, w_target) + part(&self.bias, b_scale, b_target)
    }

    /// The parameters as numbers: the matrix, then the vector.
    ///
    /// # Errors
    /// Of a parameter that has none.
    pub fn values(&self) -> Result<Vec<f64>> {
        let mut values = self.weight.get()?.to_f64();
        values.extend(self.bias.get()?.to_f64());
        Ok(values)
    }

    /// How many numbers the matrix has.
    pub(super) fn matrix(&self) -> usize {
        self.start.len() - self.columns
    }

    /// How many columns it has.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Where the parameters start.
    pub(super) fn start(&self) -> Vec<f64> {
        self.start.clone()
    }

    /// The loss.
    pub(super) fn cost(&self, p: &[f64]) -> f64 {
        let pulls = self.scale.iter().zip(&self.target);
        p.iter().zip(pulls).map(|(p, (scale, t))| 0.5 * scale * (p - t) * (p - t)).sum()
    }

    /// The gradient of the loss.
    pub(super) fn gradient(&self, p: &[f64]) -> Vec<f64> {
        let pulls = self.scale.iter().zip(&self.target);
        p.iter().zip(pulls).map(|(p, (scale, target))| scale * (p - target)).collect()
    }

    /// The parameters after `steps` steps of a rule: from parameters and gradients to parameters; it
    /// is told which step it is, from 1.
    pub(super) fn descend(
        &self,
        steps: usize,
        mut rule: impl FnMut(&[f64], &[f64], i32) -> Vec<f64>,
    ) -> Vec<f64> {
        (1..=steps).fold(self.start(), |p, t| rule(&p, &self.gradient(&p), t as i32))
    }

    /// The parameters after `steps` steps of a rule that is a formula an element: from parameter,
    /// gradient, state and the step, from 1, to parameter and state. State begins with zeros.
    pub(super) fn elements<const N: usize>(
        &self,
        steps: usize,
        rule: impl Fn(f64, f64, [f64; N], f64) -> (f64, [f64; N]),
    ) -> Vec<f64> {
        let mut states = vec![[0.0; N]; self.start.len()];
        self.descend(steps, |p, g, t| {
            let next = p.iter().zip(g).zip(&mut states).map(|((&p, &g), state)| {
                let (p, new) = rule(p, g, *state, f64::from(t));
                *state = new;
                p
            });
            next.collect()
        })
    }
}

/// The 2-norm.
pub(super) fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

/// The sum of products.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `x + factor * y`.
pub(super) fn plus(x: &[f64], factor: f64, y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x + factor * y).collect()
}

/// `keep * old + (1 - keep) * new`, zeros where there is no old.
pub(super) fn average(old: &[f64], keep: f64, new: &[f64]) -> Vec<f64> {
    let old = old.iter().copied().chain(std::iter::repeat(0.0));
    new.iter().zip(old).map(|(new, old)| keep * old + (1.0 - keep) * new).collect()
}
