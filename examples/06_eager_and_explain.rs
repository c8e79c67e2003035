//! Looking inside. Run with `cargo run --release -p gradus --example 06_eager_and_explain`.
//!
//! Normally whole steps are planned and run as a few fused pieces. When something is strange, three
//! tools show what happens: `explain` prints the plan, `eager` runs each operation at once, and
//! a step that goes wrong says which operation made the first bad number.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::prelude::*;

fn main() -> gradus::Result<()> {
    gradus::seed(17);
    let x = Tensor::from(gradus::Rng::new(1).normal([256, 20], 0.0, 1.0)?);
    let model = seq![Linear::new(20, 64), Tanh, Linear::new(64, 1)];

    // The plan of a formula, one line a step: what was fused into one pass (a matrix product takes
    // its bias along), and which memory each result lies in; memory is used again where it can be.
    println!("{}\n", gradus::explain(&model.forward(&x).square().mean())?);

    // Eager mode: the same kernels, one operation at a time, so a debugger or a `println!` between
    // two lines sees values. The bits are the same, by construction and by test.
    let planned = model.predict(&x).to_array()?;
    let eager = gradus::eager(|| model.predict(&x).to_array())?;
    println!("planned and eager give the same bits: {}", planned.same_bits(&eager));

    // A learning rate that is far too high. The step that would write infinities or NaN into the
    // model is refused: the error names where they came from, and nothing was changed, so the
    // model is still good to use.
    let y = Tensor::from(gradus::Rng::new(2).normal([256, 1], 0.0, 1.0)?);
    let mut opt = Sgd::new(&model, 1e6);
    let failed = (0..100).find_map(|step| {
        let loss = (model.forward(&x) - &y).square().mean().exp();
        opt.step(&loss).err().map(|error| (step, error))
    });
    if let Some((step, error)) = failed {
        println!("\nin step {step}:\n{error}\n");
        println!("what the code means:\n{}\n", error.code().explain());
    }
    let finite = |param: &Param| Ok(param.get()?.to_f64().iter().all(|v| v.is_finite()));
    let finite: Vec<bool> = model.parameters().iter().map(finite).collect::<gradus::Result<_>>()?;
    println!("all parameters are still finite: {}", finite.iter().all(|&f| f));
    Ok(())
}
