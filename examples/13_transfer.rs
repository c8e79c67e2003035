//! Transfer learning: a network that knows some digits learns others from few pictures. Run with
//! `cargo run --release -p gradus --example 13_transfer -- [FOLDER-OF-MNIST]`.
//!
//! 1. LeNet learns the digits 0 to 4 from many pictures.
//! 2. Its last two layers are replaced, the others are frozen: 5 to 9 from ten pictures each.
//! 3. The layers are thawed and fine-tuned at a tenth of the rate.
//!
//! The same ten pictures each are also learned from scratch, to compare. With MNIST what was learned
//! before helps (78 against 72 %). The digits that are built in are coarse and so easy that it does
//! not: knowledge of five of them is less than what ten pictures of each of the others teach.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use gradus::Pad;
use gradus::nn::models::LeNet;
use gradus::nn::optim::GroupOptions;
use gradus::prelude::*;

/// The built-in digits of 8x8 pixels, as pictures of 28x28.
fn digits() -> gradus::Result<Dataset> {
    let (x, y) = gradus::data::digits()?.arrays()?;
    let small = Tensor::from(x).reshape_to([y.numel(), 8, 8]);
    let large = small.repeat_interleave(3, 1).repeat_interleave(3, 2);
    Dataset::from_arrays(large.pad([2, 2, 2, 2], Pad::Constant(0.0)).to_array()?, y)
}

/// The pictures of five classes, from `first` on, renumbered from 0; at most `each` of a class.
fn five(data: &Dataset, first: i64, each: usize) -> gradus::Result<Dataset> {
    let (x, y) = data.arrays()?;
    let labels: Vec<i64> = y.to_vec()?;
    let mut counts = [0; 5];
    let mut rows = Vec::new();
    for (row, label) in labels.iter().enumerate() {
        if let Some(count) = usize::try_from(label - first).ok().and_then(|c| counts.get_mut(c))
            && *count < each
        {
            *count += 1;
            rows.push(row as i64);
        }
    }
    let rows = Tensor::from(rows);
    let x = Tensor::from(x).index_select(0, &rows);
    let y = Tensor::from(y).index_select(0, &rows) - first;
    Dataset::from_arrays(x.to_array()?, y.to_array()?)
}

fn fit(model: &LeNet, opt: &mut AdamW, data: &Dataset, epochs: u64) -> gradus::Result<()> {
    for epoch in 0..epochs {
        for (x, y) in data.shuffled(epoch).batches(32) {
            opt.step(&model.forward(&x).cross_entropy(&y))?;
        }
    }
    Ok(())
}

fn main() -> gradus::Result<()> {
    let (train, test) = match std::env::args().nth(1) {
        Some(folder) => match gradus::data::mnist_folder(folder)?.load()? {
            (train, Some(test)) => (train, test),
            (train, None) => train.split(0.8, 17)?,
        },
        None => digits()?.split(0.7, 17)?,
    };
    let (known, few) = (five(&train, 0, 2000)?, five(&train, 5, 10)?);
    let unseen = five(&test, 5, usize::MAX)?;
    println!("{} pictures of 0 to 4, {} of 5 to 9", known.len(), few.len());

    gradus::seed(17);
    let mut model = LeNet::new(5);
    let mut opt = AdamW::new(&model, 2e-3);
    fit(&model, &mut opt, &known, 12)?;
    let old = accuracy(&model, &five(&test, 0, usize::MAX)?)?;
    println!("0 to 4:                       {:.1} % of the test pictures", 100.0 * old);

    // A new head; everything else keeps what it knows.
    model.freeze();
    model.fc2 = Linear::new(120, 84);
    model.fc3 = Linear::new(84, 5);
    let mut opt = AdamW::new(&model, 5e-3);
    fit(&model, &mut opt, &few, 60)?;
    println!("5 to 9, a new head:           {:.1} %", 100.0 * accuracy(&model, &unseen)?);

    // Now all layers may move a little.
    model.thaw();
    let gently = GroupOptions::new().lr(2e-4);
    let mut opt = AdamW::new(&model, 2e-3)
        .group(|name, _| name.starts_with("conv") || name.starts_with("fc1"), gently);
    fit(&model, &mut opt, &few, 60)?;
    println!("5 to 9, all layers tuned:     {:.1} %", 100.0 * accuracy(&model, &unseen)?);

    let scratch = LeNet::new(5);
    let mut opt = AdamW::new(&scratch, 2e-3);
    fit(&scratch, &mut opt, &few, 120)?;
    println!("5 to 9, from scratch:         {:.1} %", 100.0 * accuracy(&scratch, &unseen)?);
    Ok(())
}
