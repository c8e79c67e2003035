//! Normalisation: values brought to mean 0 and variance 1 within a sample or over a batch.
//!
//! All are composed: a mean, a sum of squared deviations from it (two passes, so that no digits are
//! lost where the mean is large) and one element-wise pass, which the planner fuses with what comes
//! before and after. Gradients of every order come from the composition.

use std::panic::Location;

use super::reduce::{divide, structural};
use super::{AxisMask, Op, Reduction};
use crate::error::{Code, Error};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::{MAX_RANK, Shape};
use crate::tensor::{Operand, Tensor};

/// The last `n` axes of `rank`.
fn last_axes(rank: usize, n: usize) -> AxisMask {
    (rank.saturating_sub(n)..rank).fold(0, |mask, axis| mask | 1 << axis)
}

/// All axes but the first two, and the first if the batch counts.
fn but_channels(rank: usize, batch: bool) -> AxisMask {
    last_axes(rank, rank.saturating_sub(2)) | AxisMask::from(batch)
}

/// That many axes of size 1.
pub(super) fn ones(rank: usize) -> Shape {
    Shape::new([1; MAX_RANK].get(..rank).unwrap_or(&[1; MAX_RANK]))
}

/// `[channels]` as it broadcasts along axis 1 of a tensor of that rank.
fn wide(rank: usize, channels: usize) -> Shape {
    ones(rank).with(1, channels)
}

impl Tensor {
    /// Deviations from the mean over axes, and the mean of their squares; axes keep size 1.
    #[track_caller]
    fn centred(&self, mask: AxisMask) -> (Tensor, Tensor) {
        let centred = self - self.mean_over(mask, true);
        let var = centred.square().mean_over(mask, true);
        (centred, var)
    }

    /// `1 / sqrt(self + eps)`, eps being structure.
    #[track_caller]
    fn inverse_deviation(&self, eps: f64) -> Tensor {
        let eps = structural(eps, self.peek().dtype, Location::caller());
        (self + eps).rsqrt()
    }

    /// The first failure among operands, or of a tensor that is not of floats.
    #[track_caller]
    fn unfit(&self, what: &str, others: &[&Option<Tensor>]) -> Option<Tensor> {
        let others = others.iter().filter_map(|t| t.as_ref());
        if let Some(failed) = std::iter::once(self).chain(others).find(|t| t.is_failed()) {
            return Some(failed.clone());
        }
        self.not_real(what)
    }

    /// The layer norm of a tensor over its last axes: `(x - mean) / sqrt(var + eps) * weight + bias`.
    ///
    /// `normalized_shape` are the sizes of the last axes, over which mean and variance (of the
    /// population) are taken; `weight` and `bias` have that shape. PyTorch's eps is 1e-5.
    ///
    /// # Errors
    /// [`Code::Shape`] when the sizes are not those of the last axes, there are none, or weight or
    /// bias have another shape.
    ///
    /// Source: Ba, Kiros and Hinton, 2016.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[1.0, 3.0], [-10.0, 10.0]]);
    /// assert_eq!(x.layer_norm(2, None, None, 0.0).to_vec::<f32>()?, [-1.0, 1.0, -1.0, 1.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn layer_norm(
        &self,
        normalized_shape: impl Into<Shape>,
        weight: Option<&dyn Operand>,
        bias: Option<&dyn Operand>,
        eps: f64,
    ) -> Tensor {
        let _called = called("layer_norm");
        let shape = normalized_shape.into();
        let (weight, bias) = (given(weight), given(bias));
        if let Some(failed) = self.unfit("layer_norm", &[&weight, &bias]) {
            return failed;
        }
        if let Err(failed) = self.check_last("layer_norm", shape, &[&weight, &bias]) {
            return failed;
        }
        let (centred, var) = self.centred(last_axes(self.peek().shape.rank(), shape.rank()));
        scaled(centred * var.inverse_deviation(eps), weight, bias)
    }

    /// The root-mean-square norm over the last axes: `x / sqrt(mean(x^2) + eps) * weight`.
    ///
    /// `normalized_shape` are the sizes of the last axes and the shape of `weight`. `eps` is a number
    /// or `None`, which is the distance from 1 to the next number of the type, as in PyTorch.
    ///
    /// # Errors
    /// As [`Tensor::layer_norm`].
    ///
    /// Source: Zhang and Sennrich, 2019.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[3.0, -3.0], [0.5, 0.5]]);
    /// assert_eq!(x.rms_norm(2, None, 0.0).to_vec::<f32>()?, [1.0, -1.0, 1.0, 1.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn rms_norm(
        &self,
        normalized_shape: impl Into<Shape>,
        weight: Option<&dyn Operand>,
        eps: impl Into<Option<f64>>,
    ) -> Tensor {
        let _called = called("rms_norm");
        let (shape, weight) = (normalized_shape.into(), given(weight));
        if let Some(failed) = self.unfit("rms_norm", &[&weight]) {
            return failed;
        }
        if let Err(failed) = self.check_last("rms_norm", shape, &[&weight]) {
            return failed;
        }
        let meta = self.peek();
        let default = if meta.dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
        let mask = last_axes(meta.shape.rank(), shape.rank());
        let squares = self.square().mean_over(mask, true);
        scaled(self * squares.inverse_deviation(eps.into().unwrap_or(default)), weight, None)
    }

    /// Each group of channels of each sample normalised by itself.
    ///
    /// `[batch, channels, ..]`; the channels are cut into `num_groups` equal groups, and mean and
    /// variance are over a group and all further axes. `weight` and `bias` are `[channels]`.
    ///
    /// # Errors
    /// [`Code::Shape`] for fewer than two axes, channels that the groups do not divide, no elements
    /// to take a mean of, or another shape of weight or bias.
    ///
    /// Source: Wu and He, 2018.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[1.0, 3.0, 10.0, 30.0]]);
    /// assert_eq!(x.group_norm(2, None, None, 0.0).to_vec::<f32>()?, [-1.0, 1.0, -1.0, 1.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn group_norm(
        &self,
        num_groups: usize,
        weight: Option<&dyn Operand>,
        bias: Option<&dyn Operand>,
        eps: f64,
    ) -> Tensor {
        let _called = called("group_norm");
        self.by_groups("group_norm", num_groups, given(weight), given(bias), eps)
    }

    /// Each channel of each sample normalised by itself: [`Tensor::group_norm`] with as many groups
    /// as channels.
    ///
    /// `[batch, channels, ..]` with at least two elements in each channel of a sample.
    ///
    /// # Errors
    /// As [`Tensor::group_norm`], and for a single element a channel.
    ///
    /// Source: Ulyanov, Vedaldi and Lempitsky, 2016.
    #[track_caller]
    #[must_use]
    pub fn instance_norm(
        &self,
        weight: Option<&dyn Operand>,
        bias: Option<&dyn Operand>,
        eps: f64,
    ) -> Tensor {
        let _called = called("instance_norm");
        let shape = self.peek().shape;
        let each: usize = shape.dims().iter().skip(2).product();
        if shape.rank() >= 2 && each == 1 && self.not_real("instance_norm").is_none() {
            return self.refuse(too_few("instance_norm", shape, "of a sample"));
        }
        self.by_groups("instance_norm", shape.dim(1), given(weight), given(bias), eps)
    }

    #[track_caller]
    fn by_groups(
        &self,
        what: &'static str,
        groups: usize,
        weight: Option<Tensor>,
        bias: Option<Tensor>,
        eps: f64,
    ) -> Tensor {
        if let Some(failed) = self.unfit(what, &[&weight, &bias]) {
            return failed;
        }
        let shape = self.peek().shape;
        let channels = match self.check_channels(what, &[&weight, &bias]) {
            Ok(channels) => channels,
            Err(failed) => return failed,
        };
        if groups == 0 || !channels.is_multiple_of(groups) {
            let text = format!("{what}: the {channels} channels of {shape} in {groups} groups");
            return Tensor::failed(
                Error::new(Code::Shape, text).help("the number of groups divides the channels"),
            );
        }
        let each: usize = shape.dims().iter().skip(1).product();
        if each == 0 {
            let text = format!("{what}: {shape} has no elements to normalise");
            return Tensor::failed(Error::new(Code::Shape, text));
        }
        let lines =
            self.apply(Op::Reshape, &[], Some(Shape::new(&[shape.dim(0), groups, each / groups])));
        let (centred, var) = lines.centred(1 << 2);
        let y = centred * var.inverse_deviation(eps);
        let y = y.apply(Op::Reshape, &[], Some(shape));
        let along = |t: Tensor| t.apply(Op::Reshape, &[], Some(wide(shape.rank(), channels)));
        scaled(y, weight.map(along), bias.map(along))
    }

    /// Mean and variance (of the population) of each channel, over the batch and all further axes:
    /// two tensors `[channels]` for `[batch, channels, ..]`. What [`Tensor::batch_norm`] takes.
    ///
    /// # Errors
    /// [`Code::Shape`] for fewer than two axes, or fewer than two values a channel.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let (mean, var) = Tensor::from([[1.0, 5.0], [3.0, 5.0]]).channel_moments();
    /// assert_eq!(mean.to_vec::<f32>()?, [2.0, 5.0]);
    /// assert_eq!(var.to_vec::<f32>()?, [1.0, 0.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn channel_moments(&self) -> (Tensor, Tensor) {
        let _called = called("channel_moments");
        self.moments("channel_moments")
    }

    #[track_caller]
    fn moments(&self, what: &'static str) -> (Tensor, Tensor) {
        let fail = |failed: Tensor| (failed.clone(), failed);
        if let Some(failed) = self.unfit(what, &[]) {
            return fail(failed);
        }
        let channels = match self.check_channels(what, &[]) {
            Ok(channels) => channels,
            Err(failed) => return fail(failed),
        };
        let shape = self.peek().shape;
        if channels > 0 && shape.numel() / channels < 2 {
            return fail(Tensor::failed(too_few(what, shape, "of the batch")));
        }
        let mask = but_channels(shape.rank(), true);
        let flat = |t: Tensor| t.apply(Op::Reshape, &[], Some(channels.into()));
        let mean = flat(self.mean_over(mask, true));
        // As `batch_norm` centres: the planner makes one value of both.
        let centred = self.less(&mean);
        let sum = centred.square().reduce(Reduction::Sum, mask, true);
        let count = (shape.numel() / channels.max(1)) as f64;
        (mean, flat(divide(&sum, count)))
    }

    /// `self - mean`, the mean being of each channel.
    #[track_caller]
    fn less(&self, mean: &Tensor) -> Tensor {
        let to = wide(self.peek().shape.rank(), mean.peek().shape.dim(0));
        self - mean.apply(Op::Reshape, &[], Some(to))
    }

    /// Each channel normalised: `(x - mean) / sqrt(var + eps) * weight + bias`.
    ///
    /// `[batch, channels, ..]`; `statistics` are mean and variance, `[channels]` each, or `None` for
    /// those of this batch ([`Tensor::channel_moments`]). `weight` and `bias` are `[channels]`.
    /// Running statistics are kept by the layer `BatchNorm2d`, not here.
    ///
    /// # Errors
    /// [`Code::Shape`] for fewer than two axes, another shape of an operand, or, without statistics,
    /// a single value a channel.
    ///
    /// Source: Ioffe and Szegedy, 2015.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[1.0, 5.0], [3.0, 9.0]]);
    /// assert_eq!(x.batch_norm(None, None, None, 0.0).to_vec::<f32>()?, [-1.0, -1.0, 1.0, 1.0]);
    /// let (mean, var) = (Tensor::zeros([2]), Tensor::from([4.0, 1.0]));
    /// let y = x.batch_norm(Some((&mean, &var)), None, None, 0.0);
    /// assert_eq!(y.to_vec::<f32>()?, [0.5, 5.0, 1.5, 9.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn batch_norm(
        &self,
        statistics: Option<(&Tensor, &Tensor)>,
        weight: Option<&dyn Operand>,
        bias: Option<&dyn Operand>,
        eps: f64,
    ) -> Tensor {
        let _called = called("batch_norm");
        let (weight, bias) = (given(weight), given(bias));
        let (mean, var) = match statistics {
            Some((mean, var)) => (Some(mean.clone()), Some(var.clone())),
            None => {
                let (mean, var) = self.moments("batch_norm");
                (Some(mean), Some(var))
            }
        };
        let operands = [&mean, &var, &weight, &bias];
        if let Some(failed) = self.unfit("batch_norm", &operands) {
            return failed;
        }
        let channels = match self.check_channels("batch_norm", &operands) {
            Ok(channels) => channels,
            Err(failed) => return failed,
        };
        let (Some(mean), Some(var)) = (mean, var) else { return self.clone() };
        let to = wide(self.peek().shape.rank(), channels);
        let along = |t: Tensor| t.apply(Op::Reshape, &[], Some(to));
        // The factor of a channel is made once, not for each element.
        let scale = scaled(var.inverse_deviation(eps), weight, None);
        scaled(self.less(&mean), Some(along(scale)), bias.map(along))
    }

    /// Each element divided by a power of what its neighbours in other channels have:
    /// `x / (k + alpha * mean of x^2 over size channels around it)^beta`.
    ///
    /// `[batch, channels, ..]`; channels beyond the first and the last count as 0. PyTorch's
    /// defaults are alpha 1e-4, beta 0.75, k 1.
    ///
    /// # Errors
    /// [`Code::Shape`] for fewer than two axes (PyTorch wants three); [`Code::Argument`] for a size
    /// of 0.
    ///
    /// Source: Krizhevsky, Sutskever and Hinton, 2012.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::from([[2.0, 0.0, 0.0]]);
    /// let y = x.local_response_norm(1, 1.0, 0.5, 0.0);
    /// assert_eq!(y.to_vec::<f32>()?[0], 1.0);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn local_response_norm(&self, size: usize, alpha: f64, beta: f64, k: f64) -> Tensor {
        let _called = called("local_response_norm");
        if let Some(failed) = self.unfit("local_response_norm", &[]) {
            return failed;
        }
        let channels = match self.check_channels("local_response_norm", &[]) {
            Ok(channels) => channels,
            Err(failed) => return failed,
        };
        if size == 0 {
            return Tensor::failed(
                Error::new(Code::Argument, "local_response_norm: a window of 0 channels")
                    .help("the size counts the channel itself, so it is at least 1"),
            );
        }
        // PyTorch's window: one more before than behind, for even sizes. Beyond the channels
        // everything is zero.
        let most = channels.saturating_sub(1);
        let (before, behind) = ((size / 2).min(most), ((size - 1) / 2).min(most));
        let squares = self.square();
        let padded = if before + behind == 0 {
            squares
        } else {
            let mut pads = vec![0; 2 * (self.peek().shape.rank() - 2)];
            pads.extend([before as isize, behind as isize]);
            squares.pad(pads, super::pad::Pad::Constant(0.0))
        };
        let mut sum: Option<Tensor> = None;
        for first in 0..=before + behind {
            let part = padded.narrow(1, first, channels);
            sum = Some(match sum {
                Some(sum) => sum + part,
                None => part,
            });
        }
        let Some(sum) = sum else { return self.clone() };
        self / ((divide(&sum, size as f64) * alpha) + k).pow(beta)
    }

    /// Whether `shape` are this tensor's last axes, and that of the operands.
    #[track_caller]
    fn check_last(
        &self,
        what: &str,
        shape: Shape,
        operands: &[&Option<Tensor>],
    ) -> Result<(), Tensor> {
        let own = self.peek().shape;
        if shape.rank() == 0 {
            let text = format!("{what}: the normalized shape has no axes");
            return Err(Tensor::failed(Error::new(Code::Shape, text)));
        }
        if !own.dims().ends_with(shape.dims()) {
            let text = format!("{what}: the last axes of {own} are not {shape}");
            return Err(Tensor::failed(Error::new(Code::Shape, text)));
        }
        fit(what, shape, operands)
    }

    /// The number of channels (axis 1), if the operands have one element each.
    #[track_caller]
    fn check_channels(&self, what: &str, operands: &[&Option<Tensor>]) -> Result<usize, Tensor> {
        let shape = self.peek().shape;
        if shape.rank() < 2 {
            let text = format!("{what}: {shape} has no axis of channels");
            return Err(Tensor::failed(
                Error::new(Code::Shape, text).help("the axes are [batch, channels, ..]"),
            ));
        }
        fit(what, shape.dim(1).into(), operands)?;
        Ok(shape.dim(1))
    }
}

/// An operand that may be missing, as a tensor.
#[track_caller]
fn given(operand: Option<&dyn Operand>) -> Option<Tensor> {
    operand.map(|operand| operand.arg().into_tensor())
}

/// `x * weight + bias`, of what there is.
#[track_caller]
fn scaled(x: Tensor, weight: Option<Tensor>, bias: Option<Tensor>) -> Tensor {
    let x = match weight {
        Some(weight) => x * weight,
        None => x,
    };
    match bias {
        Some(bias) => x + bias,
        None => x,
    }
}

/// Whether all operands have that shape.
#[track_caller]
fn fit(what: &str, shape: Shape, operands: &[&Option<Tensor>]) -> Result<(), Tensor> {
    for operand in operands.iter().filter_map(|t| t.as_ref()) {
        let have = operand.peek().shape;
        if have != shape {
            let text = format!("{what}: an operand is {have}, where {shape} is normalised");
            let error = Error::new(Code::Shape, text)
                .help("weight, bias and statistics have one element for each that is normalised");
            return Err(recorder::failed(error, Location::caller()));
        }
    }
    Ok(())
}

#[cold]
fn too_few(what: &str, shape: Shape, of: &str) -> Error {
    Error::new(Code::Shape, format!("{what}: {shape} has fewer than two values {of} a channel"))
        .help(
            "a variance needs two values; give a larger batch, or evaluate with running statistics",
        )
}
