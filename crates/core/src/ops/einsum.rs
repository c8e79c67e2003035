//! Einstein summation: `einsum("bij,bjk->bik", &[&x, &y])`.
//!
//! The equation is parsed (`Equation`), each operand is brought to one axis a label, and then pairs
//! are contracted, in the order that multiplies fewest numbers, by a matrix product where something is
//! summed and an element-wise one where nothing is. All of it is ordinary recorded operations, so
//! gradients of every order follow.

use std::panic::Location;

use crate::error::{Code, Error, Result};
use crate::graph::called::called;
use crate::graph::recorder;
use crate::graph::shape::{MAX_RANK, Shape};
use crate::tensor::{Tensor, operand};

/// An axis name: a letter, or an axis of `...` counted from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    /// Axis of an ellipsis; the number is larger the further left it is.
    Dots(std::cmp::Reverse<usize>),
    Letter(u8),
}

/// An operand's or the result's part of an equation.
struct Term {
    /// Letters, and `None` for the ellipsis; with their positions in the equation.
    parts: Vec<(Option<u8>, usize)>,
    /// Where it starts.
    at: usize,
}

/// What an equation says.
struct Equation {
    inputs: Vec<Term>,
    /// `None`: implicit.
    output: Option<Term>,
}

/// The error at a character of an equation.
#[cold]
fn wrong(equation: &str, at: usize, why: impl std::fmt::Display) -> Error {
    Error::new(Code::Argument, format!("einsum: {why}, at character {} of the equation", at + 1))
        .line("equation", format!("`{equation}`"))
        .line("", format!("{}^", " ".repeat(at + 1)))
}

impl Equation {
    fn parse(text: &str) -> Result<Equation> {
        let chars: Vec<char> = text.chars().collect();
        let mut terms = vec![Term { parts: Vec::new(), at: 0 }];
        let mut arrow = None;
        let mut i = 0;
        while let Some(&c) = chars.get(i) {
            let followed_by = |c: &[char]| chars.get(i..i + c.len()) == Some(c);
            let Some(term) = terms.last_mut() else { break };
            match c {
                ' ' => {}
                'a'..='z' | 'A'..='Z' => term.parts.push((Some(c as u8), i)),
                '.' if followed_by(&['.', '.', '.']) => {
                    if term.parts.iter().any(|(p, _)| p.is_none()) {
                        return Err(wrong(text, i, "a second `...` in one operand"));
                    }
                    term.parts.push((None, i));
                    i += 2;
                }
                ',' if arrow.is_none() => terms.push(Term { parts: Vec::new(), at: i + 1 }),
                ',' => return Err(wrong(text, i, "the result is one tensor; there is a comma")),
                '-' if followed_by(&['-', '>']) => {
                    if arrow.is_some() {
                        return Err(wrong(text, i, "a second `->`"));
                    }
                    arrow = Some(i);
                    i += 1;
                    terms.push(Term { parts: Vec::new(), at: i + 1 });
                }
                _ => {
                    let why = format!("`{c}` is no axis");
                    return Err(wrong(text, i, why).help(
                        "axes are single letters; `...` stands for the rest, `,` separates \
                         operands, `->` comes before the result",
                    ));
                }
            }
            i += 1;
        }
        let output = if arrow.is_some() { terms.pop() } else { None };
        Ok(Equation { inputs: terms, output })
    }
}

/// A tensor with the label of each axis.
#[derive(Clone)]
struct Labelled {
    tensor: Tensor,
    labels: Vec<Label>,
}

/// Sizes of labels, in the order in which they were seen.
struct Sizes(Vec<(Label, usize, usize)>);

impl Sizes {
    fn of(&self, label: Label) -> usize {
        self.0.iter().find(|(l, ..)| *l == label).map_or(1, |&(_, size, _)| size)
    }

    /// Notes a size; the size and operand that it contradicts, if any.
    fn note(&mut self, label: Label, size: usize, operand: usize) -> Option<(usize, usize)> {
        match self.0.iter_mut().find(|(l, ..)| *l == label) {
            None => self.0.push((label, size, operand)),
            Some(known) if known.1 == size || size == 1 => {}
            Some(known) if known.1 == 1 => *known = (label, size, operand),
            Some(known) => return Some((known.1, known.2)),
        }
        None
    }
}

impl Tensor {
    /// Einstein summation: each letter names an axis; axes that the result does not name are summed.
    ///
    /// | equation | what it is |
    /// |---|---|
    /// | `ij,jk->ik` | matrix product |
    /// | `bhqd,bhkd->bhqk` | attention scores |
    /// | `ii->i`, `ii` | diagonal, trace |
    /// | `...ij->...ji` | transpose of the last two axes |
    /// | `i,j,k->ijk` | outer product of three |
    ///
    /// `...` stands for any number of axes, which broadcast. Without `->` the result has the axes of
    /// `...` and then, in alphabetical order (capitals first), the letters that occur once. A size of 1
    /// broadcasts, as in PyTorch. Several operands are contracted pair by pair, in the order that
    /// multiplies fewest numbers.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(Tensor::einsum("ii", &[&x]).item()?, 5.0);
    /// let y = Tensor::einsum("ij,kj->ik", &[&x, &x]);
    /// assert_eq!(y.to_vec::<f32>()?, [5.0, 11.0, 11.0, 25.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn einsum(equation: &str, operands: &[&Tensor]) -> Tensor {
        let _called = called("einsum");
        let place = Location::caller();
        for t in operands {
            if t.is_failed() {
                return (*t).clone();
            }
        }
        match plan(equation, operands) {
            Ok((labelled, output, sizes)) => contract_all(labelled, &output, &sizes, place),
            Err(error) => {
                let slots: Vec<_> = operands.iter().map(|t| t.slot()).collect();
                let error = recorder::with(|r| {
                    slots.iter().enumerate().fold(error, |error, (i, &slot)| {
                        error.cells(format!("operand {i}"), r.describe(slot))
                    })
                });
                recorder::failed(error, place)
            }
        }
    }
}

/// Checks the equation against the operands.
fn plan(text: &str, operands: &[&Tensor]) -> Result<(Vec<Labelled>, Vec<Label>, Sizes)> {
    let equation = Equation::parse(text)?;
    if equation.inputs.len() != operands.len() || operands.is_empty() {
        let why = format!(
            "einsum: `{text}` names {} operands, {} are given",
            equation.inputs.len(),
            operands.len()
        );
        return Err(Error::new(Code::Argument, why));
    }
    let mut sizes = Sizes(Vec::new());
    let mut dtype = operands[0].peek().dtype;
    let mut labelled = Vec::new();
    for (i, (term, tensor)) in equation.inputs.iter().zip(operands).enumerate() {
        let meta = tensor.peek();
        dtype = dtype.promote(meta.dtype);
        let letters = term.parts.iter().filter(|(p, _)| p.is_some()).count();
        let dots = term.parts.len() > letters;
        let rest = meta.shape.rank().checked_sub(letters).filter(|&n| n == 0 || dots);
        let Some(rest) = rest else {
            let why = format!(
                "operand {i} has {} axes in {}, {letters} are named",
                meta.shape.rank(),
                meta.shape
            );
            return Err(wrong(text, term.at, why).help("`...` stands for axes without a letter"));
        };
        let mut labels: Vec<Label> = Vec::new();
        for &(part, at) in &term.parts {
            let new: Vec<Label> = match part {
                Some(letter) => vec![Label::Letter(letter)],
                None => (0..rest).rev().map(|n| Label::Dots(std::cmp::Reverse(n))).collect(),
            };
            for label in new {
                let size = meta.shape.dim(labels.len());
                let name = part.map_or("...".to_string(), |c| char::from(c).to_string());
                if let Some(first) = labels.iter().position(|&l| l == label)
                    && meta.shape.dim(first) != size
                {
                    let other = meta.shape.dim(first);
                    let why = format!("`{name}` of operand {i} has sizes {other} and {size}");
                    return Err(wrong(text, at, why));
                }
                if let Some((other, owner)) = sizes.note(label, size, i) {
                    let why = format!(
                        "`{name}` has size {other} in operand {owner} and {size} in operand {i}"
                    );
                    return Err(wrong(text, at, why));
                }
                labels.push(label);
            }
        }
        labelled.push(Labelled { tensor: (*tensor).clone(), labels });
    }
    if dtype == crate::graph::dtype::DType::Bool {
        return Err(Error::new(Code::DType, "einsum: is not defined on bool"));
    }
    let output = output_labels(text, &equation, &labelled)?;
    Ok((labelled, output, sizes))
}

fn output_labels(text: &str, equation: &Equation, operands: &[Labelled]) -> Result<Vec<Label>> {
    let mut all: Vec<Label> = operands.iter().flat_map(|o| o.labels.iter().copied()).collect();
    all.sort_unstable();
    let count = |label: Label| all.iter().filter(|&&l| l == label).count();
    let mut dots: Vec<Label> =
        all.iter().copied().filter(|l| matches!(l, Label::Dots(_))).collect();
    dots.dedup();
    let Some(term) = &equation.output else {
        let once = |&l: &Label| matches!(l, Label::Letter(_)) && count(l) == 1;
        let letters: Vec<Label> = all.iter().copied().filter(once).collect();
        return Ok([dots, letters].concat());
    };
    let mut out = Vec::new();
    for &(part, at) in &term.parts {
        let Some(letter) = part else {
            out.extend(dots.iter().copied());
            continue;
        };
        let (label, name) = (Label::Letter(letter), char::from(letter));
        if count(label) == 0 {
            return Err(wrong(text, at, format!("no operand has an axis `{name}`")));
        }
        if out.contains(&label) {
            return Err(wrong(text, at, format!("the result names `{name}` twice")));
        }
        out.push(label);
    }
    Ok(out)
}

/// Contracts pairs until one operand is left, and brings its axes into the order of the result.
#[track_caller]
fn contract_all(
    operands: Vec<Labelled>,
    output: &[Label],
    sizes: &Sizes,
    place: &'static Location<'static>,
) -> Tensor {
    let mut dtype = None;
    for o in &operands {
        let own = o.tensor.peek().dtype;
        dtype = Some(dtype.map_or(own, |d: crate::graph::dtype::DType| d.promote(own)));
    }
    let mut list = Vec::with_capacity(operands.len());
    for mut o in operands {
        if let Some(dtype) = dtype {
            o.tensor = operand::cast_to(&o.tensor, dtype, place);
        }
        list.push(simple(o, sizes));
    }
    while list.len() > 1 {
        let labels: Vec<Vec<Label>> = list.iter().map(|o| o.labels.clone()).collect();
        let (i, j) = next_pair(&labels, output, sizes);
        let b = list.remove(j);
        let a = list.remove(i);
        let others: Vec<Vec<Label>> = list.iter().map(|o| o.labels.clone()).collect();
        let kept = |l: Label| output.contains(&l) || others.iter().any(|o| o.contains(&l));
        let a = summed(a, |l| kept(l) || b.labels.contains(&l));
        let b = summed(b, |l| kept(l) || a.labels.contains(&l));
        list.insert(i, pair(&a, &b, &kept, sizes));
    }
    let Some(last) = list.pop() else {
        return recorder::failed(Error::internal("einsum: no operand"), place);
    };
    let last = summed(last, |l| output.contains(&l));
    arranged(&last, output)
}

/// One axis a label, none of size 1 where others are larger: diagonals are taken, axes dropped.
#[track_caller]
fn simple(mut o: Labelled, sizes: &Sizes) -> Labelled {
    while let Some((p, q)) = repeated(&o.labels) {
        // The two axes last, as one; the diagonal is every n+1-th element of that.
        let rank = o.labels.len();
        let mut order: Vec<usize> = (0..rank).filter(|&i| i != p && i != q).collect();
        let kept: Vec<Label> = order.iter().map(|&i| o.labels[i]).collect();
        order.extend([p, q]);
        let n = o.tensor.peek().shape.dim(p);
        let moved = o.tensor.reordered(&order);
        let shape = moved.peek().shape;
        let flat = shape.remove(rank - 1).with(rank - 2, n.saturating_mul(n));
        let moved = moved.reshape_to(flat);
        o.tensor = moved.slice(rank as isize - 2, 0, isize::MAX, n as isize + 1);
        let label = o.labels[p];
        o.labels = kept;
        o.labels.push(label);
    }
    let shape = o.tensor.peek().shape;
    let keep: Vec<usize> =
        (0..o.labels.len()).filter(|&i| shape.dim(i) != 1 || sizes.of(o.labels[i]) == 1).collect();
    if keep.len() < o.labels.len() {
        let dims: Vec<usize> = keep.iter().map(|&i| shape.dim(i)).collect();
        o.tensor = o.tensor.reshape_to(dims);
        o.labels = keep.iter().map(|&i| o.labels[i]).collect();
    }
    o
}

fn repeated(labels: &[Label]) -> Option<(usize, usize)> {
    let find = |p: usize| labels.iter().skip(p + 1).position(|&l| l == labels[p]);
    (0..labels.len()).find_map(|p| find(p).map(|q| (p, p + 1 + q)))
}

/// Sums over the axes that nobody needs any more.
#[track_caller]
fn summed(o: Labelled, needed: impl Fn(Label) -> bool) -> Labelled {
    let gone: Vec<isize> =
        (0..o.labels.len()).filter(|&i| !needed(o.labels[i])).map(|i| i as isize).collect();
    if gone.is_empty() {
        return o;
    }
    let labels = o.labels.iter().copied().filter(|&l| needed(l)).collect();
    Labelled { tensor: o.tensor.sum_dim(gone.as_slice()), labels }
}

/// The pair to contract next. Up to five operands all orders are tried, beyond that the cheapest
/// pair is taken; on a tie the leftmost.
fn next_pair(labels: &[Vec<Label>], output: &[Label], sizes: &Sizes) -> (usize, usize) {
    let mut best = (f64::INFINITY, (0, 1));
    for i in 0..labels.len() {
        for j in i + 1..labels.len() {
            let (mut cost, rest) = contracted(labels, i, j, output, sizes);
            if labels.len() <= 5 {
                cost += remaining(&rest, output, sizes);
            }
            if cost < best.0 {
                best = (cost, (i, j));
            }
        }
    }
    best.1
}

/// The least cost of contracting all of them.
fn remaining(labels: &[Vec<Label>], output: &[Label], sizes: &Sizes) -> f64 {
    if labels.len() < 2 {
        return 0.0;
    }
    let mut best = f64::INFINITY;
    for i in 0..labels.len() {
        for j in i + 1..labels.len() {
            let (cost, rest) = contracted(labels, i, j, output, sizes);
            best = best.min(cost + remaining(&rest, output, sizes));
        }
    }
    best
}

/// Multiplications of a contraction, and the labels of all operands after it.
fn contracted(
    labels: &[Vec<Label>],
    i: usize,
    j: usize,
    output: &[Label],
    sizes: &Sizes,
) -> (f64, Vec<Vec<Label>>) {
    let mut rest: Vec<Vec<Label>> = labels.to_vec();
    let b = rest.remove(j);
    let mut union = rest.remove(i);
    union.extend(b.iter().copied().filter(|l| !labels[i].contains(l)));
    let cost = union.iter().fold(1.0, |n, &l| n * sizes.of(l) as f64);
    union.retain(|l| output.contains(l) || rest.iter().any(|o| o.contains(l)));
    rest.insert(i, union);
    (cost, rest)
}

/// The product of two operands, summed over what both have and nobody needs after it.
#[track_caller]
fn pair(a: &Labelled, b: &Labelled, kept: &dyn Fn(Label) -> bool, sizes: &Sizes) -> Labelled {
    let shared: Vec<Label> = a.labels.iter().copied().filter(|l| b.labels.contains(l)).collect();
    let batch: Vec<Label> = shared.iter().copied().filter(|&l| kept(l)).collect();
    let inner: Vec<Label> = shared.iter().copied().filter(|&l| !kept(l)).collect();
    let left: Vec<Label> = a.labels.iter().copied().filter(|l| !shared.contains(l)).collect();
    let right: Vec<Label> = b.labels.iter().copied().filter(|l| !shared.contains(l)).collect();
    let labels = [&batch[..], &left, &right].concat();
    let float = a.tensor.peek().dtype.is_float();
    if inner.is_empty() || !float || left.is_empty() && right.is_empty() {
        let all = [&labels[..], &inner].concat();
        let product = expanded(a, &all) * expanded(b, &all);
        return summed(Labelled { tensor: product, labels: all }, |l| !inner.contains(&l));
    }
    // [batch.., left, inner] @ [batch.., inner, right]; groups of several labels become one axis.
    let x = arranged(a, &[&batch[..], &left, &inner].concat());
    let y = arranged(b, &[&batch[..], &inner, &right].concat());
    let dims = |group: &[Label]| group.iter().map(|&l| sizes.of(l)).collect::<Vec<_>>();
    let one = |group: &[Label]| group.iter().fold(1usize, |n, &l| n.saturating_mul(sizes.of(l)));
    let batch_dims = if batch.len() + 2 <= MAX_RANK { dims(&batch) } else { vec![one(&batch)] };
    let shape = |two: [usize; 2]| Shape::joined([&batch_dims, &two]);
    let product = x
        .reshape_to(shape([one(&left), one(&inner)]))
        .matmul(y.reshape_to(shape([one(&inner), one(&right)])));
    Labelled { tensor: product.reshape_to(dims(&labels)), labels }
}

/// The axes in the order of `labels`, which are all that it has.
#[track_caller]
fn arranged(o: &Labelled, labels: &[Label]) -> Tensor {
    let order: Vec<usize> =
        labels.iter().filter_map(|l| o.labels.iter().position(|m| m == l)).collect();
    o.tensor.reordered(&order)
}

/// The axes in the order of `labels`, with size 1 for those that it does not have.
#[track_caller]
fn expanded(o: &Labelled, labels: &[Label]) -> Tensor {
    let tensor = arranged(o, labels);
    let shape = tensor.peek().shape;
    let mut next = 0;
    let mut dims = Vec::with_capacity(labels.len());
    for l in labels {
        if o.labels.contains(l) {
            dims.push(shape.dim(next));
            next += 1;
        } else {
            dims.push(1);
        }
    }
    tensor.reshape_to(dims)
}
