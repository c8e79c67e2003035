//! Elements added around a tensor.

use std::panic::Location;

use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::recorder;
use crate::tensor::{Tensor, operand};

/// What [`Tensor::pad`] puts around a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pad {
    /// A number.
    Constant(f64),
    /// The elements mirrored at the edge, which is not repeated: at most one less than there are.
    Reflect,
    /// The element at the edge.
    Replicate,
    /// The elements from the other end: at most as many as there are.
    Circular,
}

impl Tensor {
    /// Elements added before and behind the last axes: `pads` are pairs `(before, behind)`, the
    /// last axis first: `[1, 1]` pads the last axis, `[1, 1, 2, 2]` the last two. A negative
    /// number takes elements away.
    ///
    /// # Errors
    /// [`Code::Argument`] for an odd count of numbers or more pairs than axes; [`Code::Shape`] when
    /// more is taken away or mirrored than there is.
    ///
    /// ```
    /// # use gradus_core::{Pad, Tensor};
    /// let x = Tensor::from([1.0, 2.0, 3.0]);
    /// assert_eq!(x.pad([2, 0], Pad::Reflect).to_vec::<f32>()?, [3.0, 2.0, 1.0, 2.0, 3.0]);
    /// assert_eq!(x.pad([-1, 1], Pad::Constant(0.0)).to_vec::<f32>()?, [2.0, 3.0, 0.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn pad(&self, pads: impl AsRef<[isize]>, mode: Pad) -> Tensor {
        let _called = called("pad");
        let (pads, shape) = (pads.as_ref(), self.peek().shape);
        let (pairs, odd) = pads.as_chunks::<2>();
        if !odd.is_empty() || pairs.len() > shape.rank() {
            let text = format!("pad: {pads:?} is not a pair for each of the last axes of {shape}");
            return self.refuse(Error::new(Code::Argument, text));
        }
        let mut out = self.clone();
        for (back, &pair) in pairs.iter().enumerate() {
            if recorder::error_of(&out).is_some() {
                return out;
            }
            out = out.pad_axis(shape.rank() - 1 - back, pair, mode);
        }
        out
    }

    #[track_caller]
    fn pad_axis(&self, axis: usize, [before, behind]: [isize; 2], mode: Pad) -> Tensor {
        let shape = self.peek().shape;
        let n = shape.dim(axis);
        let along = axis as isize;
        let more = [before, behind].map(|p| p.max(0) as usize);
        let less = [before, behind].map(|p| p.min(0).unsigned_abs());
        let cut = |x: &Tensor| {
            let n = x.peek().shape.dim(axis);
            let end = (n - less[1].min(n)) as isize;
            x.slice(along, less[0].min(n) as isize, end, 1)
        };
        let most = match mode {
            Pad::Constant(_) => usize::MAX,
            Pad::Reflect => n.saturating_sub(1),
            Pad::Replicate if n == 0 => 0,
            Pad::Replicate => usize::MAX,
            Pad::Circular => n.saturating_sub(less[0] + less[1]),
        };
        if less[0] + less[1] > n + more[0] + more[1] || more.iter().any(|&m| m > most) {
            let text = format!("pad: {before} and {behind} do not fit axis {axis} of {shape}");
            let help = match mode {
                Pad::Reflect => "a reflection has one element less than the axis at most",
                Pad::Circular => "what is repeated has as many elements as the axis at most",
                _ => "there are not so many elements to take away, or none to repeat",
            };
            return self.refuse(Error::new(Code::Shape, text).help(help));
        }
        if more == [0, 0] {
            return cut(self);
        }
        match mode {
            Pad::Constant(value) if value == 0.0 && value.is_sign_positive() => {
                let x = cut(self);
                let n = x.peek().shape.dim(axis);
                x.spread(axis, more[0], 1, more[0] + n + more[1])
            }
            Pad::Constant(value) => {
                let x = cut(self);
                let fill = operand::number(value, self.peek().dtype, Location::caller());
                let fill = more.map(|m| fill.broadcast_to(shape.with(axis, m)));
                Tensor::concat(&[&fill[0], &x, &fill[1]], along)
            }
            // Mirrored and repeated from the whole tensor, then cut.
            Pad::Reflect => {
                let head = self.slice(along, 1, 1 + more[0] as isize, 1).flip(along);
                let from = n as isize - 1 - more[1] as isize;
                let tail = self.slice(along, from, n as isize - 1, 1).flip(along);
                cut(&Tensor::concat(&[&head, self, &tail], along))
            }
            Pad::Replicate => {
                let head = self.narrow(along, 0, 1).broadcast_to(shape.with(axis, more[0]));
                let tail = self.narrow(along, n - 1, 1).broadcast_to(shape.with(axis, more[1]));
                cut(&Tensor::concat(&[&head, self, &tail], along))
            }
            Pad::Circular => {
                let x = cut(self);
                let n = x.peek().shape.dim(axis);
                let head = x.narrow(along, n - more[0], more[0]);
                let tail = x.narrow(along, 0, more[1]);
                Tensor::concat(&[&head, &x, &tail], along)
            }
        }
    }
}
