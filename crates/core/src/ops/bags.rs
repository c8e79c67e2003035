//! Sums, means and maxima of embedded bags of ids.

use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::shape::Shape;
use crate::ops::scatter::ScatterReduce;
use crate::tensor::Tensor;

/// What [`Tensor::embedding_bag`] makes of the vectors of a bag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Bag {
    /// Their sum.
    Sum,
    /// Their mean; PyTorch's default.
    #[default]
    Mean,
    /// The largest element at each place.
    Max,
}

impl Tensor {
    /// The rows of this table that the ids of a bag name, summed (or their mean, or their maximum):
    /// one vector a bag, without keeping all rows.
    ///
    /// `self` is `[num_embeddings, dim]`. Bags are the rows of `[bags, ids]`, or parts of a list
    /// `[ids]` that begin at `offsets` `[bags]`, in ascending order from 0. `weights`, of the ids'
    /// shape, multiply the rows of a sum. Ids that are `padding` count for nothing. A bag of nothing
    /// gives zeros. The result is `[bags, dim]`.
    ///
    /// # Errors
    /// [`Code::Shape`] for other shapes; [`Code::DType`] for ids or offsets that are not i64;
    /// [`Code::Argument`] for weights of a mean or maximum; [`Code::Index`] for an id that does not
    /// exist.
    ///
    /// ```
    /// use gradus_core::{Bag, Tensor};
    /// let table = Tensor::from([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]);
    /// let ids = Tensor::from([0, 2, 1]);
    /// let bags = table.embedding_bag(&ids, Some(&Tensor::from([0, 2])), Bag::Sum, None, None);
    /// assert_eq!(bags.to_vec::<f32>()?, [4.0, 40.0, 2.0, 20.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn embedding_bag(
        &self,
        ids: &Tensor,
        offsets: Option<&Tensor>,
        how: Bag,
        weights: Option<&Tensor>,
        padding: Option<usize>,
    ) -> Tensor {
        let _called = called("embedding_bag");
        if let Err(failed) = self.check_bags(ids, offsets, how, weights) {
            return failed;
        }
        let (shape, dtype) = (ids.peek().shape, self.peek().dtype);
        let flat = ids.reshape([-1]);
        let rows = self.index_select(0, &flat);
        let kept = padding.map(|id| flat.ne(id as i64));
        let rows = match (how, &kept, weights) {
            (Bag::Max, Some(kept), _) => kept.unsqueeze(-1).where_(rows, f64::NEG_INFINITY),
            (_, None, None) => rows,
            (_, Some(kept), None) => rows * kept.unsqueeze(-1).cast(dtype),
            (_, None, Some(w)) => rows * w.reshape([-1, 1]),
            (_, Some(kept), Some(w)) => rows * (w.reshape([-1]) * kept.cast(dtype)).unsqueeze(-1),
        };
        let gather = Gather::new(shape, offsets, self.peek().shape.dim(1));
        // How many count in each bag, where that is not plain.
        let count = || {
            let ones = match &kept {
                Some(kept) => kept.cast(dtype),
                None => Tensor::ones([shape.numel()]).cast(dtype),
            };
            gather.sum(&ones.unsqueeze(-1), 1)
        };
        match how {
            Bag::Sum => gather.sum(&rows, gather.dim),
            Bag::Mean => gather.sum(&rows, gather.dim) / count().clamp_min(1.0),
            Bag::Max => match gather.max(&rows) {
                Some(most) if kept.is_some() => count().eq(0.0).where_(0.0, most),
                Some(most) => most,
                None => Tensor::zeros([gather.bags, gather.dim]).cast(dtype),
            },
        }
    }

    #[track_caller]
    fn check_bags(
        &self,
        ids: &Tensor,
        offsets: Option<&Tensor>,
        how: Bag,
        weights: Option<&Tensor>,
    ) -> Result<(), Tensor> {
        let all = [Some(self), Some(ids), offsets, weights];
        if let Some(failed) = all.into_iter().flatten().find(|t| t.is_failed()) {
            return Err(failed.clone());
        }
        if let Some(failed) = self.not_real("embedding_bag") {
            return Err(failed);
        }
        let (table, shape) = (self.peek().shape, ids.peek().shape);
        let ranks = (table.rank(), shape.rank(), offsets.map(|o| o.peek().shape.rank()));
        if !matches!(ranks, (2, 2, None) | (2, 1, Some(1))) {
            let given = match offsets {
                Some(offsets) => format!("offsets {}", offsets.peek().shape),
                None => "no offsets".to_string(),
            };
            let text = format!("embedding_bag: a table {table}, ids {shape} and {given}");
            let help = "give a table [ids, dim], and [bags, ids], or [ids] with offsets [bags]";
            return Err(Tensor::failed(Error::new(Code::Shape, text).help(help)));
        }
        for (what, t) in [("ids", Some(ids)), ("offsets", offsets)] {
            if let Some(dtype) = t.map(|t| t.peek().dtype)
                && dtype != DType::I64
            {
                let text = format!("embedding_bag: {what} are i64, not {dtype}");
                return Err(Tensor::failed(Error::new(Code::DType, text)));
            }
        }
        let Some(weights) = weights else { return Ok(()) };
        if how != Bag::Sum {
            let text = format!("embedding_bag: weights, and {how:?}");
            let help = "weights are for sums only, as in PyTorch";
            return Err(Tensor::failed(Error::new(Code::Argument, text).help(help)));
        }
        let have = weights.peek().shape;
        if have != shape {
            let text = format!("embedding_bag: weights {have} for ids {shape}");
            return Err(Tensor::failed(Error::new(Code::Shape, text)));
        }
        Ok(())
    }
}

/// How rows come together.
struct Gather {
    bags: usize,
    /// Rows of a bag, where all have the same number.
    each: usize,
    dim: usize,
    /// The bag of each row, where they differ.
    bag_of: Option<Tensor>,
}

impl Gather {
    #[track_caller]
    fn new(ids: Shape, offsets: Option<&Tensor>, dim: usize) -> Gather {
        let Some(offsets) = offsets else {
            return Gather { bags: ids.dim(0), each: ids.dim(1), dim, bag_of: None };
        };
        // A row belongs to the last bag that begins at or before it.
        let places = Tensor::arange(0i64, ids.dim(0) as i64);
        let bag_of = offsets.searchsorted(&places, true) - 1;
        Gather { bags: offsets.peek().shape.dim(0), each: 0, dim, bag_of: Some(bag_of) }
    }

    #[track_caller]
    fn sum(&self, rows: &Tensor, dim: usize) -> Tensor {
        match &self.bag_of {
            None => rows.reshape_to([self.bags, self.each, dim]).sum_dim(1),
            Some(bag_of) => {
                let zeros = Tensor::zeros([self.bags, dim]).cast(rows.peek().dtype);
                zeros.index_add(0, bag_of, rows)
            }
        }
    }

    /// None, where no bag has a row.
    #[track_caller]
    fn max(&self, rows: &Tensor) -> Option<Tensor> {
        match &self.bag_of {
            None if self.each == 0 => None,
            None => Some(rows.reshape_to([self.bags, self.each, self.dim]).max_dim(1)),
            Some(bag_of) => {
                let zeros = Tensor::zeros([self.bags, self.dim]).cast(rows.peek().dtype);
                Some(zeros.index_reduce(0, bag_of, rows, ScatterReduce::Amax, false))
            }
        }
    }
}
