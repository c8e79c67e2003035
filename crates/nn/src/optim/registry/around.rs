//! Rows of what is put around other optimizers.

use super::problem::{norm, plus};
use super::{Group, OptimizerRow, refuses, steps};
use crate::optim::{Lookahead, Optimizer, Sam, Sgd, Together};
use crate::walk::ModuleExt;

pub(super) fn rows() -> Vec<OptimizerRow> {
    vec![lookahead(), sam(), together()]
}

fn lookahead() -> OptimizerRow {
    OptimizerRow {
        name: "Lookahead",
        signature: "Lookahead::new(optimizer).k(6).alpha(0.5)",
        formula: "after every k steps slow += alpha (fast - slow), fast = slow",
        group: Group::Around,
        pytorch: "-",
        differs: "",
        source: "Zhang et al., 2019",
        named: None,
        samples: || {
            vec![steps(
                "every third step of gradient descent",
                |p| Box::new(Lookahead::new(Sgd::new(p, 0.2)).k(3).alpha(0.6)),
                |problem, n| {
                    let mut slow = problem.start();
                    problem.descend(n, |p, g, t| {
                        let fast = plus(p, -0.2, g);
                        if t % 3 != 0 {
                            return fast;
                        }
                        slow = plus(&slow, 0.6, &plus(&fast, -1.0, &slow));
                        slow.clone()
                    })
                },
            )]
        },
        errors: || {
            vec![
                refuses("alpha above 1", "Lookahead: the alpha", |p| {
                    Lookahead::new(Sgd::new(p, 0.1)).alpha(1.5).step(&p.loss()).map(drop)
                }),
                refuses("never", "Lookahead: k must be 1 or more", |p| {
                    Lookahead::new(Sgd::new(p, 0.1)).k(0).step(&p.loss()).map(drop)
                }),
            ]
        },
    }
}

fn sam() -> OptimizerRow {
    OptimizerRow {
        name: "Sam",
        signature: "Sam::new(optimizer, rho).adaptive(false)",
        formula: "e = rho g / |g|, then the optimizer's step with the gradient at p + e; adaptive: \
                  e = rho p^2 g / |p g|; takes a closure: step_with",
        group: Group::Around,
        pytorch: "-",
        differs: "",
        source: "Foret et al., 2021; adaptive: Kwon et al., 2021",
        named: None,
        samples: || {
            vec![
                steps(
                    "around gradient descent",
                    |p| Box::new(Sam::new(Sgd::new(p, 0.1), 0.2)),
                    |problem, n| {
                        problem.descend(n, |p, g, _| {
                            let worst = plus(p, 0.2 / (norm(g) + 1e-12), g);
                            plus(p, -0.1, &problem.gradient(&worst))
                        })
                    },
                ),
                steps(
                    "adaptive",
                    |p| Box::new(Sam::new(Sgd::new(p, 0.1), 0.5).adaptive(true)),
                    |problem, n| {
                        problem.descend(n, |p, g, _| {
                            let scaled: Vec<f64> = p.iter().zip(g).map(|(p, g)| p * g).collect();
                            let along: Vec<f64> = p.iter().zip(g).map(|(p, g)| p * p * g).collect();
                            let worst = plus(p, 0.5 / (norm(&scaled) + 1e-12), &along);
                            plus(p, -0.1, &problem.gradient(&worst))
                        })
                    },
                ),
            ]
        },
        errors: || {
            vec![
                refuses("negative rho", "Sam: the rho", |p| {
                    Sam::new(Sgd::new(p, 0.1), -0.1).step_with(&mut || p.loss()).map(drop)
                }),
                refuses("without a closure", "Sam needs the loss at two places", |p| {
                    Sam::new(Sgd::new(p, 0.1), 0.1).step(&p.loss()).map(drop)
                }),
            ]
        },
    }
}

fn together() -> OptimizerRow {
    OptimizerRow {
        name: "Together",
        signature: "Together::new(optimizer).with(optimizer)",
        formula: "optimizers of different parameters, as one",
        group: Group::Around,
        pytorch: "-",
        differs: "",
        source: "-",
        named: None,
        samples: || {
            vec![steps(
                "two rates",
                |p| {
                    let weight = p.select(|name, _| name == "weight");
                    let bias = p.select(|name, _| name == "bias");
                    Box::new(Together::new(Sgd::new(&weight, 0.1)).with(Sgd::new(&bias, 0.3)))
                },
                |problem, n| {
                    let matrix = problem.matrix();
                    problem.descend(n, |p, g, _| {
                        let ((p, q), (g, h)) = (p.split_at(matrix), g.split_at(matrix));
                        let mut next = plus(p, -0.1, g);
                        next.extend(plus(q, -0.3, h));
                        next
                    })
                },
            )]
        },
        errors: || {
            vec![refuses("a part with a wrong setting", "Sgd: the momentum", |p| {
                let weight = p.select(|name, _| name == "weight");
                let bias = p.select(|name, _| name == "bias");
                let wrong = Sgd::new(&bias, 0.3).momentum(-1.0);
                Together::new(Sgd::new(&weight, 0.1)).with(wrong).step(&p.loss()).map(drop)
            })]
        },
    }
}
