//! Products of matrices and vectors.

use crate::harness::Family::{Elementwise, Sums};
use crate::harness::{Arg, Call, Line, one, rank};
use gradus::Tensor;

/// The factors of `beta * input + alpha * product`.
fn factors(c: &Call) -> Result<(f64, f64), String> {
    let factor = |name| match c.named(name) {
        Arg::None => Ok(1.0),
        some => some.real(),
    };
    Ok((factor("beta")?, factor("alpha")?))
}

/// The first argument, a list of tensors.
fn list(arg: &Arg) -> Result<Vec<Tensor>, String> {
    match arg {
        Arg::List(items) => items.iter().map(Arg::tensor).collect(),
        _ => Err("a list of tensors is expected".into()),
    }
}

/// How PyTorch's functions of this family are written here.
#[allow(clippy::too_many_lines)]
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("matmul", Sums, |c| one(c.x()?.matmul(c.get(0, "other").tensor()?))),
        ("mm", Sums, |c| one(c.x()?.mm(c.get(0, "mat2").tensor()?))),
        ("bmm", Sums, |c| one(c.x()?.bmm(c.get(0, "mat2").tensor()?))),
        ("mv", Sums, |c| one(c.x()?.mv(c.get(0, "vec").tensor()?))),
        ("dot", Sums, |c| one(c.x()?.dot(c.get(0, "tensor").tensor()?))),
        ("vdot", Sums, |c| one(c.x()?.dot(c.get(0, "other").tensor()?))),
        ("inner", Sums, |c| one(c.x()?.inner(c.get(0, "other").tensor()?))),
        ("outer", Elementwise, |c| one(c.x()?.outer(c.get(0, "vec2").tensor()?))),
        ("kron", Elementwise, |c| one(c.x()?.kron(c.get(0, "other").tensor()?))),
        ("addmm", Sums, |c| {
            let (a, b) = (c.get(0, "mat1").tensor()?, c.get(1, "mat2").tensor()?);
            let (beta, alpha) = factors(c)?;
            one(c.x()?.addmm(&a, &b, beta, alpha))
        }),
        ("addmv", Sums, |c| {
            let (a, b) = (c.get(0, "mat").tensor()?, c.get(1, "vec").tensor()?);
            let (beta, alpha) = factors(c)?;
            one(c.x()?.addmv(&a, &b, beta, alpha))
        }),
        ("addr", Sums, |c| {
            let (a, b) = (c.get(0, "vec1").tensor()?, c.get(1, "vec2").tensor()?);
            let (beta, alpha) = factors(c)?;
            one(c.x()?.addr(&a, &b, beta, alpha))
        }),
        ("addbmm", Sums, |c| {
            let (a, b) = (c.get(0, "batch1").tensor()?, c.get(1, "batch2").tensor()?);
            let (beta, alpha) = factors(c)?;
            one(c.x()?.addbmm(&a, &b, beta, alpha))
        }),
        ("baddbmm", Sums, |c| {
            let (a, b) = (c.get(0, "batch1").tensor()?, c.get(1, "batch2").tensor()?);
            let (beta, alpha) = factors(c)?;
            one(c.x()?.baddbmm(&a, &b, beta, alpha))
        }),
        ("tensordot", Sums, |c| {
            let (x, y) = (c.x()?, c.get(0, "b").tensor()?);
            one(match c.get(1, "dims") {
                Arg::List(pair) => match pair.as_slice() {
                    [a, b] => x.tensordot(&y, (&a.integers()?[..], &b.integers()?[..])),
                    _ => return Err("a list of axes that is no pair".into()),
                },
                n => x.tensordot(&y, n.size()?),
            })
        }),
        ("einsum", Sums, |c| {
            let operands = list(&c.input)?;
            let Arg::Text(equation) = c.get(0, "equation") else {
                return Err("an equation that is no text".into());
            };
            one(Tensor::einsum(&equation, &operands.iter().collect::<Vec<_>>()))
        }),
        ("linalg.multi_dot", Sums, |c| {
            one(Tensor::multi_dot(&list(&c.input)?.iter().collect::<Vec<_>>()))
        }),
        ("linalg.vecdot", Sums, |c| {
            let axis = match c.named("dim") {
                Arg::None => -1,
                axis => axis.integer()?,
            };
            one(c.x()?.vecdot(c.get(0, "y").tensor()?, axis))
        }),
        ("linalg.cross", Elementwise, |c| {
            let axis = match c.named("dim") {
                Arg::None => -1,
                axis => axis.integer()?,
            };
            one(c.x()?.cross(c.get(0, "other").tensor()?, axis))
        }),
        ("linalg.matrix_power", Sums, |c| match u32::try_from(c.get(0, "n").integer()?) {
            Ok(n) => one(c.x()?.matrix_power(n)),
            Err(_) => Err("a negative power: the type forbids it; take the inverse first".into()),
        }),
        ("nn.functional.linear", Sums, |c| {
            let (w, b) = (c.get(0, "weight").tensor()?, c.get(1, "bias"));
            one(match b {
                Arg::None if rank(&w) == 1 => c.x()?.matmul(&w),
                Arg::None => c.x()?.linear(&w, None),
                b => c.x()?.linear(&w, Some(&*b.operand()?)),
            })
        }),
        ("nn.functional.bilinear", Sums, |c| {
            let (y, w) = (c.get(0, "input2").tensor()?, c.get(1, "weight").tensor()?);
            one(match c.get(2, "bias") {
                Arg::None => c.x()?.bilinear(&y, &w, None),
                bias => c.x()?.bilinear(&y, &w, Some(&*bias.operand()?)),
            })
        }),
    ]
}
