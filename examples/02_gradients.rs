//! Gradients of anything, also of gradients. Run with `cargo run -p gradus --example 02_gradients`.
//!
//! A gradient is a tensor like any other: it was recorded, it can be used in formulas, and it has
//! gradients itself. Nothing is stored in the tensors, so there is nothing to reset.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::check;
use gradus::prelude::*;

fn main() -> gradus::Result<()> {
    // First and second derivative of x^2 + 2x: 2x + 2, and 2.
    let x = Tensor::from([1.0, 2.0, 3.0]).with_grad(); // a leaf that gradients reach
    let dy = (&x * &x + 2.0 * &x).sum().grad(&x)?; // a tensor like any other,
    let d2 = dy.sum().grad(&x)?; // so it has gradients too
    println!("x            {x}");
    println!("first        {dy}");
    println!("second       {d2}");

    // The slope and the bend of one function, sin(x) e^-x, without any formula by hand.
    let t = Tensor::linspace(0.0, 3.0, 4).with_grad();
    let f = t.sin() * (-&t).exp();
    let slope = f.sum().grad(&t)?;
    let bend = slope.sum().grad(&t)?;
    println!("\nt            {t}\nf            {f}\nslope        {slope}\nbend         {bend}");

    // How a function of many numbers bends in one direction v: the Hessian times v. The Hessian of
    // n numbers has n^2 entries, but its product with a vector costs only two gradients.
    let w = Tensor::from([-1.2, 1.0]).with_grad();
    let v = Tensor::from([1.0, 0.0]);
    let gradient = rosenbrock(&w).grad(&w)?;
    let hv = (&gradient * &v).sum().grad(&w)?;
    println!("\nRosenbrock's valley at {w}");
    println!("gradient     {gradient}");
    println!("H v          {hv}   for v = {v}");

    // Newton's method needs the whole Hessian: one product a unit vector. It is at the bottom of
    // the valley, (1, 1), in a few steps; gradient descent would take thousands.
    let mut at = w.detach();
    for step in 0..6 {
        let w = at.with_grad();
        let g = rosenbrock(&w).grad(&w)?;
        let column = |i: usize| (&g * unit(i)).sum().grad(&w)?.to_vec::<f32>();
        let (a, b) = (column(0)?, column(1)?);
        let (g, det) = (g.to_vec::<f32>()?, a[0] * b[1] - a[1] * b[0]);
        let move_by = [(b[1] * g[0] - b[0] * g[1]) / det, (a[0] * g[1] - a[1] * g[0]) / det];
        at = w.detach() - Tensor::from(move_by);
        println!("step {step}       {at}   height {:.6}", rosenbrock(&at).item()?);
    }

    // And whoever writes a function of their own can have its gradients checked against
    // differences, in f64: an error would name the element.
    let point = Array::new([2], &[-1.2f32, 1.0])?;
    check::gradients(|v| rosenbrock(&v[0]), std::slice::from_ref(&point))?;
    check::second_order(|v| rosenbrock(&v[0]), &[point])?;
    println!("\nfirst and second derivatives agree with differences");
    Ok(())
}

/// `(1 - x)^2 + 100 (y - x^2)^2` of `[x, y]` (Rosenbrock, 1960).
fn rosenbrock(w: &Tensor) -> Tensor {
    let (x, y) = (w.narrow(0, 0, 1), w.narrow(0, 1, 1));
    ((&x - 1.0).square() + 100.0 * (y - x.square()).square()).sum()
}

/// The unit vector along axis `i` of the plane.
fn unit(i: usize) -> Tensor {
    Tensor::eye(2).narrow(0, i, 1).reshape([2])
}
