//! The loss of sequences whose alignment is not known.

use super::{Loss, Reduction, class_ids, either, sound, wrong_shapes};
use crate::error::{Code, Error};
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::tensor::{Tensor, operand};

/// Parameters of [`Tensor::ctc_loss_with`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Ctc {
    /// The class of "no label"; 0 by default.
    pub blank: usize,
    /// How the losses become the result; by default the mean of each loss divided by the length of
    /// its target (by 1, if that is 0).
    pub reduction: Reduction,
    /// A loss without any alignment is 0, and has no gradient, instead of infinite.
    pub zero_infinity: bool,
}

/// The logarithm of "impossible": far below every path, and far from what overflows.
const NEVER: f64 = -1e30;

impl Tensor {
    /// Connectionist temporal classification: the negative log-probability that a sequence of
    /// log-probabilities `[time, batch, classes]` gives the labels of the target, summed over all
    /// alignments. Class 0 is "no label" (blank).
    ///
    /// `targets` are class ids, `[batch, longest]`, of which the first `target_lengths` (`[batch]`)
    /// count, or those of all samples one after the other, `[sum of the lengths]`. Of the time, the
    /// first `input_lengths` (`[batch]`) steps count. Without a batch: `[time, classes]`, targets of
    /// one axis, and two single numbers. Take [`Tensor::log_softmax`] first.
    ///
    /// Computed in the log domain; gradients are those of the formula for any input, where PyTorch's
    /// are those of normalised log-probabilities (the same after `log_softmax`). A target that is
    /// too long for its input has an infinite loss; see [`Ctc::zero_infinity`].
    ///
    /// Source: Graves and others, *Connectionist temporal classification*, 2006.
    ///
    /// # Errors
    /// [`Code::Shape`] when the operands do not go together; when run, [`Code::Index`] for a label
    /// that is no class.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// // Two time steps of classes blank, a: "a" is a-, -a or aa.
    /// let x = Tensor::full([2, 1, 2], 0.5).log();
    /// let one = |n| Tensor::from([n]);
    /// let loss = x.ctc_loss(&Tensor::from([[1]]), &one(2), &one(1));
    /// assert!((loss.item()? + 0.75f64.ln()).abs() < 1e-6);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn ctc_loss(
        &self,
        targets: &Tensor,
        input_lengths: &Tensor,
        target_lengths: &Tensor,
    ) -> Tensor {
        self.ctc_loss_with(targets, input_lengths, target_lengths, Ctc::default())
    }

    /// [`Tensor::ctc_loss`] with parameters.
    #[track_caller]
    #[must_use]
    pub fn ctc_loss_with(
        &self,
        targets: &Tensor,
        input_lengths: &Tensor,
        target_lengths: &Tensor,
        options: Ctc,
    ) -> Tensor {
        either(ctc(self, [targets, input_lengths, target_lengths], options))
    }
}

#[track_caller]
fn ctc(x: &Tensor, [targets, inputs, lengths]: [&Tensor; 3], options: Ctc) -> Loss {
    let what = "ctc_loss";
    sound(what, &[x, targets, inputs, lengths])?;
    let shape = x.peek().shape;
    if shape.rank() == 2 {
        // One sample: a batch of it.
        let whole = |t: &Tensor| t.reshape_to(Shape::new(&[t.peek().shape.numel()]));
        let ids = whole(targets).unsqueeze(0);
        let losses =
            ctc(&x.unsqueeze(1), [&ids, &whole(inputs), &whole(lengths)], Ctc { ..options })?;
        return Ok(if options.reduction == Reduction::None { losses.squeeze(0) } else { losses });
    }
    let ids = class_ids(what, targets)?;
    let (inputs, lengths) = (class_ids(what, inputs)?, class_ids(what, lengths)?);
    let title = |text: String| format!("{what}: {text}");
    if shape.rank() != 3 || shape.dim(0) == 0 {
        let text = title(format!("log-probabilities are {shape}"));
        return Err(wrong_shapes(text, "they are [time, batch, classes], with a time step"));
    }
    let (time, batch, classes) = (shape.dim(0), shape.dim(1), shape.dim(2));
    for (t, name) in [(&inputs, "input_lengths"), (&lengths, "target_lengths")] {
        let have = t.peek().shape;
        if have != Shape::new(&[batch]) {
            let text = title(format!("{name} are {have}, for a batch of {batch}"));
            return Err(wrong_shapes(text, "one length for each sample"));
        }
    }
    if options.blank >= classes {
        let text = title(format!("`blank` is {}, of {classes} classes", options.blank));
        let place = std::panic::Location::caller();
        return Err(recorder::failed(Error::new(Code::Argument, text), place));
    }
    let ids = match ids.peek().shape {
        s if s.rank() == 2 && s.dim(0) == batch => ids,
        s if s.rank() == 1 => apart(&ids, &lengths)?,
        s => {
            let text = title(format!("targets are {s}, for a batch of {batch}"));
            return Err(wrong_shapes(text, "targets are [batch, longest], or [sum of lengths]"));
        }
    };
    let losses = forward(x, &ids, &inputs, &lengths, options.blank, time);
    let impossible = losses.ge(-0.1 * NEVER);
    let instead = if options.zero_infinity { 0.0 } else { f64::INFINITY };
    let losses = impossible.where_(instead, &losses);
    Ok(match options.reduction {
        Reduction::Mean => {
            let counts = lengths.clamp_min(1).cast(losses.peek().dtype);
            (losses / counts).mean()
        }
        other => other.of(&losses),
    })
}

/// Labels that lie one after the other, as `[batch, longest]`. Looks at the lengths, since the
/// result's size depends on them.
#[track_caller]
fn apart(ids: &Tensor, lengths: &Tensor) -> Loss {
    let counts = lengths.detach().to_vec::<i64>().map_err(Tensor::failed)?;
    let total: i64 = counts.iter().sum();
    let (flat, longest) = (ids.peek().shape.numel(), counts.iter().copied().max().unwrap_or(0));
    if usize::try_from(total) != Ok(flat) || counts.iter().any(|&n| n < 0) {
        let text = format!("ctc_loss: {flat} labels, for target lengths {counts:?}");
        return Err(wrong_shapes(text, "labels of one axis are those of all samples together"));
    }
    if flat == 0 {
        return Ok(ids.reshape([counts.len() as isize, 0]));
    }
    let mut index = Vec::new();
    let mut start = 0;
    for &n in &counts {
        index.extend((0..longest).map(|k| (start + k).min(flat as i64 - 1)));
        start += n;
    }
    let all = ids.index_select(0, &Tensor::from(index));
    Ok(all.reshape([counts.len() as isize, longest as isize]))
}

/// The loss of each sample, `[batch]`.
#[track_caller]
fn forward(
    x: &Tensor,
    ids: &Tensor,
    inputs: &Tensor,
    lengths: &Tensor,
    blank: usize,
    time: usize,
) -> Tensor {
    let (shape, dtype) = (x.peek().shape, x.peek().dtype);
    let (batch, longest) = (shape.dim(1), ids.peek().shape.dim(1));
    let states = 2 * longest + 1;
    // Labels with a blank before, between and after them; what is beyond a target is a blank too.
    let place = std::panic::Location::caller();
    let number = Tensor::arange(0, longest as i64).unsqueeze(0);
    let ids = number.lt(lengths.unsqueeze(1)).where_(ids, blank as i64);
    let blanks = ids.full_like(blank as i64);
    let pairs = Tensor::stack(&[&blanks, &ids], 2).reshape([batch as isize, 2 * longest as isize]);
    let one = Tensor::full([batch, 1], blank as i64);
    let labels = Tensor::concat(&[&pairs, &one], 1);
    // A blank between two different labels may be left out.
    let skip = (longest > 1).then(|| {
        let (now, before) = (labels.narrow(1, 2, states - 2), labels.narrow(1, 0, states - 2));
        now.ne(&before)
    });
    let index = labels.unsqueeze(0).broadcast_to(Shape::new(&[time, batch, states]));
    let emitted = x.gather(2, &index).clamp_min(NEVER);
    let never =
        |columns: usize| operand::cast_to(&Tensor::full([batch, columns], NEVER), dtype, place);
    let first = emitted.select(0, 0);
    let begun = states.min(2);
    let mut a = match states - begun {
        0 => first,
        rest => Tensor::concat(&[&first.narrow(1, 0, begun), &never(rest)], 1),
    };
    for t in 1..time {
        let mut sum = a.clone();
        if longest > 0 {
            let one = Tensor::concat(&[&never(1), &a.narrow(1, 0, states - 1)], 1);
            sum = sum.logaddexp(one);
        }
        if let Some(skip) = &skip {
            let two = skip.where_(a.narrow(1, 0, states - 2), NEVER);
            sum = sum.logaddexp(Tensor::concat(&[&never(2), &two], 1));
        }
        let next = (sum + emitted.select(0, t as isize)).clamp_min(NEVER);
        a = inputs.gt(t as i64).unsqueeze(1).where_(next, &a);
    }
    // The last label, or the blank after it.
    let end = (lengths * 2).unsqueeze(1);
    let label = (&end - 1).clamp_min(0);
    let (end, label) = (a.gather(1, &end).squeeze(1), a.gather(1, &label).squeeze(1));
    -end.logaddexp(lengths.gt(0).where_(label, NEVER))
}
