//! Rows of rules with norms, products or factored state, and of L-BFGS.

use super::problem::{Problem, average, dot, norm, plus};
use super::{Group, Named, OptimizerRow, named, refuses, steps};
use crate::optim::{
    Adafactor, AdamW, AdjustLr, Lamb, Lbfgs, LineSearch, Muon, Optimizer, Proportional,
    ProportionalTo, Together,
};
use crate::walk::ModuleExt;

pub(super) fn rows() -> Vec<OptimizerRow> {
    vec![adafactor(), lamb(), muon(), lbfgs(), proportional()]
}

/// The parameters after some steps of a rule on each parameter by itself: it is given the parameter,
/// its gradient, its state and the step; state begins empty.
fn each(
    problem: &Problem,
    n: usize,
    rule: impl Fn(&[f64], &[f64], &mut [Vec<f64>; 2], i32, bool) -> Vec<f64>,
) -> Vec<f64> {
    let mut states: [[Vec<f64>; 2]; 2] = Default::default();
    let at = problem.matrix();
    problem.descend(n, |p, g, t| {
        let ((p, q), (g, h)) = (p.split_at(at), g.split_at(at));
        let [matrix, vector] = &mut states;
        let mut next = rule(p, g, matrix, t, true);
        next.extend(rule(q, h, vector, t, false));
        next
    })
}

fn mean(x: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = x.fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
    sum / count
}

fn adafactor() -> OptimizerRow {
    OptimizerRow {
        name: "Adafactor",
        signature: "Adafactor::new(&model, lr).beta2_decay(-0.8).eps((None, 1e-3)).d(1).weight_decay(0).maximize(false)",
        formula: "averages of g^2 as one number a row and one a column, b = t^beta2_decay: V = R C / mean(R); \
                  u = g / sqrt(V), p -= min(lr, 1 / sqrt(t)) max(eps.1, rms(p)) u / max(1, rms(u) / d)",
        group: Group::Optimizer,
        pytorch: "torch.optim.Adafactor",
        differs: "",
        source: "Shazeer and Stern, 2018",
        named: named!("adafactor", lr 2e-2, Adafactor: weight_decay),
        samples: || {
            vec![steps(
                "a matrix, a vector, decay",
                |p| Box::new(Adafactor::new(p, 0.1).weight_decay(0.05)),
                |problem, n| {
                    let columns = problem.columns();
                    each(problem, n, |p, g, [rows, cols], t, matrix| {
                        let (t, eps) = (f64::from(t), f64::EPSILON);
                        let keep = 1.0 - t.powf(-0.8);
                        let squares: Vec<f64> = g.iter().map(|g| g * g).collect();
                        let variance: Vec<f64> = if matrix {
                            let of_rows: Vec<f64> =
                                squares.chunks(columns).map(|r| mean(r.iter().copied())).collect();
                            let column = |c| mean(squares.iter().skip(c).step_by(columns).copied());
                            let of_cols: Vec<f64> = (0..columns).map(column).collect();
                            *rows = average(rows, keep, &of_rows);
                            *cols = average(cols, keep, &of_cols);
                            let all = mean(rows.iter().copied()).max(eps);
                            let row = |r: &f64| cols.iter().map(|c| r * c / all).collect();
                            rows.iter().flat_map(|r| -> Vec<f64> { row(r) }).collect()
                        } else {
                            *rows = average(rows, keep, &squares);
                            rows.clone()
                        };
                        let u: Vec<f64> = g
                            .iter()
                            .zip(&variance)
                            .map(|(g, v)| g / v.max(eps * eps).sqrt())
                            .collect();
                        let rms = |x: &[f64]| mean(x.iter().map(|x| x * x)).sqrt();
                        let rate = f64::min(0.1, 1.0 / t.sqrt()) * rms(p).max(1e-3);
                        let kept: Vec<f64> = p.iter().map(|p| p * (1.0 - 0.1 * 0.05)).collect();
                        plus(&kept, -rate / rms(&u).max(1.0), &u)
                    })
                },
            )]
        },
        errors: || {
            vec![refuses("a threshold below 1", "Adafactor: the threshold d", |p| {
                Adafactor::new(p, 0.1).d(0.5).step(&p.loss()).map(drop)
            })]
        },
    }
}

fn lamb() -> OptimizerRow {
    OptimizerRow {
        name: "Lamb",
        signature: "Lamb::new(&model, lr).betas((0.9, 0.999)).eps(1e-6).weight_decay(0).maximize(false)",
        formula: "r = Adam's direction + weight_decay p, p -= lr |p| / |r| r with 2-norms of each parameter",
        group: Group::Optimizer,
        pytorch: "-",
        differs: "",
        source: "You et al., 2020",
        named: named!("lamb", lr 1e-2, Lamb: weight_decay, betas, eps),
        samples: || {
            vec![steps(
                "with decay",
                |p| Box::new(Lamb::new(p, 0.1).weight_decay(0.05)),
                |problem, n| {
                    each(problem, n, |p, g, [m, v], t, _| {
                        let squares: Vec<f64> = g.iter().map(|g| g * g).collect();
                        *m = average(m, 0.9, g);
                        *v = average(v, 0.999, &squares);
                        let own = p.iter().zip(m.iter().zip(v.iter()));
                        let r: Vec<f64> = own
                            .map(|(p, (m, v))| {
                                let root = (v / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-6;
                                m / (1.0 - 0.9f64.powi(t)) / root + 0.05 * p
                            })
                            .collect();
                        plus(p, -0.1 * norm(p) / norm(&r), &r)
                    })
                },
            )]
        },
        errors: || {
            vec![refuses("beta of 1", "LAMB: the betas", |p| {
                Lamb::new(p, 0.1).betas((1.0, 0.9)).step(&p.loss()).map(drop)
            })]
        },
    }
}

/// The product of a matrix of rows of `inner` with one of rows of `columns`.
fn product(a: &[f64], inner: usize, b: &[f64], columns: usize) -> Vec<f64> {
    let column = |c: usize| b.iter().copied().skip(c).step_by(columns).collect::<Vec<f64>>();
    let columns: Vec<Vec<f64>> = (0..columns).map(column).collect();
    a.chunks(inner)
        .flat_map(|row| columns.iter().map(|c| dot(row, c)).collect::<Vec<_>>())
        .collect()
}

fn transposed(a: &[f64], columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|c| a.iter().copied().skip(c).step_by(columns)).collect()
}

/// Muon's direction: five steps of the polynomial, on the side where the product is small.
fn orthogonal(x: &[f64], columns: usize) -> Vec<f64> {
    let rows = x.len() / columns;
    if rows > columns {
        return transposed(&orthogonal(&transposed(x, columns), rows), rows);
    }
    let mut x = plus(&vec![0.0; x.len()], 1.0 / norm(x).max(1e-7), x);
    for _ in 0..5 {
        let gram = product(&x, columns, &transposed(&x, columns), rows);
        let square = product(&gram, rows, &gram, rows);
        let b: Vec<f64> = gram.iter().zip(&square).map(|(g, s)| -4.7750 * g + 2.0315 * s).collect();
        x = plus(&product(&b, rows, &x, columns), 3.4445, &x);
    }
    x
}

fn muon() -> OptimizerRow {
    OptimizerRow {
        name: "Muon",
        signature: "Muon::new(&model, lr).momentum(0.95).nesterov(true).ns_coefficients((3.4445, -4.775, 2.0315)).eps(1e-7).ns_steps(5).adjust_lr(AdjustLr::Original).weight_decay(0.1).maximize(false)",
        formula: "the momentum of a matrix, made orthogonal by X = a X + (b A + c A^2) X with A = X X^T; \
                  p = (1 - lr weight_decay) p - lr adjust X",
        group: Group::Optimizer,
        pytorch: "torch.optim.Muon",
        differs: "the polynomial is computed in the parameter's type, not in bf16; as `muon` of a file: \
                  for matrices only, with AdjustLr::MatchRmsAdamW, beside AdamW for the rest",
        source: "Jordan et al., 2024; Liu et al., 2025",
        named: Some(Named {
            name: "muon",
            lr: 2e-3,
            options: &["weight_decay", "momentum"],
            build: |model, settings| {
                // Rates and decays of AdamW's size fit both.
                let muon = Muon::new(&(&model).select(|_, p| p.shape().rank() == 2), settings.lr);
                let rest = AdamW::new(&(&model).select(|_, p| p.shape().rank() != 2), settings.lr);
                let muon = muon.adjust_lr(AdjustLr::MatchRmsAdamW);
                let muon = match settings.momentum {
                    Some(momentum) => muon.momentum(momentum),
                    None => muon,
                };
                Box::new(match settings.weight_decay {
                    Some(d) => Together::new(muon.weight_decay(d)).with(rest.weight_decay(d)),
                    None => Together::new(muon).with(rest),
                })
            },
        }),
        samples: || {
            vec![steps(
                "a matrix",
                |p| Box::new(Muon::new(&p.select(|name, _| name == "weight"), 0.05)),
                |problem, n| {
                    let columns = problem.columns();
                    let rows = problem.matrix() / columns;
                    each(problem, n, |p, g, [b, _], _, matrix| {
                        if !matrix {
                            return p.to_vec();
                        }
                        *b = average(b, 0.95, g);
                        let x = orthogonal(&average(b, 0.95, g), columns);
                        let adjust = f64::max(1.0, rows as f64 / columns as f64).sqrt();
                        let kept: Vec<f64> = p.iter().map(|p| p * (1.0 - 0.05 * 0.1)).collect();
                        plus(&kept, -0.05 * adjust, &x)
                    })
                },
            )]
        },
        errors: || {
            vec![
                refuses("a vector", "Muon trains matrices; `bias`", |p| {
                    Muon::new(p, 0.1).step(&p.loss()).map(drop)
                }),
                refuses("100 steps of the polynomial", "Muon: the number of steps", |p| {
                    let matrices = p.select(|name, _| name == "weight");
                    Muon::new(&matrices, 0.1).ns_steps(100).step(&p.loss()).map(drop)
                }),
            ]
        },
    }
}

/// L-BFGS with a step of 1 along the direction, by the two loops of the paper.
fn two_loops(problem: &Problem, n: usize) -> Vec<f64> {
    let mut pairs: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    let mut last: Option<(Vec<f64>, Vec<f64>)> = None;
    problem.descend(n, |p, g, t| {
        if let Some((step, before)) = last.take() {
            let change = plus(g, -1.0, &before);
            if dot(&change, &step) > 1e-10 {
                pairs.push((change, step));
            }
        }
        let mut d: Vec<f64> = g.iter().map(|g| -g).collect();
        let mut alphas = Vec::new();
        for (y, s) in pairs.iter().rev() {
            let alpha = dot(s, &d) / dot(y, s);
            d = plus(&d, -alpha, y);
            alphas.push(alpha);
        }
        if let Some((y, s)) = pairs.last() {
            let scale = dot(y, s) / dot(y, y);
            d.iter_mut().for_each(|d| *d *= scale);
        }
        for ((y, s), alpha) in pairs.iter().zip(alphas.iter().rev()) {
            d = plus(&d, alpha - dot(y, &d) / dot(y, s), s);
        }
        let size: f64 = g.iter().map(|g| g.abs()).sum();
        let rate = if t == 1 { f64::min(1.0, 1.0 / size) } else { 1.0 };
        let step: Vec<f64> = d.iter().map(|d| rate * d).collect();
        let next = plus(p, 1.0, &step);
        last = Some((step, g.to_vec()));
        next
    })
}

fn lbfgs() -> OptimizerRow {
    OptimizerRow {
        name: "Lbfgs",
        signature: "Lbfgs::new(&model, lr).max_iter(20).max_eval(max_iter * 5 / 4).tolerance_grad(1e-7).tolerance_change(1e-9).history_size(100).line_search(LineSearch::None)",
        formula: "Newton's direction with the curvature of the last changes of the gradient, along it by lr \
                  or to where the strong Wolfe conditions hold; takes a closure: step_with",
        group: Group::Optimizer,
        pytorch: "torch.optim.LBFGS",
        differs: "a loss that is not finite is an error, or too far for the line search",
        source: "Liu and Nocedal, 1989",
        named: None,
        samples: || {
            vec![steps(
                "an iteration a step",
                |p| Box::new(Lbfgs::new(p, 1.0).max_iter(1).tolerance_change(0.0)),
                two_loops,
            )]
        },
        errors: || {
            vec![
                refuses("no iterations", "LBFGS: the number of iterations", |p| {
                    Lbfgs::new(p, 1.0).max_iter(0).step_with(&mut || p.loss()).map(drop)
                }),
                refuses("without a closure", "LBFGS", |p| {
                    Lbfgs::new(p, 1.0)
                        .line_search(LineSearch::StrongWolfe)
                        .step(&p.loss())
                        .map(drop)
                }),
            ]
        },
    }
}

fn proportional() -> OptimizerRow {
    OptimizerRow {
        name: "Proportional",
        signature: "Proportional::new(&model, lr, ProportionalTo::Gradient | Loss | Value)",
        formula: "p -= lr |g| g, lr loss g or lr |p| g: to see what a rate does",
        group: Group::Optimizer,
        pytorch: "-",
        differs: "",
        source: "-",
        named: None,
        samples: || {
            vec![
                steps(
                    "to the gradient",
                    |p| Box::new(Proportional::new(p, 0.1, ProportionalTo::Gradient)),
                    |p, n| p.elements(n, |p, g, [], _| (p - 0.1 * g.abs() * g, [])),
                ),
                steps(
                    "to the loss",
                    |p| Box::new(Proportional::new(p, 0.02, ProportionalTo::Loss)),
                    |problem, n| problem.descend(n, |p, g, _| plus(p, -0.02 * problem.cost(p), g)),
                ),
                steps(
                    "to the parameter",
                    |p| Box::new(Proportional::new(p, 0.1, ProportionalTo::Value)),
                    |p, n| p.elements(n, |p, g, [], _| (p - 0.1 * p.abs() * g, [])),
                ),
            ]
        },
        errors: || {
            vec![refuses(
                "no loss to follow",
                "Proportional: a rate in proportion to the loss",
                |p| Proportional::new(p, 0.1, ProportionalTo::Loss).apply(&p.loss().backward()?),
            )]
        },
    }
}
