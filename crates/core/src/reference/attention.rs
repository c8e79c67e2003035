//! Attention: forward and backward, one query after the other.

use gradus_kernels::attention::Heads;
use gradus_kernels::memory::KernelError;

use super::Result;
use super::values::{Values, reals, round};
use crate::array::Array;
use crate::ops::{Attended, Meta, Precision};

/// The operands: queries, keys, values, and what is added to the scores.
struct Given {
    heads: Heads,
    scale: f64,
    precision: Precision,
    /// Rounded for the products.
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    mask: Option<Vec<f64>>,
}

impl Given {
    fn new(a: Attended, ins: &[&Array]) -> Result<Given> {
        let (&[q, k, v], rest) =
            ins.split_first_chunk::<3>().ok_or(KernelError::Bounds("the operands of attention"))?;
        let heads = a.heads(q.shape(), k.shape(), v.shape());
        let mask = match rest.first() {
            Some(mask) if mask.dtype() == crate::DType::Bool => {
                let seen = super::values::elements::<bool>(mask)?;
                Some(seen.iter().map(|&s| if s { 0.0 } else { f64::NEG_INFINITY }).collect())
            }
            Some(mask) => Some(reals(mask)?),
            None => None,
        };
        let precision = a.precision;
        let operand = |x: &Array| -> Result<Vec<f64>> {
            Ok(reals(x)?.into_iter().map(|x| round(precision, x)).collect())
        };
        let (q, k, v) = (operand(q)?, operand(k)?, operand(v)?);
        Ok(Given { heads, scale: a.scale(), precision, q, k, v, mask })
    }

    /// Calls `f` with sample, head and query, each once.
    fn each(&self, mut f: impl FnMut(usize, usize, usize)) {
        let h = self.heads;
        for sample in 0..h.batch {
            for head in 0..h.heads {
                (0..h.queries).for_each(|query| f(sample, head, query));
            }
        }
    }

    /// A number for each sample, head and query.
    fn row(&self, sample: usize, head: usize, query: usize) -> usize {
        (sample * self.heads.heads + head) * self.heads.queries + query
    }

    fn query(&self, row: usize) -> &[f64] {
        line(&self.q, row, self.heads.size)
    }

    /// The number of the first key of a head of queries.
    fn keys(&self, sample: usize, head: usize) -> usize {
        (sample * self.heads.of_keys() + head / self.heads.group.max(1)) * self.heads.keys
    }

    /// The scores of a row, those that are masked left out as -inf.
    fn scores(&self, sample: usize, head: usize, query: usize) -> Vec<f64> {
        let row = self.row(sample, head, query);
        let mask = self.mask.as_ref().map(|m| line(m, row, self.heads.keys));
        let score = |j: usize| {
            let key = line(&self.k, self.keys(sample, head) + j, self.heads.size);
            let score = dot(self.query(row), key) * self.scale;
            let added = mask.and_then(|m| m.get(j)).copied().unwrap_or(0.0);
            let hidden = self.heads.causal && j > query || added == f64::NEG_INFINITY;
            if hidden { f64::NEG_INFINITY } else { score + added }
        };
        (0..self.heads.keys).map(score).collect()
    }

    /// The largest score of a row, the factor of the exponentials, and the weights.
    fn weights(&self, sample: usize, head: usize, query: usize) -> (f64, f64, Vec<f64>) {
        let scores = self.scores(sample, head, query);
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if most == f64::NEG_INFINITY && self.mask.is_some() {
            return (0.0, 0.0, vec![0.0; scores.len()]);
        }
        let terms: Vec<f64> = scores.iter().map(|s| libm::exp(s - most)).collect();
        let factor = 1.0 / terms.iter().sum::<f64>();
        (most, factor, terms.iter().map(|t| t * factor).collect())
    }
}

fn line(x: &[f64], row: usize, width: usize) -> &[f64] {
    x.get(row * width..(row + 1) * width).unwrap_or(&[])
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Adds `factor * x` to the row that starts at `at`.
fn add(to: &mut [f64], at: usize, factor: f64, x: &[f64]) {
    for (to, x) in to.iter_mut().skip(at).zip(x) {
        *to += factor * x;
    }
}

/// The forward pass, in the layout of [`Heads::tape`].
pub(super) fn forward(a: Attended, ins: &[&Array], out: Meta) -> Result<Array> {
    let given = Given::new(a, ins)?;
    let h = given.heads;
    let mut tape = vec![0.0; h.tape()];
    given.each(|sample, head, query| {
        let (most, factor, weights) = given.weights(sample, head, query);
        // The exponentials meet the values before the factor does.
        let whole = if factor == 0.0 { 1.0 } else { factor };
        let at = ((sample * h.queries + query) * h.heads + head) * h.out;
        for (j, weight) in weights.into_iter().enumerate() {
            let weight = round(given.precision, weight / whole) * whole;
            add(&mut tape, at, weight, line(&given.v, given.keys(sample, head) + j, h.out));
        }
        let kept = h.visible() + 2 * given.row(sample, head, query);
        add(&mut tape, kept, 1.0, &[most, factor]);
    });
    Values::Real(tape).into_array(out)
}

/// The backward pass: operands are tape, gradient of the result, and those of the forward pass.
pub(super) fn backward(a: Attended, ins: &[&Array], out: Meta) -> Result<Array> {
    let (&[_, g], rest) =
        ins.split_first_chunk::<2>().ok_or(KernelError::Bounds("the operands of attention"))?;
    let given = Given::new(a, rest)?;
    let h = given.heads;
    let g = reals(g)?;
    let [len_q, len_k, len_v] = h.gradients();
    let mut all = vec![0.0; len_q + len_k + len_v];
    // Where the gradient of an operand's row goes.
    let place = |i: usize, sample: usize, head: usize, row: usize| {
        if h.packed() {
            return (((sample * h.queries + row) * 3 + i) * h.heads + head) * h.size;
        }
        let (rows, heads) = if i == 0 { (h.queries, h.heads) } else { (h.keys, h.of_keys()) };
        let width = if i == 2 { h.out } else { h.size };
        [0, len_q, len_q + len_k].get(i).copied().unwrap_or(0)
            + ((sample * rows + row) * heads + head) * width
    };
    given.each(|sample, head, query| {
        let (_, _, weights) = given.weights(sample, head, query);
        let round = |x: f64| round(given.precision, x);
        let dy = line(&g, (sample * h.queries + query) * h.heads + head, h.out);
        let dy: Vec<f64> = dy.iter().map(|&x| round(x)).collect();
        let keys = given.keys(sample, head);
        let dp: Vec<f64> = (0..h.keys).map(|j| dot(&dy, line(&given.v, keys + j, h.out))).collect();
        let mean = dot(&weights, &dp);
        let row = given.row(sample, head, query);
        for (j, (&p, d)) in weights.iter().zip(&dp).enumerate() {
            let of_keys = head / h.group.max(1);
            add(&mut all, place(2, sample, of_keys, j), round(p), &dy);
            let ds = round(p * (d - mean) * given.scale);
            add(&mut all, place(1, sample, of_keys, j), ds, given.query(row));
            add(&mut all, place(0, sample, head, query), ds, line(&given.k, keys + j, h.size));
        }
    });
    Values::Real(all).into_array(out)
}
