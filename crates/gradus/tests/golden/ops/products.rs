//! Products of matrices and vectors.

use crate::harness::Family::Sums;
use crate::harness::{Arg, Line, one, rank};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    let rest: Vec<Line> = vec![
        ("mm", Sums, |c| one(c.x()?.matmul(c.get(0, "mat2").tensor()?))),
        ("bmm", Sums, |c| one(c.x()?.matmul(c.get(0, "mat2").tensor()?))),
        ("mv", Sums, |c| one(c.x()?.matmul(c.get(0, "vec").tensor()?))),
        ("dot", Sums, |c| one(c.x()?.matmul(c.get(0, "tensor").tensor()?))),
        ("addmm", Sums, |c| {
            let product = c.get(0, "mat1").tensor()?.matmul(c.get(1, "mat2").tensor()?);
            let scale = |name| match c.named(name) {
                Arg::None => Ok(1.0),
                some => some.real(),
            };
            one(c.x()? * scale("beta")? + product * scale("alpha")?)
        }),
        ("nn.functional.linear", Sums, |c| {
            let (w, b) = (c.get(0, "weight").tensor()?, c.get(1, "bias"));
            one(match b {
                Arg::None if rank(&w) == 1 => c.x()?.matmul(&w),
                Arg::None => c.x()?.linear(&w, None),
                b => c.x()?.linear(&w, Some(&*b.operand()?)),
            })
        }),
    ];
    [
        binary![
        "matmul" Sums x y => x.matmul(y),
        ],
        rest,
    ]
    .concat()
}
