//! Rows of products made of matrix products and sums: dot to einsum.

use super::arrays::{any, exact, whole};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::array::Array;
use crate::tensor::{Operand, Tensor};

type Call = fn(&[Tensor]) -> Tensor;

/// A row of this file.
const fn row(
    [name, signature, formula, pytorch]: [&'static str; 4],
    onnx: Option<&'static str>,
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<ErrorCase>,
) -> OpRow {
    let (kind, gradient) = (Kind::Product, Gradient::Yes);
    OpRow { name, signature, formula, kind, pytorch, onnx, gradient, samples, errors }
}

fn two(label: &'static str, x: &[usize], y: &[usize], run: Call) -> Sample {
    Sample::new(label, vec![any(x, 1), any(y, 2)], run)
}

fn three(label: &'static str, sizes: [&[usize]; 3], run: Call) -> Sample {
    Sample::new(label, arrays(&sizes), run)
}

fn arrays(sizes: &[&[usize]]) -> Vec<Array> {
    sizes.iter().zip(1..).map(|(s, seed)| any(s, seed)).collect()
}

pub(super) fn rows() -> Vec<OpRow> {
    [vectors(), sums(), many()].concat()
}

fn vectors() -> Vec<OpRow> {
    vec![
        row(
            ["dot", "x.dot(&y)", "sum of x[i] * y[i]", "torch.dot"],
            None,
            || {
                vec![
                    two("seven", &[7], &[7], |v| v[0].dot(&v[1])),
                    two("long", &[257], &[257], |v| v[0].dot(&v[1])),
                    two("backwards", &[7], &[7], |v| v[0].flip(0).dot(&v[1])),
                    Sample::new("with itself", vec![any(&[5], 1)], |v| v[0].dot(&v[0])),
                    Sample::new("integers", vec![whole(&[4], 1), whole(&[4], 2)], |v| {
                        v[0].dot(&v[1])
                    }),
                    two("nothing", &[0], &[0], |v| v[0].dot(&v[1])),
                ]
            },
            || {
                vec![
                    fails!("lengths", Shape, "dot: takes two vectors of one length", {
                        Tensor::zeros([3]).dot(Tensor::zeros([4]))
                    }),
                    fails!("a matrix", Shape, "dot: takes two vectors", {
                        Tensor::zeros([3, 3]).dot(Tensor::zeros([3]))
                    }),
                ]
            },
        ),
        row(
            [
                "inner",
                "x.inner(&y)",
                "sum over the last axis of both, for all pairs of rows",
                "torch.inner",
            ],
            None,
            || {
                let run: Call = |v| v[0].inner(&v[1]);
                vec![
                    two("vectors", &[7], &[7], run),
                    two("matrices", &[3, 5], &[4, 5], run),
                    two("ranks 2 and 3", &[3, 5], &[2, 4, 5], run),
                    two("a scalar", &[], &[2, 3], run),
                    two("turned", &[5, 3], &[4, 5], |v| v[0].t().inner(&v[1])),
                ]
            },
            || {
                vec![fails!("sizes", Shape, "inner: axis 1 of the left has size 3", {
                    Tensor::zeros([2, 3]).inner(Tensor::zeros([2, 4]))
                })]
            },
        ),
        row(
            ["outer", "x.outer(&y)", "out[i, j] = x[i] * y[j]", "torch.outer"],
            None,
            || {
                let run: Call = |v| v[0].outer(&v[1]);
                vec![
                    two("three by five", &[3], &[5], run),
                    two("an empty one", &[0], &[5], run),
                    Sample::new("integers", vec![whole(&[4], 1), whole(&[3], 2)], run),
                ]
            },
            || {
                vec![fails!("a matrix", Shape, "outer: takes two vectors", {
                    Tensor::zeros([2, 3]).outer(Tensor::zeros([3]))
                })]
            },
        ),
        row(
            ["mv", "x.mv(&y)", "out[i] = sum over k of x[i, k] * y[k]", "torch.mv"],
            None,
            || vec![two("matrix and vector", &[3, 5], &[5], |v| v[0].mv(&v[1]))],
            || {
                vec![
                    fails!("a matrix", Shape, "mv: takes a matrix and a vector", {
                        Tensor::zeros([2, 3]).mv(Tensor::zeros([3, 1]))
                    }),
                    fails!("sizes", Shape, "mv: inner sizes differ, 3 and 4", {
                        Tensor::zeros([2, 3]).mv(Tensor::zeros([4]))
                    }),
                ]
            },
        ),
        row(
            ["mm", "x.mm(&y)", "the product of two matrices", "torch.mm"],
            None,
            || vec![two("matrices", &[3, 5], &[5, 4], |v| v[0].mm(&v[1]))],
            || {
                vec![fails!("a batch", Shape, "mm: takes two matrices", {
                    Tensor::zeros([2, 2, 3]).mm(Tensor::zeros([3, 1]))
                })]
            },
        ),
        row(
            ["bmm", "x.bmm(&y)", "the products of two batches of matrices", "torch.bmm"],
            None,
            || vec![two("batches", &[2, 3, 5], &[2, 5, 4], |v| v[0].bmm(&v[1]))],
            || {
                vec![fails!("batches", Shape, "bmm: takes two batches", {
                    Tensor::zeros([2, 2, 3]).bmm(Tensor::zeros([1, 3, 1]))
                })]
            },
        ),
        row(
            [
                "cross",
                "x.cross(&y, axis)",
                "x[1] y[2] - x[2] y[1], and so on in turn",
                "torch.linalg.cross",
            ],
            None,
            || {
                vec![
                    two("vectors", &[3], &[3], |v| v[0].cross(&v[1], -1)),
                    two("rows", &[5, 3], &[5, 3], |v| v[0].cross(&v[1], 1)),
                    two("columns", &[3, 4], &[3, 1], |v| v[0].cross(&v[1], 0)),
                ]
            },
            || {
                vec![
                    fails!("two elements", Shape, "cross: takes vectors of 3", {
                        Tensor::zeros([2]).cross(Tensor::zeros([2]), 0)
                    }),
                    fails!("no such axis", Shape, "cross: axis 2", {
                        Tensor::zeros([3]).cross(Tensor::zeros([3]), 2)
                    }),
                ]
            },
        ),
        row(
            ["vecdot", "x.vecdot(&y, axis)", "sum of x * y along an axis", "torch.linalg.vecdot"],
            None,
            || {
                vec![
                    two("rows", &[4, 5], &[4, 5], |v| v[0].vecdot(&v[1], -1)),
                    two("columns, broadcast", &[4, 5], &[4, 1], |v| v[0].vecdot(&v[1], 0)),
                ]
            },
            || {
                vec![fails!("no such axis", Shape, "vecdot: axis 1", {
                    Tensor::zeros([3]).vecdot(Tensor::zeros([3]), 1)
                })]
            },
        ),
        row(
            [
                "kron",
                "x.kron(&y)",
                "each element of x times the whole of y, as blocks",
                "torch.kron",
            ],
            None,
            || {
                let run: Call = |v| v[0].kron(&v[1]);
                vec![
                    two("matrices", &[2, 3], &[4, 5], run),
                    two("ranks 1 and 3", &[3], &[2, 1, 4], run),
                    two("scalars", &[], &[], run),
                ]
            },
            || {
                vec![fails!("many axes", Shape, "kron: ", {
                    Tensor::zeros([2; 5]).kron(Tensor::zeros([2; 5]))
                })]
            },
        ),
    ]
}

fn sums() -> Vec<OpRow> {
    vec![
        row(
            [
                "addmm",
                "c.addmm(&x, &y, beta, alpha)",
                "beta * c + alpha * (x @ y), matrices",
                "torch.addmm",
            ],
            Some("Gemm"),
            || {
                vec![
                    three("factors", [&[3, 4], &[3, 5], &[5, 4]], |v| {
                        v[0].addmm(&v[1], &v[2], 0.5, -2.0)
                    }),
                    three("a row", [&[4], &[3, 5], &[5, 4]], |v| {
                        v[0].addmm(&v[1], &v[2], 1.0, 1.0)
                    }),
                    three("nothing of it", [&[4], &[3, 5], &[5, 4]], |v| {
                        v[0].addmm(&v[1], &v[2], 0.0, 1.0)
                    }),
                ]
            },
            || {
                vec![
                    fails!("too large", Shape, "addmm: [2, 2] does not broadcast", {
                        Tensor::zeros([2, 2]).addmm(
                            Tensor::zeros([1, 3]),
                            Tensor::zeros([3, 2]),
                            1.0,
                            1.0,
                        )
                    }),
                    fails!("vectors", Shape, "addmm: takes two matrices", {
                        Tensor::zeros([2]).addmm(Tensor::zeros([3]), Tensor::zeros([3]), 1.0, 1.0)
                    }),
                ]
            },
        ),
        row(
            ["addmv", "c.addmv(&x, &y, beta, alpha)", "beta * c + alpha * (x @ y)", "torch.addmv"],
            None,
            || {
                vec![three("factors", [&[3], &[3, 5], &[5]], |v| {
                    v[0].addmv(&v[1], &v[2], 0.5, -2.0)
                })]
            },
            Vec::new,
        ),
        row(
            ["addr", "c.addr(&x, &y, beta, alpha)", "beta * c + alpha * outer(x, y)", "torch.addr"],
            None,
            || {
                vec![three("factors", [&[3, 5], &[3], &[5]], |v| {
                    v[0].addr(&v[1], &v[2], 0.5, -2.0)
                })]
            },
            Vec::new,
        ),
        row(
            [
                "addbmm",
                "c.addbmm(&x, &y, beta, alpha)",
                "beta * c + alpha * (sum over the batch of x @ y)",
                "torch.addbmm",
            ],
            None,
            || {
                vec![three("factors", [&[3, 4], &[2, 3, 5], &[2, 5, 4]], |v| {
                    v[0].addbmm(&v[1], &v[2], 0.5, -2.0)
                })]
            },
            || {
                vec![fails!("batches", Shape, "addbmm: axis 0 of the left has size 2", {
                    Tensor::zeros([3, 4]).addbmm(
                        Tensor::zeros([2, 3, 5]),
                        Tensor::zeros([3, 5, 4]),
                        1.0,
                        1.0,
                    )
                })]
            },
        ),
        row(
            [
                "baddbmm",
                "c.baddbmm(&x, &y, beta, alpha)",
                "beta * c + alpha * (x @ y), batches",
                "torch.baddbmm",
            ],
            None,
            || {
                vec![three("factors", [&[2, 3, 4], &[2, 3, 5], &[2, 5, 4]], |v| {
                    v[0].baddbmm(&v[1], &v[2], 0.5, -2.0)
                })]
            },
            Vec::new,
        ),
    ]
}

fn many() -> Vec<OpRow> {
    vec![
        row(
            [
                "tensordot",
                "x.tensordot(&y, 2)",
                "sums of products over pairs of axes",
                "torch.tensordot",
            ],
            None,
            || {
                vec![
                    two("two axes", &[2, 3, 4], &[3, 4, 5], |v| v[0].tensordot(&v[1], 2)),
                    two("pairs", &[2, 3, 4], &[4, 5, 2], |v| {
                        v[0].tensordot(&v[1], ([0, -1], [2, 0]))
                    }),
                    two("none", &[2, 3], &[4], |v| v[0].tensordot(&v[1], 0)),
                    two("all", &[2, 3], &[2, 3], |v| v[0].tensordot(&v[1], 2)),
                ]
            },
            || {
                vec![
                    fails!("sizes", Shape, "tensordot: axis 1 of the left has size 3", {
                        Tensor::zeros([2, 3]).tensordot(Tensor::zeros([2, 3]), 1)
                    }),
                    fails!("too many", Shape, "tensordot: axis", {
                        Tensor::zeros([2, 3]).tensordot(Tensor::zeros([2, 3]), 3)
                    }),
                    fails!("twice", Shape, "tensordot: axis 1 is named twice", {
                        Tensor::zeros([2, 3]).tensordot(Tensor::zeros([3, 3]), ([1, 1], [0, 1]))
                    }),
                ]
            },
        ),
        row(
            [
                "multi_dot",
                "Tensor::multi_dot(&[&x, &y, &z])",
                "the product of several matrices in the cheapest order",
                "torch.linalg.multi_dot",
            ],
            None,
            || {
                vec![
                    three("matrices", [&[2, 7], &[7, 3], &[3, 4]], |v| {
                        Tensor::multi_dot(&[&v[0], &v[1], &v[2]])
                    }),
                    three("vectors at the ends", [&[7], &[7, 3], &[3]], |v| {
                        Tensor::multi_dot(&[&v[0], &v[1], &v[2]])
                    }),
                    two("two", &[2, 7], &[7], |v| Tensor::multi_dot(&[&v[0], &v[1]])),
                ]
            },
            || {
                vec![
                    fails!("one", Argument, "multi_dot: needs at least two", {
                        Tensor::multi_dot(&[&Tensor::zeros([2, 2])])
                    }),
                    fails!("a vector inside", Shape, "multi_dot: tensor 1 is [2]", {
                        let (x, y) = (Tensor::zeros([2, 2]), Tensor::zeros([2]));
                        Tensor::multi_dot(&[&x, &y, &x])
                    }),
                ]
            },
        ),
        row(
            [
                "matrix_power",
                "x.matrix_power(3)",
                "x @ x @ x; the identity for 0",
                "torch.linalg.matrix_power",
            ],
            None,
            || {
                let one = |label, run: Call| Sample::new(label, vec![any(&[3, 3], 1)], run);
                vec![
                    one("three", |v| v[0].matrix_power(3)),
                    one("four", |v| v[0].matrix_power(4)),
                    one("one", |v| v[0].matrix_power(1)),
                    Sample::new("a batch", vec![any(&[2, 3, 3], 1)], |v| v[0].matrix_power(2)),
                    one("none", |v| v[0].matrix_power(0) + &v[0]),
                ]
            },
            || {
                vec![fails!("not square", Shape, "matrix_power: [2, 3] is not a square", {
                    Tensor::zeros([2, 3]).matrix_power(2)
                })]
            },
        ),
        row(
            [
                "bilinear",
                "x.bilinear(&y, &weight, Some(&bias))",
                "out[o] = sum over i, j of x[i] * weight[o, i, j] * y[j] + bias[o]",
                "torch.nn.functional.bilinear",
            ],
            None,
            || {
                let all = |x: &[usize], y: &[usize]| arrays(&[x, y, &[4, 2, 3], &[4]]);
                let run: Call = |v| v[0].bilinear(&v[1], &v[2], Some(&v[3] as &dyn Operand));
                vec![
                    Sample::new("a batch", all(&[5, 2], &[5, 3]), run),
                    Sample::new("vectors", all(&[2], &[3]), run),
                    Sample::new("two leading axes", all(&[2, 5, 2], &[2, 5, 3]), run),
                ]
            },
            || {
                vec![fails!("rows", Shape, "bilinear: [5, 2] and [4, 3] do not go", {
                    let w = Tensor::zeros([4, 2, 3]);
                    Tensor::zeros([5, 2]).bilinear(Tensor::zeros([4, 3]), &w, None)
                })]
            },
        ),
        row(
            [
                "einsum",
                "Tensor::einsum(\"ij,jk->ik\", &[&x, &y])",
                "sums of products; letters name axes",
                "torch.einsum",
            ],
            Some("Einsum"),
            einsum,
            einsum_errors,
        ),
    ]
}

fn einsum() -> Vec<Sample> {
    vec![
        two("matmul", &[3, 5], &[5, 4], |v| Tensor::einsum("ij,jk->ik", &[&v[0], &v[1]])),
        two("implicit", &[3, 5], &[5, 4], |v| Tensor::einsum("ij, jk", &[&v[0], &v[1]])),
        two("implicit, turned", &[3, 5], &[5, 4], |v| Tensor::einsum("bj,ja", &[&v[0], &v[1]])),
        two("batches", &[2, 3, 5], &[2, 4, 5], |v| Tensor::einsum("bij,bkj->bik", &[&v[0], &v[1]])),
        two("heads", &[2, 3, 4, 5], &[2, 6, 3, 5], |v| {
            Tensor::einsum("bhqd,bkhd->bhqk", &[&v[0], &v[1]])
        }),
        two("two summed", &[2, 3, 4], &[4, 5, 3], |v| {
            Tensor::einsum("bij,jki->kb", &[&v[0], &v[1]])
        }),
        two("ellipsis", &[2, 3, 4], &[4, 5], |v| {
            Tensor::einsum("...ij,jk->...ik", &[&v[0], &v[1]])
        }),
        two("ellipsis broadcast", &[2, 1, 3, 4], &[5, 4], |v| {
            Tensor::einsum("...ij,...j->...i", &[&v[0], &v[1]])
        }),
        two("ellipsis summed", &[2, 3, 4], &[2, 5], |v| {
            Tensor::einsum("...ik, ...j -> ij", &[&v[0], &v[1]])
        }),
        two("a size of one", &[3, 1], &[5, 4], |v| Tensor::einsum("ij,jk->ik", &[&v[0], &v[1]])),
        two("outer", &[3], &[4], |v| Tensor::einsum("i,j->ji", &[&v[0], &v[1]])),
        two("elementwise", &[3, 4], &[4, 3], |v| Tensor::einsum("ij,ji->ij", &[&v[0], &v[1]])),
        two("dot", &[7], &[7], |v| Tensor::einsum("i,i", &[&v[0], &v[1]])),
        Sample::new("trace", vec![any(&[4, 4], 1)], |v| Tensor::einsum("ii", &[&v[0]])),
        Sample::new("diagonal", vec![any(&[4, 2, 4], 1)], |v| Tensor::einsum("iji->ij", &[&v[0]])),
        Sample::new("three of one", vec![any(&[3, 3, 3], 1)], |v| {
            Tensor::einsum("iii->i", &[&v[0]])
        }),
        Sample::new("transpose", vec![any(&[4, 5], 1)], |v| Tensor::einsum("ij->ji", &[&v[0]])),
        Sample::new("sum", vec![any(&[4, 5], 1)], |v| Tensor::einsum("ij->", &[&v[0]])),
        three("three", [&[2, 3], &[3, 4], &[4, 5]], |v| {
            Tensor::einsum("ij,jk,kl->il", &[&v[0], &v[1], &v[2]])
        }),
        three("bilinear", [&[5, 2], &[5, 3], &[4, 2, 3]], |v| {
            Tensor::einsum("bi,bj,oij->bo", &[&v[0], &v[1], &v[2]])
        }),
        Sample::new("six", arrays(&[&[2, 3], &[3, 2], &[2, 4], &[4], &[3], &[2, 2]]), |v| {
            let all: Vec<&Tensor> = v.iter().collect();
            Tensor::einsum("ab,bc,cd,d,b,ac->a", &all)
        }),
        Sample::new("integers", vec![whole(&[2, 3], 1), whole(&[3, 2], 2)], |v| {
            Tensor::einsum("ij,jk->ik", &[&v[0], &v[1]])
        }),
        two("empty", &[0, 3], &[3, 2], |v| Tensor::einsum("ij,jk->ik", &[&v[0], &v[1]])),
        Sample::new("NaN", vec![exact(&[f32::NAN, 1.0]), exact(&[0.0f32, 1.0])], |v| {
            Tensor::einsum("i,i->i", &[&v[0], &v[1]])
        })
        .kinks(),
    ]
}

fn einsum_errors() -> Vec<ErrorCase> {
    vec![
        fails!("a digit", Argument, "`3` is no axis, at character 3", {
            Tensor::einsum("ij3,jk", &[&Tensor::zeros([2, 2]), &Tensor::zeros([2, 2])])
        }),
        fails!("operands", Argument, "names 2 operands, 1 are given", {
            Tensor::einsum("ij,jk", &[&Tensor::zeros([2, 2])])
        }),
        fails!("ranks", Argument, "operand 1 has 1 axes in [2], 2 are named", {
            Tensor::einsum("ij,jk", &[&Tensor::zeros([2, 2]), &Tensor::zeros([2])])
        }),
        fails!("sizes", Argument, "`j` has size 2 in operand 0 and 3 in operand 1", {
            Tensor::einsum("ij,jk", &[&Tensor::zeros([2, 2]), &Tensor::zeros([3, 2])])
        }),
        fails!("not square", Argument, "`i` of operand 0 has sizes 2 and 3", {
            Tensor::einsum("ii", &[&Tensor::zeros([2, 3])])
        }),
        fails!("unknown", Argument, "no operand has an axis `k`, at character 6", {
            Tensor::einsum("ij->ik", &[&Tensor::zeros([2, 3])])
        }),
        fails!("twice", Argument, "the result names `i` twice", {
            Tensor::einsum("ij->ii", &[&Tensor::zeros([2, 3])])
        }),
        fails!("two ellipses", Argument, "a second `...`", {
            Tensor::einsum("...i...", &[&Tensor::zeros([2, 3])])
        }),
        fails!("bool", DType, "einsum: is not defined on bool", {
            Tensor::einsum("i,i", &[&Tensor::from([true]), &Tensor::from([true])])
        }),
    ]
}
