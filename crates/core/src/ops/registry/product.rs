//! Rows of matrix products.

use super::arrays::{any, exact};
use super::{Gradient, Kind, OpRow, Sample, fails};
use crate::tensor::{Operand, Tensor};

type Call = fn(&[Tensor]) -> Tensor;

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        OpRow {
            name: "matmul",
            signature: "x.matmul(y)",
            formula: "out[.., i, j] = sum over k of x[.., i, k] * y[.., k, j]",
            kind: Kind::Product,
            pytorch: "torch.matmul",
            onnx: Some("MatMul"),
            gradient: Gradient::Yes,
            samples: matmul,
            errors: || {
                vec![
                    fails!("inner sizes", Shape, "matmul: inner sizes differ, 3 and 4", {
                        Tensor::zeros([2, 3]).matmul(Tensor::zeros([4, 5]))
                    }),
                    fails!("batch axes", Shape, "matmul: batch axes", {
                        Tensor::zeros([2, 2, 3]).matmul(Tensor::zeros([3, 3, 5]))
                    }),
                    fails!("a scalar", Shape, "matmul: needs", {
                        Tensor::zeros([2, 2]).matmul(Tensor::from(1.0))
                    }),
                    fails!("vectors that differ", Shape, "matmul: inner sizes", {
                        Tensor::zeros([2]).matmul(Tensor::zeros([3]))
                    }),
                    fails!("of bool", DType, "matmul: takes numbers, not bool", {
                        Tensor::from([[true]]).matmul(Tensor::from([[true]]))
                    }),
                    fails!("two types", DType, "matmul: operands", {
                        Tensor::zeros([2, 2]).matmul(Tensor::from([[1, 2], [3, 4]]))
                    }),
                ]
            },
        },
        OpRow {
            name: "linear",
            signature: "x.linear(&weight, Some(&bias))",
            formula: "x @ weight^T + bias",
            kind: Kind::Product,
            pytorch: "torch.nn.functional.linear",
            onnx: Some("Gemm"),
            gradient: Gradient::Yes,
            samples: || {
                let run: Call = |v| v[0].linear(&v[1], Some(&v[2] as &dyn Operand));
                let relu: Call = |v| v[0].linear(&v[1], Some(&v[2] as &dyn Operand)).relu();
                let xwb = |x: &[usize], w: &[usize]| {
                    vec![any(x, 1), any(w, 2), any(w.get(..1).unwrap_or(&[]), 3)]
                };
                vec![
                    Sample::new("a batch", xwb(&[5, 3], &[4, 3]), run),
                    Sample::new("one row", xwb(&[1, 7], &[3, 7]), run),
                    Sample::new("a vector", xwb(&[7], &[3, 7]), run),
                    Sample::new("three axes", xwb(&[2, 5, 3], &[4, 3]), run),
                    Sample::new("odd sizes", xwb(&[33, 19], &[17, 19]), run),
                    Sample::new("then relu", xwb(&[33, 19], &[17, 19]), relu),
                    Sample::new("no bias", vec![any(&[5, 3], 1), any(&[4, 3], 2)], |v| {
                        v[0].linear(&v[1], None)
                    }),
                    Sample::new(
                        "turned",
                        vec![any(&[3, 5], 1), any(&[3, 4], 2), any(&[4], 3)],
                        |v| v[0].t().linear(v[1].t(), Some(&v[2] as &dyn Operand)),
                    ),
                    Sample::new(
                        "bias is a view",
                        vec![any(&[5, 3], 1), any(&[4, 3], 2), any(&[9], 3)],
                        |v| {
                            v[0].linear(
                                &v[1],
                                Some(&v[2].slice(0, 1, isize::MAX, 2) as &dyn Operand),
                            )
                        },
                    ),
                    Sample::new(
                        "bias backwards",
                        vec![any(&[5, 3], 1), any(&[4, 3], 2), any(&[4], 3)],
                        |v| v[0].linear(&v[1], Some(&v[2].flip(0) as &dyn Operand)).relu(),
                    ),
                    Sample::new("scalar bias", vec![any(&[5, 3], 1), any(&[4, 3], 2)], |v| {
                        v[0].linear(&v[1], Some(&0.5)).relu()
                    }),
                    Sample::new(
                        "bias of a column",
                        vec![any(&[5, 3], 1), any(&[4, 3], 2), any(&[5, 1], 3)],
                        run,
                    ),
                    Sample::new("no rows", xwb(&[0, 3], &[4, 3]), run),
                    Sample::new("no features", xwb(&[2, 0], &[4, 0]), run),
                    Sample::new("no outputs", xwb(&[2, 3], &[0, 3]), run),
                ]
            },
            errors: || {
                vec![
                    fails!("features", Shape, "matmul: inner sizes differ, 3 and 5", {
                        Tensor::zeros([2, 3]).linear(Tensor::zeros([4, 5]), None)
                    }),
                    fails!("bias", Shape, "add: sizes 4 and 3", {
                        Tensor::zeros([2, 3])
                            .linear(Tensor::zeros([4, 3]), Some(&Tensor::zeros([3])))
                    }),
                    fails!("a weight without axes", Shape, "needs matrices", {
                        Tensor::zeros([2, 3]).linear(Tensor::zeros(()), None)
                    }),
                ]
            },
        },
    ]
}

fn matmul() -> Vec<Sample> {
    let run: Call = |v| v[0].matmul(&v[1]);
    let both: Call = |v| v[0].mT().matmul(v[1].mT());
    let pair = |label, a: &[usize], b: &[usize], call| {
        Sample::new(label, vec![any(a, 1), any(b, 2)], call)
    };
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    vec![
        pair("matrices", &[3, 5], &[5, 4], run),
        pair("one element", &[1, 1], &[1, 1], run),
        pair("odd sizes", &[33, 19], &[19, 17], run),
        pair("long inner axis", &[2, 1031], &[1031, 3], run),
        pair("dot", &[7], &[7], run),
        pair("vector and matrix", &[3], &[3, 5], run),
        pair("matrix and vector", &[3, 5], &[5], run),
        pair("batch and vector", &[2, 3, 5], &[5], run),
        pair("vector and batch", &[3], &[2, 3, 5], run),
        pair("batches", &[2, 3, 5], &[2, 5, 4], run),
        pair("one right matrix", &[2, 3, 5], &[5, 4], run),
        pair("one left matrix", &[3, 5], &[2, 5, 4], run),
        pair("batch of one on the right", &[2, 3, 5], &[1, 5, 4], run),
        pair("batches broadcast both ways", &[2, 1, 3, 5], &[4, 5, 2], run),
        pair("both transposed", &[5, 3], &[4, 5], both),
        pair("left transposed", &[19, 33], &[19, 17], |v| v[0].t().matmul(&v[1])),
        pair("right transposed", &[33, 19], &[17, 19], |v| v[0].matmul(v[1].t())),
        pair("batches transposed", &[2, 5, 3], &[2, 4, 5], both),
        pair("batch axis inside", &[3, 2, 5], &[2, 5, 4], |v| v[0].transpose(0, 1).matmul(&v[1])),
        pair("batch axis inside, one right matrix", &[3, 2, 5], &[5, 4], |v| {
            v[0].transpose(0, 1).matmul(&v[1])
        }),
        pair("batch axis last", &[3, 5, 2], &[5, 4, 2], |v| {
            v[0].permute([2, 0, 1]).matmul(v[1].permute([2, 0, 1]))
        }),
        pair("backwards", &[3, 5], &[5, 4], |v| v[0].flip(1).matmul(v[1].flip(0))),
        pair("batches backwards", &[2, 3, 5], &[2, 5, 4], |v| v[0].flip(0).matmul(&v[1])),
        pair("every other", &[6, 10], &[5, 8], |v| {
            v[0].slice(0, 0, isize::MAX, 2)
                .slice(1, 1, isize::MAX, 2)
                .matmul(v[1].slice(1, 0, 8, 2))
        }),
        pair("a broadcast row", &[1, 5], &[5, 4], |v| v[0].broadcast_to([3, 5]).matmul(&v[1])),
        pair("a broadcast column", &[3, 1], &[5, 4], |v| v[0].broadcast_to([3, 5]).matmul(&v[1])),
        pair("a broadcast batch", &[3, 5], &[5, 4], |v| {
            v[0].broadcast_to([2, 3, 5]).matmul(v[1].broadcast_to([2, 5, 4]))
        }),
        Sample::new("with itself", vec![any(&[4, 4], 3)], |v| v[0].matmul(&v[0])),
        Sample::new("with its transpose", vec![any(&[4, 3], 3)], |v| v[0].matmul(v[0].t())),
        pair("no rows", &[0, 3], &[3, 4], run),
        pair("no columns", &[2, 3], &[3, 0], run),
        pair("sums of nothing", &[2, 0], &[0, 4], run),
        pair("no batch", &[0, 2, 3], &[3, 4], run),
        pair("sums of nothing, then relu", &[2, 0], &[0, 4], |v| (v[0].matmul(&v[1]) + 1.0).relu()),
        Sample::new("infinite", vec![exact(&[inf, 1.0f32, 0.0]), exact(&[1.0f32, nan, 0.0])], run)
            .kinks(),
        Sample::new("infinity times zero", vec![exact(&[inf, 1.0f32]), exact(&[0.0f32, 1.0])], run)
            .kinks(),
    ]
}
