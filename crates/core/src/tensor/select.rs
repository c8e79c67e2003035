//! Indexing, `x.i(..)`: the basic parts (positions, ranges, new axes) are views; index tensors and
//! masks become one `index_select` on the axes they index, merged into one.

use std::panic::Location;

use super::Tensor;
use super::index::{Index, IndexItem, Span};
use crate::array::Array;
use crate::error::{Code, Error, Result};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::Shape;

impl Tensor {
    /// The part of this tensor that an index names, as in NumPy and PyTorch.
    ///
    /// | part of the index | what it takes from its axis |
    /// |---|---|
    /// | `2`, `-1` | one position; the axis disappears |
    /// | `1..3`, `..3`, `-3..`, `..=-2`, `..` | a range; ends are limited to the axis |
    /// | `span(1, -1)` | as `1..-1`, which clippy takes for a mistake |
    /// | `(..).by(2)`, `(5..).by(-1)` | every second position, backwards |
    /// | `[0, 3]`, `&ids` | those positions, also several times; negative ones count from the end |
    /// | `&mask` | where the mask is true; it takes as many axes as it has |
    /// | `NewAxis` | nothing: a new axis of size 1 |
    /// | `Ellipsis` | all axes that the other parts leave (at the end if not given) |
    ///
    /// Several index tensors broadcast against each other and pick single places together, as in
    /// PyTorch: the axes of their common shape stand where the indexed axes were, or first if those
    /// were not next to each other. Gradients flow to this tensor; a place that was taken twice
    /// receives both.
    ///
    /// A mask is read when the index is recorded, since the result's shape depends on it; so it needs
    /// to be known by then, and each number of true elements makes a plan of its own.
    ///
    /// # Errors
    /// [`Code::Index`] for a position outside its axis, found at once if the positions are known and
    /// else when they are computed; [`Code::Shape`] for too many parts, masks of another shape, and
    /// index tensors that do not broadcast.
    ///
    /// ```
    /// use gradus_core::{By, Ellipsis, NewAxis, Tensor};
    /// let x = Tensor::arange(0, 24).reshape([2, 3, 4]);
    /// assert_eq!(x.i((1, 2, -1)).item()?, 23.0);
    /// assert_eq!(x.i((0, 1.., (..).by(2))).to_vec2::<i64>()?, [[4, 6], [8, 10]]);
    /// assert_eq!(x.i((Ellipsis, 0, NewAxis)).shape()?.dims(), [2, 3, 1]);
    /// assert_eq!(x.i((0, [0, 2], [1, -1])).to_vec::<i64>()?, [1, 11]);
    /// assert_eq!(x.i(x.gt(21)).to_vec::<i64>()?, [22, 23]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn i(&self, index: impl Index) -> Tensor {
        let _called = called("i");
        let items = index.items();
        let parts = match Parts::of("i", self, &items) {
            Ok(parts) => parts,
            Err(error) => return self.failed_index(&items, error),
        };
        let view = parts.view(self);
        if parts.picks.is_empty() {
            return view;
        }
        let plan = match Merge::of("i", &view, &parts.picks) {
            Ok(plan) => plan,
            Err(error) => return recorder::failed(error, Location::caller()),
        };
        let merged = plan.merge(&view);
        let linear = match plan.linear("i", &parts.picks) {
            Ok(linear) => linear,
            Err(error) => return recorder::failed(error, Location::caller()),
        };
        plan.spread(&merged.index_select(plan.place as isize, &linear))
    }

    /// The failed tensor of a wrong index; an operand that failed before goes first.
    #[track_caller]
    pub(super) fn failed_index(&self, items: &[IndexItem], error: Error) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        for item in items {
            if let IndexItem::Tensor(t) = item
                && t.is_failed()
            {
                return t.clone();
            }
        }
        let error = recorder::with(|r| error.cells("tensor", r.describe(self.slot())));
        recorder::failed(error, Location::caller())
    }
}

/// Positions for one axis of the view.
pub(super) struct Pick {
    /// Axis of the view.
    axis: usize,
    /// i64 positions.
    ids: Tensor,
    /// The positions, if they are known.
    known: Option<Vec<i64>>,
    /// Which part of the index this is.
    part: usize,
}

/// An index, matched with the axes of a tensor.
pub(super) struct Parts {
    /// For each axis of the tensor: first position, number of positions, step.
    pub(super) spans: Vec<(usize, usize, isize)>,
    /// The sizes after the basic parts.
    pub(super) dims: Vec<usize>,
    pub(super) picks: Vec<Pick>,
}

#[cold]
fn bad(code: Code, what: &str, text: impl std::fmt::Display) -> Error {
    Error::new(code, format!("{what}: {text}"))
}

impl Parts {
    pub(super) fn of(what: &str, x: &Tensor, items: &[IndexItem]) -> Result<Parts> {
        let shape = x.shape()?;
        let mut used = 0;
        let mut dots = 0;
        for item in items {
            used += match item {
                IndexItem::At(_) | IndexItem::Span(_) => 1,
                IndexItem::NewAxis => 0,
                IndexItem::Ellipsis => {
                    dots += 1;
                    0
                }
                IndexItem::Tensor(t) => match t.dtype()? {
                    DType::Bool => t.shape()?.rank(),
                    _ => 1,
                },
            };
        }
        if dots > 1 {
            return Err(bad(Code::Argument, what, "the index has two `Ellipsis`")
                .help("one stands for all axes that the other parts leave"));
        }
        let Some(left) = shape.rank().checked_sub(used) else {
            let text = format!("the index takes {used} axes, {shape} has {}", shape.rank());
            return Err(bad(Code::Shape, what, text));
        };
        let mut parts = Parts { spans: Vec::new(), dims: Vec::new(), picks: Vec::new() };
        for (part, item) in items.iter().enumerate() {
            parts.add(what, part, item, shape, left)?;
        }
        if dots == 0 {
            parts.add(what, items.len(), &IndexItem::Ellipsis, shape, left)?;
        }
        Ok(parts)
    }

    fn whole(&mut self, size: usize) {
        self.spans.push((0, size, 1));
        self.dims.push(size);
    }

    fn add(
        &mut self,
        what: &str,
        part: usize,
        item: &IndexItem,
        shape: Shape,
        left: usize,
    ) -> Result<()> {
        let axis = self.spans.len();
        let size = shape.dim(axis);
        match item {
            IndexItem::Ellipsis => (0..left).for_each(|i| self.whole(shape.dim(axis + i))),
            IndexItem::NewAxis => self.dims.push(1),
            IndexItem::At(at) => {
                let place = super::operand::resolve(*at, size);
                let place =
                    place.ok_or_else(|| outside(what, part, *at as i64, None, axis, &shape))?;
                self.spans.push((place, 1, 1));
            }
            IndexItem::Span(Span { step: 0, .. }) => {
                let text = format!("position {part} of the index has a step of 0");
                return Err(bad(Code::Argument, what, text));
            }
            IndexItem::Span(span) => {
                let span = span.on(size);
                self.spans.push(span);
                self.dims.push(span.1);
            }
            IndexItem::Tensor(t) if t.dtype()? == DType::Bool => self.mask(what, part, t, shape)?,
            IndexItem::Tensor(t) => {
                let dtype = t.dtype()?;
                if !dtype.is_int() {
                    let text = format!("position {part} of the index is a tensor of {dtype}");
                    return Err(
                        bad(Code::DType, what, text).help("positions are integers, masks are bool")
                    );
                }
                let known = known(t).map(|a| a.to_f64().iter().map(|&v| v as i64).collect());
                let mut pick = Pick { axis: self.dims.len(), ids: t.clone(), known, part };
                self.whole(size);
                if let Some(values) = &mut pick.known {
                    if let Some(at) =
                        values.iter().position(|&v| v < -(size as i64) || v >= size as i64)
                    {
                        let place = place_of(at, t.shape()?);
                        return Err(outside(what, part, values[at], Some(place), axis, &shape));
                    }
                    values.iter_mut().filter(|v| **v < 0).for_each(|v| *v += size as i64);
                }
                self.picks.push(pick);
            }
        }
        Ok(())
    }

    /// A mask as one list of positions for each of its axes; a mask without axes as a new axis.
    fn mask(&mut self, what: &str, part: usize, mask: &Tensor, shape: Shape) -> Result<()> {
        let (axis, dims) = (self.spans.len(), mask.shape()?);
        for i in 0..dims.rank() {
            if dims.dim(i) != shape.dim(axis + i) {
                let text = format!(
                    "position {part} of the index is a mask {dims}, axis {} of {shape} has size {}",
                    axis + i,
                    shape.dim(axis + i)
                );
                return Err(bad(Code::Shape, what, text)
                    .help("a mask has the sizes of the axes that it takes"));
            }
        }
        let values = mask.to_vec::<bool>()?;
        let count = values.iter().filter(|&&v| v).count();
        let mut lists = vec![Vec::with_capacity(count); dims.rank()];
        for at in values.iter().enumerate().filter(|(_, v)| **v).map(|(at, _)| at) {
            for (list, i) in lists.iter_mut().zip(place_of(at, dims)) {
                list.push(i as i64);
            }
        }
        if dims.rank() == 0 {
            lists.push(vec![0; count]);
        }
        for (i, list) in lists.into_iter().enumerate() {
            let ids = Tensor::from_array(&Array::new([count], &list)?);
            self.picks.push(Pick { axis: self.dims.len(), ids, known: Some(list), part });
            match dims.rank() {
                0 => self.dims.push(1),
                _ => self.whole(shape.dim(axis + i)),
            }
        }
        Ok(())
    }

    /// What the basic parts leave.
    #[track_caller]
    pub(super) fn view(&self, x: &Tensor) -> Tensor {
        let mut view = x.clone();
        for (axis, &(first, count, step)) in self.spans.iter().enumerate() {
            let (start, end) = (first as isize, count as isize);
            if step > 0 {
                view = view.slice(axis as isize, start, start + end * step, step);
            } else {
                // Before the first position counts as the start of everything, not as the end.
                let end = start + end * step;
                let end = if end < 0 { isize::MIN } else { end };
                view = if count == 0 {
                    view.narrow(axis as isize, 0, 0)
                } else {
                    view.slice(axis as isize, start, end, step)
                };
            }
        }
        view.reshape_to(self.dims.as_slice())
    }
}

/// The array of a tensor that has one already.
fn known(t: &Tensor) -> Option<Array> {
    recorder::with(|r| r.node(t.slot()).value.clone())
}

/// The index along each axis of element `k`.
fn place_of(mut k: usize, shape: Shape) -> Vec<usize> {
    let mut at = vec![0; shape.rank()];
    for (index, &size) in at.iter_mut().zip(shape.dims()).rev() {
        *index = k % size.max(1);
        k /= size.max(1);
    }
    at
}

/// The error of a position outside its axis.
#[cold]
fn outside(
    what: &str,
    part: usize,
    value: i64,
    place: Option<Vec<usize>>,
    axis: usize,
    shape: &Shape,
) -> Error {
    let size = shape.dim(axis);
    let of = place.map(|p| format!(" at {p:?}")).unwrap_or_default();
    let text = format!(
        "position {part} of the index is {value}{of}, but axis {axis} of {shape} has size {size}"
    );
    let help = match size {
        0 => "the axis is empty: only an empty range or an empty list fits".to_string(),
        _ => format!("positions go from 0 to {}, or from -{size} to -1", size - 1),
    };
    bad(Code::Index, what, text).help(help)
}

/// How the axes with picks become one: in which order, where, and what they become after it.
pub(super) struct Merge {
    /// Sizes of the view.
    dims: Vec<usize>,
    /// The order of the view's axes in which those with picks are next to each other.
    order: Vec<usize>,
    /// Where the merged axis is.
    pub(super) place: usize,
    /// Sizes of the axes with picks.
    picked: Vec<usize>,
    /// Common shape of the picks.
    common: Shape,
}

impl Merge {
    pub(super) fn of(what: &str, view: &Tensor, picks: &[Pick]) -> Result<Merge> {
        let shape = view.shape()?;
        let axes: Vec<usize> = picks.iter().map(|p| p.axis).collect();
        let mut common = Shape::SCALAR;
        for pick in picks {
            let own = pick.ids.shape()?;
            let Some(both) = common.broadcast(&own) else {
                let text = format!(
                    "the index tensors do not broadcast: position {} has the shape {own}, those \
                     before it {common}",
                    pick.part
                );
                return Err(bad(Code::Shape, what, text).help(
                    "several index tensors pick single places together; for whole rows and \
                           columns index twice",
                ));
            };
            common = both;
        }
        let first = axes.first().copied().unwrap_or(0);
        let adjacent = axes.iter().enumerate().all(|(i, &a)| a == first + i);
        let place = if adjacent { first } else { 0 };
        let mut order: Vec<usize> = (0..shape.rank()).filter(|a| !axes.contains(a)).collect();
        order.splice(place..place, axes.iter().copied());
        let picked = axes.iter().map(|&a| shape.dim(a)).collect();
        Ok(Merge { dims: shape.dims().to_vec(), order, place, picked, common })
    }

    /// Sizes with `middle` instead of the axes with picks.
    fn with(&self, middle: &[usize]) -> Shape {
        let others: Vec<usize> = self.order.iter().map(|&a| self.dims[a]).collect();
        let after = self.place + self.picked.len();
        Shape::joined([&others[..self.place], middle, &others[after..]])
    }

    pub(super) fn size(&self) -> usize {
        self.picked.iter().fold(1usize, |a, &b| a.saturating_mul(b))
    }

    /// The axes with picks as one axis, at `place`.
    #[track_caller]
    pub(super) fn merge(&self, view: &Tensor) -> Tensor {
        view.reordered(&self.order).reshape_to(self.with(&[self.size()]))
    }

    /// The view again from a merged tensor.
    #[track_caller]
    pub(super) fn unmerge(&self, merged: &Tensor) -> Tensor {
        let mut back = vec![0; self.order.len()];
        for (i, &a) in self.order.iter().enumerate() {
            back[a] = i;
        }
        merged.reshape_to(self.with(&self.picked)).reordered(&back)
    }

    /// The shape of the result.
    pub(super) fn shape(&self) -> Shape {
        self.with(self.common.dims())
    }

    /// The merged axis, now of picked places, as the axes of the picks' common shape.
    #[track_caller]
    fn spread(&self, picked: &Tensor) -> Tensor {
        picked.reshape_to(self.shape())
    }

    /// The other way round: a value of the result's shape with its picked places on one axis.
    #[track_caller]
    pub(super) fn gathered(&self, value: &Tensor) -> Tensor {
        value.reshape_to(self.with(&[self.common.numel()]))
    }

    /// The known positions on the merged axis, if all are known.
    pub(super) fn known(&self, picks: &[Pick]) -> Result<Option<Vec<i64>>> {
        let count = self.common.numel();
        let mut linear = vec![0i64; count];
        for (pick, &size) in picks.iter().zip(&self.picked) {
            let Some(values) = &pick.known else { return Ok(None) };
            let own = pick.ids.shape()?;
            for (k, out) in linear.iter_mut().enumerate() {
                // The element that broadcasting puts at this place.
                let place = place_of(k, self.common);
                let skip = place.len() - own.rank();
                let at = own.dims().iter().zip(&place[skip..]);
                let at = at.fold(0, |sum, (&d, &i)| sum * d + if d == 1 { 0 } else { i });
                *out = *out * size as i64 + values.get(at).copied().unwrap_or(0);
            }
        }
        Ok(Some(linear))
    }

    /// The positions on the merged axis, as a 1-d index.
    #[track_caller]
    pub(super) fn linear(&self, what: &str, picks: &[Pick]) -> Result<Tensor> {
        self.with_room(what)?;
        if let ([pick], true) = (picks, picks.iter().all(|p| p.known.is_none())) {
            return Ok(self.flat(&wrapped(pick, self.picked[0])));
        }
        if let Some(linear) = self.known(picks)? {
            return Ok(Tensor::from_array(&Array::new([linear.len()], &linear)?));
        }
        let mut linear: Option<Tensor> = None;
        let mut inside: Option<Tensor> = None;
        for (pick, &size) in picks.iter().zip(&self.picked) {
            let ids = wrapped(pick, size);
            let fits = ids.ge(0) & ids.lt(size as i64);
            linear = Some(match linear {
                Some(linear) => linear * (size as i64) + ids,
                None => ids,
            });
            inside = Some(match inside {
                Some(inside) => &inside & &fits,
                None => fits,
            });
        }
        let (Some(linear), Some(inside)) = (linear, inside) else {
            return Err(Error::internal("an index without tensors"));
        };
        // A position outside its axis must not become one inside the merged axis.
        Ok(self.flat(&inside.where_(linear, self.size() as i64)))
    }

    fn with_room(&self, what: &str) -> Result<()> {
        self.shape().check(what)
    }

    #[track_caller]
    fn flat(&self, ids: &Tensor) -> Tensor {
        ids.broadcast_to(self.common).reshape_to([self.common.numel()])
    }
}

/// Positions counted from 0; those outside the axis stay as they are, for the message.
#[track_caller]
fn wrapped(pick: &Pick, size: usize) -> Tensor {
    let ids = super::operand::cast_to(&pick.ids, DType::I64, Location::caller());
    let from_end = ids.lt(0) & ids.ge(-(size as i64));
    from_end.where_(&ids + size as i64, &ids)
}
