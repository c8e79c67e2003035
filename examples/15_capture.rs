//! A small net trained as fast as its kernels: the training step is recorded once and replayed. Run with
//! `cargo run --release -p gradus --example 15_capture`.
//!
//! Steps of small nets cost mostly recording, which needs no repetition while nothing changes.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::cell::RefCell;
use std::time::Instant;

use gradus::capture;
use gradus::prelude::*;

const BATCH: usize = 32;
const EPOCHS: usize = 20;

fn main() -> gradus::Result<()> {
    let (train, test) = gradus::data::digits()?.split(0.8, 17)?;
    let (x, y) = train.arrays()?;
    let (x, y) = (Tensor::from(x), Tensor::from(y));
    gradus::seed(17);
    let model = seq![
        Linear::new(64, 32),
        BatchNorm1d::new(32),
        Relu,
        Dropout::new(0.1),
        Linear::new(32, 10)
    ];
    // Behind a `RefCell`, so that the rate can be set between two calls.
    let opt = RefCell::new(Adam::new(&model, 1e-2));
    let mut step = capture(|batch: &[Tensor]| {
        let loss = model.forward(&batch[0]).cross_entropy(&batch[1]);
        opt.borrow_mut().step(&loss)?;
        Ok(loss)
    });
    let starts: Vec<usize> = (0..train.len() / BATCH).map(|i| i * BATCH).collect();
    let started = Instant::now();
    for epoch in 0..EPOCHS {
        opt.borrow_mut().set_lr(1e-2 * (1.0 - epoch as f64 / EPOCHS as f64));
        // One call an epoch: the step on each batch of rows, and all losses.
        let losses = step.run_rows(&[&x, &y], BATCH, &starts)?;
        if epoch % 5 == 4 {
            println!("epoch {epoch:2}: loss {:.4}", losses.mean().item()?);
        }
    }
    let steps = EPOCHS * starts.len();
    println!(
        "{:.0} steps a second, {:.1} % of the test digits right",
        steps as f64 / started.elapsed().as_secs_f64(),
        100.0 * accuracy(&model, &test)?
    );
    Ok(())
}
