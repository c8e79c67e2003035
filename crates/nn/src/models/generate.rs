//! Writing on: what language models share when they continue a text.

use gradus_core::{Code, Error, Result, Tensor, inference};

/// The prompt with `n` more ids, each chosen from the logits that `logits` gives for the text so far:
/// the most likely one at a temperature of 0, else drawn from the softmax of `logits / temperature`
/// over the `top_k` most likely ones.
///
/// Draws come from the inference stream of the global seed, so that training is not disturbed.
#[track_caller]
pub(super) fn continued(
    prompt: &[i64],
    n: usize,
    temperature: f64,
    top_k: Option<usize>,
    mut logits: impl FnMut(&[i64]) -> Result<Vec<f32>>,
) -> Result<Vec<i64>> {
    let wrong = |text: &str| Err(Error::new(Code::Argument, format!("generate: {text}")));
    if prompt.is_empty() {
        return wrong("the prompt is empty");
    }
    if !(temperature >= 0.0 && temperature.is_finite()) {
        return wrong(&format!("a temperature of {temperature}"));
    }
    if top_k == Some(0) {
        return wrong("a `top_k` of 0 leaves nothing to choose from");
    }
    let mut text = prompt.to_vec();
    for _ in 0..n {
        let logits = inference(|| logits(&text))?;
        let next = if temperature == 0.0 {
            most_likely(&logits)
        } else {
            let place = inference(|| Tensor::rand(())).item()?;
            drawn(&logits, temperature, top_k.unwrap_or(logits.len()), place)
        };
        text.push(next as i64);
    }
    Ok(text)
}

fn most_likely(logits: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in logits.iter().enumerate() {
        if logits.get(best).is_none_or(|b| v > b) {
            best = i;
        }
    }
    best
}

/// The token at a place in `[0, 1)` of the cumulated probabilities, the most likely first.
fn drawn(logits: &[f32], temperature: f64, top_k: usize, place: f64) -> usize {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let of = |i: usize| f64::from(logits.get(i).copied().unwrap_or(f32::NEG_INFINITY));
    // Stable: of equal ones the first comes first.
    order.sort_by(|&a, &b| of(b).total_cmp(&of(a)));
    order.truncate(top_k);
    let most = order.first().map_or(0.0, |&i| of(i));
    let weights: Vec<f64> =
        order.iter().map(|&i| libm::exp((of(i) - most) / temperature)).collect();
    let mut left = place * weights.iter().sum::<f64>();
    for (&i, weight) in order.iter().zip(&weights) {
        left -= weight;
        if left < 0.0 {
            return i;
        }
    }
    order.last().copied().unwrap_or(0)
}
