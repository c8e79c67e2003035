//! Functions with a gradient of the user's own.
#![allow(clippy::unwrap_used, clippy::unreachable)]

use std::sync::Arc;

use gradus_core::{
    Array, Code, CustomOp, DType, Meta, Param, Result, Shape, Tensor, check, custom_gradient,
    eager, live_nodes, no_grad,
};

/// `exp` whose gradient is written with its result.
fn exp(x: &Tensor) -> Tensor {
    custom_gradient(&[x], |v| v[0].exp(), |_, y, g| vec![g * y])
}

/// `x * y`, with each gradient through another custom function.
fn nested(x: &Tensor, y: &Tensor) -> Tensor {
    custom_gradient(
        &[x, y],
        |v| &v[0] * &v[1],
        |v, _, g| {
            let one = custom_gradient(
                &[g, &v[1]],
                |v| &v[0] * &v[1],
                |v, _, g| vec![g * &v[1], g * &v[0]],
            );
            vec![one, g * &v[0]]
        },
    )
}

#[test]
fn the_rule_is_the_gradient() {
    let x = Tensor::from([1.0, -2.0]).with_grad();
    let y = custom_gradient(&[&x], |v| v[0].square(), |v, _, g| vec![g * &v[0] * 10.0]);
    assert_eq!(y.to_vec::<f32>().unwrap(), [1.0, 4.0]);
    let dx = (&y * 2.0).sum().grad(&x).unwrap();
    assert_eq!(dx.to_vec::<f32>().unwrap(), [20.0, -40.0]);
}

#[test]
fn rules_are_differentiated_in_their_turn() {
    let x = Array::new([3], &[0.3f64, -0.7, 1.1]).unwrap();
    let z = Array::new([3], &[0.9f64, 0.2, -1.3]).unwrap();
    check::gradients(|v| exp(&v[0]), std::slice::from_ref(&x)).unwrap();
    check::second_order(|v| exp(&v[0]), std::slice::from_ref(&x)).unwrap();
    let f = |v: &[Tensor]| nested(&exp(&(&v[0] * &v[1])), &v[1]).tanh();
    check::gradients(f, &[x.clone(), z.clone()]).unwrap();
    check::second_order(f, &[x.clone(), z]).unwrap();
    // Third order, against the plain function: the same derivatives.
    let third = |f: &dyn Fn(&Tensor) -> Tensor| {
        let x = Tensor::from_array(&x).with_grad();
        let mut y = f(&x).sum();
        for _ in 0..3 {
            y = y.grad(&x).unwrap().sum();
        }
        y.item().unwrap()
    };
    assert_eq!(third(&exp), third(&|x| x.exp()));
}

#[test]
fn one_input_twice_gets_both_gradients() {
    let x = Tensor::from(3.0).with_grad();
    let y = nested(&x, &x);
    assert_eq!(y.grad(&x).unwrap().item().unwrap(), 6.0);
    assert_eq!(y.grad(&x).unwrap().grad(&x).unwrap().item().unwrap(), 2.0);
}

#[test]
fn what_the_rule_captures_is_reached_in_second_order_only() {
    let x = Tensor::from([2.0, 3.0]).with_grad();
    let w = Tensor::from([5.0, 7.0]).with_grad();
    let y = custom_gradient(&[&x], |v| v[0].clone(), |_, _, g| vec![g * &w]);
    assert_eq!(y.sum().grad(&w).unwrap_err().code(), Code::Gradient);
    let dx = y.sum().grad(&x).unwrap();
    assert_eq!(dx.to_vec::<f32>().unwrap(), [5.0, 7.0]);
    let dw = (dx * 2.0).sum().grad(&w).unwrap();
    assert_eq!(dw.to_vec::<f32>().unwrap(), [2.0, 2.0]);
}

#[test]
fn integer_inputs_take_part() {
    let x = Tensor::from([1.0, 2.0]).with_grad();
    let k = Tensor::from([1i64, 0]);
    let y = custom_gradient(
        &[&x, &k],
        |v| v[0].index_select(0, &v[1]),
        |v, _, g| vec![g.index_select(0, &v[1]) * 10.0, v[1].clone()],
    );
    assert_eq!(y.to_vec::<f32>().unwrap(), [2.0, 1.0]);
    let g = (y * Tensor::from([1.0, 2.0])).sum().grad(&x).unwrap();
    assert_eq!(g.to_vec::<f32>().unwrap(), [20.0, 10.0]);
}

#[test]
fn mistakes_are_errors_with_a_line() {
    let x = Tensor::from([1.0, 2.0]).with_grad();
    let shape = custom_gradient(&[&x], |v| v[0].clone(), |_, _, g| vec![g.sum()]);
    let error = shape.check().unwrap_err();
    assert_eq!(error.code(), Code::Shape);
    assert!(error.title().contains("input 0 is [], not [2]"), "{error}");
    assert!(error.get("at").is_some_and(|at| at.contains("custom_gradient.rs")), "{error}");
    let dtype = |_: &[Tensor], _: &Tensor, g: &Tensor| vec![g.cast(DType::F64)];
    let error = custom_gradient(&[&x], |v| v[0].clone(), dtype).check().unwrap_err();
    assert_eq!(error.code(), Code::DType);
    let none = custom_gradient(&[&x], |v| v[0].clone(), |_, _, _| vec![]);
    assert_eq!(none.check().unwrap_err().code(), Code::Gradient);
    let captured = custom_gradient(&[&x], |v| &v[0] * &x, |_, _, g| vec![g.clone()]);
    let error = captured.check().unwrap_err();
    assert!(error.title().contains("not among its inputs"), "{error}");
    let reads = custom_gradient(
        &[&x],
        |v| v[0].clone(),
        |_, _, g| {
            let error = g.sum().item().unwrap_err();
            assert_eq!(error.code(), Code::Argument);
            vec![Tensor::failed(error)]
        },
    );
    assert!(reads.check().unwrap_err().title().contains("has no value here"));
}

#[test]
fn without_gradients_the_rule_is_not_asked() {
    let x = Tensor::from([1.0]).with_grad();
    let f = || custom_gradient(&[&x], |v| v[0].exp(), |_, _, _| unreachable!());
    assert!(!no_grad(f).requires_grad());
    let plain = Tensor::from([1.0]);
    assert!(!custom_gradient(&[&plain], |v| v[0].exp(), |_, _, _| vec![]).requires_grad());
}

#[test]
fn bits_are_those_of_the_plain_function_also_eagerly() {
    let x = Tensor::from([0.1, 0.2, 0.7]).with_grad();
    let run = |f: &dyn Fn(&Tensor) -> Tensor| {
        let y = f(&x);
        let dx = y.tanh().sum().grad(&x).unwrap();
        (y.to_array().unwrap(), dx.to_array().unwrap())
    };
    let (y, dx) = run(&|x| x.exp());
    for (a, b) in [run(&exp), eager(|| run(&exp))] {
        assert!(a.same_bits(&y));
        assert!(b.same_bits(&dx));
    }
}

#[test]
fn nothing_is_left_behind() {
    let before = live_nodes();
    {
        let w = Param::new(Array::new([2], &[1.0f32, 2.0]).unwrap());
        let y = exp(&w.tensor()).sum();
        y.item().unwrap();
        let g = y.backward().unwrap();
        assert_eq!(g.get(&w).unwrap().to_array().unwrap().dims(), [2]);
    }
    assert_eq!(live_nodes(), before);
}

/// Doubles its input of that number; every answer uses tensors.
struct Busy(usize);

impl CustomOp for Busy {
    fn name(&self) -> &'static str {
        "busy"
    }
    fn key(&self) -> u64 {
        Tensor::from(21.0).item().unwrap() as u64
    }
    fn infer(&self, inputs: &[Meta]) -> Result<Meta> {
        let n = Tensor::from(inputs[0].shape.numel() as i64).item()?;
        Ok(Meta { shape: Shape::new(&[n as usize]), dtype: inputs[0].dtype })
    }
    fn run(&self, inputs: &[Array]) -> Result<Array> {
        let x = inputs[self.0].clone();
        (Tensor::from_array(&x) * 2.0).to_array()
    }
    fn vjp(&self, input: usize) -> Option<Arc<dyn CustomOp>> {
        let zero = Tensor::from([1.0, -1.0]).sum().item().ok()? as usize;
        (input == self.0 + zero).then(|| Arc::new(Busy(self.0 + 2)) as _)
    }
}

#[test]
fn a_custom_operation_may_use_tensors_in_all_its_answers() {
    let x = Tensor::from([1.0, 2.0]).with_grad();
    let y = Tensor::custom(Arc::new(Busy(0)), &[&x]);
    assert_eq!(y.to_vec::<f32>().unwrap(), [2.0, 4.0]);
    let dx = y.square().sum().grad(&x).unwrap();
    assert_eq!(dx.to_vec::<f32>().unwrap(), [8.0, 16.0]);
    assert_eq!(dx.sum().grad(&x).unwrap().to_vec::<f32>().unwrap(), [8.0, 8.0]);
}
