//! Operations on whole tensors: movement, indexing, products, rows.

use super::{INF, NAN, arr, close, run, same, try_run, v};
use gradus_kernels::memory::KernelError;

use crate::array::Array;
use crate::graph::dtype::DType;
use crate::ops::{Op, Precision, Rows};

/// 0, 1, 2, ... in a matrix.
fn counted(rows: usize, columns: usize) -> Array {
    arr([rows, columns], &(0..rows * columns).map(|i| i as i64).collect::<Vec<_>>())
}

fn order(axes: &[u8]) -> Op {
    let mut order = [0; 8];
    order[..axes.len()].copy_from_slice(axes);
    Op::Permute(order)
}

#[test]
fn same_elements_other_shape() {
    let x = counted(2, 3);
    assert_eq!(run::<i64>(Op::Reshape, &[&x], [3, 2]), [0, 1, 2, 3, 4, 5]);
    assert_eq!(run::<i64>(Op::Detach, &[&x], [2, 3]), [0, 1, 2, 3, 4, 5]);
    assert!(try_run::<i64>(Op::Reshape, &[&x], [4]).is_err());
    assert!(try_run::<i64>(Op::Detach, &[&x], [6, 1]).is_ok());
    assert!(try_run::<f32>(Op::Detach, &[&x], [2, 3]).is_err());
}

#[test]
fn permutes() {
    assert_eq!(run::<i64>(order(&[1, 0]), &[&counted(2, 3)], [3, 2]), [0, 3, 1, 4, 2, 5]);
    let x = counted(2, 6).reshape([2, 2, 3]).unwrap();
    let got: Vec<i64> = run(order(&[2, 0, 1]), &[&x], [3, 2, 2]);
    assert_eq!(got, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
    assert_eq!(run::<bool>(order(&[]), &[&arr((), &[true])], ()), [true]);
    assert!(try_run::<i64>(order(&[2, 0]), &[&counted(2, 3)], [3, 2]).is_err());
}

#[test]
fn broadcasts() {
    let column = arr([2, 1], &[1.0f32, 2.0]);
    let got: Vec<f32> = run(Op::Broadcast, &[&column], [2, 2, 3]);
    assert_eq!(got, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    assert_eq!(run::<f32>(Op::Broadcast, &[&arr((), &[3.0f32])], [2]), [3.0, 3.0]);
    assert_eq!(run::<f32>(Op::Broadcast, &[&column], [2, 0]), [0.0; 0]);
    assert!(try_run::<f32>(Op::Broadcast, &[&column], [3, 1]).is_err());
    assert!(try_run::<f32>(Op::Broadcast, &[&column], [2]).is_err());
}

#[test]
fn slices_and_their_adjoints() {
    let x = counted(2, 5);
    let slice = |start, step, n| try_run::<i64>(Op::Slice { axis: 1, start, step }, &[&x], [2, n]);
    assert_eq!(slice(1, 2, 2).unwrap(), [1, 3, 6, 8]);
    assert_eq!(slice(4, -1, 5).unwrap(), [4, 3, 2, 1, 0, 9, 8, 7, 6, 5]);
    assert_eq!(slice(3, -2, 2).unwrap(), [3, 1, 8, 6]);
    assert_eq!(slice(0, 1, 0).unwrap(), [0; 0]);
    assert_eq!(slice(2, isize::MIN, 1).unwrap(), [2, 7]);
    assert!(slice(0, -1, 2).is_err());
    assert!(slice(4, 1, 2).is_err());
    assert!(slice(4, isize::MAX, 5).is_err());

    let unslice = |start, step, g: &[f32]| {
        try_run::<f32>(Op::Unslice { axis: 0, start, step }, &[&v(g)], [5])
    };
    assert_eq!(unslice(1, 2, &[1.0, 2.0]).unwrap(), [0.0, 1.0, 0.0, 2.0, 0.0]);
    assert_eq!(unslice(3, -2, &[1.0, 2.0]).unwrap(), [0.0, 2.0, 0.0, 1.0, 0.0]);
    assert_eq!(unslice(0, 3, &[1.0]).unwrap(), [1.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(unslice(0, 1, &[]).unwrap(), [0.0; 5]);
    assert!(unslice(3, 1, &[1.0, 2.0, 3.0]).is_err());
    assert!(unslice(1, -1, &[1.0, 2.0, 3.0]).is_err());
    assert!(unslice(1, 0, &[1.0]).is_err());
}

#[test]
fn concatenates() {
    let (a, b, none) = (counted(2, 1), counted(2, 2), arr::<i64>([2, 0], &[]));
    let got: Vec<i64> = run(Op::Concat { axis: 1 }, &[&a, &none, &b], [2, 3]);
    assert_eq!(got, [0, 0, 1, 1, 2, 3]);
    assert_eq!(run::<i64>(Op::Concat { axis: 0 }, &[&a, &a], [4, 1]), [0, 1, 0, 1]);
    assert!(try_run::<i64>(Op::Concat { axis: 1 }, &[&a, &b], [2, 4]).is_err());
}

#[test]
fn movement_keeps_bits() {
    let odd = f32::from_bits(0x7fa0_0001);
    let got: Vec<f32> = run(Op::Broadcast, &[&arr((), &[odd])], [2]);
    assert!(got.iter().all(|x| x.to_bits() == odd.to_bits()));
}

#[test]
fn gathers_and_scatters() {
    let x = counted(2, 3);
    let index = arr([1, 3], &[1i64, 0, 1]);
    assert_eq!(run::<i64>(Op::Gather { axis: 0 }, &[&x, &index], [1, 3]), [3, 1, 5]);
    let index = arr([2, 2], &[2i64, 2, 0, 1]);
    assert_eq!(run::<i64>(Op::Gather { axis: 1 }, &[&x, &index], [2, 2]), [2, 2, 3, 4]);
    let source = arr([2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
    let got: Vec<f32> = run(Op::ScatterAdd { axis: 1 }, &[&source, &index], [2, 3]);
    assert_eq!(got, [0.0, 0.0, 3.0, 3.0, 4.0, 0.0]);
    // Nothing to add, and nowhere to add to.
    let none = v::<i64>(&[]);
    assert_eq!(run::<i64>(Op::ScatterAdd { axis: 0 }, &[&none, &none], [2]), [0, 0]);
    assert_eq!(run::<i64>(Op::Gather { axis: 0 }, &[&none, &none], [0]), [0; 0]);
}

#[test]
fn selects_and_adds_slices() {
    let x = counted(3, 2);
    let index = v(&[2i64, 0, 2]);
    let got: Vec<i64> = run(Op::IndexSelect { axis: 0 }, &[&x, &index], [3, 2]);
    assert_eq!(got, [4, 5, 0, 1, 4, 5]);
    let got: Vec<i64> = run(Op::IndexSelect { axis: 1 }, &[&x, &v(&[1i64])], [3, 1]);
    assert_eq!(got, [1, 3, 5]);
    let got: Vec<i64> = run(Op::IndexAdd { axis: 0 }, &[&x, &index], [3, 2]);
    assert_eq!(got, [2, 3, 0, 0, 4, 6]);
    let none = v::<i64>(&[]);
    assert_eq!(run::<i64>(Op::IndexSelect { axis: 0 }, &[&x, &none], [0, 2]), [0; 0]);
    let empty = arr::<i64>([0, 2], &[]);
    assert_eq!(run::<i64>(Op::IndexAdd { axis: 0 }, &[&empty, &none], [1, 2]), [0, 0]);
}

#[test]
fn wrong_indices_are_reported() {
    let x = counted(3, 2);
    let bad = v(&[0i64, -1, 3]);
    let error = |position, value, size| Err(KernelError::Index { position, value, size });
    let got = try_run::<i64>(Op::IndexSelect { axis: 0 }, &[&x, &bad], [3, 2]);
    assert_eq!(got, error(1, -1, 3));
    assert_eq!(try_run::<i64>(Op::IndexAdd { axis: 0 }, &[&x, &bad], [9, 2]), error(1, -1, 9));
    let bad = arr([3, 2], &[0i64, 0, 0, 3, 0, 9]);
    assert_eq!(try_run::<i64>(Op::Gather { axis: 0 }, &[&x, &bad], [3, 2]), error(3, 3, 3));
    assert_eq!(try_run::<i64>(Op::ScatterAdd { axis: 1 }, &[&x, &bad], [3, 2]), error(3, 3, 2));
    // Also where nothing would be moved.
    let empty = arr::<i64>([3, 0], &[]);
    let got = try_run::<i64>(Op::IndexSelect { axis: 0 }, &[&empty, &v(&[7i64])], [1, 0]);
    assert_eq!(got, error(0, 7, 3));
}

#[test]
fn products() {
    let a = arr([2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let b = arr([3, 2], &[1.0f32, 0.0, 0.0, 1.0, 1.0, 1.0]);
    assert_eq!(run::<f32>(Op::Matmul(Precision::F32), &[&a, &b], [2, 2]), [4.0, 5.0, 10.0, 11.0]);
    // Two batches of one row; one right matrix for both, or one each.
    let rows = a.reshape([2, 1, 3]).unwrap();
    assert_eq!(
        run::<f32>(Op::Matmul(Precision::F32), &[&rows, &b], [2, 1, 2]),
        [4.0, 5.0, 10.0, 11.0]
    );
    let columns = a.reshape([2, 3, 1]).unwrap();
    assert_eq!(run::<f32>(Op::Matmul(Precision::F32), &[&rows, &columns], [2, 1, 1]), [14.0, 77.0]);
    // Zero times infinity is not left out.
    let (zero, inf) = (arr([1, 1], &[0.0f32]), arr([1, 1], &[INF]));
    same(&run(Op::Matmul(Precision::F32), &[&zero, &inf], [1, 1]), &[NAN]);
    // One rounding only: in f32, the 1 would be lost.
    let big = arr([1, 3], &[1e8f32, 1.0, -1e8]);
    let ones = arr([3, 1], &[1.0f32; 3]);
    assert_eq!(run::<f32>(Op::Matmul(Precision::F32), &[&big, &ones], [1, 1]), [1.0]);
    let (tall, flat) = (arr::<f64>([2, 0], &[]), arr::<f64>([0, 2], &[]));
    assert_eq!(run::<f64>(Op::Matmul(Precision::F32), &[&tall, &flat], [2, 2]), [0.0; 4]);
    assert_eq!(run::<f64>(Op::Matmul(Precision::F32), &[&flat, &tall], [0, 0]), [0.0; 0]);
    for (x, y) in [(&a, &a), (&a, &v(&[1.0f32; 3])), (&rows, &columns.reshape([1, 3, 2]).unwrap())]
    {
        assert!(try_run::<f32>(Op::Matmul(Precision::F32), &[x, y], [2, 2]).is_err());
    }
}

#[test]
fn softmax_and_log_softmax() {
    // PyTorch, golden/ops/softmax and golden/ops/log_softmax.
    let x = v(&[2.874_899f32, 0.057_123_54, -1.795_914_9, 4.962_309, 0.364_754_68]);
    let y = v(&[0.108_526_24f32, 0.006_483_216_3, 0.001_016_31, 0.875_155_8, 0.008_818_463]);
    let g = v(&[-0.804_065f32, -2.673_067, -1.018_758_9, 0.379_273_06, -0.732_698]);
    close(&run(Op::Rows(Rows::Softmax), &[&x], [5]), &y.to_vec::<f32>().unwrap());
    close(
        &run(Op::Rows(Rows::SoftmaxGrad), &[&y, &g], [5]),
        &[-0.111_119_91, -0.018_755_304, -0.001_258_794_3, 0.139_533_89, -0.008_399_87],
    );
    let x = v(&[3.098_033f32, -2.125_491_9, 5.895_837, -0.038_765_43, 3.643_085_7]);
    let y = v(&[-2.953_976_6f32, -8.177_502, -0.156_172_77, -6.090_775, -2.408_923_9]);
    let g = v(&[1.043_338_9f32, 1.378_811, 1.467_913_9, -0.698_905_1, -0.370_083]);
    close(&run(Op::Rows(Rows::LogSoftmax), &[&x], [5]), &y.to_vec::<f32>().unwrap());
    close(
        &run(Op::Rows(Rows::LogSoftmaxGrad), &[&y, &g], [5]),
        &[0.896_270_63, 1.378_018_5, -0.945_266_5, -0.705_291, -0.623_731_55],
    );

    let x = arr([4, 2], &[1e30f32, 1e30, -INF, 0.0, INF, 0.0, -INF, -INF]);
    let want = [0.5, 0.5, 0.0, 1.0, NAN, NAN, NAN, NAN];
    same(&run(Op::Rows(Rows::Softmax), &[&x], [4, 2]), &want);
    same(&run::<f32>(Op::Rows(Rows::LogSoftmax), &[&x], [4, 2])[2..4], &[-INF, 0.0]);
    for shape in [[0, 3], [3, 0]] {
        let none = arr::<f32>(shape, &[]);
        assert_eq!(run::<f32>(Op::Rows(Rows::Softmax), &[&none], shape), [0.0; 0]);
    }
    let whole = try_run::<i64>(Op::Rows(Rows::Softmax), &[&v(&[1i64])], [1]);
    assert!(matches!(whole, Err(KernelError::Type(_))));
}

#[test]
fn cross_entropies() {
    let loss = |x: &Array, ids: &[i64], ignore| {
        try_run::<f32>(Op::Rows(Rows::CrossEntropy { ignore }), &[x, &v(ids)], [ids.len()])
    };
    // PyTorch, golden/ops/nn_cross_entropy: the mean of the losses, and its gradient.
    let x = [1.116_521f32, 6.216_579_4, -5.713_222, -6.612_937, 0.527_115_2, 8.218_22];
    let x = arr([2, 3], &x);
    let rows = loss(&x, &[2, 2], None).unwrap();
    close(&[0.5 * (rows[0] + rows[1])], &[5.968_171_6]);
    let grad = |ids: &[i64], g: &Array, ignore| {
        let op = Op::Rows(Rows::CrossEntropyGrad { ignore });
        try_run::<f32>(op, &[&x, &v(ids), g], [2, 3])
    };
    let g = 0.5 * 0.988_151_7f32;
    let want = [0.002_993_808, 0.491_078_85, -0.494_072_62, 1.788_569e-7, 2.256_268_8e-4];
    close(&grad(&[2, 2], &v(&[g, g]), None).unwrap()[..5], &want);
    close(&grad(&[2, 2], &v(&[g]), None).unwrap()[..5], &want);

    // An ignored row has neither loss nor gradient, whatever it holds.
    let odd = arr([2, 2], &[NAN, 1.0, 0.0, 0.0]);
    close(&loss(&odd, &[-100, 1], Some(-100)).unwrap(), &[0.0, std::f32::consts::LN_2]);
    let got = grad(&[1, 2], &v(&[1.0f32, g]), Some(1)).unwrap();
    same(&got[..3], &[0.0; 3]);
    close(&got[3..5], &want[3..]);

    let error = |position, value| Err(KernelError::Index { position, value, size: 3 });
    assert_eq!(loss(&x, &[2, 3], None), error(1, 3));
    assert_eq!(loss(&x, &[-1, 3], Some(3)), error(0, -1));
    assert_eq!(grad(&[0, 3], &v(&[g, g]), None), error(1, 3));
    assert!(loss(&x, &[2], None).is_err());
    assert!(grad(&[0, 1], &v(&[g, g, g]), None).is_err());
    assert_eq!(loss(&arr::<f32>([0, 3], &[]), &[], None).unwrap(), [0.0; 0]);
}

#[test]
fn what_is_not_evaluated_is_an_error() {
    assert!(try_run::<f32>(Op::Leaf, &[], ()).is_err());
    assert!(try_run::<f32>(Op::Failed, &[], ()).is_err());
    assert!(try_run::<f32>(Op::Cast(DType::F32), &[], ()).is_err());
}
