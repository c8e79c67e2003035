//! Where in a sequence a row stands: fixed waves, learned vectors, rotations.

use std::fmt;

use gradus_core::{Array, Code, Error, Param, Result, Shape, Tag, Tensor};

use super::failed_among;
use crate::init;
use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// Checks rows `[.., rows, size]` against a table, and where the rows begin in it.
fn checked(what: &str, x: &Tensor, start: usize, table: [usize; 2]) -> Result<usize> {
    let shape = x.shape()?;
    let [most, size] = table;
    if shape.rank() < 2 || shape.last(0) != size {
        let text = format!("{what}: takes [.., rows, {size}], not {shape}");
        return Err(Error::new(Code::Shape, text).help("the rows of a sequence are the axis -2"));
    }
    let rows = shape.last(1);
    if start.saturating_add(rows) > most {
        let text = format!("{what}: rows {start}..{} of {most} positions", start + rows);
        return Err(Error::new(Code::Index, text).help("make the layer with more positions"));
    }
    Ok(rows)
}

/// A table `[positions, size]` from a function, computed in f64.
fn table(positions: usize, size: usize, value: impl Fn(usize, usize) -> f64) -> Result<Array> {
    Array::build::<f32>([positions, size], |out| {
        for (row, values) in out.chunks_mut(size.max(1)).enumerate() {
            for (column, slot) in values.iter_mut().enumerate() {
                *slot = value(row, column) as f32;
            }
        }
    })
}

/// How fast pair `i` of `pairs` turns: `base^(-i / pairs)`.
fn frequency(base: f64, i: usize, pairs: usize) -> f64 {
    libm::pow(base, -(i as f64) / pairs.max(1) as f64)
}

/// Adds waves to a sequence: `sin(p / 10000^(2i / size))` to column `2i` of row `p`, the cosine to
/// column `2i + 1`.
///
/// `[.., rows, size]` keeps its shape. Nothing is trained, and nothing is saved. Vaswani et al.,
/// *Attention is all you need*, 2017.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::SinusoidalPositions;
/// let layer = SinusoidalPositions::new(100, 4);
/// let y = layer.forward(&Tensor::zeros([1, 2, 4]));
/// assert_eq!(y.to_vec::<f32>()?[..4], [0.0, 1.0, 0.0, 1.0]); // position 0
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct SinusoidalPositions {
    table: Result<Array>,
    sizes: [usize; 2],
    tag: Tag,
}

impl SinusoidalPositions {
    /// Waves for at most `max_len` rows of a size. A size of 0 is an error, which the first
    /// `forward` reports.
    pub fn new(max_len: usize, size: usize) -> SinusoidalPositions {
        let table = positive("SinusoidalPositions", max_len, size).and_then(|()| {
            table(max_len, size, |p, column| {
                let pair = (column - column % 2) as f64 / size as f64;
                let angle = p as f64 * libm::pow(1e4, -pair);
                if column % 2 == 0 { libm::sin(angle) } else { libm::cos(angle) }
            })
        });
        let tag = Tag::new(format!("SinusoidalPositions({max_len}, {size})"));
        SinusoidalPositions { table, sizes: [max_len, size], tag }
    }

    /// The sequence with its positions, which begin at 0.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_from(x, 0)
    }

    /// The sequence with its positions, which begin at `start`.
    #[track_caller]
    pub fn forward_from(&self, x: &Tensor, start: usize) -> Tensor {
        let _scope = self.tag.enter();
        if let Some(failed) = failed_among([x]) {
            return failed;
        }
        match (&self.table, checked("SinusoidalPositions", x, start, self.sizes)) {
            (Ok(table), Ok(rows)) => x + Tensor::from(table).narrow(0, start, rows),
            (Err(error), _) => Tensor::failed(error.clone()),
            (_, Err(error)) => Tensor::failed(error),
        }
    }
}

/// Adds a learned vector to each row of a sequence, one for each position.
///
/// `[.., rows, size]` keeps its shape. `weight` is `[max_len, size]` and starts normal with a
/// standard deviation of 0.02, as in GPT-2 and BERT.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::{LearnedPositions, ModuleExt};
/// let layer = LearnedPositions::new(16, 4);
/// assert_eq!(layer.forward(&Tensor::zeros([2, 3, 4])).dims::<3>()?, [2, 3, 4]);
/// assert_eq!(layer.num_parameters(), 64);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct LearnedPositions {
    /// `[max_len, size]`.
    pub weight: Param,
    sizes: [usize; 2],
    tag: Tag,
}

impl LearnedPositions {
    /// Vectors for at most `max_len` rows of a size. A size of 0 is an error, which the first
    /// `forward`, `step` or `save` reports.
    pub fn new(max_len: usize, size: usize) -> LearnedPositions {
        let weight = positive("LearnedPositions", max_len, size)
            .and_then(|()| init::normal([max_len, size], 0.0, 0.02));
        let tag = Tag::new(format!("LearnedPositions({max_len}, {size})"));
        LearnedPositions { weight: Param::from_result(weight), sizes: [max_len, size], tag }
    }

    /// The sequence with its positions, which begin at 0.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_from(x, 0)
    }

    /// The sequence with its positions, which begin at `start`.
    #[track_caller]
    pub fn forward_from(&self, x: &Tensor, start: usize) -> Tensor {
        let _scope = self.tag.enter();
        if let Some(failed) = failed_among([x]) {
            return failed;
        }
        if let Some(error) = self.weight.error() {
            return Tensor::failed(error.clone());
        }
        match checked("LearnedPositions", x, start, self.sizes) {
            Ok(rows) => x + self.weight.tensor().narrow(0, start, rows),
            Err(error) => Tensor::failed(error),
        }
    }
}

/// Rotary positions: turns each pair of columns of queries or keys by an angle that grows with the
/// row, so that scores of attention depend on distances only.
///
/// `[.., rows, size]` (for heads: `[batch, heads, rows, size of a head]`) keeps its shape. Pair `i`
/// of row `p` turns by `p / base^(2i / size)`. Pairs are columns `2i` and `2i + 1`, as in the paper;
/// with [`RotaryPositions::halves`] `i` and `i + size / 2`, as in GPT-NeoX and Llama's files of
/// Hugging Face. Nothing is trained, and nothing is saved. Su et al., *RoFormer*, 2021.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::RotaryPositions;
/// let rotary = RotaryPositions::new(100, 8);
/// let (q, k) = (Tensor::ones([1, 2, 5, 8]), Tensor::ones([1, 2, 5, 8]));
/// let (q, k) = (rotary.forward(&q), rotary.forward(&k));
/// let scores = q.matmul(k.mT()).select(0, 0).select(0, 0).to_vec2::<f32>()?;
/// assert!((scores[1][0] - scores[4][3]).abs() < 1e-4); // the same distance
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct RotaryPositions {
    tables: Result<(Array, Array)>,
    sizes: [usize; 2],
    base: f64,
    halves: bool,
    tag: Tag,
}

impl RotaryPositions {
    /// Angles for at most `max_len` rows of an even size. Another size is an error, which the first
    /// `forward` reports.
    pub fn new(max_len: usize, size: usize) -> RotaryPositions {
        let tag = Tag::new(format!("RotaryPositions({max_len}, {size})"));
        let tables = Err(Error::internal("no table"));
        let layer =
            RotaryPositions { tables, sizes: [max_len, size], base: 1e4, halves: false, tag };
        layer.filled()
    }

    /// The base of the angles; 10000 by default.
    #[must_use]
    pub fn base(mut self, base: f64) -> RotaryPositions {
        self.base = base;
        self.filled()
    }

    /// Pairs are a column of the first half and one of the second.
    #[must_use]
    pub fn halves(mut self) -> RotaryPositions {
        self.halves = true;
        self
    }

    fn filled(mut self) -> RotaryPositions {
        let ([rows, size], base) = (self.sizes, self.base);
        let angle = |p: usize, i: usize| p as f64 * frequency(base, i, size / 2);
        self.tables = positive("RotaryPositions", rows, size)
            .and_then(|()| match size % 2 == 0 && base > 0.0 {
                true => Ok(()),
                false => Err(Error::new(
                    Code::Argument,
                    format!("RotaryPositions: size {size} is odd, or base {base} not positive"),
                )),
            })
            .and_then(|()| {
                let cos = table(rows, size / 2, |p, i| libm::cos(angle(p, i)))?;
                Ok((cos, table(rows, size / 2, |p, i| libm::sin(angle(p, i)))?))
            });
        self
    }

    /// The rows turned by their positions, which begin at 0.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_from(x, 0)
    }

    /// The rows turned by their positions, which begin at `start`.
    #[track_caller]
    pub fn forward_from(&self, x: &Tensor, start: usize) -> Tensor {
        let _scope = self.tag.enter();
        if let Some(failed) = failed_among([x]) {
            return failed;
        }
        let turned = || -> Result<Tensor> {
            let (cos, sin) = self.tables.as_ref().map_err(Error::clone)?;
            let rows = checked("RotaryPositions", x, start, self.sizes)?;
            let part = |table: &Array| Tensor::from(table).narrow(0, start, rows);
            let (cos, sin) = (part(cos), part(sin));
            let (shape, half) = (x.shape()?, self.sizes[1] / 2);
            if self.halves {
                let (a, b) = (x.narrow(-1, 0, half), x.narrow(-1, half, half));
                return Ok(Tensor::concat(&[&(&a * &cos - &b * &sin), &(b * cos + a * sin)], -1));
            }
            let mut dims = shape.dims().to_vec();
            dims.pop();
            dims.extend([half, 2]);
            if dims.len() > gradus_core::MAX_RANK {
                let text = format!("RotaryPositions: {shape} has too many axes");
                return Err(Error::new(Code::Shape, text));
            }
            let pairs = x.reshape_to(Shape::new(&dims));
            let (a, b) = (pairs.select(-1, 0), pairs.select(-1, 1));
            let turned = [&a * &cos - &b * &sin, b * cos + a * sin];
            Ok(Tensor::stack(&[&turned[0], &turned[1]], -1).reshape_to(shape))
        };
        turned().unwrap_or_else(Tensor::failed)
    }
}

fn positive(what: &str, positions: usize, size: usize) -> Result<()> {
    if positions > 0 && size > 0 {
        return Ok(());
    }
    let text = format!("{what}({positions}, {size}): both sizes must be at least 1");
    Err(Error::new(Code::Argument, text))
}

macro_rules! layer {
    ($name:ident $(, $param:ident)?) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.tag.describe())
            }
        }

        impl Module for $name {
            fn walk(&self, visitor: &mut dyn Visitor) {
                visitor.tag(&self.tag);
                $(visitor.param(stringify!($param), &self.$param);)?
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn forward(&self, x: &Tensor) -> Tensor {
                $name::forward(self, x)
            }
        }
    };
}
layer!(SinusoidalPositions);
layer!(LearnedPositions, weight);
layer!(RotaryPositions);
