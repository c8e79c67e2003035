//! Indexing, gathering, scattering, masks.

use super::movement::{select, slice};
use crate::harness::Family::{Exact, Sums};
use crate::harness::{Arg, Call, Line, Out, one, rank};
use gradus::{DType, Tensor};

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
    let mut x = c.x()?;
    let Arg::List(key) = c.get(0, "key") else { return Err("an index that is no list".into()) };
    let lists = key.iter().filter(|k| matches!(k, Arg::List(_))).count();
    let mut axis = 0;
    for item in &key {
        match item {
            Arg::Slice(parts) => {
                x = slice(&x, axis, parts)?;
                axis += 1;
            }
            Arg::Integer(i) => x = select(&x, axis, *i as isize),
            Arg::Ellipsis => axis = rank(&x) as isize - (key.len() as isize - axis - 1),
            Arg::List(_) if lists == 1 => {
                let ids: Vec<i64> = item.integers()?.iter().map(|&i| i as i64).collect();
                x = x.index_select(axis, &Tensor::from(ids));
                axis += 1;
            }
            _ => return Err("advanced indexing with several indices or a mask".into()),
        }
    }
    one(x)
}
