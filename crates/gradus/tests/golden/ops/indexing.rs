//! Indexing, gathering, scattering, masks.

use crate::harness::Family::{Exact, Sums};
use crate::harness::{Arg, Call, Line, Out, one};
use gradus::{By, DType, Ellipsis, IndexItem};

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
            _ => Err("a count of classes that depends on the data".into()),
        }),
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
