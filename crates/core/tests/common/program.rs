//! Random programs over the public operations, for differential tests.
//!
//! A [`Program`] is a list of small numbers; [`Machine`] reads it as calls that always fit, by
//! narrowing, broadcasting and scaling what they are given. Values stay tame: a bound on their size
//! travels along, and kinks are moved to where no two computations of one number meet, so that
//! results differ from the reference's by rounding only. The calls themselves are in `calls`.

// Numbers are read as choices: `code % 3 == 0` is one of three.
#![allow(clippy::manual_is_multiple_of)]

mod calls;

use std::fmt;

use gradus_core::{Array, DType, Rng, Shape, Tensor};

/// What a machine is told to do; shrinks by losing steps and with smaller numbers.
#[derive(Clone, PartialEq)]
pub(crate) struct Program {
    /// Which shapes the operands have.
    pub(crate) leaves: Vec<u8>,
    pub(crate) steps: Vec<[u16; 4]>,
    /// Which values are held and compared.
    pub(crate) held: u64,
    /// Also differentiate the gradients.
    pub(crate) second: bool,
    /// Only operations with derivatives everywhere, in one float type.
    pub(crate) smooth: bool,
    /// Operands that kernels cut into pieces.
    pub(crate) large: bool,
}

const SHAPES: [&[usize]; 18] = [
    &[3, 4],
    &[],
    &[5],
    &[2, 3, 4],
    &[1],
    &[4, 3],
    &[1, 4],
    &[3, 1],
    &[17, 3],
    &[2, 1, 5],
    &[33],
    &[2, 2, 3, 2],
    &[1, 1],
    &[0, 3],
    &[4, 4],
    &[3, 0],
    &[1031],
    &[29, 37],
];

const LARGE: [&[usize]; 6] =
    [&[40_001], &[201, 131], &[4, 70, 60], &[3, 9_011], &[9_011, 3], &[257, 1]];

/// A value of the program.
#[derive(Clone)]
struct Val {
    t: Tensor,
    name: String,
    /// Elements are at most this large.
    bound: f64,
}

impl Val {
    fn shape(&self) -> Shape {
        self.t.shape().unwrap()
    }
    fn dims(&self) -> Vec<usize> {
        self.shape().dims().to_vec()
    }
    fn rank(&self) -> usize {
        self.shape().rank()
    }
    fn numel(&self) -> usize {
        self.shape().numel()
    }
}

/// Runs a program on operands.
pub(crate) struct Machine {
    floats: Vec<Val>,
    ints: Vec<Val>,
    bools: Vec<Val>,
    smooth: bool,
    /// Elements of a value that is worked with.
    largest: usize,
    /// Values that nothing may use, because rounding may turn them: casts and positions.
    fragile: Vec<Val>,
    count: usize,
    pub(crate) log: Vec<String>,
}

impl Program {
    /// The float operands.
    pub(crate) fn operands(&self) -> Vec<Array> {
        let shapes = if self.large { &LARGE[..] } else { &SHAPES[..] };
        let shape = |&code: &u8| shapes[usize::from(code) % shapes.len()];
        let make = |(i, code)| Rng::new(100 + i as u64).uniform(shape(code), -1.0, 1.0).unwrap();
        self.leaves.iter().enumerate().map(make).collect()
    }

    /// Every value that is held, and a scalar that depends on much, last.
    pub(crate) fn run(&self, operands: &[Tensor]) -> (Vec<(String, Tensor)>, Tensor, Vec<String>) {
        let mut m = Machine::new(self, operands);
        for &step in &self.steps {
            m.step(step);
        }
        let mut held = Vec::new();
        for val in m.floats.iter().chain(&m.ints).chain(&m.bools).chain(&m.fragile) {
            let bit: u64 = val.name[1..].parse().unwrap();
            if self.held >> (bit % 64) & 1 == 1 {
                held.push((val.name.clone(), val.t.clone()));
            }
        }
        let loss = m.loss();
        (held, loss, m.log)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operands: Vec<Tensor> = self.operands().iter().map(super::leaf).collect();
        let (held, _, log) = self.run(&operands);
        writeln!(f)?;
        log.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        let names: Vec<_> = held.iter().map(|(name, _)| name.as_str()).collect();
        writeln!(f, "  held: {}; second derivatives: {}", names.join(" "), self.second)
    }
}

impl Machine {
    fn new(program: &Program, operands: &[Tensor]) -> Machine {
        let mut m = Machine {
            floats: Vec::new(),
            ints: Vec::new(),
            bools: Vec::new(),
            fragile: Vec::new(),
            smooth: program.smooth,
            largest: if program.large { 60_000 } else { 1500 },
            count: 0,
            log: Vec::new(),
        };
        for t in operands {
            m.push(t.clone(), 1.0, "operand".to_string());
        }
        m.push(Tensor::from([3, 1, 4, 1, 5, 9, 2, 6]), 9.0, "[3, 1, 4, 1, 5, 9, 2, 6]".into());
        m
    }

    fn push(&mut self, t: Tensor, bound: f64, text: String) {
        if let Err(error) = t.check() {
            panic!("the machine built `{text}`: {error}\n{}", self.log.join("\n"));
        }
        let name = format!("v{}", self.count);
        self.count += 1;
        let dtype = t.dtype().unwrap();
        let mut val = Val { t, name, bound };
        let mut text = text;
        if dtype.is_float() && bound > 2.5 {
            let factor = 1.5 / bound;
            val.t = &val.t * factor;
            val.bound = 1.5;
            text = format!("({text}) * {factor:.4}");
        }
        self.log.push(format!("{} = {text}   {dtype} {}", val.name, val.shape()));
        match dtype {
            DType::I64 => self.ints.push(val),
            DType::Bool => self.bools.push(val),
            _ => self.floats.push(val),
        }
    }

    /// A value of a list; recent ones come more often.
    fn pick(list: &[Val], code: u16) -> Val {
        let n = list.len();
        let back = if code % 3 == 0 {
            usize::from(code / 3) % n
        } else {
            usize::from(code / 3) % n.min(4)
        };
        list[n - 1 - back].clone()
    }

    fn float(&self, code: u16) -> Val {
        Machine::pick(&self.floats, code)
    }

    /// A weighted mean of the last values.
    fn loss(&mut self) -> Tensor {
        let mut total: Option<Tensor> = None;
        for (i, val) in self.floats.iter().rev().take(5).enumerate() {
            let n = val.numel().max(1) as f64;
            let part = val.t.sum() * ((1.0 + 0.3 * i as f64) / n);
            total = Some(match total {
                Some(sum) => sum + part,
                None => part,
            });
        }
        self.log.push("loss = weighted sum of the last 5 floats".to_string());
        total.unwrap_or_else(|| Tensor::from(0.0))
    }

    /// Both narrowed until they broadcast, and not too large.
    fn fit(&self, a: &Val, b: &Val, keep: usize) -> (Val, Val) {
        let (mut a, mut b) = (a.clone(), b.clone());
        for back in keep..a.rank().min(b.rank()) {
            let (i, j) = (a.rank() - 1 - back, b.rank() - 1 - back);
            let (x, y) = (a.dims()[i], b.dims()[j]);
            if x != y && x != 1 && y != 1 {
                a = narrow(&a, i, x.min(y));
                b = narrow(&b, j, x.min(y));
            }
        }
        (a, b)
    }

    fn step(&mut self, [op, a, b, p]: [u16; 4]) {
        let x = self.float(a);
        if x.numel() > self.largest {
            let axis = x.dims().iter().position(|&d| d > 1).unwrap_or(0) as isize;
            let text = format!("{}.mean_dim({axis})", x.name);
            self.push(x.t.mean_dim(axis), x.bound, text);
            return;
        }
        let y = self.float(b);
        match op % 20 {
            0..=2 => self.unary(&x, p),
            3..=5 => self.binary(&x, &y, p),
            6 | 7 => self.reduce(&x, b, p),
            8..=10 => self.view(&x, b, p),
            11 => self.product(&x, &y, p),
            12 => self.indexing(&x, &y, b, p),
            13 => self.rows(&x, p),
            14 => self.choice(&x, &y, p),
            15 => self.whole(a, b, p),
            16 => self.join(&x, &y, p),
            17 => self.numbers(&x, p),
            18 => self.odd(&x, &y, p),
            _ => self.loss_step(&x, &y, p),
        }
    }
}

/// The same value seen through a call.
fn derived(v: &Val, t: Tensor, call: &str) -> Val {
    Val { t, name: format!("{}.{call}", v.name), bound: v.bound }
}

fn narrow(v: &Val, axis: usize, size: usize) -> Val {
    if v.dims()[axis] == size {
        return v.clone();
    }
    derived(v, v.t.narrow(axis as isize, 0, size), &format!("narrow({axis}, 0, {size})"))
}
