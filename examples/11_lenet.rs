//! LeNet-5 on hand-written digits. Run with
//! `cargo run --release -p gradus --example 11_lenet -- [FOLDER-OF-MNIST] [EPOCHS]`.
//!
//! With MNIST it gets 99 % of the test pictures right. Without a folder it takes the digits of 8x8
//! pixels that are built in, made larger.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::nn::models::LeNet;
use gradus::prelude::*;
use gradus::train::{ScheduleName, Scheduler};
use gradus::{Interpolation, Pad, Resize};

/// The built-in digits as pictures of 28x28 pixels.
fn digits() -> gradus::Result<Dataset> {
    let (x, y) = gradus::data::digits()?.arrays()?;
    let small = Tensor::from(x).reshape_to([y.numel(), 1, 8, 8]);
    let large = small
        .interpolate(Resize::to([20, 20]).mode(Interpolation::Linear))
        .pad([4, 4, 4, 4], Pad::Constant(0.0));
    Dataset::from_arrays(large.squeeze(1).to_array()?, y)
}

fn main() -> gradus::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (train, test) = match args.first() {
        Some(folder) => match gradus::data::mnist_folder(folder)?.load()? {
            (train, Some(test)) => (train, test),
            (train, None) => train.split(0.8, 17)?,
        },
        None => digits()?.split(0.8, 17)?,
    };
    let epochs =
        args.get(1).and_then(|s| s.parse().ok()).unwrap_or(if args.is_empty() { 8 } else { 12 });
    // The test pictures are looked at once, at the end; the best epoch is chosen by others.
    let (train, valid) = train.split(0.95, 17)?;
    gradus::seed(17);
    let model = LeNet::new(10);
    println!("{} parameters, {} pictures", model.num_parameters(), train.len());
    let mut report = Trainer::new(&model, AdamW::new(&model, 2e-3).weight_decay(0.05))
        .loss(cross_entropy)
        .metric(Accuracy::new())
        .batch_size(64)
        .callback(Scheduler::new(ScheduleName::Cosine))
        .seed(17)
        .fit(&train, &valid, Epochs(epochs))?;
    report.test(&model, &test)?;
    println!("{report}");
    Ok(())
}
