//! Workloads of any size, for machines and shapes that nobody tuned for: `mlp:100-333-77-10@57` is a
//! net of these layers with batches of 57.

use std::fmt;

use gradus::nn::models::CharRnn;
use gradus::prelude::*;
use gradus::{Error, Result, Rng};

use super::nets::{self, Gpt};
use super::work::{Data, Samples, Text, Training, classes, mixed};

/// What a name like `lstm:50-24-100-30@20` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnySize {
    kind: Kind,
    sizes: Vec<usize>,
    batch_size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Sizes of the input, the hidden layers, and the number of classes.
    Mlp,
    /// Channels, side, kernel, channels of two convolutions, classes.
    Cnn,
    /// Tokens, embedding, hidden units, time steps.
    Lstm,
    /// Tokens, width, layers, heads, time steps.
    Gpt,
}

/// The names, their sizes as help shows them, and an example.
const KINDS: [(Kind, &str, &str, &str); 4] = [
    (Kind::Mlp, "mlp", "in-hidden-..-classes", "mlp:100-333-77-10@57"),
    (Kind::Cnn, "cnn", "channels-side-kernel-c1-c2-classes", "cnn:3-19-5-13-29-7@33"),
    (Kind::Lstm, "lstm", "tokens-embedding-hidden-time", "lstm:50-24-100-30@20"),
    (Kind::Gpt, "gpt", "tokens-width-layers-heads-time", "gpt:99-120-3-5-70@6"),
];

/// No size is larger: what a typing error asks for should not fill the memory.
const MOST: usize = 1 << 20;

impl AnySize {
    /// None if the word does not begin like such a name; else the sizes, or what is wrong with them.
    pub(crate) fn parse(word: &str) -> Option<std::result::Result<AnySize, String>> {
        let (name, rest) = word.trim().split_once(':')?;
        let &(kind, name, form, example) =
            KINDS.iter().find(|k| k.1.eq_ignore_ascii_case(name.trim()))?;
        let number = |w: &str| w.trim().parse().ok().filter(|n| (1..=MOST).contains(n));
        let parsed = rest.split_once('@').and_then(|(sizes, batch_size)| {
            let sizes = sizes.split('-').map(number).collect::<Option<Vec<usize>>>()?;
            Some(AnySize { kind, sizes, batch_size: number(batch_size)? })
        });
        let form = format!("the form is {name}:{form}@batch, for example {example}");
        Some(match parsed {
            Some(sized) => sized.checked().map_err(|why| format!("{why}; {form}")),
            None => Err(format!("sizes are whole numbers from 1 to {MOST}; {form}")),
        })
    }

    fn checked(self) -> std::result::Result<AnySize, &'static str> {
        let s = &self.sizes;
        match (self.kind, s.as_slice()) {
            (Kind::Mlp, [_, _, ..]) | (Kind::Lstm, [_, _, _, _]) => Ok(self),
            (Kind::Cnn, [_, side, kernel, _, _, _]) => match pooled(*side, *kernel) {
                0 => Err("the pictures are too small: nothing is left after the pool"),
                _ => Ok(self),
            },
            (Kind::Gpt, [_, width, _, heads, _]) if width.is_multiple_of(*heads) => Ok(self),
            (Kind::Gpt, [_, _, _, _, _]) => Err("the width must be a multiple of the heads"),
            _ => Err("the number of sizes is another"),
        }
    }

    /// Random samples, at least four batches.
    pub(super) fn data(&self) -> Result<Data> {
        let n = 4 * self.batch_size;
        let samples = |shape: &[usize], classes: usize| {
            let mut draw = mixed();
            let ids: Vec<i64> = (0..n).map(|_| (draw() % classes as u64) as i64).collect();
            let shape: Vec<usize> = std::iter::once(n).chain(shape.iter().copied()).collect();
            let x = Rng::new(0).normal(shape, 0.0, 1.0)?;
            let set = Dataset::from_arrays(x, Array::new([n], &ids)?)?.with_classes(classes)?;
            Ok(Data::Samples { set, made_up: false })
        };
        match (self.kind, self.sizes.as_slice()) {
            (Kind::Mlp, [input, .., classes]) => samples(&[*input], *classes),
            (Kind::Cnn, &[channels, side, _, _, _, classes]) => {
                samples(&[channels, side, side], classes)
            }
            (Kind::Lstm, &[tokens, .., time]) | (Kind::Gpt, &[tokens, .., time]) => {
                Ok(Data::Text(Text::counter(n, time + 1, tokens as i64)))
            }
            _ => Err(Error::internal(format!("bench: {self}"))),
        }
    }

    /// A training on that data: cross-entropy, Adam (AdamW for `gpt`).
    pub(super) fn training(&self, data: Data) -> Result<Training> {
        match (self.kind, self.sizes.as_slice(), data) {
            (Kind::Mlp, sizes, Data::Samples { set, .. }) => {
                let model = nets::mlp(sizes);
                let adam = Adam::new(&model, 1e-3);
                Ok(Training::with(model, adam, Samples::new(set, self.batch_size), classes))
            }
            (Kind::Cnn, &[c, side, k, c1, c2, count], Data::Samples { set, .. }) => {
                let side = pooled(side, k);
                let model = nets::two_convolutions([c, c1, c2], k, side * side, count);
                let adam = Adam::new(&model, 1e-3);
                Ok(Training::with(model, adam, Samples::new(set, self.batch_size), classes))
            }
            (Kind::Lstm, &[tokens, embedding, hidden, _], Data::Text(text)) => {
                let model = CharRnn::new(tokens, embedding, hidden);
                let adam = Adam::new(&model, 1e-3);
                Ok(Training::of_text(model, adam, text, self.batch_size))
            }
            (Kind::Gpt, &[tokens, width, layers, heads, time], Data::Text(text)) => {
                let model = Gpt::new([tokens, time], width, layers, heads);
                let adam = AdamW::new(&model, 3e-4).weight_decay(0.01);
                Ok(Training::of_text(model, adam, text, self.batch_size))
            }
            _ => Err(Error::internal(format!("bench: {self}"))),
        }
    }
}

/// The side of pictures after a convolution that keeps it, one of stride 2, and a pool of 2.
fn pooled(side: usize, kernel: usize) -> usize {
    let padding = kernel / 2 * 2;
    let after = |side: usize, stride: usize| {
        (side + padding).checked_sub(kernel).map_or(0, |left| left / stride + 1)
    };
    after(after(side, 1), 2) / 2
}

impl fmt::Display for AnySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS.iter().find(|k| k.0 == self.kind).map_or("", |k| k.1);
        let sizes: Vec<String> = self.sizes.iter().map(usize::to_string).collect();
        write!(f, "{name}:{}@{}", sizes.join("-"), self.batch_size)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first failure")]

    use super::*;

    /// Parameters as PyTorch counts them (`build` of `benches/peers/torch_bench.py`).
    #[test]
    fn models_are_those_of_the_peers() {
        for (name, parameters) in [
            ("mlp:100-333-77-10@57", 60_131),
            ("cnn:3-19-5-13-29-7@33", 15_566),
            ("lstm:50-24-100-30@20", 56_650),
            ("gpt:99-120-3-5-70@6", 555_480),
        ] {
            let sized = AnySize::parse(name).unwrap().unwrap();
            assert_eq!(sized.to_string(), name);
            let mut training = sized.training(sized.data().unwrap()).unwrap();
            assert_eq!(training.parameters, parameters, "{name}");
            let first = (training.step)().unwrap();
            assert!((1.0..6.0).contains(&first), "{name}: {first}");
        }
    }

    #[test]
    fn wrong_sizes_say_what_the_form_is() {
        assert!(AnySize::parse("xor").is_none() && AnySize::parse("mpl:3-4@5").is_none());
        for (name, why) in [
            ("mlp:3@5", "the number of sizes is another; the form is mlp:in-hidden"),
            ("mlp:3-4", "whole numbers from 1"),
            ("mlp:3-0@1", "whole numbers from 1"),
            ("cnn:1-2-3-4-5-6@7", "too small"),
            ("cnn:1-2-9999-4-5-6@7", "too small"),
            ("gpt:9-10-1-3-7@2", "a multiple of the heads"),
        ] {
            let told = AnySize::parse(name).unwrap().unwrap_err();
            assert!(told.contains(why), "{name}: {told}");
        }
    }
}
