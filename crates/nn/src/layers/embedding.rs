//! Tables of vectors: one for each id.

use std::fmt;

use gradus_core::{Array, Code, DType, Error, Param, Result, Shape, Tag, Tensor};

use crate::init;
use crate::layer::Layer;
use crate::module::{Module, Visitor};

/// A vector for each id: `[..]` of i64 becomes `[.., embedding_dim]`.
///
/// `weight` is `[num_embeddings, embedding_dim]` and starts standard normal, as in PyTorch.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::Embedding;
/// let words = Embedding::new(1000, 16);
/// assert_eq!(words.forward(&Tensor::from([[3, 1, 4], [1, 5, 9]])).dims::<3>()?, [2, 3, 16]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct Embedding {
    /// `[num_embeddings, embedding_dim]`.
    pub weight: Param,
    num_embeddings: usize,
    embedding_dim: usize,
    padding_idx: Option<usize>,
    tag: Tag,
}

impl Embedding {
    /// A table of `num_embeddings` vectors. A size of 0 is an error, which the first `forward`,
    /// `step` or `save` reports.
    pub fn new(num_embeddings: usize, embedding_dim: usize) -> Embedding {
        let value = check_sizes(num_embeddings, embedding_dim)
            .and_then(|()| init::normal([num_embeddings, embedding_dim], 0.0, 1.0));
        Embedding::of(Param::from_result(value), num_embeddings, embedding_dim)
    }

    /// A table with given vectors, `[num_embeddings, embedding_dim]`. Another shape is an error,
    /// which the first `forward` reports.
    pub fn from_array(weight: Array) -> Embedding {
        let (count, dim) = (weight.shape().dim(0), weight.shape().dim(1));
        let checked = if weight.shape().rank() == 2 && weight.dtype().is_float() {
            check_sizes(count, dim)
        } else {
            let have = format!("{} {}", weight.dtype(), weight.shape());
            let text = format!("Embedding: a weight is [ids, size], not {have}");
            Err(Error::new(Code::Shape, text))
        };
        Embedding::of(Param::from_result(checked.map(|()| weight)), count, dim)
    }

    fn of(weight: Param, num_embeddings: usize, embedding_dim: usize) -> Embedding {
        let tag = Tag::new(format!("Embedding({num_embeddings}, {embedding_dim})"));
        Embedding { weight, num_embeddings, embedding_dim, padding_idx: None, tag }
    }

    /// The id of padding: its vector starts at zero and is never trained.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// use gradus_nn::Embedding;
    /// let words = Embedding::new(10, 2).padding_idx(0);
    /// assert_eq!(words.forward(&Tensor::from([0])).to_vec::<f32>()?, [0.0, 0.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[must_use]
    pub fn padding_idx(mut self, id: usize) -> Embedding {
        if id >= self.num_embeddings {
            let ids = self.num_embeddings;
            let text = format!("Embedding: the padding id {id} is not one of the {ids} ids");
            self.weight = Param::from_result(Err(Error::new(Code::Argument, text)));
            return self;
        }
        self.padding_idx = Some(id);
        self.zero_row(id)
    }

    /// The vector of one id starts at zero, and is trained as all others: for an id that stands for
    /// everything unknown.
    #[must_use]
    pub fn zero_row(mut self, id: usize) -> Embedding {
        let dim = self.embedding_dim;
        let zeroed = self.weight.get().and_then(|mut value| {
            let row = id * dim..(id + 1) * dim;
            match value.dtype() {
                DType::F64 => clear(value.make_mut::<f64>()?, row),
                _ => clear(value.make_mut::<f32>()?, row),
            }
            Ok(value)
        });
        self.weight = Param::from_result(zeroed);
        self
    }

    /// Starts the table anew from an initialiser, which is given the shape. Call it before
    /// [`Embedding::padding_idx`].
    #[must_use]
    pub fn with_init(mut self, init: impl FnOnce(Shape) -> Result<Array>) -> Embedding {
        let shape = Shape::from([self.num_embeddings, self.embedding_dim]);
        let value = self.weight.get().and_then(|_| init(shape)).and_then(|value| {
            if value.shape() == shape {
                return Ok(value);
            }
            let text = format!("Embedding: the initialiser gave {}, not {shape}", value.shape());
            Err(Error::new(Code::Shape, text))
        });
        self.weight = Param::from_result(value);
        self
    }

    /// Number of ids.
    pub fn num_embeddings(&self) -> usize {
        self.num_embeddings
    }

    /// Size of a vector.
    pub fn embedding_dim(&self) -> usize {
        self.embedding_dim
    }

    /// The vectors of some ids.
    ///
    /// An id that is not in `0..num_embeddings` is found when the result is computed:
    /// [`Code::Index`], with the id, its position and the size of the table.
    #[track_caller]
    pub fn forward(&self, ids: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        if let Some(error) = self.weight.error() {
            return if ids.check().is_err() { ids.clone() } else { Tensor::failed(error.clone()) };
        }
        let shape = match (ids.shape(), ids.dtype()) {
            (Ok(shape), Ok(DType::I64)) => shape,
            (Ok(_), Ok(dtype)) => {
                let text = format!("Embedding: ids are i64, not {dtype}");
                let help = "`cast(DType::I64)` makes ids of whole numbers";
                return Tensor::failed(Error::new(Code::DType, text).help(help));
            }
            _ => return ids.clone(),
        };
        let flat = if shape.rank() == 0 { ids.unsqueeze(0) } else { ids.flatten(0) };
        let rows = self.weight.tensor().index_select(0, &flat);
        let rows = match self.padding_idx {
            // The same values, but no gradient reaches the vector of padding.
            Some(id) => flat.eq(id as i64).unsqueeze(-1).where_(rows.detach(), &rows),
            None => rows,
        };
        if shape.rank() == gradus_core::MAX_RANK {
            let text = format!("Embedding: ids of {shape} leave no axis for the vectors");
            return Tensor::failed(Error::new(Code::Shape, text));
        }
        rows.reshape_to(shape.insert(shape.rank(), self.embedding_dim))
    }
}

fn clear<T: Default + Clone>(values: &mut [T], row: std::ops::Range<usize>) {
    if let Some(row) = values.get_mut(row) {
        row.fill(T::default());
    }
}

fn check_sizes(ids: usize, size: usize) -> Result<()> {
    if ids == 0 || size == 0 {
        let text = format!("Embedding({ids}, {size}): a table needs ids, and vectors a size");
        return Err(Error::new(Code::Argument, text).help("both sizes are at least 1"));
    }
    Ok(())
}

impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for Embedding {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.param("weight", &self.weight);
    }
}

impl Layer for Embedding {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        Embedding::forward(self, x)
    }
}

/// Rows of a table: `[batch, dense + tables]` with ids in the last columns becomes
/// `[batch, dense + sum of the tables' sizes]`.
///
/// The first `dense` columns pass through. Each of the last columns holds whole numbers, ids of its
/// own table, in the type of the others (f32 holds ids up to 2^24 exactly), so that a sample stays
/// one row of numbers. For the categories of a table of data: `gradus_data::table` encodes them so.
///
/// ```
/// use gradus_core::Tensor;
/// use gradus_nn::EmbedColumns;
/// // Two numbers, then a city (one of 50) and a brand (one of 300).
/// let layer = EmbedColumns::new(2, &[(50, 4), (300, 8)]);
/// let x = Tensor::from([[0.3, -1.0, 7.0, 299.0]]);
/// assert_eq!(layer.forward(&x).dims::<2>()?, [1, 14]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
pub struct EmbedColumns {
    /// A table for each of the last columns.
    pub tables: Vec<Embedding>,
    dense: usize,
    tag: Tag,
}

/// Small, beside features that are standardised.
const SPREAD: f32 = 0.1;

impl EmbedColumns {
    /// Tables of `(ids, size)`. Their vectors start small, that of id 0 (unknown) at zero.
    pub fn new(dense: usize, tables: &[(usize, usize)]) -> EmbedColumns {
        let table = |&(ids, size): &(usize, usize)| {
            Embedding::new(ids, size)
                .with_init(|shape| init::normal(shape, 0.0, SPREAD))
                .zero_row(0)
        };
        let width = dense + tables.iter().map(|t| t.1).sum::<usize>();
        let tag = Tag::new(format!("EmbedColumns({} -> {width})", dense + tables.len()));
        EmbedColumns { tables: tables.iter().map(table).collect(), dense, tag }
    }

    /// Columns that go in.
    pub fn in_features(&self) -> usize {
        self.dense + self.tables.len()
    }

    /// Columns that come out.
    pub fn out_features(&self) -> usize {
        self.dense + self.tables.iter().map(Embedding::embedding_dim).sum::<usize>()
    }

    /// The result for `[batch, dense + tables]`.
    #[track_caller]
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _scope = self.tag.enter();
        let Ok(shape) = x.shape() else { return x.clone() };
        if shape.rank() != 2 || shape.dim(1) != self.in_features() {
            let text = format!("EmbedColumns: takes [batch, {}], not {shape}", self.in_features());
            return Tensor::failed(Error::new(Code::Shape, text));
        }
        let mut parts = Vec::with_capacity(1 + self.tables.len());
        if self.dense > 0 {
            parts.push(x.narrow(1, 0, self.dense));
        }
        for (i, table) in self.tables.iter().enumerate() {
            let ids = x.narrow(1, self.dense + i, 1).squeeze(-1).cast(DType::I64);
            parts.push(table.forward(&ids));
        }
        match parts.as_slice() {
            [] => x.clone(),
            [only] => only.clone(),
            parts => Tensor::concat(&parts.iter().collect::<Vec<_>>(), 1),
        }
    }
}

impl fmt::Debug for EmbedColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag.describe())
    }
}

impl Module for EmbedColumns {
    fn walk(&self, visitor: &mut dyn Visitor) {
        visitor.tag(&self.tag);
        visitor.child("tables", &self.tables);
    }
}

impl Layer for EmbedColumns {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        EmbedColumns::forward(self, x)
    }
}
