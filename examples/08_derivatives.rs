//! Derivatives as mathematics has them. Run with `cargo run -p gradus --example 08_derivatives`.
//!
//! Jacobians and Hessians of any function, Newton's method, the largest curvature of a network
//! without its Hessian, the gradient of each sample, gradients of one's own, and memory traded for
//! time.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::derivatives::{self, grad, hessian, jacobian, of_model, vmap};
use gradus::linalg::Linalg;
use gradus::prelude::*;
use gradus::{Error, Gradients, checkpoint, custom_gradient};

fn main() -> gradus::Result<()> {
    newton()?;
    polar()?;
    sharpness()?;
    samples()?;
    own_gradient()?;
    less_memory()
}

/// `(1 - x)^2 + 100 (y - x^2)^2` of `[x, y]` (Rosenbrock, 1960).
fn rosenbrock(p: &Tensor) -> Tensor {
    let (x, y) = (p.narrow(0, 0, 1), p.narrow(0, 1, 1));
    ((&x - 1.0).square() + 100.0 * (y - x.square()).square()).sum()
}

/// p - H^-1 g, until it stands at (1, 1).
fn newton() -> gradus::Result<()> {
    let mut p = Tensor::from([-1.2, 1.0]);
    for step in 0..6 {
        let (g, h) = (grad(rosenbrock, &p)?, hessian(rosenbrock, &p)?);
        p = p - h.solve(&g);
        println!("newton {step}     {p}");
    }
    Ok(())
}

/// The Jacobian of polar coordinates has the determinant r.
fn polar() -> gradus::Result<()> {
    let to_plane = |p: &Tensor| {
        let (r, phi) = (p.narrow(0, 0, 1), p.narrow(0, 1, 1));
        Tensor::concat(&[&(&r * phi.cos()), &(&r * phi.sin())], 0)
    };
    let j = jacobian(to_plane, &Tensor::from([2.0, 0.5]))?;
    println!("\njacobian     {j}\ndeterminant  {}", j.det());
    // For many points at once.
    let points = Tensor::from([[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]]);
    let area = vmap(|p| jacobian(to_plane, p).map_or_else(Tensor::failed, |j| j.det()), &points);
    println!("at 3 points  {area}");
    Ok(())
}

/// The largest eigenvalue of a network's Hessian by power iteration: v <- H v / |H v|.
fn sharpness() -> gradus::Result<()> {
    gradus::seed(7);
    let model = seq![Linear::new(8, 16), Tanh, Linear::new(16, 3)];
    let (x, y) = (Tensor::randn([64, 8]), Tensor::from([0i64, 1, 2, 1].repeat(16)));
    let loss = model.forward(&x).cross_entropy(&y);
    let params = model.parameters();
    let mut v = Gradients::from_pairs(params.iter().map(|p| (p, Tensor::randn(p.shape()))));
    let mut curvature = 0.0;
    for _ in 0..20 {
        let hv = of_model::hvp(&model, &loss, &v)?;
        curvature = hv.norm().item()?;
        let kept: Vec<Tensor> = hv.scale(1.0 / curvature).tensors().map(Tensor::detach).collect();
        v = Gradients::from_pairs(params.iter().zip(kept));
    }
    println!("\nsharpness    {curvature:.4}");
    Ok(())
}

/// Which samples pull hardest at the weights?
fn samples() -> gradus::Result<()> {
    gradus::seed(7);
    let model = Linear::new(2, 1);
    let x = Tensor::from([[0.1, 0.2], [0.0, -0.3], [9.0, 9.0], [0.2, 0.1]]);
    let y = Tensor::from([0.0, 0.1, -5.0, 0.2]);
    let loss = |s: &[Tensor]| (model.forward(&s[0]).sum() - &s[1]).square();
    let grads = of_model::per_sample_gradients(&model, loss, &[&x, &y])?;
    let of_weight = grads.get(&model.weight).ok_or_else(|| Error::internal("no gradient"))?;
    println!("\nper sample   {}", of_weight.square().sum_dim([1, 2]).sqrt());
    Ok(())
}

/// Rounding has a slope of zero everywhere. Here its gradient passes straight through, so a weight
/// that is rounded in every forward pass can be trained.
fn own_gradient() -> gradus::Result<()> {
    let rounded = |x: &Tensor| custom_gradient(&[x], |v| v[0].round(), |_, _, g| vec![g.clone()]);
    let mut w = Tensor::from(0.2);
    for _ in 0..20 {
        w = &w - grad(|w| (rounded(w) - 3.0).square(), &w)? * 0.1;
    }
    println!("\nrounded      {}", rounded(&w));
    Ok(())
}

/// The values inside a checkpointed block are computed again for the gradient, not kept.
fn less_memory() -> gradus::Result<()> {
    let deep = |x: &Tensor| (0..50).fold(x.clone(), |x, _| x.sin() * 1.01);
    let x = Tensor::linspace(0.0, 1.0, 5);
    let (plain, again) = (grad(|x| deep(x).sum(), &x)?, grad(|x| checkpoint(deep, x).sum(), &x)?);
    println!(
        "\ngradient     {plain}\nsame bits    {}",
        plain.to_array()?.same_bits(&again.to_array()?)
    );
    let (_, slope) = derivatives::jvp(|v| deep(&v[0]), &[&x], &[&Tensor::ones([5])])?;
    println!("forwards     {slope}");
    Ok(())
}
