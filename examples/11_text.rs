//! A language model of characters: learns a text and writes on. Run with
//! `cargo run --release -p gradus --example 11_text`, or with a text of your own, for example
//! `cargo run --release -p gradus --example 11_text -- tinyshakespeare.txt 2000`.
//!
//! The model sees some characters and says for each place which one comes next; all that it may use
//! stands to the left. Without a file it learns a few lines by heart (almost).
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::collections::BTreeSet;
use std::time::Instant;

use gradus::nn::models::{Gpt, GptConfig};
use gradus::prelude::*;
use gradus::train::schedule::Schedule;

/// From the first scene of Hamlet.
const LINES: &str = "BERNARDO: Who's there?\nFRANCISCO: Nay, answer me. Stand and unfold yourself.\n\
    BERNARDO: Long live the King!\nFRANCISCO: Bernardo?\nBERNARDO: He.\n\
    FRANCISCO: You come most carefully upon your hour.\n\
    BERNARDO: 'Tis now struck twelve. Get thee to bed, Francisco.\n\
    FRANCISCO: For this relief much thanks. 'Tis bitter cold, and I am sick at heart.\n\
    BERNARDO: Have you had quiet guard?\nFRANCISCO: Not a mouse stirring.\n";

/// Windows of a text, and each moved on by one character: what is seen, and what comes next.
fn windows(text: &Tensor, starts: &Tensor, length: i64) -> (Tensor, Tensor) {
    let places = starts.unsqueeze(1) + Tensor::arange(0, length + 1);
    let all = text.take(&places);
    (all.narrow(1, 0, length as usize), all.narrow(1, 1, length as usize))
}

fn loss(model: &Gpt, (x, y): (Tensor, Tensor)) -> Tensor {
    model.forward(&x).flatten_dims(0, 1).cross_entropy(&y.flatten(0))
}

fn main() -> gradus::Result<()> {
    let mut args = std::env::args().skip(1);
    let read = |path: String| {
        std::fs::read_to_string(&path).map_err(|e| gradus::Error::io("cannot read", path, &e))
    };
    let file = args.next().map(read).transpose()?;
    let small = file.is_none();
    let text = file.unwrap_or_else(|| LINES.to_string());
    let steps: u64 =
        args.next().and_then(|n| n.parse().ok()).unwrap_or(if small { 600 } else { 2000 });

    // A number for each character that occurs.
    let letters: Vec<char> = text.chars().collect::<BTreeSet<_>>().into_iter().collect();
    let id = |c: char| letters.binary_search(&c).map_or(0, |i| i as i64);
    let ids: Vec<i64> = text.chars().map(id).collect();
    // The last tenth is held back; a text that is learned by heart is its own test.
    let cut = if small { ids.len() } else { ids.len() * 9 / 10 };
    let (train, test) = (&ids[..cut], if small { &ids[..] } else { &ids[cut..] });

    let (length, batch, size, layers) = if small { (32, 8, 64, 2) } else { (64, 16, 128, 4) };
    gradus::seed(17);
    let model = Gpt::new(GptConfig {
        vocab_size: letters.len(),
        n_positions: length as usize,
        n_embd: size,
        n_layer: layers,
        n_head: 4,
        dropout: 0.0,
    });
    println!(
        "{} characters, {} of them different; {} parameters\n",
        ids.len(),
        letters.len(),
        model.num_parameters()
    );
    let mut opt = AdamW::new(&model, 2e-3).weight_decay(0.01);
    let rate = Schedule::Cosine { t_max: steps, eta_min: 1e-4 }.warmed_up(steps / 20);
    let (data, clock) = (Tensor::from(train), Instant::now());
    for step in 0..steps {
        let starts = Tensor::randint([batch], 0, train.len() as i64 - length);
        let loss = loss(&model, windows(&data, &starts, length));
        let gradients = loss.backward()?.clip_norm(1.0);
        opt.set_lr(rate.rate(2e-3, step));
        opt.apply(&gradients)?;
        if (step + 1) % (steps / 5).max(1) == 0 {
            let speed = (step + 1) as f64 / clock.elapsed().as_secs_f64();
            println!("step {}: loss {:.3}, {speed:.0} steps a second", step + 1, loss.item()?);
        }
    }

    // Nats a character, over windows that lie side by side.
    let starts: Vec<i64> =
        (0..).map(|i| i * length).take_while(|s| s + length < test.len() as i64).collect();
    let (data, mut sum) = (Tensor::from(test), 0.0);
    for part in starts.chunks(64) {
        let (part, n) = (Tensor::from(part), part.len() as f64);
        sum += n * gradus::inference(|| loss(&model, windows(&data, &part, length))).item()?;
    }
    println!("\n{:.3} nats a character on the test", sum / starts.len() as f64);

    let prompt: Vec<i64> = "BERNARDO: ".chars().map(id).collect();
    let more = model.generate(&prompt, 200, if small { 0.0 } else { 0.8 }, Some(20))?;
    let letter = |i: &i64| letters.get(*i as usize).copied().unwrap_or('?');
    println!("{}", more.iter().map(letter).collect::<String>());
    Ok(())
}
