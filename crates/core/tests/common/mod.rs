//! What the deciding tests share: running one function in every mode, and comparing.
// Each test crate uses a part; helpers of tests may panic, as tests do.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

pub(crate) mod program;

use gradus_core::{
    Array, Code, DType, Error, Isa, Rng, Tensor, check_mode, eager, isa, pending_tensors, seed,
    set_split_all, set_threads, sync,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Threads, instruction sets and check mode belong to the process: one test at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    isa::force(isa::best());
    set_threads(1);
    set_split_all(false);
    check_mode(false);
    let _ = sync();
    guard
}

/// How something is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) eager: bool,
    /// Handles on all intermediate values.
    pub(crate) hold: bool,
    /// All results in one plan.
    pub(crate) together: bool,
    /// Three threads, with everything split.
    pub(crate) split: bool,
    pub(crate) isa: Isa,
}

impl Setting {
    /// Fused, only results held, one plan a result, one thread, the best instructions.
    pub(crate) fn plain() -> Setting {
        Setting { eager: false, hold: false, together: false, split: false, isa: isa::active() }
    }
}

pub(crate) struct Settings;

impl Settings {
    /// Everything that must not change a bit.
    pub(crate) fn all_that_keep_bits() -> Vec<Setting> {
        let mut out = Vec::new();
        let levels: Vec<Isa> = [Isa::Avx2, Isa::Avx512]
            .into_iter()
            .filter(|level| {
                if !level.supported() {
                    println!("this machine has no {}: not tested", level.name());
                }
                level.supported()
            })
            .collect();
        let levels = if levels.is_empty() { vec![Isa::Generic] } else { levels };
        for isa in levels {
            for split in [false, true] {
                for (eager, hold, together) in [
                    (false, false, false),
                    (false, false, true),
                    (false, true, false),
                    (false, true, true),
                    (true, false, false),
                ] {
                    out.push(Setting { eager, hold, together, split, isa });
                }
            }
        }
        out
    }
}

/// A leaf; with gradients if it can have them.
pub(crate) fn leaf(array: &Array) -> Tensor {
    let t = Tensor::from_array(array);
    if array.dtype().is_float() { t.with_grad() } else { t }
}

/// f32 as f64, everything else as it is.
pub(crate) fn widen(array: &Array) -> Array {
    match array.dtype() {
        DType::F32 => Array::new(array.shape(), &array.to_f64()).unwrap(),
        _ => array.clone(),
    }
}

/// Random weights of a tensor's shape and type.
pub(crate) fn weights(like: &Tensor, number: u64) -> Tensor {
    let array = Rng::new(number).uniform(like.shape().unwrap(), -1.0, 1.0).unwrap();
    Tensor::from(array).cast(like.dtype().unwrap())
}

/// The result of `run`, and, where it has gradients, its vector-Jacobian products and those of their
/// sum (second derivatives), by name.
pub(crate) fn results(
    run: impl Fn(&[Tensor]) -> Tensor,
    inputs: &[Array],
) -> Result<Vec<(String, Tensor)>, String> {
    let xs: Vec<Tensor> = inputs.iter().map(leaf).collect();
    let y = run(&xs);
    y.check().map_err(|e| e.to_string())?;
    let mut out = vec![("value".to_string(), y.clone())];
    if !y.requires_grad() {
        return Ok(out);
    }
    let cotangent = weights(&y, 3);
    let mut sum: Option<Tensor> = None;
    for (i, x) in xs.iter().enumerate().filter(|(_, x)| x.requires_grad()) {
        match y.vjp(&cotangent, &[x]) {
            Ok(g) => {
                let g = g.into_iter().next().ok_or("no gradient")?;
                let part = (&g * weights(&g, 4 + i as u64)).sum();
                sum = Some(match sum {
                    Some(sum) => sum + part,
                    None => part,
                });
                out.push((format!("gradient {i}"), g));
            }
            Err(error) if error.code() == Code::Gradient => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    let Some(sum) = sum else { return Ok(out) };
    for (i, x) in xs.iter().enumerate().filter(|(_, x)| x.requires_grad()) {
        match sum.grad(x) {
            Ok(g) => out.push((format!("second derivative {i}"), g)),
            Err(error) if error.code() == Code::Gradient => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(out)
}

/// The values of [`results`] under a setting.
pub(crate) fn outcome(
    run: impl Fn(&[Tensor]) -> Tensor,
    inputs: &[Array],
    setting: Setting,
) -> Result<Vec<(String, Array)>, String> {
    under(setting, || results(&run, inputs))
}

/// The values of named tensors that are recorded and computed under a setting.
pub(crate) fn under(
    setting: Setting,
    record: impl Fn() -> Result<Vec<(String, Tensor)>, String>,
) -> Result<Vec<(String, Array)>, String> {
    let before = isa::active();
    isa::force(setting.isa);
    set_threads(if setting.split { 3 } else { 1 });
    set_split_all(setting.split);
    seed(17);
    let compute = || {
        let tensors = record()?;
        let held = if setting.hold { pending_tensors() } else { Vec::new() };
        if setting.together {
            sync().map_err(|e| e.to_string())?;
        }
        let read = |(name, t): &(String, Tensor)| {
            Ok((name.clone(), t.to_array().map_err(|e| format!("{name}: {e}"))?))
        };
        let values = tensors.iter().map(read).collect();
        drop(held);
        values
    };
    let values = if setting.eager { eager(compute) } else { compute() };
    set_threads(1);
    set_split_all(false);
    isa::force(before);
    values
}

/// Equal names, shapes, types and bits. Any NaN equals any other.
pub(crate) fn same(a: &[(String, Array)], b: &[(String, Array)]) -> Result<(), String> {
    if a.len() != b.len() {
        return Err(format!("{} results and {}", a.len(), b.len()));
    }
    for ((name, x), (other, y)) in a.iter().zip(b) {
        if name != other || x.shape() != y.shape() || x.dtype() != y.dtype() {
            return Err(format!("{name} is {x:?}, {other} is {y:?}"));
        }
        if x.same_bits(y) {
            continue;
        }
        // Bits of f32 and bool survive the way to f64; i64 was found different.
        let (u, v) = (x.to_f64(), y.to_f64());
        let differ =
            |(p, q): (&f64, &f64)| p.to_bits() != q.to_bits() && !(p.is_nan() && q.is_nan());
        if let Some(k) = u.iter().zip(&v).position(differ) {
            return Err(format!("{name}: element {k} of {x:?} is {:e} and {:e}", u[k], v[k]));
        }
        if !x.dtype().is_float() {
            return Err(format!("{name}: other integers"));
        }
    }
    Ok(())
}

/// f32 results against those in f64: within `tolerance * max(1, max|b|)`; other types equal.
pub(crate) fn agree(
    a: &[(String, Array)],
    b: &[(String, Array)],
    tolerance: f64,
) -> Result<(), String> {
    for ((name, x), (_, y)) in a.iter().zip(b) {
        if x.shape() != y.shape() {
            return Err(format!("{name} is {x:?} and {y:?}"));
        }
        let (u, v) = (x.to_f64(), y.to_f64());
        let scale = v.iter().fold(1.0f64, |m, v| m.max(v.abs()));
        let tolerance = if x.dtype().is_float() { tolerance * scale } else { 0.0 };
        let apart = |(p, q): (&f64, &f64)| (p - q).abs() > tolerance || p.is_nan() != q.is_nan();
        if let Some(k) = u.iter().zip(&v).position(apart) {
            return Err(format!("{name}: element {k} of {x:?} is {:e}, in f64 {:e}", u[k], v[k]));
        }
    }
    Ok(())
}

/// Whether an error has this code, these words, and names this line or one just after it.
pub(crate) fn tells(error: &Error, code: Code, words: &str, at: (&str, u32)) -> Result<(), String> {
    if error.code() != code {
        return Err(format!("its code is {:?}, not {code:?}", error.code()));
    }
    if !error.title().contains(words) {
        return Err(format!("its title has no `{words}`"));
    }
    let text = error.to_string();
    let (file, line) = at;
    // A call may be written over several lines.
    let shown = (line..line + 6).any(|line| {
        text.match_indices(&format!("{file}:{line}"))
            .any(|(i, m)| !text[i + m.len()..].starts_with(|c: char| c.is_ascii_digit()))
    });
    if !shown {
        return Err(format!("it does not show {file}:{line}"));
    }
    Ok(())
}
