//! Rows of averages of weights, penalties and clipping.

use gradus_core::{Gradients, Tensor};

use super::problem::{Problem, norm, plus};
use super::{Group, OptimizerRow, Run, Sample, refuses};
use crate::optim::{Average, clip_adaptive};
use crate::penalty;

pub(super) fn rows() -> Vec<OptimizerRow> {
    let averages = [ema(), swa()];
    [averages.to_vec(), penalties(), clipping()].concat()
}

/// The parameters after each step of plain gradient descent, the last one first.
fn path(problem: &Problem, n: usize) -> Vec<Vec<f64>> {
    let mut path = Vec::new();
    problem.descend(n, |p, g, _| {
        let next = plus(p, -Problem::LR, g);
        path.push(next.clone());
        next
    });
    path
}

fn ema() -> OptimizerRow {
    OptimizerRow {
        name: "Average::ema",
        signature: "Average::ema(&model, decay); average.update() after a step",
        formula: "average += (1 - decay) (p - average), from the first p on",
        group: Group::Average,
        pytorch: "torch.optim.swa_utils.AveragedModel",
        differs: "buffers are copied, not averaged",
        source: "Polyak and Juditsky, 1992",
        named: None,
        samples: || {
            vec![Sample {
                label: "a moving average",
                run: Run::Average(|p| Average::ema(p, 0.8)),
                expected: |problem, n| {
                    let path = path(problem, n).into_iter();
                    path.reduce(|a, p| plus(&a, 0.2, &plus(&p, -1.0, &a))).unwrap_or_default()
                },
            }]
        },
        errors: || {
            vec![refuses("decay above 1", "Average: the decay", |p| Average::ema(p, 1.5).update())]
        },
    }
}

fn swa() -> OptimizerRow {
    OptimizerRow {
        name: "Average::swa",
        signature: "Average::swa(&model); average.update() after an epoch",
        formula: "the mean of all p that it was updated with",
        group: Group::Average,
        pytorch: "torch.optim.swa_utils.AveragedModel",
        differs: "buffers are copied, not averaged",
        source: "Izmailov et al., 2018",
        named: None,
        samples: || {
            vec![Sample {
                label: "the mean",
                run: Run::Average(Average::swa),
                expected: |problem, n| {
                    let sum = path(problem, n).into_iter().reduce(|a, p| plus(&a, 1.0, &p));
                    sum.unwrap_or_default().iter().map(|v| v / n as f64).collect()
                },
            }]
        },
        errors: || {
            vec![refuses("no average yet", "Average: there is no average", |p| {
                Average::swa(p).swap()
            })]
        },
    }
}

/// The matrix alone, without the biases.
fn matrix(problem: &Problem) -> Vec<f64> {
    problem.start().into_iter().take(problem.matrix()).collect()
}

fn sums(x: &[f64]) -> (f64, f64) {
    (x.iter().map(|x| x.abs()).sum(), x.iter().map(|x| x * x).sum())
}

fn penalty_row(
    name: &'static str,
    signature: &'static str,
    formula: &'static str,
    source: &'static str,
    samples: fn() -> Vec<Sample>,
) -> OptimizerRow {
    OptimizerRow {
        name,
        signature,
        formula,
        group: Group::Penalty,
        pytorch: "-",
        differs: "",
        source,
        named: None,
        samples,
        // A factor may be any number, and what is picked may be nothing.
        errors: Vec::new,
    }
}

fn value(
    label: &'static str,
    run: fn(&Problem) -> Tensor,
    expected: fn(&Problem, usize) -> Vec<f64>,
) -> Vec<Sample> {
    vec![Sample { label, run: Run::Penalty(run), expected }]
}

fn penalties() -> Vec<OptimizerRow> {
    vec![
        penalty_row(
            "penalty::l1",
            "penalty::l1(&model, lambda, penalty::weights)",
            "lambda sum |p| over the parameters that are picked, here all but biases: lasso",
            "Tibshirani, 1996",
            || {
                value(
                    "without biases",
                    |p| penalty::l1(p, 0.3, penalty::weights),
                    |p, _| vec![0.3 * sums(&matrix(p)).0],
                )
            },
        ),
        penalty_row(
            "penalty::l1_mean",
            "penalty::l1_mean(&model, lambda, penalty::weights)",
            "lambda mean |p|",
            "-",
            || {
                value(
                    "without biases",
                    |p| penalty::l1_mean(p, 0.3, penalty::weights),
                    |p, _| vec![0.3 * sums(&matrix(p)).0 / p.matrix() as f64],
                )
            },
        ),
        penalty_row(
            "penalty::l2",
            "penalty::l2(&model, lambda, penalty::weights)",
            "lambda sum p^2: ridge",
            "Hoerl and Kennard, 1970",
            || {
                value(
                    "with biases",
                    |p| penalty::l2(p, 0.3, penalty::all),
                    |p, _| vec![0.3 * sums(&p.start()).1],
                )
            },
        ),
        penalty_row(
            "penalty::elastic_net",
            "penalty::elastic_net(&model, lambda, l1_ratio, penalty::weights)",
            "lambda (l1_ratio sum |p| + (1 - l1_ratio) / 2 sum p^2), as scikit-learn weighs it",
            "Zou and Hastie, 2005",
            || {
                value(
                    "without biases",
                    |p| penalty::elastic_net(p, 0.3, 0.4, penalty::weights),
                    |p, _| {
                        let (size, squares) = sums(&matrix(p));
                        vec![0.3 * (0.4 * size + 0.3 * squares)]
                    },
                )
            },
        ),
        penalty_row(
            "penalty::sum",
            "penalty::sum(&model, |name, p| Some(..))",
            "the sum of a function of each parameter, by its name",
            "-",
            || {
                value(
                    "far from 1",
                    |p| {
                        penalty::sum(p, |name, w| {
                            (name == "weight").then(|| (w - 1.0).square().sum())
                        })
                    },
                    |p, _| vec![matrix(p).iter().map(|w| (w - 1.0) * (w - 1.0)).sum()],
                )
            },
        ),
    ]
}

fn clipping() -> Vec<OptimizerRow> {
    let row = |name, signature, formula, pytorch, source, samples| OptimizerRow {
        name,
        signature,
        formula,
        group: Group::Clipping,
        pytorch,
        differs: "",
        source,
        named: None,
        samples,
        errors: Vec::new,
    };
    vec![
        row(
            "clip_norm",
            "gradients.clip_norm(max_norm), clip_norm_of(max_norm, order); Trainer: clip_norm(1.0)",
            "g *= min(1, max_norm / (norm + 1e-6)), the norm over all gradients together",
            "torch.nn.utils.clip_grad_norm_",
            "Pascanu, Mikolov and Bengio, 2013",
            || {
                vec![
                    clip(
                        "by the 2-norm",
                        |_, g| g.clip_norm(0.5),
                        |problem, _| {
                            let g = problem.gradient(&problem.start());
                            let factor = f64::min(1.0, 0.5 / (norm(&g) + 1e-6));
                            g.iter().map(|g| g * factor).collect()
                        },
                    ),
                    clip(
                        "by the largest",
                        |_, g| g.clip_norm_of(0.5, f64::INFINITY),
                        |problem, _| {
                            let g = problem.gradient(&problem.start());
                            let largest = g.iter().fold(0.0, |a: f64, g| a.max(g.abs()));
                            let factor = f64::min(1.0, 0.5 / (largest + 1e-6));
                            g.iter().map(|g| g * factor).collect()
                        },
                    ),
                ]
            },
        ),
        row(
            "clip_value",
            "gradients.clip_value(limit); Trainer: clip_value(0.5)",
            "each element between -limit and limit",
            "torch.nn.utils.clip_grad_value_",
            "-",
            || {
                vec![clip(
                    "each element",
                    |_, g| g.clip_value(0.3),
                    |problem, _| {
                        let g = problem.gradient(&problem.start());
                        g.iter().map(|g| g.clamp(-0.3, 0.3)).collect()
                    },
                )]
            },
        ),
        row(
            "clip_adaptive",
            "clip_adaptive(&model, &gradients, 0.01, 1e-3); Trainer: clip_adaptive(0.01)",
            "each row of a weight: g *= min(1, clipping max(|w|, eps) / |g|)",
            "-",
            "Brock et al., 2021",
            || {
                vec![clip(
                    "by rows",
                    |p, g| clip_adaptive(p, &g, 0.1, 1e-3),
                    |problem, _| {
                        let (w, g) = (problem.start(), problem.gradient(&problem.start()));
                        // Rows of the matrix and, as long as they, the vector.
                        let rows = w.chunks(problem.columns()).zip(g.chunks(problem.columns()));
                        rows.flat_map(|(w, g)| {
                            let most = 0.1 * norm(w).max(1e-3);
                            let factor = f64::min(1.0, most / norm(g).max(1e-6));
                            g.iter().map(|g| g * factor).collect::<Vec<f64>>()
                        })
                        .collect()
                    },
                )]
            },
        ),
    ]
}

fn clip(
    label: &'static str,
    run: fn(&Problem, Gradients) -> Gradients,
    expected: fn(&Problem, usize) -> Vec<f64>,
) -> Sample {
    Sample { label, run: Run::Clipping(run), expected }
}
