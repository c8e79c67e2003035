//! Indexing, gathering, scattering, masks.

use crate::harness::Family::{Exact, Sums};
use crate::harness::{Arg, Call, Line, Out, one};
use gradus::{By, DType, Ellipsis, IndexItem, Operand, ScatterReduce, Tensor};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("__getitem__", Exact, get_item),
        ("index_select", Exact, |c| {
            let (axis, index) = (c.get(0, "dim").integer()?, c.get(1, "index").tensor()?);
            one(c.x()?.index_select(axis, &index))
        }),
        ("gather", Exact, |c| {
            let (axis, index) = (c.get(0, "dim").integer()?, c.get(1, "index").tensor()?);
            one(c.x()?.gather(axis, &index))
        }),
        ("scatter_add", Sums, |c| {
            let (axis, index) = (c.get(0, "dim").integer()?, c.get(1, "index").tensor()?);
            one(c.x()?.scatter_add(axis, &index, &c.get(2, "src").tensor()?))
        }),
        ("index_add", Sums, |c| {
            let (axis, index) = (c.get(0, "dim").integer()?, c.get(1, "index").tensor()?);
            let source = c.get(2, "source").tensor()?;
            let source = match c.named("alpha") {
                Arg::None => source,
                alpha => source * alpha.real()?,
            };
            one(c.x()?.index_add(axis, &index, &source))
        }),
        ("nn.functional.one_hot", Exact, |c| match c.get(0, "num_classes") {
            Arg::Integer(n) if n > 0 => one(c.x()?.one_hot(n as usize).cast(DType::I64)),
            // The number of classes is for the caller to know here.
            _ => {
                let ids = c.x()?.to_vec::<i64>().map_err(|e| e.to_string())?;
                let classes = ids.iter().max().ok_or("no class ids")? + 1;
                one(c.x()?.one_hot(classes as usize).cast(DType::I64))
            }
        }),
        ("take", Exact, |c| one(c.x()?.take(&c.get(0, "index").tensor()?))),
        ("take_along_dim", Exact, |c| {
            let index = c.get(0, "indices").tensor()?;
            one(match c.get(1, "dim") {
                Arg::None => c.x()?.take(&index.reshape([-1])),
                axis => c.x()?.take_along_dim(&index, axis.integer()?),
            })
        }),
        ("scatter", Exact, |c| {
            let (axis, index) = (c.get(0, "dim").integer()?, c.get(1, "index").tensor()?);
            let source = match c.get(2, "src") {
                Arg::None => c.named("value"),
                some => some,
            };
            let (x, value) = (c.x()?, source.operand()?);
            one(match c.named("reduce") {
                Arg::None => x.scatter(axis, &index, &*value),
                Arg::Text(how) => {
                    let source = match source {
                        Arg::Tensor(t) => t,
                        number => {
                            let shape = index.shape().map_err(|e| e.to_string())?;
                            Tensor::full(shape, number.real()?)
                        }
                    };
                    let how = match how.as_str() {
                        "add" => ScatterReduce::Sum,
                        "multiply" => ScatterReduce::Prod,
                        other => return Err(format!("reduce={other}")),
                    };
                    x.scatter_reduce(axis, &index, &source, how, true)
                }
                _ => return Err("a reduction that is no name".into()),
            })
        }),
        ("scatter_reduce", Sums, |c| {
            let (axis, index) = (c.get(0, "dim").integer()?, c.get(1, "index").tensor()?);
            let source = c.get(2, "src").tensor()?;
            let how = match c.get(3, "reduce") {
                Arg::Text(how) => match how.as_str() {
                    "sum" => ScatterReduce::Sum,
                    "prod" => ScatterReduce::Prod,
                    "mean" => ScatterReduce::Mean,
                    "amax" => ScatterReduce::Amax,
                    "amin" => ScatterReduce::Amin,
                    other => return Err(format!("reduce={other}")),
                },
                _ => return Err("a reduction that is no name".into()),
            };
            let include = !matches!(c.named("include_self"), Arg::Truth(false));
            one(c.x()?.scatter_reduce(axis, &index, &source, how, include))
        }),
        ("index_copy", Exact, |c| {
            let (axis, index) = (c.get(0, "dim").integer()?, c.get(1, "index").tensor()?);
            one(c.x()?.index_copy(axis, &index, &c.get(2, "source").tensor()?))
        }),
        ("index_fill", Exact, |c| {
            let (axis, index) = (c.get(0, "dim").integer()?, c.get(1, "index").tensor()?);
            one(c.x()?.index_fill(axis, &index, &*c.get(2, "value").operand()?))
        }),
        ("index_put", Sums, |c| {
            let Arg::List(indices) = c.get(0, "indices") else { return Err("no list".into()) };
            let indices =
                indices.iter().map(|i| if i.is_none() { Ok(None) } else { i.tensor().map(Some) });
            let indices: Vec<Option<Tensor>> = indices.collect::<Result<_, _>>()?;
            let refs: Vec<Option<&Tensor>> = indices.iter().map(Option::as_ref).collect();
            let values: Box<dyn Operand> = c.get(1, "values").operand()?;
            one(c.x()?.index_put(&refs, &*values, c.flag(2, "accumulate")))
        }),
        ("masked_select", Exact, |c| one(c.x()?.masked_select(&c.get(0, "mask").tensor()?))),
        ("masked_scatter", Exact, |c| {
            let (mask, source) = (c.get(0, "mask").tensor()?, c.get(1, "source").tensor()?);
            one(c.x()?.masked_scatter(&mask, &source))
        }),
        ("nonzero", Exact, |c| match c.named("as_tuple") {
            Arg::Truth(true) => Ok(c.x()?.positions()),
            _ => one(c.x()?.nonzero()),
        }),
        ("argwhere", Exact, |c| one(c.x()?.argwhere())),
    ]
}

fn get_item(c: &Call) -> Out {
    let Arg::List(key) = c.get(0, "key") else { return Err("an index that is no list".into()) };
    let part = |arg: Option<&Arg>| match arg {
        None | Some(Arg::None) => Ok(None),
        Some(arg) => arg.integer().map(Some),
    };
    let mut index = Vec::new();
    for item in &key {
        index.push(match item {
            Arg::Slice(parts) => {
                let step = part(parts.get(2))?.unwrap_or(1);
                match (part(parts.first())?, part(parts.get(1))?) {
                    (Some(start), Some(end)) => (start..end).by(step),
                    (Some(start), None) => (start..).by(step),
                    (None, Some(end)) => (..end).by(step),
                    (None, None) => (..).by(step),
                }
            }
            Arg::Integer(i) => IndexItem::from(*i),
            Arg::Ellipsis => Ellipsis.into(),
            Arg::List(_) => item.integers()?.into(),
            Arg::Tensor(t) => t.into(),
            _ => return Err("an index of another kind".into()),
        });
    }
    one(c.x()?.i(index))
}
