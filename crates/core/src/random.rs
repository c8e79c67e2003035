//! Seeds, streams and generators.
//!
//! Random numbers are numbered draws from named streams, so that using more of one kind (data
//! shuffling, say) does not change another (dropout masks).

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use gradus_kernels::philox;
use gradus_kernels::program::{Dist, RandomKey};

use crate::array::Array;
use crate::capture::Draw;
use crate::error::Result;
use crate::graph::recorder;
use crate::graph::shape::Shape;

/// What random numbers are for; each purpose counts its own draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Initial weights.
    Init = 0,
    /// Dropout and other noise while training.
    Train = 1,
    /// Noise at prediction (Monte-Carlo dropout).
    Inference = 2,
    /// Shuffling and augmentation.
    Data = 3,
    /// `Tensor::rand` and friends.
    User = 4,
}

const STREAMS: usize = 5;

/// The state of a thread's generator: the seed and how many draws each stream made.
///
/// Saved in checkpoints; restoring it continues with the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RngState {
    /// The seed.
    pub seed: u64,
    /// Draws of each stream, in the order of [`Stream`].
    pub draws: [u32; STREAMS],
}

/// Draws so far: what is committed, and what is recorded but not yet run.
#[derive(Clone, Copy)]
pub(crate) struct Streams {
    seed: Option<u64>,
    committed: [u32; STREAMS],
    next: [u32; STREAMS],
}

static SEED: AtomicU64 = AtomicU64::new(0);

/// Sets the seed for this thread, and for threads that have not drawn yet; all streams start anew.
///
/// ```
/// use gradus_core::Tensor;
/// gradus_core::seed(17);
/// let a = Tensor::rand([3]).to_vec::<f32>()?;
/// gradus_core::seed(17);
/// assert_eq!(a, Tensor::rand([3]).to_vec::<f32>()?);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub fn seed(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
    recorder::with(|r| {
        r.streams = Streams { seed: Some(seed), committed: [0; STREAMS], next: [0; STREAMS] };
    });
}

/// The state of this thread's generator.
pub fn rng_state() -> RngState {
    recorder::with(|r| RngState { seed: r.streams.seed(), draws: r.streams.committed })
}

/// Continues from a saved state.
pub fn set_rng_state(state: RngState) {
    recorder::with(|r| {
        r.streams = Streams { seed: Some(state.seed), committed: state.draws, next: state.draws };
    });
}

/// Where the streams stood when something started.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    seed: u64,
    next: [u32; STREAMS],
}

/// How many draws each stream made since a mark.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Draws([u32; STREAMS]);

impl Draws {
    pub(crate) fn any(&self) -> bool {
        self.0 != [0; STREAMS]
    }
}

impl Mark {
    /// A key that was drawn since, relative to the mark; `None` if it was not.
    pub(crate) fn ahead(&self, key: RandomKey) -> Option<Draw> {
        let first = *self.next.get(key.stream as usize)?;
        let ahead = key.draw.wrapping_sub(first);
        (key.seed == self.seed && ahead < 1 << 31).then_some(Draw { stream: key.stream, ahead })
    }

    /// The key of that draw.
    pub(crate) fn key(&self, draw: Draw) -> RandomKey {
        let first = self.next.get(draw.stream as usize).copied().unwrap_or(0);
        let at = first.wrapping_add(draw.ahead);
        RandomKey { seed: self.seed, stream: draw.stream, draw: at }
    }

    /// What was drawn since.
    pub(crate) fn drawn(&self, now: &Streams) -> Draws {
        Draws(std::array::from_fn(|i| now.next[i].wrapping_sub(self.next[i])))
    }
}

impl Streams {
    pub(crate) fn mark(&mut self) -> Mark {
        Mark { seed: self.seed(), next: self.next }
    }

    /// So much was drawn since a mark, and counts.
    pub(crate) fn advance(&mut self, from: &Mark, drawn: &Draws) {
        self.next = std::array::from_fn(|i| from.next[i].wrapping_add(drawn.0[i]));
        self.committed = self.next;
    }

    pub(crate) const fn new() -> Streams {
        Streams { seed: None, committed: [0; STREAMS], next: [0; STREAMS] }
    }

    fn seed(&mut self) -> u64 {
        *self.seed.get_or_insert_with(|| SEED.load(Ordering::Relaxed))
    }

    /// The key of the next draw.
    pub(crate) fn next(&mut self, stream: Stream) -> RandomKey {
        let seed = self.seed();
        let draw = &mut self.next[stream as usize];
        let key = RandomKey { seed, stream: stream as u32, draw: *draw };
        *draw = draw.wrapping_add(1);
        key
    }

    /// What was drawn counts: the plan that used it has run.
    pub(crate) fn commit(&mut self) {
        self.committed = self.next;
    }

    /// What was drawn since the last commit is drawn again: the step failed. Draws that somebody
    /// still holds keep their numbers.
    pub(crate) fn roll_back(&mut self, held: impl Iterator<Item = RandomKey>) {
        self.next = self.committed;
        for key in held {
            if Some(key.seed) == self.seed
                && let Some(next) = self.next.get_mut(key.stream as usize)
            {
                *next = (*next).max(key.draw.wrapping_add(1));
            }
        }
    }
}

/// A generator of its own, for reproducible arrays outside the global seed.
///
/// ```
/// use gradus_core::Rng;
/// let a = Rng::new(17).normal([4], 0.0, 1.0)?;
/// let b = Rng::new(17).normal([4], 0.0, 1.0)?;
/// assert!(a.same_bits(&b));
/// # Ok::<(), gradus_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Rng {
    seed: u64,
    stream: Stream,
    draw: Cell<u32>,
}

impl Rng {
    /// A generator that starts from `seed`.
    pub fn new(seed: u64) -> Rng {
        Rng { seed, stream: Stream::User, draw: Cell::new(0) }
    }

    fn key(&self) -> RandomKey {
        let draw = self.draw.get();
        self.draw.set(draw.wrapping_add(1));
        RandomKey { seed: self.seed, stream: self.stream as u32, draw }
    }

    /// Uniform f32 in `[low, high)`.
    ///
    /// # Errors
    /// A shape that is too large.
    pub fn uniform(&self, shape: impl Into<Shape>, low: f32, high: f32) -> Result<Array> {
        fill(self.key(), Dist::Uniform, shape.into(), |u| low + (high - low) * u)
    }

    /// Normal f32 with a mean and a standard deviation.
    ///
    /// # Errors
    /// A shape that is too large.
    pub fn normal(&self, shape: impl Into<Shape>, mean: f32, std: f32) -> Result<Array> {
        fill(self.key(), Dist::Normal, shape.into(), |z| mean + std * z)
    }
}

fn fill(key: RandomKey, dist: Dist, shape: Shape, map: impl Fn(f32) -> f32) -> Result<Array> {
    Array::build::<f32>(shape, |out| {
        philox::fill(key, dist, 0, out);
        for v in out.iter_mut() {
            *v = map(*v);
        }
    })
}

/// Uniform f32 in `[low, high)` from the global seed's init stream.
///
/// # Errors
/// A shape that is too large.
pub fn init_uniform(shape: impl Into<Shape>, low: f32, high: f32) -> Result<Array> {
    let key = init_key();
    fill(key, Dist::Uniform, shape.into(), |u| low + (high - low) * u)
}

/// Normal f32 from the global seed's init stream.
///
/// # Errors
/// A shape that is too large.
pub fn init_normal(shape: impl Into<Shape>, mean: f32, std: f32) -> Result<Array> {
    let key = init_key();
    fill(key, Dist::Normal, shape.into(), |z| mean + std * z)
}

fn init_key() -> RandomKey {
    recorder::with(|r| {
        let key = r.streams.next(Stream::Init);
        // Weights exist at once, so their draws count at once.
        let i = Stream::Init as usize;
        r.streams.committed[i] = r.streams.next[i];
        key
    })
}
