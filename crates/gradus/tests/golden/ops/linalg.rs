//! Decompositions, solvers, norms.

use crate::harness::Family::{Exact, Linalg as Tolerances};
use crate::harness::{Arg, Call, Line, Out, one, rank};
use gradus::Tensor;
use gradus::linalg::{Linalg, MatrixNorm};

fn t(x: &Tensor) -> Tensor {
    x.transpose(-2, -1)
}

fn norm(arg: &Arg) -> Result<MatrixNorm, String> {
    Ok(match arg {
        Arg::None => MatrixNorm::Two,
        Arg::Text(name) if name == "fro" => MatrixNorm::Fro,
        Arg::Text(name) if name == "nuc" => MatrixNorm::Nuc,
        number => match number.real()? {
            1.0 => MatrixNorm::One,
            -1.0 => MatrixNorm::MinOne,
            2.0 => MatrixNorm::Two,
            -2.0 => MatrixNorm::MinTwo,
            f64::INFINITY => MatrixNorm::Inf,
            f64::NEG_INFINITY => MatrixNorm::MinInf,
            other => return Err(format!("a matrix norm of order {other}")),
        },
    })
}

fn matrix_norm(c: &Call) -> Out {
    let (x, keep) = (c.x()?, c.flag(2, "keepdim"));
    let r = rank(&x) as isize;
    let dims = match c.get(1, "dim") {
        Arg::None => vec![-2, -1],
        dims => dims.integers()?,
    };
    let at: Vec<isize> = dims.iter().map(|d| d.rem_euclid(r)).collect();
    let x = match at.as_slice() {
        [a, b] if (*a, *b) == (r - 2, r - 1) => x,
        [a, b] if r == 2 && a > b => t(&x),
        _ => return Err("matrices in other axes than the last two".into()),
    };
    let y = x.matrix_norm(norm(&c.get(0, "ord"))?);
    one(if keep { y.unsqueeze(-1).unsqueeze(-1) } else { y })
}

/// How PyTorch's functions of this family are written here.
///
/// The stored values have no free signs: see the folder's README.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("linalg.inv", Tolerances, |c| one(c.x()?.inverse())),
        ("linalg.det", Tolerances, |c| one(c.x()?.det())),
        ("linalg.slogdet", Tolerances, |c| {
            let (sign, log) = c.x()?.slogdet();
            Ok(vec![sign, log])
        }),
        ("logdet", Tolerances, |c| one(c.x()?.logdet())),
        ("linalg.solve", Tolerances, |c| one(c.x()?.solve(&c.get(0, "B").tensor()?))),
        ("linalg.solve_triangular", Tolerances, |c| {
            let (a, b) = (c.x()?, c.get(0, "B").tensor()?);
            let upper = c.flag(9, "upper");
            let unit = c.flag(9, "unitriangular");
            one(match c.named("left") {
                Arg::Truth(false) => t(&t(&a).solve_triangular(&t(&b), !upper, unit)),
                _ => a.solve_triangular(&b, upper, unit),
            })
        }),
        ("linalg.cholesky", Tolerances, |c| {
            let l = c.x()?.cholesky();
            one(if c.flag(9, "upper") { t(&l) } else { l })
        }),
        ("cholesky_solve", Tolerances, |c| {
            let (b, l) = (c.x()?, c.get(0, "input2").tensor()?);
            let l = if c.flag(1, "upper") { t(&l) } else { l };
            one(l.cholesky_solve(&b))
        }),
        ("cholesky_inverse", Tolerances, |c| {
            let l = c.x()?;
            one(if c.flag(0, "upper") { t(&l) } else { l }.cholesky_inverse())
        }),
        ("linalg.eigh", Tolerances, |c| {
            // The inputs are symmetric, so both triangles say the same.
            let _ = c.get(0, "UPLO");
            let x = c.x()?;
            let (w, v) = ((&x + t(&x)) * 0.5).eigh();
            Ok(vec![w, v.abs()])
        }),
        ("linalg.eigvalsh", Tolerances, |c| {
            let _ = c.get(0, "UPLO");
            let x = c.x()?;
            one(((&x + t(&x)) * 0.5).eigvalsh())
        }),
        ("linalg.svd", Tolerances, |c| {
            if !matches!(c.get(0, "full_matrices"), Arg::Truth(false)) {
                return Err("the full decomposition".into());
            }
            let (u, s, vh) = c.x()?.svd();
            Ok(vec![u.abs(), s, vh.abs()])
        }),
        ("linalg.svdvals", Tolerances, |c| one(c.x()?.svdvals())),
        ("linalg.qr", Tolerances, |c| {
            let (q, r) = c.x()?.qr();
            Ok(vec![q, r])
        }),
        ("linalg.pinv", Tolerances, |c| one(c.x()?.pinv())),
        ("lstsq", Tolerances, |c| one(c.x()?.lstsq(&c.get(0, "B").tensor()?))),
        ("linalg.matrix_rank", Exact, |c| one(c.x()?.matrix_rank())),
        ("linalg.cond", Tolerances, |c| one(c.x()?.cond(norm(&c.get(0, "p"))?))),
        ("linalg.matrix_norm", Tolerances, matrix_norm),
        ("matrix_exp", Tolerances, |c| one(c.x()?.matrix_exp())),
    ]
}
