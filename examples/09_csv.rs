//! From a CSV to predictions, with the library. Run with
//! `cargo run --release -p gradus --example 09_csv`.
//!
//! `gradus train flats.csv --target rent` does all of this, with a linear model and the mean as
//! yardsticks. Here every step is to be seen, and could be another one.
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::fmt::Write as _;

use gradus::data::table::{Parts, ReadOptions, Table, TaskOptions};
use gradus::prelude::*;
use gradus::train::{Baseline, ModelConfig, R2, Run, RunConfig};

/// Made-up flats: rent from size, floor and city; some floors are not known.
fn flats() -> String {
    let mut csv = String::from("size,floor,city,rent\n");
    for i in 0..2000_u32 {
        let (size, floor, city) = (20 + i * 7919 % 101, i * 31 % 7, i * 17 % 3);
        let rent = 300 + 12 * size + 20 * floor + 150 * city * city + size * floor / 2;
        let floor = if i % 31 == 5 { String::new() } else { floor.to_string() };
        let name = ["Bern", "\"Lyon, old town\"", "Ulm"][city as usize];
        let _ = writeln!(csv, "{size},{floor},{name},{rent}");
    }
    csv
}

fn main() -> gradus::Result<()> {
    // What is in the file (`Table::open` reads one from disk, also .gz), and what is asked of it.
    let table = Table::from_bytes("flats", flats(), &ReadOptions::new())?;
    let task = table.task(&TaskOptions::new().target("rent"))?;
    println!("{}: {}, because {}\n", task.target(), task.kind().name(), task.reason());
    println!("{}\n", task.schema());

    // Split first. Means, deviations and categories are those of the training rows alone.
    let data = task.prepare(Parts { valid: 0.1, test: 0.2 }, 17)?;
    let (Some(valid), Some(test)) = (&data.valid, &data.test) else { return Ok(()) };

    // A run folder keeps what is needed later: the encoder, the model's shape, the weights.
    let folder = std::env::temp_dir().join("gradus_flats");
    let mut config = RunConfig::for_data(&data.train);
    let ids: Vec<usize> = data.encoder.embeddings().iter().map(|e| e.1).collect();
    config.model = Some(ModelConfig::mlp(&data.train, &[64, 32]).embed(&ids));
    let run = Run::overwrite(&folder, &config)?;
    run.save_encoder(&data.encoder)?;

    gradus::seed(17);
    let model = config.build_model()?;
    let mut report = Trainer::new(&model, AdamW::new(&model, 3e-3))
        .loss(mse)
        .metric(R2::new())
        .seed(17)
        .callback(EarlyStopping::on("valid.loss").patience(8).restore_best())
        .run(run)
        .fit(&data.train, valid, Epochs(40))?;
    report.test(&model, test)?;
    println!("{report}");
    println!("always the mean: {}\n", Baseline::fit(&data.train)?.scores(test)?);

    // Later, in another process: the folder is all that is needed. Columns go by their names, and a
    // city that was never seen is counted, not refused.
    let predictor = gradus::Predictor::open(&folder)?;
    let new = "city,floor,size\nUlm,3,55\n\"Lyon, old town\",,80\nRome,1,80\n";
    let new = Table::from_bytes("new", new, &predictor.read_options())?;
    for part in predictor.predict_chunks(&new)? {
        let (predictions, noticed) = part?;
        for row in 0..predictions.len() {
            println!("row {}: rent {:.0}", row + 1, predictions.value(row).unwrap_or(f64::NAN));
        }
        noticed.notes().iter().for_each(|note| println!("note: {note}"));
    }
    Ok(())
}
