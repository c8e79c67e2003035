//! Indexing, assignment and iteration, against the results that NumPy and PyTorch give.
#![allow(clippy::unwrap_used, reason = "a test stops at the first failure")]
#![allow(clippy::reversed_empty_ranges, reason = "ends count from the other side here")]

use gradus_core::{By, Code, DType, Ellipsis, Index, IndexItem, NewAxis, Tensor};

fn cube() -> Tensor {
    Tensor::arange(0, 24).reshape([2, 3, 4])
}

fn ints(x: &Tensor) -> Vec<i64> {
    x.to_vec().unwrap()
}

fn dims(x: &Tensor) -> Vec<usize> {
    x.shape().unwrap().dims().to_vec()
}

fn says(x: &Tensor, code: Code, words: &str) {
    let error = x.to_array().unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.title().contains(words), "{error}");
    assert!(error.to_string().contains("tests/indexing.rs:"), "{error}");
}

#[test]
fn ranges_of_every_kind() {
    let x = Tensor::arange(0, 10);
    let same = |index: IndexItem, want: &[i64]| assert_eq!(ints(&x.i(index)), want);
    same((..).into(), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    same((2..4).into(), &[2, 3]);
    same((-3..).into(), &[7, 8, 9]);
    same((..-8).into(), &[0, 1]);
    same((2..=4).into(), &[2, 3, 4]);
    same((..=-8).into(), &[0, 1, 2]);
    same((8..=-1).into(), &[8, 9]);
    same((5..100).into(), &[5, 6, 7, 8, 9]);
    same((-100..1).into(), &[0]);
    same((7..3).into(), &[]);
    same((..).by(4), &[0, 4, 8]);
    same((1..8).by(3), &[1, 4, 7]);
    same((1..7).by(3), &[1, 4]);
    same((..).by(-3), &[9, 6, 3, 0]);
    same((7..2).by(-2), &[7, 5, 3]);
    same((7..=1).by(-2), &[7, 5, 3, 1]);
    same((..5).by(-1), &[9, 8, 7, 6]);
    same((2..).by(-1), &[2, 1, 0]);
    same((0..3).by(-1), &[]);
    assert_eq!(dims(&Tensor::zeros([0]).i((..).by(-1))), [0]);
}

#[test]
fn positions_new_axes_and_ellipsis() {
    let x = cube();
    assert_eq!(x.i((1, 2, 3)).item().unwrap(), 23.0);
    assert_eq!(ints(&x.i((-1, -1))), [20, 21, 22, 23]);
    assert_eq!(ints(&x.i((.., 0, -1))), [3, 15]);
    assert_eq!(ints(&x.i((Ellipsis, 1, 2))), [6, 18]);
    assert_eq!(dims(&x.i((NewAxis, .., NewAxis, 1..))), [1, 2, 1, 2, 4]);
    assert_eq!(dims(&x.i((0, Ellipsis, NewAxis))), [3, 4, 1]);
    assert_eq!(dims(&x.i(())), [2, 3, 4]);
    assert_eq!(dims(&x.i(Ellipsis)), [2, 3, 4]);
    assert_eq!(dims(&x.i(vec![IndexItem::from(0), IndexItem::from(1..)])), [2, 4]);
    assert_eq!(dims(&Tensor::from(3).i(NewAxis)), [1]);
}

#[test]
fn index_tensors_go_where_pytorch_puts_them() {
    let x = cube();
    assert_eq!(ints(&x.i(([0, 1], [0, 2], [1, -1]))), [1, 23]);
    assert_eq!(dims(&x.i((.., [0, 2, 2], 1..3))), [2, 3, 2]);
    // Next to each other: where they were. Apart: first.
    assert_eq!(dims(&x.i((.., [0, 2, 2], [1, 1, 1]))), [2, 3]);
    assert_eq!(ints(&x.i(([0, 1], .., [1, 2]))), [1, 5, 9, 14, 18, 22]);
    // A position is taken before, so these are next to each other.
    assert_eq!(dims(&x.i(([0, 1, 1], 0, [1, 2, 3]))), [3]);
    let rows = Tensor::from([[0], [1]]);
    assert_eq!(ints(&x.i((&rows, 1, [0, 3]))), [4, 7, 16, 19]);
    assert_eq!(dims(&x.i((&rows, .., [0, 3]))), [2, 2, 3]);
    assert_eq!(dims(&x.i((NewAxis, [0, 1], NewAxis, [0, 1]))), [2, 1, 1, 4]);
    // Positions that are computed are found out of range when run.
    let late = (Tensor::from([0.0, 1.9]) * 1.0).cast(DType::I64);
    assert_eq!(ints(&x.i((&late - 1, 0, &late))), [12, 1]);
    says(&x.i((&late + 1, 0, &late)), Code::Index, "i: index");
    let empty: [i64; 0] = [];
    assert_eq!(dims(&x.i((.., empty))), [2, 0, 4]);
    assert_eq!(ints(&x.i((0, 0, Tensor::exact([2], &[3u8, 1])))), [3, 1]);
}

#[test]
fn masks() {
    let x = cube();
    assert_eq!(ints(&x.i(x.gt(21))), [22, 23]);
    let two = Tensor::from([[true, false, false], [false, false, true]]);
    assert_eq!(ints(&x.i((&two, 1..3))), [1, 2, 21, 22]);
    let columns = Tensor::from([true, false, true, false]);
    assert_eq!(dims(&x.i((Ellipsis, &columns))), [2, 3, 2]);
    assert_eq!(ints(&x.i((0, [0, 1], &columns))), [0, 6]);
    assert_eq!(dims(&x.i(x.gt(100))), [0]);
    assert_eq!(dims(&x.i(Tensor::from(true))), [1, 2, 3, 4]);
    assert_eq!(dims(&x.i(Tensor::from(false))), [0, 2, 3, 4]);
    says(&x.i(&columns), Code::Shape, "axis 0 of [2, 3, 4] has size 2");
}

#[test]
fn gradients_reach_what_was_taken() {
    let x = Tensor::arange(0.0, 6.0).reshape([2, 3]).with_grad();
    let y = x.i((0, [1, 1, 2])).sum() + x.i(x.gt(4.0)).sum() * 3.0 + x.i((.., ..1)).sum() * 10.0;
    assert_eq!(y.grad(&x).unwrap().to_vec::<f32>().unwrap(), [10.0, 2.0, 1.0, 10.0, 0.0, 3.0]);
    let v = Tensor::from([1.0, 2.0]).with_grad();
    let z = (x.with_i((1, ..2), &v) * 2.0).sum() + x.with_i((1, [0, 0]), &v).sum();
    let gx = z.grad(&x).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(gx, [3.0, 3.0, 3.0, 0.0, 1.0, 3.0]);
    // Of the two values for one place the last stays.
    assert_eq!(z.grad(&v).unwrap().to_vec::<f32>().unwrap(), [2.0, 3.0]);
}

#[test]
fn assignment_makes_a_changed_tensor() {
    let x = cube();
    let set = |y: &Tensor, at: &[i64], value: i64| {
        let want: Vec<i64> = (0..24).map(|i| if at.contains(&i) { value } else { i }).collect();
        assert_eq!(ints(y), want);
    };
    set(&x.with_i((0, 1), -1), &[4, 5, 6, 7], -1);
    set(&x.with_i((.., 2, (..).by(-2)), -1), &[9, 11, 21, 23], -1);
    set(&x.with_i((.., [0, 1], [1, -1]), -1), &[1, 7, 13, 19], -1);
    set(&x.with_i(([0, 1], .., [1, 2]), -1), &[1, 5, 9, 14, 18, 22], -1);
    set(&x.with_i(x.gt(20), -1), &[21, 22, 23], -1);
    set(&x.with_i((1, [0, 2], ..1), Tensor::from([[-1], [-1]])), &[12, 20], -1);
    set(&x.with_i((), -1), &(0..24).collect::<Vec<_>>(), -1);
    set(&x.with_i((5..).by(2), -1), &[], -1);
    assert_eq!(ints(&x.i((0, 0)).with_i((1..3, NewAxis), Tensor::from([[7], [8]]))), [0, 7, 8, 3]);
    assert_eq!(ints(&Tensor::from([0, 0, 0]).with_i([2, 2], Tensor::from([4, 5]))), [0, 0, 5]);
    assert_eq!(ints(&Tensor::from([0, 0, 0]).add_i([2, 2], Tensor::from([4, 5]))), [0, 0, 9]);
    assert_eq!(ints(&x.i((0, 0)).add_i((..).by(2), 10)), [10, 1, 12, 3]);
    let mask = Tensor::from([true, false, true]);
    assert_eq!(mask.with_i(0, Tensor::from(false)).to_vec::<bool>().unwrap(), [false, false, true]);
    // NaN in what is replaced, or in what is left, stays where it is.
    let n = Tensor::from([f64::NAN, 1.0]).with_i(0, 2.0);
    assert_eq!(n.to_vec::<f32>().unwrap(), [2.0, 1.0]);
}

#[test]
fn errors_say_where() {
    let x = cube();
    says(&x.i((0, 3)), Code::Index, "position 1 of the index is 3, but axis 1 of [2, 3, 4]");
    says(&x.i(-3), Code::Index, "i: position 0 of the index is -3");
    says(&x.i((0, .., [0, 4])), Code::Index, "position 2 of the index is 4 at [1]");
    says(&x.i((0, 0, 0, 0)), Code::Shape, "the index takes 4 axes, [2, 3, 4] has 3");
    says(&x.i((Ellipsis, Ellipsis)), Code::Argument, "two `Ellipsis`");
    says(&x.i((..).by(0)), Code::Argument, "position 0 of the index has a step of 0");
    says(&x.i(Tensor::from([0.0])), Code::DType, "a tensor of f32");
    says(&x.i(([0, 1], [0, 1, 2])), Code::Shape, "do not broadcast: position 1");
    says(&x.with_i(0, Tensor::zeros([3, 4])), Code::DType, "the value is f32, the tensor i64");
    says(&x.with_i(0, 0.5), Code::DType, "no whole number");
    says(&x.with_i(0, Tensor::from([1, 2])), Code::Shape, "with_i: [2] cannot become [3, 4]");
    says(&Tensor::zeros([0]).i(0), Code::Index, "has size 0");
    let failed = Tensor::failed(gradus_core::Error::new(Code::Data, "the first error"));
    assert_eq!(failed.i((0, 9)).check().unwrap_err().title(), "the first error");
    assert_eq!(x.i((0, &failed)).check().unwrap_err().title(), "the first error");
    gradus_core::sync().unwrap();
}

#[test]
fn rows_are_counted_and_carry_errors() {
    let x = cube();
    assert_eq!(x.rows().len(), 2);
    let last: Vec<i64> = x.rows().rev().map(|r| ints(&r)[0]).collect();
    assert_eq!(last, [12, 0]);
    let mut sum = 0.0;
    for row in &x {
        for cell in &row {
            sum += cell.sum().item().unwrap();
        }
    }
    assert_eq!(sum, 276.0);
    assert_eq!(Tensor::zeros([0, 3]).rows().count(), 0);
    let wrong: Vec<Tensor> = Tensor::from(1).rows().collect();
    says(&wrong[0], Code::Shape, "has no rows");
    let failed = x.matmul(&x);
    assert_eq!(failed.rows().count(), 1);
    assert!(failed.rows().all(|r| r.check().is_err()));
    let _ = gradus_core::sync();
}

/// An index can be written once and used by functions.
#[test]
fn an_index_is_a_type() {
    fn first(x: &Tensor, index: impl Index) -> f64 {
        x.i(index).to_array().unwrap().to_f64()[0]
    }
    assert_eq!(first(&cube(), (1, ..)), 12.0);
    assert_eq!(first(&cube(), 0usize), 0.0);
}
