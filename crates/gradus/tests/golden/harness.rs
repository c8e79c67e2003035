//! What the golden tests share: arguments, calls, tolerances, comparing, counting.

use gradus::{Array, DType, Operand, Tensor};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};

/// What a call gives, or why it cannot be written here.
pub(crate) type Out = Result<Vec<Tensor>, String>;

/// A function of PyTorch's: name, tolerances, and how the call is written here.
pub(crate) type Line = (&'static str, Family, fn(&Call) -> Out);

#[derive(Clone, Copy)]
#[allow(dead_code)] // some wait for their first line
pub(crate) enum Family {
    /// Shapes, indexing, comparisons: exact; a gradient may be a sum.
    Exact,
    Elementwise,
    /// Reductions, scans, softmax, losses, products, convolutions, pools, norms.
    Sums,
    /// `lgamma`, `digamma`, `erfinv`, `i0`, `log_ndtr`.
    Special,
    /// Decompositions, solvers, the exponential of a matrix.
    Linalg,
}

impl Family {
    pub(crate) fn tolerances(self) -> (f64, f64) {
        match self {
            Family::Exact => (0.0, 1e-6),
            Family::Elementwise => (1e-6, 1e-5),
            Family::Sums | Family::Special => (1e-5, 1e-5),
            Family::Linalg => (1e-4, 1e-3),
        }
    }
}

/// An argument of a call.
#[derive(Clone)]
pub(crate) enum Arg {
    Tensor(Tensor),
    Integer(i64),
    Real(f64),
    Truth(bool),
    Text(String),
    List(Vec<Arg>),
    Slice(Vec<Arg>),
    /// A type of elements, as PyTorch names it.
    #[allow(dead_code)] // nobody asked for the name yet
    Dtype(String),
    Ellipsis,
    None,
}

impl Arg {
    pub(crate) fn operand(&self) -> Result<Box<dyn Operand>, String> {
        match self {
            Arg::Tensor(t) => Ok(Box::new(t.clone())),
            Arg::Integer(v) => Ok(Box::new(*v)),
            Arg::Real(v) => Ok(Box::new(*v)),
            _ => Err("an argument that is neither tensor nor number".into()),
        }
    }
    pub(crate) fn integer(&self) -> Result<isize, String> {
        match self {
            Arg::Integer(v) => Ok(*v as isize),
            _ => Err("a size or an axis that is not an integer".into()),
        }
    }
    pub(crate) fn size(&self) -> Result<usize, String> {
        usize::try_from(self.integer()?).map_err(|_| "sizes are unsigned here, by type".into())
    }
    pub(crate) fn real(&self) -> Result<f64, String> {
        match self {
            Arg::Integer(v) => Ok(*v as f64),
            Arg::Real(v) => Ok(*v),
            _ => Err("a tensor where we take a number".into()),
        }
    }
    pub(crate) fn tensor(&self) -> Result<Tensor, String> {
        match self {
            Arg::Tensor(t) => Ok(t.clone()),
            _ => Err("a tensor is expected".into()),
        }
    }
    /// One or several integers.
    pub(crate) fn integers(&self) -> Result<Vec<isize>, String> {
        match self {
            Arg::List(v) => v.iter().map(Arg::integer).collect(),
            one => Ok(vec![one.integer()?]),
        }
    }
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Arg::None)
    }
}

/// A call, with what was asked of its arguments.
pub(crate) struct Call {
    pub(crate) input: Arg,
    pub(crate) args: Vec<Arg>,
    pub(crate) kwargs: BTreeMap<String, Arg>,
    asked: RefCell<(usize, HashSet<String>)>,
}

impl Call {
    pub(crate) fn new(input: Arg, args: Vec<Arg>, kwargs: BTreeMap<String, Arg>) -> Call {
        Call { input, args, kwargs, asked: RefCell::default() }
    }
    pub(crate) fn x(&self) -> Result<Tensor, String> {
        self.input.tensor()
    }
    /// Argument number `i`, or the one of that name.
    pub(crate) fn get(&self, i: usize, name: &str) -> Arg {
        let mut asked = self.asked.borrow_mut();
        asked.0 = asked.0.max(i + 1);
        asked.1.insert(name.to_string());
        self.args.get(i).or_else(|| self.kwargs.get(name)).cloned().unwrap_or(Arg::None)
    }
    /// An argument that has only a name.
    pub(crate) fn named(&self, name: &str) -> Arg {
        self.asked.borrow_mut().1.insert(name.to_string());
        self.kwargs.get(name).cloned().unwrap_or(Arg::None)
    }
    pub(crate) fn flag(&self, i: usize, name: &str) -> bool {
        matches!(self.get(i, name), Arg::Truth(true))
    }
    /// An argument that nobody looked at.
    pub(crate) fn ignored(&self) -> Option<String> {
        let asked = self.asked.borrow();
        if self.args.len() > asked.0 {
            return Some(format!("argument number {}", asked.0 + 1));
        }
        let left = self.kwargs.iter().find(|(name, arg)| {
            !arg.is_none() && !asked.1.contains(*name) && *name != "device" && *name != "dtype"
        });
        left.map(|(name, _)| format!("argument `{name}`"))
    }
    /// The axes of a reduction: those given, or all; and whether they stay.
    pub(crate) fn axes(&self) -> Result<(Vec<isize>, bool), String> {
        let all = || self.x().map(|x| (0..rank(&x) as isize).collect::<Vec<_>>());
        let axes = match self.get(0, "dim") {
            Arg::None => all()?,
            Arg::List(v) if v.is_empty() => all()?,
            some => some.integers()?,
        };
        Ok((axes, self.flag(1, "keepdim")))
    }
}

pub(crate) fn rank(x: &Tensor) -> usize {
    x.shape().map_or(0, |s| s.rank())
}

pub(crate) fn one(t: Tensor) -> Out {
    Ok(vec![t])
}

pub(crate) fn is_float(x: &Tensor) -> bool {
    x.dtype().is_ok_and(DType::is_float)
}

/// What happened to a call.
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    OutOfScope(String),
}

/// Whether an array is as wanted, within a part of `max(1, max|wanted|)`; integers exactly.
pub(crate) fn close(what: &str, have: &Array, want: &Array, tolerance: f64) -> Result<(), String> {
    if have.shape() != want.shape() || have.dtype() != want.dtype() {
        return Err(format!("{what} is {have:?}, PyTorch's {want:?}"));
    }
    if have.dtype() == DType::I64 && !have.same_bits(want) {
        return Err(format!("{what} is {have:?}, PyTorch's {want:?}"));
    }
    let (a, b) = (have.to_f64(), want.to_f64());
    let scale = b.iter().filter(|v| v.is_finite()).fold(1.0f64, |m, v| m.max(v.abs()));
    let apart = |(x, y): (&f64, &f64)| {
        !(x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= tolerance * scale)
    };
    match a.iter().zip(&b).position(apart) {
        Some(k) => Err(format!("{what}: element {k} is {:e}, PyTorch's {:e}", a[k], b[k])),
        None => Ok(()),
    }
}

/// The text of a JSON value, or `?`.
pub(crate) fn text(v: &Value) -> &str {
    v.as_str().unwrap_or("?")
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Panics are failures of one case, told with the others.
pub(crate) fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        PANIC.with(|p| p.replace(info.to_string()));
    }));
}

/// What a case gives; an error is a failure, and so is a panic.
pub(crate) fn guarded(f: impl FnOnce() -> Result<Outcome, String>) -> Outcome {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(why)) => Outcome::Failed(why),
        Err(_) => Outcome::Failed(PANIC.with(|p| p.replace(String::new()))),
    }
}

/// Mistakes that comparing does not see: none, or the harness is broken.
pub(crate) fn blind_spots() -> Vec<&'static str> {
    let array = |values: &[f32]| Array::new([values.len()], values).unwrap();
    let (want, wide) = (array(&[1.0, 2.0, 3.0]), array(&[100.0, 1.0, 1.0]));
    let whole = |values: &[i64]| Array::new([values.len()], values).unwrap();
    let compared = [
        ("a wrong value", close("", &array(&[1.0, 2.001, 3.0]), &want, 1e-5)),
        ("one past the tolerance", close("", &array(&[100.0, 1.002, 1.0]), &wide, 1e-5)),
        ("NaN", close("", &array(&[1.0, f32::NAN, 3.0]), &want, 1e-5)),
        ("an infinity", close("", &array(&[1.0, f32::INFINITY, 3.0]), &want, 1e-5)),
        ("another length", close("", &array(&[1.0, 2.0]), &want, 1e-5)),
        ("another type", close("", &whole(&[1, 2, 3]), &want, 1e-5)),
        ("another integer", close("", &whole(&[1, (1 << 53) + 1]), &whole(&[1, 1 << 53]), 1.0)),
    ];
    let mut unseen: Vec<_> =
        compared.into_iter().filter(|(_, seen)| seen.is_ok()).map(|(what, _)| what).collect();
    if !matches!(guarded(|| panic!("on purpose")), Outcome::Failed(_)) {
        unseen.push("a panic");
    }
    if close("", &want, &want, 0.0).is_err() || close("", &wide, &array(&[100.0; 3]), 1.0).is_err()
    {
        unseen.push("equality");
    }
    unseen
}

/// Counts, failures, and what was left out.
pub(crate) struct Report {
    filter: Option<String>,
    passed: usize,
    failures: Vec<String>,
    left_out: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Report {
    pub(crate) fn new(filter: Option<String>) -> Report {
        Report { filter, passed: 0, failures: Vec::new(), left_out: BTreeMap::new() }
    }

    /// Whether cases of this name are to be run.
    pub(crate) fn takes(&self, what: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| what.contains(filter))
    }

    /// Counts a case: what it belongs to, and which it is.
    pub(crate) fn add(&mut self, what: &str, case: &str, outcome: Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(why) => self.failures.push(format!("{what}, {case}: {why}")),
            Outcome::OutOfScope(why) => {
                *self.left_out.entry(what.to_string()).or_default().entry(why).or_default() += 1;
            }
        }
    }

    pub(crate) fn passed(&self) -> usize {
        self.passed
    }

    /// Whether there were cases and all passed.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.is_empty() && (self.passed > 0 || self.filter.is_some())
    }

    pub(crate) fn print(&self) {
        if self.left_out.values().any(|reasons| !reasons.is_empty()) {
            println!("out of scope:");
        }
        for (what, reasons) in &self.left_out {
            for (why, count) in reasons {
                println!("  {count:3} of {what}: {why}");
            }
        }
        for why in &self.failures {
            println!("FAILED {why}");
        }
        let out_of_scope: usize = self.left_out.values().flat_map(BTreeMap::values).sum();
        let (passed, failed) = (self.passed, self.failures.len());
        println!("golden: {passed} passed, {failed} failed, {out_of_scope} out of scope");
    }
}
