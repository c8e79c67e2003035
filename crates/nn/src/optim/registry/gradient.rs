//! Rows of rules that are a formula an element.

use super::problem::Problem;
use super::{Group, OptimizerRow, named, refuses, steps};
use crate::optim::{
    Adadelta, Adagrad, Adam, AdamW, Adamax, Asgd, Lion, NAdam, Optimizer, RAdam, RmsProp, Rprop,
    Sgd,
};

const DECAY: f64 = 0.05;

pub(super) fn rows() -> Vec<OptimizerRow> {
    vec![
        adam(),
        adamw(),
        sgd(),
        adagrad(),
        adadelta(),
        rmsprop(),
        adamax(),
        nadam(),
        radam(),
        asgd(),
        rprop(),
        lion(),
    ]
}

/// Adam's state and step: a decay in the gradient or beside it, the largest square or the last.
fn adams(problem: &Problem, n: usize, coupled: f64, shrink: f64, largest: bool) -> Vec<f64> {
    problem.elements(n, |p, g, [m, v, top], t| {
        let g = g + coupled * p;
        let (m, v) = (0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g);
        let top = v.max(top);
        let square = if largest { top } else { v };
        let root = square.sqrt() / (1.0 - 0.999f64.powf(t)).sqrt() + 1e-8;
        (p * shrink - 0.1 / (1.0 - 0.9f64.powf(t)) * m / root, [m, v, top])
    })
}

fn adam() -> OptimizerRow {
    OptimizerRow {
        name: "Adam",
        signature: "Adam::new(&model, lr).betas((0.9, 0.999)).eps(1e-8).weight_decay(0).amsgrad(false).maximize(false)",
        formula: "m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, \
                  p -= lr * m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps); the decay is in g",
        group: Group::Optimizer,
        pytorch: "torch.optim.Adam",
        differs: "",
        source: "Kingma and Ba, 2015; AMSGrad: Reddi et al., 2018",
        named: named!("adam", lr 2e-3, Adam: weight_decay, betas, eps),
        samples: || {
            vec![
                steps(
                    "as it comes",
                    |p| Box::new(Adam::new(p, 0.1)),
                    |p, n| adams(p, n, 0.0, 1.0, false),
                ),
                steps(
                    "AMSGrad and decay",
                    |p| Box::new(Adam::new(p, 0.1).amsgrad(true).weight_decay(DECAY)),
                    |p, n| adams(p, n, DECAY, 1.0, true),
                ),
            ]
        },
        errors: || {
            vec![
                refuses("beta of 1", "Adam: the betas", |p| {
                    Adam::new(p, 0.1).betas((1.0, 0.9)).step(&p.loss()).map(drop)
                }),
                refuses("negative rate", "Adam: the learning rate", |p| {
                    Adam::new(p, -0.1).step(&p.loss()).map(drop)
                }),
                refuses("negative epsilon", "Adam: the epsilon", |p| {
                    Adam::new(p, 0.1).eps(-1.0).step(&p.loss()).map(drop)
                }),
            ]
        },
    }
}

fn adamw() -> OptimizerRow {
    OptimizerRow {
        name: "AdamW",
        signature: "AdamW::new(&model, lr).betas((0.9, 0.999)).eps(1e-8).weight_decay(0.01).amsgrad(false).maximize(false)",
        formula: "Adam, with the decay beside the step: p -= lr * weight_decay * p",
        group: Group::Optimizer,
        pytorch: "torch.optim.AdamW",
        differs: "",
        source: "Loshchilov and Hutter, 2019",
        named: named!("adamw", lr 2e-3, AdamW: weight_decay, betas, eps),
        samples: || {
            vec![
                steps(
                    "as it comes",
                    |p| Box::new(AdamW::new(p, 0.1)),
                    |p, n| adams(p, n, 0.0, 1.0 - 0.1 * 0.01, false),
                ),
                steps(
                    "AMSGrad",
                    |p| Box::new(AdamW::new(p, 0.1).amsgrad(true).weight_decay(DECAY)),
                    |p, n| adams(p, n, 0.0, 1.0 - 0.1 * DECAY, true),
                ),
            ]
        },
        errors: || {
            vec![refuses("negative decay", "AdamW: the weight decay", |p| {
                AdamW::new(p, 0.1).weight_decay(-1.0).step(&p.loss()).map(drop)
            })]
        },
    }
}

fn sgd() -> OptimizerRow {
    OptimizerRow {
        name: "Sgd",
        signature: "Sgd::new(&model, lr).momentum(0).dampening(0).nesterov(false).weight_decay(0).maximize(false)",
        formula: "b = momentum b + (1 - dampening) (g + weight_decay p), the first b is g; p -= lr b; \
                  with the whole data as one batch it is gradient descent, with one sample the \
                  perceptron's kind",
        group: Group::Optimizer,
        pytorch: "torch.optim.SGD",
        differs: "",
        source: "Polyak, 1964; Sutskever et al., 2013",
        named: named!("sgd", lr 0.05, Sgd: weight_decay, momentum, nesterov),
        samples: || {
            vec![
                steps(
                    "plain",
                    |p| Box::new(Sgd::new(p, 0.1)),
                    |p, n| p.elements(n, |p, g, [], _| (p - 0.1 * g, [])),
                ),
                steps(
                    "momentum, dampened, with decay",
                    |p| {
                        let opt = Sgd::new(p, 0.1).momentum(0.8).dampening(0.25);
                        Box::new(opt.weight_decay(DECAY))
                    },
                    |p, n| {
                        p.elements(n, |p, g, [b], t| {
                            let g = g + DECAY * p;
                            let b = if t == 1.0 { g } else { 0.8 * b + 0.75 * g };
                            (p - 0.1 * b, [b])
                        })
                    },
                ),
                steps(
                    "Nesterov's",
                    |p| Box::new(Sgd::new(p, 0.1).momentum(0.8).nesterov(true)),
                    |p, n| {
                        p.elements(n, |p, g, [b], _| {
                            let b = 0.8 * b + g;
                            (p - 0.1 * (g + 0.8 * b), [b])
                        })
                    },
                ),
            ]
        },
        errors: || {
            vec![
                refuses("Nesterov without momentum", "Sgd: Nesterov's variant", |p| {
                    Sgd::new(p, 0.1).nesterov(true).step(&p.loss()).map(drop)
                }),
                refuses("negative momentum", "Sgd: the momentum", |p| {
                    Sgd::new(p, 0.1).momentum(-0.5).step(&p.loss()).map(drop)
                }),
            ]
        },
    }
}

fn adagrad() -> OptimizerRow {
    OptimizerRow {
        name: "Adagrad",
        signature: "Adagrad::new(&model, lr).lr_decay(0).initial_accumulator_value(0).eps(1e-10).weight_decay(0).maximize(false)",
        formula: "s += g^2, p -= lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps)",
        group: Group::Optimizer,
        pytorch: "torch.optim.Adagrad",
        differs: "",
        source: "Duchi, Hazan and Singer, 2011",
        named: named!("adagrad", lr 2e-2, Adagrad: weight_decay, eps),
        samples: || {
            vec![steps(
                "all options",
                |p| {
                    let opt = Adagrad::new(p, 0.2).lr_decay(0.01).initial_accumulator_value(0.1);
                    Box::new(opt.weight_decay(DECAY))
                },
                |p, n| {
                    p.elements(n, |p, g, [s], t| {
                        let g = g + DECAY * p;
                        let s = if t == 1.0 { 0.1 } else { s } + g * g;
                        let rate = 0.2 / (1.0 + (t - 1.0) * 0.01);
                        (p - rate * g / (s.sqrt() + 1e-10), [s])
                    })
                },
            )]
        },
        errors: || {
            vec![refuses("negative start", "Adagrad: the initial accumulator", |p| {
                Adagrad::new(p, 0.1).initial_accumulator_value(-1.0).step(&p.loss()).map(drop)
            })]
        },
    }
}

fn adadelta() -> OptimizerRow {
    OptimizerRow {
        name: "Adadelta",
        signature: "Adadelta::new(&model, lr).rho(0.9).eps(1e-6).weight_decay(0).maximize(false)",
        formula: "s = rho s + (1 - rho) g^2, x = sqrt(d + eps) / sqrt(s + eps) * g, \
                  d = rho d + (1 - rho) x^2, p -= lr x",
        group: Group::Optimizer,
        pytorch: "torch.optim.Adadelta",
        differs: "",
        source: "Zeiler, 2012",
        named: named!("adadelta", lr 1.0, Adadelta: weight_decay, eps),
        samples: || {
            vec![steps(
                "a large epsilon, so that it moves",
                |p| Box::new(Adadelta::new(p, 1.0).rho(0.8).eps(1e-2).weight_decay(DECAY)),
                |p, n| {
                    p.elements(n, |p, g, [s, d], _| {
                        let g = g + DECAY * p;
                        let s = 0.8 * s + 0.2 * g * g;
                        let x = (d + 1e-2).sqrt() / (s + 1e-2).sqrt() * g;
                        (p - x, [s, 0.8 * d + 0.2 * x * x])
                    })
                },
            )]
        },
        errors: || {
            vec![refuses("rho above 1", "Adadelta: the rho", |p| {
                Adadelta::new(p, 1.0).rho(1.5).step(&p.loss()).map(drop)
            })]
        },
    }
}

fn rmsprop() -> OptimizerRow {
    OptimizerRow {
        name: "RmsProp",
        signature: "RmsProp::new(&model, lr).alpha(0.99).eps(1e-8).momentum(0).centered(false).weight_decay(0).maximize(false)",
        formula: "s = alpha s + (1 - alpha) g^2, p -= lr * g / (sqrt(s) + eps); centered: s less the \
                  square of g's average; b = momentum b + g / (sqrt(s) + eps)",
        group: Group::Optimizer,
        pytorch: "torch.optim.RMSprop",
        differs: "",
        source: "Hinton, 2012; centered: Graves, 2013",
        named: named!("rmsprop", lr 2e-3, RmsProp: weight_decay, momentum, eps),
        samples: || {
            vec![
                steps(
                    "as it comes",
                    |p| Box::new(RmsProp::new(p, 0.02)),
                    |p, n| {
                        p.elements(n, |p, g, [s], _| {
                            let s = 0.99 * s + 0.01 * g * g;
                            (p - 0.02 * g / (s.sqrt() + 1e-8), [s])
                        })
                    },
                ),
                steps(
                    "centered, momentum, decay",
                    |p| {
                        let opt = RmsProp::new(p, 0.02).alpha(0.9).momentum(0.5).centered(true);
                        Box::new(opt.weight_decay(DECAY))
                    },
                    |p, n| {
                        p.elements(n, |p, g, [s, a, b], _| {
                            let g = g + DECAY * p;
                            let (s, a) = (0.9 * s + 0.1 * g * g, 0.9 * a + 0.1 * g);
                            let b = 0.5 * b + g / ((s - a * a).sqrt() + 1e-8);
                            (p - 0.02 * b, [s, a, b])
                        })
                    },
                ),
            ]
        },
        errors: || {
            vec![refuses("alpha above 1", "RMSprop: the alpha", |p| {
                RmsProp::new(p, 0.1).alpha(2.0).step(&p.loss()).map(drop)
            })]
        },
    }
}

fn adamax() -> OptimizerRow {
    OptimizerRow {
        name: "Adamax",
        signature: "Adamax::new(&model, lr).betas((0.9, 0.999)).eps(1e-8).weight_decay(0).maximize(false)",
        formula: "m = b1 m + (1 - b1) g, u = max(b2 u, |g| + eps), p -= lr / (1 - b1^t) * m / u",
        group: Group::Optimizer,
        pytorch: "torch.optim.Adamax",
        differs: "",
        source: "Kingma and Ba, 2015, section 7",
        named: named!("adamax", lr 2e-3, Adamax: weight_decay, betas, eps),
        samples: || {
            vec![steps(
                "with decay",
                |p| Box::new(Adamax::new(p, 0.1).betas((0.8, 0.99)).weight_decay(DECAY)),
                |p, n| {
                    p.elements(n, |p, g, [m, u], t| {
                        let g = g + DECAY * p;
                        let (m, u) = (0.8 * m + 0.2 * g, (0.99 * u).max(g.abs() + 1e-8));
                        (p - 0.1 / (1.0 - 0.8f64.powf(t)) * m / u, [m, u])
                    })
                },
            )]
        },
        errors: || {
            vec![refuses("beta of 1", "Adamax: the betas", |p| {
                Adamax::new(p, 0.1).betas((0.9, 1.0)).step(&p.loss()).map(drop)
            })]
        },
    }
}

fn nadam() -> OptimizerRow {
    OptimizerRow {
        name: "NAdam",
        signature: "NAdam::new(&model, lr).betas((0.9, 0.999)).eps(1e-8).momentum_decay(0.004).decoupled_weight_decay(false).weight_decay(0).maximize(false)",
        formula: "u_t = b1 (1 - 0.96^(t momentum_decay) / 2), M_t the product of all u: \
                  p -= lr * ((1 - u_t) / (1 - M_t) g + u_(t+1) / (1 - M_(t+1)) m) / Adam's root",
        group: Group::Optimizer,
        pytorch: "torch.optim.NAdam",
        differs: "",
        source: "Dozat, 2016",
        named: named!("nadam", lr 2e-3, NAdam: weight_decay, betas, eps),
        samples: || {
            vec![steps(
                "decoupled decay",
                |p| {
                    let opt = NAdam::new(p, 0.1).decoupled_weight_decay(true);
                    Box::new(opt.weight_decay(DECAY))
                },
                |p, n| {
                    p.elements(n, |p, g, [m, v, product], t| {
                        let mu = |t: f64| 0.9 * (1.0 - 0.5 * 0.96f64.powf(t * 4e-3));
                        let product = if t == 1.0 { mu(t) } else { product * mu(t) };
                        let (m, v) = (0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g);
                        let root = (v / (1.0 - 0.999f64.powf(t))).sqrt() + 1e-8;
                        let next = mu(t + 1.0);
                        let ahead = next / (1.0 - product * next) * m;
                        let step = ((1.0 - mu(t)) / (1.0 - product) * g + ahead) / root;
                        (p * (1.0 - 0.1 * DECAY) - 0.1 * step, [m, v, product])
                    })
                },
            )]
        },
        errors: || {
            vec![refuses("negative momentum decay", "NAdam: the momentum decay", |p| {
                NAdam::new(p, 0.1).momentum_decay(-1.0).step(&p.loss()).map(drop)
            })]
        },
    }
}

fn radam() -> OptimizerRow {
    OptimizerRow {
        name: "RAdam",
        signature: "RAdam::new(&model, lr).betas((0.9, 0.999)).eps(1e-8).decoupled_weight_decay(false).weight_decay(0).maximize(false)",
        formula: "r = 2 / (1 - b2) - 1, l = r - 2 t b2^t / (1 - b2^t); for l > 5 Adam's step times \
                  sqrt((l - 4)(l - 2) r / ((r - 4)(r - 2) l)), before it m / (1 - b1^t) alone",
        group: Group::Optimizer,
        pytorch: "torch.optim.RAdam",
        differs: "",
        source: "Liu et al., 2020",
        named: named!("radam", lr 2e-3, RAdam: weight_decay, betas, eps),
        samples: || {
            vec![steps(
                "with decay, through both phases",
                |p| Box::new(RAdam::new(p, 0.1).betas((0.9, 0.99)).weight_decay(DECAY)),
                |p, n| {
                    p.elements(n, |p, g, [m, v], t| {
                        let g = g + DECAY * p;
                        let (m, v) = (0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g);
                        let (mean, power) = (m / (1.0 - 0.9f64.powf(t)), 0.99f64.powf(t));
                        let most = 2.0 / 0.01 - 1.0;
                        let length = most - 2.0 * t * power / (1.0 - power);
                        let step = if length > 5.0 {
                            let over = (length - 4.0) * (length - 2.0) * most;
                            let rectified = over / ((most - 4.0) * (most - 2.0) * length);
                            mean * rectified.sqrt() * (1.0 - power).sqrt() / (v.sqrt() + 1e-8)
                        } else {
                            mean
                        };
                        (p - 0.1 * step, [m, v])
                    })
                },
            )]
        },
        errors: || {
            vec![refuses("negative epsilon", "RAdam: the epsilon", |p| {
                RAdam::new(p, 0.1).eps(-1.0).step(&p.loss()).map(drop)
            })]
        },
    }
}

fn asgd() -> OptimizerRow {
    OptimizerRow {
        name: "Asgd",
        signature: "Asgd::new(&model, lr).lambd(1e-4).alpha(0.75).t0(1e6).weight_decay(0).maximize(false)",
        formula: "eta = lr / (1 + lambd lr (t - 1))^alpha, p = (1 - lambd eta) p - eta g; after step t0 \
                  the state ax averages p",
        group: Group::Optimizer,
        pytorch: "torch.optim.ASGD",
        differs: "",
        source: "Polyak and Juditsky, 1992",
        named: named!("asgd", lr 0.05, Asgd: weight_decay),
        samples: || {
            vec![steps(
                "a rate that falls",
                |p| Box::new(Asgd::new(p, 0.2).lambd(0.1).weight_decay(DECAY)),
                |p, n| {
                    p.elements(n, |p, g, [], t| {
                        let eta = 0.2 / (1.0 + 0.1 * 0.2 * (t - 1.0)).powf(0.75);
                        (p * (1.0 - 0.1 * eta) - eta * (g + DECAY * p), [])
                    })
                },
            )]
        },
        errors: || {
            vec![refuses("negative lambd", "ASGD: the lambd", |p| {
                Asgd::new(p, 0.1).lambd(-1.0).step(&p.loss()).map(drop)
            })]
        },
    }
}

fn rprop() -> OptimizerRow {
    OptimizerRow {
        name: "Rprop",
        signature: "Rprop::new(&model, lr).etas((0.5, 1.2)).step_sizes((1e-6, 50)).weight_decay(0).maximize(false)",
        formula: "an element's step grows by etas.1 while the sign of g stays, shrinks by etas.0 when it \
                  turns (and waits once): p -= sign(g) * step; for whole data sets",
        group: Group::Optimizer,
        pytorch: "torch.optim.Rprop",
        differs: "weight_decay is there too",
        source: "Riedmiller and Braun, 1993",
        named: named!("rprop", lr 1e-3, Rprop: weight_decay),
        samples: || {
            vec![steps(
                "as it comes",
                |p| Box::new(Rprop::new(p, 0.02)),
                |p, n| {
                    p.elements(n, |p, g, [before, step], t| {
                        let turn = if t == 1.0 { 0.0 } else { g * before };
                        let step = if t == 1.0 { 0.02 } else { step };
                        let (g, factor) = match turn {
                            turn if turn > 0.0 => (g, 1.2),
                            turn if turn < 0.0 => (0.0, 0.5),
                            _ => (g, 1.0),
                        };
                        let step = (step * factor).clamp(1e-6, 50.0);
                        let sign = if g == 0.0 { 0.0 } else { g.signum() };
                        (p - sign * step, [g, step])
                    })
                },
            )]
        },
        errors: || {
            vec![refuses("an eta that does not shrink", "Rprop: the first eta", |p| {
                Rprop::new(p, 0.1).etas((1.5, 1.2)).step(&p.loss()).map(drop)
            })]
        },
    }
}

fn lion() -> OptimizerRow {
    OptimizerRow {
        name: "Lion",
        signature: "Lion::new(&model, lr).betas((0.9, 0.99)).weight_decay(0).maximize(false)",
        formula: "p = (1 - lr weight_decay) p - lr sign(b1 m + (1 - b1) g), m = b2 m + (1 - b2) g",
        group: Group::Optimizer,
        pytorch: "-",
        differs: "",
        source: "Chen et al., 2023",
        named: named!("lion", lr 3e-4, Lion: weight_decay, betas),
        samples: || {
            vec![steps(
                "with decay",
                |p| Box::new(Lion::new(p, 0.05).weight_decay(DECAY)),
                |p, n| {
                    p.elements(n, |p, g, [m], _| {
                        let along = 0.9 * m + 0.1 * g;
                        let sign = if along == 0.0 { 0.0 } else { along.signum() };
                        (p * (1.0 - 0.05 * DECAY) - 0.05 * sign, [0.99 * m + 0.01 * g])
                    })
                },
            )]
        },
        errors: || {
            vec![refuses("beta of 1", "Lion: the betas", |p| {
                Lion::new(p, 0.1).betas((0.9, 1.0)).step(&p.loss()).map(drop)
            })]
        },
    }
}
