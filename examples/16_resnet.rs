//! ResNet-20 on hand-written digits. Run with
//! `cargo run --release -p gradus --example 16_resnet -- [FOLDER-OF-MNIST] [EPOCHS]`.
//!
//! The network of He et al. for pictures of 32x32 with three channels, trained as in the paper: SGD with
//! momentum 0.9, weight decay 1e-4, pictures shifted by up to four pixels; here with one cycle of the
//! rate. With a folder MNIST's pictures are padded to 32x32. Without one a ResNet-8 of the same kind
//! learns the built-in digits of 8x8, made larger, in ten seconds.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::nn::models::ResNet;
use gradus::prelude::*;
use gradus::train::Schedule;
use gradus::train::schedule::OneCycle;
use gradus::{Interpolation, Pad, Resize, Rng};

/// Pictures `[n, height, width]` in a frame of 32x32, in three equal channels.
fn framed(x: &Tensor) -> gradus::Result<Tensor> {
    let [_, height, width] = x.dims::<3>()?;
    let (rows, columns) = (32 - height as isize, 32 - width as isize);
    let frame = [columns / 2, columns - columns / 2, rows / 2, rows - rows / 2];
    let x = x.pad(frame, Pad::Constant(0.0)).unsqueeze(1);
    Ok(x.expand([-1, 3, -1, -1]))
}

/// The whole batch shifted by up to four pixels each way, zeros from outside.
fn shifted(x: &Tensor, draw: &mut Rng) -> gradus::Result<Tensor> {
    let by: Vec<f64> = draw.uniform([2], 0.0, 9.0)?.to_f64();
    let [down, right] = [by[0] as isize, by[1] as isize];
    let wide = x.pad([4, 4, 4, 4], Pad::Constant(0.0));
    Ok(wide.slice(2, down, down + 32, 1).slice(3, right, right + 32, 1))
}

/// The built-in digits as pictures of 24x24 pixels.
fn digits() -> gradus::Result<Dataset> {
    let (x, y) = gradus::data::digits()?.arrays()?;
    let small = Tensor::from(x).reshape_to([y.numel(), 1, 8, 8]);
    let large = small.interpolate(Resize::to([24, 24]).mode(Interpolation::Linear));
    Dataset::from_arrays(large.squeeze(1).to_array()?, y)
}

/// The share of the pictures that are told right.
fn right(model: &ResNet, data: &Dataset) -> gradus::Result<f64> {
    let mut right = 0.0;
    for (x, y) in data.batches(256) {
        right += model.predict(&framed(&x)?).argmax(-1).eq(&y).sum().item()?;
    }
    Ok(right / data.len() as f64)
}

fn main() -> gradus::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    gradus::seed(17);
    let (train, test, model, epochs) = match args.first() {
        Some(folder) => {
            let (train, test) = match gradus::data::mnist_folder(folder)?.load()? {
                (train, Some(test)) => (train, test),
                (train, None) => train.split(0.8, 17)?,
            };
            (train, test, ResNet::resnet20(10), 2)
        }
        None => {
            let (train, test) = digits()?.split(0.8, 17)?;
            (train, test, ResNet::cifar(1, 3, 8, 10), 16)
        }
    };
    let epochs: u64 = args.get(1).and_then(|s| s.parse().ok()).unwrap_or(epochs);
    let steps = epochs * train.len().div_ceil(64) as u64;
    println!("{} parameters, {} pictures, {steps} steps", model.num_parameters(), train.len());

    let mut opt = Sgd::new(&model, 0.1).momentum(0.9).nesterov(true).weight_decay(1e-4);
    let schedule = Schedule::OneCycle(OneCycle::new(0.1, steps));
    let mut draw = Rng::new(17);
    let mut losses = Vec::new();
    for epoch in 0..epochs {
        let from = losses.len();
        for (x, y) in train.shuffled(epoch).batches(64) {
            opt.set_lr(schedule.rate(0.1, losses.len() as u64));
            // Computed at once: a shift is part of a plan's structure, and the step's plan stays one.
            let x = Tensor::from(shifted(&framed(&x)?, &mut draw)?.to_array()?);
            losses.push(opt.step(&model.forward(&x).cross_entropy(&y))?.loss);
        }
        let now = &losses[from..];
        println!("epoch {}: loss {:.4}", epoch + 1, now.iter().sum::<f64>() / now.len() as f64);
    }
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    let share = right(&model, &test)?;
    println!("{:.2} % of {} test pictures", 100.0 * share, test.len());
    assert!(last < 0.5 * first, "the loss went from {first} to {last}");
    assert!(share > 0.9, "only {share} are right");
    Ok(())
}
