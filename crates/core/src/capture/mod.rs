//! Closures that are recorded once and then replayed with new inputs.
//!
//! A replay costs its kernels and little else: no recording, no key, no look-up. `session` writes
//! down what the closure's runs were made of while it is really called, `replay` does them again.

mod outputs;
mod replay;
mod session;

use std::borrow::Borrow;
use std::panic::Location;

use gradus_kernels::copy;

use crate::array::Array;
use crate::derivatives::functional;
use crate::error::{Code, Error, Result};
use crate::graph::dtype::DType;
use crate::graph::flush;
use crate::graph::recorder::{self, Mode};
use crate::graph::shape::Shape;
use crate::param;
use crate::tensor::Tensor;
pub use outputs::Outputs;
pub(crate) use replay::Draw;
use replay::{Again, Trace};
pub(crate) use session::{Seen, Session};

/// Every so many calls the closure is really called, and compared with what is replayed.
const CHECK_EVERY: u64 = 256;

/// A closure that is replayed; made by [`capture`].
pub struct Captured<F> {
    closure: F,
    variants: Vec<Variant>,
    inputs: Vec<Array>,
}

/// What was recorded for inputs of one form.
struct Variant {
    form: Vec<(Shape, DType)>,
    mode: Mode,
    /// [`param::structure`] when it was recorded.
    structure: u64,
    calls: u64,
    trace: Option<Trace>,
}

/// A closure that is recorded on its first calls and then replayed: the same steps with new inputs,
/// without the cost of recording, which is most of the time of a small step.
///
/// The results are the same bits as those of the closure. What it computes with may be
///
/// - its inputs (as data: gradients do not flow out of the closure),
/// - parameters and buffers of models, with the values of the moment,
/// - the numbers of optimizers: rates that are set between two calls count from the next one on,
/// - random numbers, which are new in each call,
/// - everything else as it was when the closure was recorded.
///
/// Other Rust code in the closure (counting, printing) runs only when it is really called: on the
/// first three calls for inputs of some shapes, and on every 256th, to be compared with what is
/// replayed. Then another operation, shape or number is an error that names the line: make what
/// changes an input, or use two captures. The closure cannot read values (`item`, `to_vec`), return
/// what should be read instead. Optimizers that read in a step ([`step_with`] of SAM and L-BFGS) or
/// that are written with tensors and numbers that change (Adafactor, Lamb, Muon) do not work in it.
///
/// Inputs of other shapes, or calls in another mode, are recorded apart and kept beside the others.
/// In eager mode the closure is called every time.
///
/// ```
/// use gradus_core::{Array, Param, Tensor, capture, transaction};
/// let w = Param::new(Array::new([2], &[0.0f32, 0.0])?);
/// let mut step = capture(|x: &[Tensor]| {
///     let loss = (x[0].matmul(w.tensor()) - &x[1]).square().mean();
///     transaction(|| {
///         let gradients = loss.backward()?;
///         gradients.get(&w).map(|g| w.assign(&(w.tensor() - 0.1 * g)));
///         Ok(())
///     })?;
///     Ok(loss)
/// });
/// let (x, y) = (Tensor::from([[1.0, 2.0], [3.0, 1.0]]), Tensor::from([5.0, 5.0]));
/// let first = step.run(&[&x, &y])?.item()?;
/// for _ in 0..200 {
///     step.run(&[&x, &y])?;
/// }
/// assert!(step.run(&[&x, &y])?.item()? < 1e-3 * first);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// [`step_with`]: https://docs.rs/gradus-nn
pub fn capture<F, O>(closure: F) -> Captured<F>
where
    F: FnMut(&[Tensor]) -> Result<O>,
    O: Outputs,
{
    Captured { closure, variants: Vec::new(), inputs: Vec::new() }
}

impl<F> Captured<F> {
    /// The closure with inputs: replayed if it can be, else called.
    ///
    /// # Errors
    /// Those of the closure, whose step then changed nothing; [`Code::Argument`] when it reads a
    /// value, or does something else than before.
    #[track_caller]
    pub fn run<O, T>(&mut self, inputs: &[T]) -> Result<O>
    where
        F: FnMut(&[Tensor]) -> Result<O>,
        O: Outputs,
        T: Borrow<Tensor>,
    {
        let place = Location::caller();
        let mut given = std::mem::take(&mut self.inputs);
        given.clear();
        let taken = take(inputs, &mut given);
        let done = taken.and_then(|()| self.once(&given, place));
        given.clear();
        self.inputs = given;
        match done? {
            Done::Called(outputs) => Ok(outputs),
            Done::Replayed(v) => {
                let made = self.made(v);
                Ok(O::make(made.len(), &mut |i| made.tensor(i, place)))
            }
        }
    }

    /// One call after another, on batches of consecutive rows of tensors: call `i` gets rows
    /// `starts[i]` to `starts[i] + rows` of each, where they are, without a copy. The results are
    /// those of all calls, with a new first axis.
    ///
    /// This is the fastest way through a data set that is in memory; as JAX's `lax.scan` over
    /// batches. For batches in another order, give the starts in that order.
    ///
    /// # Errors
    /// As [`Captured::run`], with the number of the call; what the calls before did is done.
    ///
    /// ```
    /// use gradus_core::{Tensor, capture};
    /// let mut sums = capture(|x: &[Tensor]| Ok(x[0].sum()));
    /// let data = Tensor::from([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]);
    /// let all = sums.run_rows(&[&data], 2, &[0, 2, 1, 0, 2])?;
    /// assert_eq!(all.to_vec::<f32>()?, [10.0, 26.0, 18.0, 10.0, 26.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    pub fn run_rows<O, T>(&mut self, data: &[T], rows: usize, starts: &[usize]) -> Result<O>
    where
        F: FnMut(&[Tensor]) -> Result<O>,
        O: Outputs,
        T: Borrow<Tensor>,
    {
        let place = Location::caller();
        if starts.is_empty() {
            let text = "run_rows: there are no starts, so there is no result";
            return Err(Error::new(Code::Argument, text));
        }
        let mut whole = Vec::with_capacity(data.len());
        take(data, &mut whole)?;
        let mut given = std::mem::take(&mut self.inputs);
        let mut stacks = Vec::new();
        let mut each = |at: usize, start: usize| {
            given.clear();
            for array in &whole {
                given.push(array.rows(start, rows)?);
            }
            match self.once(&given, place)? {
                Done::Called(outputs) => {
                    let (mut i, mut error) = (0, None);
                    outputs.each(&mut |t| {
                        let put = t.to_array().and_then(|a| stack(&mut stacks, i, at, starts, &a));
                        error = error.take().or(put.err());
                        i += 1;
                    });
                    error.map_or(Ok(()), Err)
                }
                Done::Replayed(v) => self.made(v).stack(&mut stacks, at, starts),
            }
        };
        let of = |at: usize| format!("{} of {}", at + 1, starts.len());
        let done = starts.iter().enumerate().try_for_each(|(at, &start)| {
            each(at, start).map_err(|error| error.line("call", of(at)))
        });
        given.clear();
        self.inputs = given;
        done?;
        Ok(O::make(stacks.len(), &mut |i| match stacks.get(i) {
            Some(array) => recorder::leaf(array.clone(), false, place),
            None => Tensor::failed(Error::internal("run_rows: a result is missing")),
        }))
    }

    /// One call, replayed or not.
    fn once<O>(&mut self, inputs: &[Array], place: &'static Location<'static>) -> Result<Done<O>>
    where
        F: FnMut(&[Tensor]) -> Result<O>,
        O: Outputs,
    {
        let (mode, plain) = recorder::with(|r| {
            let busy = r.running || r.session.is_some() || !r.effects.is_empty();
            (r.mode, busy || flush::is_eager(r.mode))
        });
        if plain || functional::is_active() {
            return self.call(inputs, place).map(Done::Called);
        }
        let structure = param::structure();
        let v = match self.variants.iter().position(|v| v.fits(inputs, mode)) {
            Some(v) => v,
            None => {
                let form = inputs.iter().map(|a| (a.shape(), a.dtype())).collect();
                self.variants.push(Variant { form, mode, structure, calls: 0, trace: None });
                self.variants.len() - 1
            }
        };
        let Some(variant) = self.variants.get_mut(v) else {
            return Err(Error::internal("capture: no variant"));
        };
        if variant.structure != structure || variant.trace.as_ref().is_some_and(Trace::is_outdated)
        {
            (variant.structure, variant.calls, variant.trace) = (structure, 0, None);
        }
        variant.calls += 1;
        // The first call may set things up (layers that wait for sizes, an optimizer's groups).
        let (records, compares) = (variant.calls <= 2, variant.calls == 3);
        if let Some(trace) = &mut variant.trace
            && !records
            && !compares
            && !variant.calls.is_multiple_of(CHECK_EVERY)
        {
            match trace.replay(inputs) {
                Ok(()) => return Ok(Done::Replayed(v)),
                // Nothing has changed: the call does the same and says what is wrong.
                Err(Again::Call) => return self.call(inputs, place).map(Done::Called),
                Err(Again::Failed(error)) => return Err(error),
            }
        }
        let before = if records { None } else { variant.trace.take() };
        let session = Session::prepare(inputs, before, place);
        let done = session.and_then(|s| s.record(|inputs| (self.closure)(inputs)));
        if let Some(variant) = self.variants.get_mut(v) {
            match done {
                Ok((outputs, trace)) => {
                    variant.trace = trace;
                    return Ok(Done::Called(outputs));
                }
                Err(error) => {
                    // It starts anew, so that what differs is found again.
                    (variant.calls, variant.trace) = (0, None);
                    return Err(error);
                }
            }
        }
        Err(Error::internal("capture: a variant was lost"))
    }

    /// The closure itself.
    fn call<O>(&mut self, inputs: &[Array], place: &'static Location<'static>) -> Result<O>
    where
        F: FnMut(&[Tensor]) -> Result<O>,
    {
        let leaf = |array: &Array| recorder::leaf(array.clone(), false, place);
        let tensors: smallvec::SmallVec<[Tensor; 4]> = inputs.iter().map(leaf).collect();
        (self.closure)(&tensors)
    }

    /// What a variant's last replay made.
    fn made(&mut self, variant: usize) -> Made<'_> {
        Made { trace: self.variants.get_mut(variant).and_then(|v| v.trace.as_mut()) }
    }
}

/// Whether a captured closure is being called to be recorded.
#[doc(hidden)]
pub fn is_captured() -> bool {
    recorder::with(|r| r.session.is_some())
}

/// An error inside a captured closure: for what keeps state that a replay would not change.
///
/// # Errors
/// [`Code::Argument`], with the name of what cannot be replayed.
#[doc(hidden)]
pub fn refuse_capture(what: &str) -> Result<()> {
    if !is_captured() {
        return Ok(());
    }
    let text = format!("{what} cannot be replayed in a captured closure");
    Err(Error::new(Code::Argument, text).help(
        "it changes numbers or values outside of the plan; call it between two calls of the \
         closure, or do not capture it",
    ))
}

/// A call: its results, or the variant that was replayed and has them.
enum Done<O> {
    Called(O),
    Replayed(usize),
}

impl Variant {
    fn fits(&self, inputs: &[Array], mode: Mode) -> bool {
        self.mode == mode
            && self.form.len() == inputs.len()
            && self.form.iter().zip(inputs).all(|(f, a)| f.0 == a.shape() && f.1 == a.dtype())
    }
}

/// The results of a replay.
struct Made<'a> {
    trace: Option<&'a mut Trace>,
}

impl Made<'_> {
    fn len(&self) -> usize {
        self.trace.as_ref().map_or(0, |t| t.outputs())
    }

    fn tensor(&self, i: usize, place: &'static Location<'static>) -> Tensor {
        match self.trace.as_ref().and_then(|t| t.output(i)) {
            Some(array) => recorder::leaf(array.clone(), false, place),
            None => Tensor::failed(Error::internal("capture: a result is missing")),
        }
    }

    fn stack(&self, stacks: &mut Vec<Array>, at: usize, starts: &[usize]) -> Result<()> {
        for i in 0..self.len() {
            let array = self.trace.as_ref().and_then(|t| t.output(i));
            let array = array.ok_or_else(|| Error::internal("capture: a result is missing"))?;
            stack(stacks, i, at, starts, array)?;
        }
        Ok(())
    }
}

/// Puts result `i` of call `at` where it belongs among those of all calls.
fn stack(
    stacks: &mut Vec<Array>,
    i: usize,
    at: usize,
    starts: &[usize],
    one: &Array,
) -> Result<()> {
    if stacks.len() == i {
        let shape = one.shape().insert(0, starts.len());
        shape.check("run_rows")?;
        stacks.push(Array::zeros(shape, one.dtype())?);
    }
    let lost = || Error::internal("run_rows: no place for a result");
    let all = stacks.get_mut(i).ok_or_else(lost)?;
    let row = all.shape().remove(0);
    if row != one.shape() || all.dtype() != one.dtype() {
        let text = format!("run_rows: a result was {row}, then {}", one.shape());
        return Err(Error::new(Code::Shape, text));
    }
    let n = one.numel();
    let to = all.storage_mut().write().and_then(|m| m.slice(at * n, n)).ok_or_else(lost)?;
    copy::to_contiguous(&[n], one.storage().read(), 0, &[1], to).map_err(|_| lost())
}

/// The values of tensors, computed if need be.
fn take<T: Borrow<Tensor>>(inputs: &[T], given: &mut Vec<Array>) -> Result<()> {
    recorder::with(|r| {
        given.extend(inputs.iter().map_while(|t| r.node((*t).borrow().slot()).value.clone()));
    });
    for t in inputs.get(given.len()..).unwrap_or_default() {
        given.push(t.borrow().to_array()?);
    }
    Ok(())
}
