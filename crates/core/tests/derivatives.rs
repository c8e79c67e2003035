//! Derivatives as functions: against formulas, loops over samples and numerical differences.
#![allow(clippy::unwrap_used, clippy::panic)]

use gradus_core::derivatives::{
    grad, hessian, hvp, jacfwd, jacobian, jacrev, jvp, per_sample_gradients, value_and_grad, vjp,
    vmap, vmap_many,
};
use gradus_core::{
    Array, Buffer, Code, Param, Rng, Tensor, check, custom_gradient, eager, live_nodes, no_grad,
};

fn normal(seed: u64, dims: &[usize]) -> Array {
    let a = Rng::new(seed).normal(dims, 0.0, 1.0).unwrap();
    Array::new(a.shape(), &a.to_f64()).unwrap()
}

fn tensor(seed: u64, dims: &[usize]) -> Tensor {
    Tensor::from_array(&normal(seed, dims))
}

fn values(t: &Tensor) -> Vec<f64> {
    t.to_array().unwrap_or_else(|e| panic!("{e}")).to_f64()
}

fn close(a: &Tensor, b: &Tensor) {
    assert_eq!(a.shape().unwrap(), b.shape().unwrap());
    for (x, y) in values(a).iter().zip(values(b)) {
        assert!((x - y).abs() <= 1e-11 * (1.0 + y.abs()), "{x} and {y}");
    }
}

/// `f` of each sample of a batch, stacked.
fn in_a_loop(f: impl Fn(&Tensor) -> Tensor, x: &Tensor) -> Tensor {
    let n = x.shape().unwrap().dim(0);
    let rows: Vec<Tensor> = (0..n).map(|i| f(&x.select(0, i as isize))).collect();
    Tensor::stack(&rows.iter().collect::<Vec<_>>(), 0)
}

/// A net with every weight in one vector: 3 -> 4 -> 2.
fn net(w: &Tensor, x: &Tensor) -> Tensor {
    let w1 = w.narrow(0, 0, 12).reshape([4, 3]);
    let b1 = w.narrow(0, 12, 4);
    let w2 = w.narrow(0, 16, 8).reshape([2, 4]);
    x.linear(&w1, Some(&b1)).tanh().linear(&w2, None)
}

#[test]
fn jacobians_are_the_same_by_rows_and_columns_and_right() {
    let (w, x) = (tensor(1, &[24]), tensor(2, &[5, 3]));
    let j = jacobian(|w| net(w, &x), &w).unwrap();
    assert_eq!(j.shape().unwrap().dims(), [5, 2, 24]);
    close(&j, &jacrev(|w| net(w, &x), &w).unwrap());
    close(&j, &jacfwd(|w| net(w, &x), &w).unwrap());
    // Column k by differences.
    for k in [0, 7, 13, 22] {
        let h = 1e-5;
        let step = |s: f64| {
            let mut v = values(&w);
            v[k] += s;
            net(&Tensor::exact([24], &v), &x)
        };
        let slope = values(&((step(h) - step(-h)) / (2.0 * h)));
        let column = values(&j.select(2, k as isize));
        for (a, b) in slope.iter().zip(column) {
            assert!((a - b).abs() < 1e-8, "{a} and {b}");
        }
    }
    // Of a sample's net for the sample, mapped over the batch.
    let by_sample = vmap(|x| jacobian(|x| net(&w, x), x).unwrap(), &x);
    close(&by_sample, &in_a_loop(|x| jacobian(|x| net(&w, x), x).unwrap(), &x));
}

#[test]
fn a_hessian_is_that_of_the_formula() {
    // Rosenbrock: f = (1 - x)^2 + 100 (y - x^2)^2.
    let rosenbrock = |p: &Tensor| {
        let (x, y) = (p.select(0, 0), p.select(0, 1));
        (1.0f64 - &x).square() + 100.0f64 * (y - x.square()).square()
    };
    let p = Tensor::exact([2], &[-1.2f64, 1.0]);
    let h = hessian(rosenbrock, &p).unwrap();
    let (x, y) = (-1.2f64, 1.0f64);
    let want = [1200.0 * x * x - 400.0 * y + 2.0, -400.0 * x, -400.0 * x, 200.0];
    for (a, b) in values(&h).iter().zip(want) {
        assert!((a - b).abs() < 1e-9, "{a} and {b}");
    }
    // Newton's method finds the minimum.
    let mut p = p;
    for _ in 0..8 {
        let (g, h) =
            (values(&grad(rosenbrock, &p).unwrap()), values(&hessian(rosenbrock, &p).unwrap()));
        let det = h[0] * h[3] - h[1] * h[2];
        let d = [(h[3] * g[0] - h[1] * g[1]) / det, (h[0] * g[1] - h[2] * g[0]) / det];
        let v = values(&p);
        p = Tensor::exact([2], &[v[0] - d[0], v[1] - d[1]]);
    }
    assert!(values(&p).iter().all(|v| (v - 1.0).abs() < 1e-9));
}

#[test]
fn products_with_jacobian_and_hessian_agree_with_the_matrices() {
    let (w, x, v) = (tensor(1, &[24]), tensor(2, &[5, 3]), tensor(3, &[24]));
    let f = |w: &Tensor| net(w, &x);
    let j = jacobian(f, &w).unwrap().reshape([10, 24]);
    let (y, dy) = jvp(|w| f(&w[0]), &[&w], &[&v]).unwrap();
    close(&y, &f(&w));
    close(&dy.reshape([10]), &j.matmul(&v));
    let c = tensor(4, &[5, 2]);
    let (_, back) = vjp(|w| f(&w[0]), &[&w], &c).unwrap();
    close(&back[0], &c.reshape([10]).matmul(&j));
    let loss = |w: &Tensor| f(w).square().mean();
    let h = hessian(loss, &w).unwrap();
    close(&h, &h.t());
    let (g, hv) = hvp(|w| loss(&w[0]), &[&w], &[&v]).unwrap();
    close(&g[0], &grad(loss, &w).unwrap());
    close(&hv[0], &h.matmul(&v));
    // The same for something recorded.
    let leaf = w.with_grad();
    let recorded = loss(&leaf);
    close(&recorded.hessian(&leaf).unwrap(), &h);
    close(&recorded.hvp(&[&leaf], &[&v]).unwrap()[0], &hv[0]);
    close(&f(&leaf).jacobian(&leaf).unwrap().reshape([10, 24]), &j);
}

#[test]
fn several_inputs_and_inputs_without_influence() {
    let (x, y) = (tensor(1, &[3]), tensor(2, &[3]));
    let (value, grads) = value_and_grad(|v| (&v[0] * &v[0]).sum(), &[&x, &y]).unwrap();
    close(&value, &(&x * &x).sum());
    close(&grads[0], &(&x * 2.0));
    assert_eq!(values(&grads[1]), [0.0; 3]);
    let (_, hv) = hvp(|v| (&v[0] * &v[1]).sum(), &[&x, &y], &[&x, &y]).unwrap();
    close(&hv[0], &y);
    close(&hv[1], &x);
    // A linear function has a Hessian of zeros; a constant one a Jacobian of zeros.
    assert_eq!(values(&hessian(|x| (x * 3.0).sum(), &x).unwrap()), [0.0; 9]);
    assert_eq!(values(&jacobian(|_| y.clone(), &x).unwrap()), [0.0; 9]);
}

#[test]
fn derivatives_nest_and_have_derivatives() {
    let x = tensor(1, &[3]);
    // Third derivative of sum(x^4): 24 x on the diagonal of the diagonal.
    let third = jacobian(|x| hessian(|x| x.square().square().sum(), x).unwrap(), &x).unwrap();
    let want: Vec<f64> =
        (0..27).map(|i| if i % 13 == 0 { 24.0 * values(&x)[i / 13] } else { 0.0 }).collect();
    close(&third, &Tensor::exact([3, 3, 3], &want));
    // Gradients flow through a Jacobian.
    let penalty = |v: &[Tensor]| jacobian(|x| (x * &v[0]).tanh(), &v[1]).unwrap().square().sum();
    check::gradients(penalty, &[normal(2, &[3]), normal(3, &[3])]).unwrap();
    // And work without any around them.
    let quiet = no_grad(|| grad(|x| x.square().sum(), &x)).unwrap();
    assert!(!quiet.requires_grad());
    close(&quiet, &(&x * 2.0));
}

#[test]
fn per_sample_gradients_are_those_of_a_loop() {
    let w = Param::new(normal(1, &[24]));
    let unused = Param::new(normal(1, &[2]));
    let (x, t) = (tensor(2, &[6, 3]), tensor(3, &[6, 2]));
    let loss = |s: &[Tensor]| (net(&w.tensor(), &s[0]) - &s[1]).square().sum();
    let grads = per_sample_gradients(&[&w, &unused], loss, &[&x, &t]).unwrap();
    let all = grads.get(&w).unwrap();
    for i in 0..6 {
        let one = loss(&[x.select(0, i as isize), t.select(0, i as isize)]);
        close(&all.select(0, i as isize), &one.grad(&w.tensor()).unwrap());
    }
    assert_eq!(values(grads.get(&unused).unwrap()), [0.0; 12]);
    // Class ids are data of a sample like any other.
    let ids = Tensor::from([1i64, 0, 1, 1, 0, 0]);
    let loss =
        |s: &[Tensor]| net(&w.tensor(), &s[0].unsqueeze(0)).cross_entropy(&s[1].unsqueeze(0));
    let grads = per_sample_gradients(&[&w], loss, &[&x, &ids]).unwrap();
    let whole = net(&w.tensor(), &x).cross_entropy(&ids).grad(&w.tensor()).unwrap();
    close(&grads.get(&w).unwrap().mean_dim(0), &whole);
}

#[test]
fn gradients_flow_out_of_a_mapped_function() {
    let f = |v: &[Tensor]| vmap(|x| (x * &v[1]).sum().tanh() * x, &v[0]);
    check::gradients(f, &[normal(1, &[4, 3]), normal(2, &[3])]).unwrap();
    check::second_order(f, &[normal(1, &[4, 3]), normal(2, &[3])]).unwrap();
    // What does not let them through for a sample does not for the batch.
    let cut = |x: &Tensor| no_grad(|| x.exp()) * x + x.detach();
    let x = tensor(3, &[4, 3]).with_grad();
    let through = |y: Tensor| y.sum().grad(&x).unwrap();
    close(&through(vmap(cut, &x)), &through(in_a_loop(cut, &x)));
}

#[test]
fn axes_nesting_and_shared_values() {
    let (x, w) = (tensor(1, &[4, 3]), tensor(2, &[3]));
    let f = |v: &[Tensor]| Ok(vec![&v[0] * &w, w.clone(), v[1].sum()]);
    let ys = vmap_many(f, &[&x, &w], &[Some(-2), None]).unwrap();
    close(&ys[0], &(&x * &w));
    assert_eq!(ys[1].shape().unwrap().dims(), [4, 3]);
    assert_eq!(ys[2].shape().unwrap().dims(), [4]);
    let outer = vmap(|a| vmap(|b| a * b, &w), &w);
    close(&outer, &w.unsqueeze(1).matmul(w.unsqueeze(0)));
    let empty = vmap(|x| x.exp().sum(), &Tensor::zeros([0, 3]));
    assert_eq!(empty.to_array().unwrap().dims(), [0]);
}

#[test]
fn custom_gradients_are_mapped_with_their_rule() {
    let w = tensor(3, &[3]).with_grad();
    let f = |x: &Tensor| {
        custom_gradient(
            &[x, &w],
            |v| (&v[0] * &v[1]).sum(),
            |v, y, g| vec![&v[1] * g * 3.0, &v[0] * g * y],
        )
    };
    let x = tensor(1, &[4, 3]).with_grad();
    let (a, b) = (vmap(f, &x), in_a_loop(f, &x));
    close(&a, &b);
    for of in [&x, &w] {
        close(&a.square().sum().grad(of).unwrap(), &b.square().sum().grad(of).unwrap());
    }
    // The rule is also what a gradient inside uses.
    let inner = |x: &Tensor| f(x).grad(x).unwrap();
    close(&vmap(inner, &x), &in_a_loop(inner, &x));
    // And mapped again.
    close(&vmap(|x| vmap(f, x), &x.reshape([2, 2, 3])).reshape([4]), &a);
}

#[test]
fn samples_draw_numbers_of_their_own() {
    let x = Tensor::ones([64, 8]);
    gradus_core::seed(5);
    let y = vmap(|x| x.dropout(0.5), &x).to_vec::<f32>().unwrap();
    assert!(y.chunks(8).any(|row| row != &y[..8]));
    let mean = y.iter().sum::<f32>() / y.len() as f32;
    assert!((mean - 1.0).abs() < 0.15, "{mean}");
    // What was drawn outside is one value, shared.
    let noise = Tensor::rand([8]);
    close(&vmap(|x| x + &noise, &x), &(&x + &noise));
}

#[test]
fn mistakes_are_errors() {
    let x = tensor(1, &[4, 3]);
    let code = |t: Tensor| t.check().unwrap_err().code();
    assert_eq!(code(vmap(|x| x.clone(), &Tensor::from(1.0))), Code::Shape);
    let reads = vmap(|x| x * x.sum().item().map_or_else(Tensor::failed, Tensor::from), &x);
    let error = reads.check().unwrap_err();
    assert_eq!(error.code(), Code::Argument);
    assert!(error.title().contains("[] has no value here"), "{error}");
    assert_eq!(
        code(vmap(|x| x.matmul(x.reshape([3, 1]).t().t().reshape([1, 3])), &x)),
        Code::Shape
    );
    let two = vmap_many(|v| Ok(v.to_vec()), &[&x, &x], &[Some(0), Some(1)]).unwrap_err();
    assert!(two.title().contains("3 samples, others 4"), "{two}");
    assert!(vmap_many(|v| Ok(v.to_vec()), &[&x], &[None]).is_err());
    let big = Tensor::zeros([1, 1, 1, 1, 1, 1, 1, 2]);
    assert_eq!(code(vmap(|x| x.unsqueeze(0) + 1.0, &big)), Code::Shape);
    assert!(grad(|x| x.clone(), &x).unwrap_err().title().contains("single number"));
    assert_eq!(hvp(|x| x[0].sum(), &[&x], &[&x.sum()]).unwrap_err().code(), Code::Shape);
    let buffer = Buffer::new(Array::new((), &[0.0f64]).unwrap());
    let assigns = vmap(
        |x| {
            buffer.assign(&x.sum());
            x.clone()
        },
        &x,
    );
    let error = assigns.check().unwrap_err();
    assert_eq!(error.code(), Code::Argument);
    assert!(error.title().contains("assign: buffer (unnamed)"), "{error}");
    assert!(error.to_string().contains("mapped over a batch"), "{error}");
    gradus_core::sync().unwrap();
}

#[test]
fn eager_gives_the_same_and_nothing_is_left_behind() {
    let before = live_nodes();
    {
        let (w, x) = (tensor(1, &[24]), tensor(2, &[5, 3]));
        let f = || jacobian(|w| net(w, &x), &w).unwrap().to_array().unwrap();
        assert!(f().same_bits(&eager(f)));
    }
    assert_eq!(live_nodes(), before);
}
