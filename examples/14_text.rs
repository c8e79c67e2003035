//! Language models of characters: an LSTM or a small GPT learns a text and writes on. Run with
//! `cargo run --release -p gradus --example 14_text`, or with a text of your own, for example
//! `cargo run --release -p gradus --example 14_text -- gpt tinyshakespeare.txt 3000`
//! (`lstm` or `gpt`, a file, a number of steps, a file for the best weights).
//!
//! The model sees some characters and says for each place which one comes next; all that it may use
//! stands to the left. Without a file it learns a few lines by heart (almost).
#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::collections::BTreeSet;
use std::time::Instant;

use gradus::nn::models::{CharRnn, Gpt, GptConfig};
use gradus::nn::optim::GroupOptions;
use gradus::prelude::*;
use gradus::train::schedule::Schedule;

/// From the first scene of Hamlet.
const LINES: &str = "BERNARDO: Who's there?\nFRANCISCO: Nay, answer me. Stand and unfold yourself.\n\
    BERNARDO: Long live the King!\nFRANCISCO: Bernardo?\nBERNARDO: He.\n\
    FRANCISCO: You come most carefully upon your hour.\n\
    BERNARDO: 'Tis now struck twelve. Get thee to bed, Francisco.\n\
    FRANCISCO: For this relief much thanks. 'Tis bitter cold, and I am sick at heart.\n\
    BERNARDO: Have you had quiet guard?\nFRANCISCO: Not a mouse stirring.\n";

/// A text as numbers, cut into what is learned and what is held back.
struct Text {
    letters: Vec<char>,
    train: Tensor,
    held: Tensor,
    /// Characters in a window.
    length: i64,
}

impl Text {
    fn new(text: &str, length: i64, by_heart: bool) -> Text {
        let letters: Vec<char> = text.chars().collect::<BTreeSet<_>>().into_iter().collect();
        let ids: Vec<i64> = text.chars().filter_map(|c| id(&letters, c)).collect();
        // The last tenth is held back; a text that is learned by heart is its own test.
        let (train, held) = ids.split_at(ids.len() / 10 * 9);
        let (train, held) = if by_heart { (&ids[..], &ids[..]) } else { (train, held) };
        Text { letters, train: Tensor::from(train), held: Tensor::from(held), length }
    }

    /// Windows of a text, and each moved on by one character: what is seen, and what comes next.
    fn windows(&self, text: &Tensor, starts: &Tensor) -> (Tensor, Tensor) {
        let all = text.take(&(starts.unsqueeze(1) + Tensor::arange(0, self.length + 1)));
        let length = self.length as usize;
        (all.narrow(1, 0, length), all.narrow(1, 1, length))
    }

    fn batch(&self, size: usize) -> gradus::Result<(Tensor, Tensor)> {
        let last = self.train.numel()? as i64 - self.length;
        Ok(self.windows(&self.train, &Tensor::randint([size], 0, last)))
    }

    /// Nats a character, over all windows of the held part that lie side by side.
    fn nats(&self, loss: impl Fn((Tensor, Tensor)) -> Tensor) -> gradus::Result<f64> {
        let end = self.held.numel()? as i64 - self.length;
        let starts: Vec<i64> = (0..).map(|i| i * self.length).take_while(|&s| s < end).collect();
        let mut sum = 0.0;
        for part in starts.chunks(64) {
            let (part, n) = (Tensor::from(part), part.len() as f64);
            sum += n * gradus::inference(|| loss(self.windows(&self.held, &part))).item()?;
        }
        Ok(sum / starts.len() as f64)
    }
}

fn id(letters: &[char], c: char) -> Option<i64> {
    letters.binary_search(&c).ok().map(|i| i as i64)
}

/// Trains with AdamW, clipped gradients, warm-up and a cosine; the best weights stay.
fn train<M: Layer>(
    model: &M,
    text: &Text,
    batch: usize,
    steps: u64,
    peak: f64,
) -> gradus::Result<f64> {
    println!("{} parameters", model.num_parameters());
    let loss = |(x, y): (Tensor, Tensor)| {
        model.forward(&x).flatten_dims(0, 1).cross_entropy(&y.flatten(0))
    };
    // Decay is for matrices, not for biases and scales.
    let small = |_: &str, param: &Param| param.shape().rank() < 2;
    let mut opt = AdamW::new(model, peak)
        .weight_decay(0.1)
        .group(small, GroupOptions::new().weight_decay(0.0));
    let rate = Schedule::Cosine { t_max: steps, eta_min: peak / 20.0 }.warmed_up(steps / 20);
    let (clock, mut best) = (Instant::now(), (f64::INFINITY, model.state_dict()?));
    let every = steps.div_ceil(6);
    for step in 0..steps {
        let loss_now = loss(text.batch(batch)?);
        let gradients = loss_now.backward()?.clip_norm(1.0);
        opt.set_lr(rate.rate(peak, step));
        opt.apply(&gradients)?;
        if (step + 1) % every == 0 || step + 1 == steps {
            let speed = (step + 1) as f64 / clock.elapsed().as_secs_f64();
            let (seen, held) = (loss_now.item()?, text.nats(loss)?);
            println!(
                "step {:4}: {seen:.3} nats, held back {held:.3}; {speed:.1} steps/s",
                step + 1
            );
            if held < best.0 {
                best = (held, model.state_dict()?);
            }
        }
    }
    model.load_state_dict(&best.1)?;
    Ok(best.0)
}

fn main() -> gradus::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let kind = args.first().map_or("gpt", String::as_str);
    let read = |path: &String| {
        std::fs::read_to_string(path).map_err(|e| gradus::Error::io("cannot read", path, &e))
    };
    let file = args.get(1).map(read).transpose()?;
    let by_heart = file.is_none();
    let (length, batch, default) = if by_heart { (32, 8, 600) } else { (128, 32, 3000) };
    let steps = args.get(2).and_then(|n| n.parse().ok()).unwrap_or(default);
    let text = Text::new(&file.unwrap_or_else(|| LINES.to_string()), length, by_heart);
    let vocab = text.letters.len();
    println!("{} characters to learn, {vocab} different ones", text.train.numel()?);

    gradus::seed(17);
    let prompt: Vec<i64> = "BERNARDO: ".chars().filter_map(|c| id(&text.letters, c)).collect();
    let heat = if by_heart { 0.0 } else { 0.8 };
    let (nats, more) = if kind == "lstm" {
        let size = if by_heart { 64 } else { 256 };
        let model = CharRnn::new(vocab, 64, size).num_layers(2);
        let nats = train(&model, &text, batch, steps, 4e-3)?;
        args.get(3).map_or(Ok(()), |path| model.save(path))?;
        (nats, model.generate(&prompt, 200, heat, Some(20))?)
    } else {
        let (n_embd, n_layer) = if by_heart { (64, 2) } else { (128, 4) };
        let n_positions = length as usize;
        let sizes =
            GptConfig { vocab_size: vocab, n_positions, n_embd, n_layer, n_head: 4, dropout: 0.0 };
        let model = Gpt::new(sizes);
        let nats = train(&model, &text, batch, steps, 2e-3)?;
        args.get(3).map_or(Ok(()), |path| model.save(path))?;
        (nats, model.generate(&prompt, 200, heat, Some(20))?)
    };
    let letter = |i: &i64| text.letters.get(*i as usize).copied().unwrap_or('?');
    println!("\n{nats:.4} nats a character\n\n{}", more.iter().map(letter).collect::<String>());
    Ok(())
}
