//! Picking, changing and printing parts of tensors. Run with
//! `cargo run -p gradus --example 07_indexing`.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::prelude::*;

fn main() -> gradus::Result<()> {
    let x = Tensor::arange(0, 24).reshape([4, 6]);
    println!("x:\n{x}\n");

    // Positions and ranges, one for each axis. Negative ones count from the end.
    println!("last row:              {}", x.i(-1));
    println!("one number:            {}", x.i((2, 3)));
    println!("a block:\n{}\n", x.i((1..3, -2..)));
    println!("every second, turned:  {}", x.i((0, (..).by(-2))));

    // Lists and tensors of positions; several of them pick single places together.
    println!("columns 0 and 5:\n{}\n", x.i((.., [0, 5])));
    println!("three places:          {}", x.i(([0, 1, 2], [3, 4, 5])));

    // A mask takes what is true. New axes and the rest of the axes have names.
    println!("multiples of 7:        {}", x.i((&x % 7).eq(0)));
    println!("a column of shape {}", x.i((Ellipsis, 0, NewAxis)).shape()?);

    // Tensors are values: a changed one is a new one. Gradients flow through both.
    let board = Tensor::zeros([3, 3]).with_i((1, ..), 1.0).with_i(([0, 2], [0, 2]), 5.0);
    println!("\na changed tensor:\n{board}\n");
    let w = Tensor::from([1.0, 2.0, 3.0]).with_grad();
    println!("gradient of w[0] + 2 w[0]: {}", w.i([0, 0]).dot(Tensor::from([1.0, 2.0])).grad(&w)?);

    // `for` goes over rows. The format decides about digits; long tensors are summarised.
    for row in &x.i((..2, ..3)) {
        println!("a row: {row}");
    }
    let y = Tensor::linspace(0.0, 1.0, 2000).reshape([40, 50]);
    println!("\nshort:\n{y}\n\ntwo digits: {:.2}", y.i((0, ..4)));
    println!("exponents:  {:e}", y.i((0, ..4)));
    println!("where it comes from: {y:?}");

    // A mistake names the part of the index.
    if let Err(error) = x.i((.., 6)).check() {
        println!("\n{error}");
    }
    Ok(())
}
