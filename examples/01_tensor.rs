//! Tensors: numbers with a shape. Run with `cargo run -p gradus --example 01_tensor`.
//!
//! Operations are *recorded* and checked at once, and computed when somebody looks at a value.
//! That is why a formula needs no `?` at each operator: one at the end reports whatever went wrong.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::prelude::*;

fn main() -> gradus::Result<()> {
    // Literals: decimals become f32, whole numbers i64. The nesting gives the shape.
    let x = Tensor::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    println!("x, of shape {}:\n{x}\n", x.shape()?);

    // Broadcasting, as in NumPy: a missing or single axis repeats. The operands are borrowed with
    // `&` so that they can be used again.
    let row = Tensor::from([10.0, 20.0, 30.0]); // [3] repeats for each row of [2, 3]
    let column = Tensor::from([[100.0], [200.0]]); // [2, 1] repeats for each column
    println!("x + row + column:\n{}\n", &x + &row + &column);

    // Reductions go over all elements, or over the axes you name. `keepdim` leaves an axis of
    // size 1, so that the result still broadcasts against what it came from.
    println!("sum of all:        {}", x.sum());
    println!("mean of columns:   {}", x.mean_dim(0));
    println!("largest of a row:  {} at {}", x.max_dim(-1), x.argmax(-1));
    let centred = &x - x.mean_keepdim(-1);
    println!("rows minus their means:\n{centred}\n");

    // Shapes can be changed without moving a number; -1 is "whatever is left".
    println!("x as [3, 2]:\n{}\n", x.reshape([3, -1]));
    println!("x times its transpose:\n{}\n", x.matmul(x.t()));

    // Values leave as plain Rust: one number with `item`, all of them with `to_vec`.
    let values: Vec<f32> = (x.exp().log() - &x).abs().to_vec()?;
    println!("log(exp(x)) differs from x by at most {:e}", values.into_iter().fold(0.0, f32::max));

    // Random numbers come from a seed: the same seed gives the same numbers for ever.
    gradus::seed(17);
    println!("four normal numbers: {}\n", Tensor::randn([4]));

    // A mistake is found where it is made, and the message knows both shapes and their origin.
    let wrong = x.matmul(row.reshape([1, 3]));
    if let Err(error) = wrong.check() {
        println!("{error}");
    }
    Ok(())
}
