//! Regions that are computed again for the gradient.
#![allow(clippy::unwrap_used)]

use gradus_core::derivatives::vmap;
use gradus_core::{Array, Param, Rng, Tensor, check, checkpoint, eager, explain, live_nodes};

fn params(layers: usize, size: usize) -> Vec<Param> {
    let rng = Rng::new(3);
    let scale = 1.0 / (size as f32).sqrt();
    (0..layers).map(|_| Param::new(rng.normal([size, size], 0.0, scale).unwrap())).collect()
}

fn block(x: &Tensor, weights: &[Param]) -> Tensor {
    weights.iter().fold(x.clone(), |x, w| x.matmul(w).tanh() + x.sigmoid())
}

/// A deep net in regions of `each` layers, or without regions.
fn net(x: &Tensor, weights: &[Param], each: Option<usize>) -> Tensor {
    let Some(each) = each else { return block(x, weights) };
    weights.chunks(each).fold(x.clone(), |x, part| checkpoint(|x| block(x, part), &x))
}

fn gradients(y: &Tensor, weights: &[Param]) -> Vec<Array> {
    let all = y.square().mean().backward().unwrap();
    weights.iter().map(|w| all.get(w).unwrap().to_array().unwrap()).collect()
}

fn same(a: &[Array], b: &[Array]) {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(b).all(|(a, b)| a.same_bits(b)));
}

fn arena(t: &Tensor) -> usize {
    let text = explain(t).unwrap();
    let after = text.split("arena ").nth(1).unwrap();
    after.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_deep_net_needs_less_memory_and_gives_the_same_bits() {
    let weights = params(24, 16);
    let x = Tensor::from_array(&Rng::new(1).normal([512, 16], 0.0, 1.0).unwrap());
    let plain = gradients(&net(&x, &weights, None), &weights);
    for each in [1, 4, 6, 24] {
        same(&plain, &gradients(&net(&x, &weights, Some(each)), &weights));
    }
    let peak = |each| {
        let loss = net(&x, &weights, each).square().mean();
        let grads = loss.backward().unwrap();
        arena(&grads.norm())
    };
    let (kept, again) = (peak(None), peak(Some(4)));
    println!("{kept} bytes kept, {again} bytes computed again");
    assert!(again * 5 < kept * 2, "{again} of {kept}");
    same(&plain, &eager(|| gradients(&net(&x, &weights, Some(4)), &weights)));
}

#[test]
fn dropout_draws_the_same_again() {
    let weights = params(4, 8);
    let x = Tensor::from_array(&Rng::new(1).normal([32, 8], 0.0, 1.0).unwrap());
    let run = |again: bool| {
        gradus_core::seed(9);
        let f = |x: &Tensor| block(&block(x, &weights[..2]).dropout(0.4), &weights[2..]);
        let y = if again { checkpoint(f, &x) } else { f(&x) };
        gradients(&y, &weights)
    };
    same(&run(false), &run(true));
}

#[test]
fn regions_nest_and_share_values_with_the_outside() {
    let weights = params(6, 8);
    let x = Tensor::from_array(&Rng::new(1).normal([16, 8], 0.0, 1.0).unwrap());
    let run = |on: bool| {
        let region = |f: &dyn Fn(&Tensor) -> Tensor, x: &Tensor| {
            if on { checkpoint(f, x) } else { f(x) }
        };
        let a = block(&x, &weights[..1]);
        let outer = |h: &Tensor| {
            let inner = region(&|h| block(h, &weights[1..3]) * &a, h);
            block(&(inner + &a), &weights[3..5]) * weights[5].tensor().sum()
        };
        let y = region(&outer, &a) + &a * weights[5].tensor().mean();
        gradients(&y, &weights)
    };
    same(&run(false), &run(true));
}

#[test]
fn derivatives_of_every_order_go_through() {
    let a = Array::new([3], &[0.3f64, -0.8, 1.2]).unwrap();
    let f = |v: &[Tensor]| checkpoint(|x| x.sin() * x.exp(), &(&v[0] * 2.0)).tanh();
    check::gradients(f, std::slice::from_ref(&a)).unwrap();
    check::second_order(f, std::slice::from_ref(&a)).unwrap();
    let x = Tensor::from_array(&a).with_grad();
    let mapped = vmap(|x| checkpoint(|x| x.sin().exp(), x), &x);
    let g = mapped.sum().grad(&x).unwrap().to_array().unwrap();
    let plain = x.sin().exp().sum().grad(&x).unwrap().to_array().unwrap();
    assert!(g.same_bits(&plain));
}

#[test]
fn what_needs_no_gradient_is_left_alone() {
    let before = live_nodes();
    {
        let x = Tensor::from([1.0, 2.0]);
        assert_eq!(checkpoint(|x| x * 2.0, &x).to_vec::<f32>().unwrap(), [2.0, 4.0]);
        let x = x.with_grad();
        let y = checkpoint(Tensor::clone, &x);
        assert_eq!(y.sum().grad(&x).unwrap().to_vec::<f32>().unwrap(), [1.0, 1.0]);
        assert!(checkpoint(|x| x.matmul(x), &x.reshape([1, 2])).check().is_err());
    }
    assert_eq!(live_nodes(), before);
}
