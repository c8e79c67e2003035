//! Patches of images as columns (im2col), and their sum back into an image (col2im).

use super::Op;
use crate::error::{Code, Error, Result};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::graph::sizes::Sizes;
use crate::ops::pad::Pad;
use crate::tensor::Tensor;

/// How patches lie on an image: the options of [`Tensor::unfold2d`] and [`Tensor::fold2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Patches {
    kernel: Sizes<2>,
    dilation: Sizes<2>,
    padding: Sizes<2>,
    stride: Sizes<2>,
}

/// Everything that makes sizes makes patches of that size.
impl<S: Into<Sizes<2>>> From<S> for Patches {
    fn from(kernel: S) -> Patches {
        Patches::new(kernel)
    }
}

/// Where patches lie along one axis.
#[derive(Clone, Copy)]
struct Axis {
    kernel: usize,
    count: usize,
    dilation: usize,
    stride: usize,
    padding: usize,
    size: usize,
}

impl Axis {
    /// The elements of all patches, the first elements of each first: `kernel * count` indices into
    /// the padded axis.
    #[track_caller]
    fn index(&self) -> Tensor {
        let inner = Tensor::arange(0, self.kernel as i64) * self.dilation as i64;
        let starts = Tensor::arange(0, self.count as i64) * self.stride as i64;
        (inner.reshape([-1, 1]) + starts).reshape([-1])
    }

    fn padded(&self) -> usize {
        self.size + 2 * self.padding
    }
}

impl Patches {
    /// Patches of this size, one at each place.
    pub fn new(kernel_size: impl Into<Sizes<2>>) -> Patches {
        Patches {
            kernel: kernel_size.into(),
            dilation: Sizes::all(1),
            padding: Sizes::all(0),
            stride: Sizes::all(1),
        }
    }

    /// From one element of a patch to the next; 1 by default.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<Sizes<2>>) -> Patches {
        Patches { dilation: dilation.into(), ..self }
    }

    /// Zeros before and behind each axis; none by default.
    #[must_use]
    pub fn padding(self, padding: impl Into<Sizes<2>>) -> Patches {
        Patches { padding: padding.into(), ..self }
    }

    /// From one patch to the next; 1 by default.
    #[must_use]
    pub fn stride(self, stride: impl Into<Sizes<2>>) -> Patches {
        Patches { stride: stride.into(), ..self }
    }

    /// Where the patches of an image of these sizes lie.
    fn axes(&self, what: &str, sizes: [usize; 2]) -> Result<[Axis; 2]> {
        let mut axes = [None; 2];
        for (i, slot) in axes.iter_mut().enumerate() {
            let (kernel, dilation) = (self.kernel.0[i], self.dilation.0[i]);
            let (padding, stride, size) = (self.padding.0[i], self.stride.0[i], sizes[i]);
            if kernel == 0 || dilation == 0 || stride == 0 {
                let text = format!("kernel {kernel}, dilation {dilation} and stride {stride}");
                let text = format!("{what}: {text} must be at least 1");
                return Err(Error::new(Code::Argument, text));
            }
            let reach = (kernel - 1).saturating_mul(dilation).saturating_add(1);
            let whole = size.saturating_add(padding.saturating_mul(2));
            let Some(rest) = whole.checked_sub(reach).filter(|_| size > 0) else {
                let text = format!("{what}: a patch of {reach} does not fit {size} pixels");
                let help = format!("with the padding there are {whole}");
                return Err(Error::new(Code::Shape, text).help(help));
            };
            let count = rest / stride + 1;
            *slot = Some(Axis { kernel, count, dilation, stride, padding, size });
        }
        let missing = || Error::internal("an axis of patches");
        Ok([axes[0].ok_or_else(missing)?, axes[1].ok_or_else(missing)?])
    }
}

impl std::fmt::Display for Patches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, stride {:?}", self.kernel.0, self.stride.0)
    }
}

impl Tensor {
    /// The patches of images as columns: `[batch, channels, height, width]` becomes `[batch,
    /// channels * kernel_h * kernel_w, patches]`, patches in row-major order; so does an image
    /// without a batch. PyTorch's `nn.functional.unfold`.
    ///
    /// # Errors
    /// [`Code::Shape`] for another rank or a patch that does not fit, [`Code::Argument`] for sizes
    /// of 0.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let x = Tensor::arange(0.0, 9.0).reshape([1, 1, 3, 3]);
    /// let columns = x.unfold2d(2);
    /// assert_eq!(columns.dims::<3>()?, [1, 4, 4]);
    /// assert_eq!(columns.narrow(2, 0, 1).to_vec::<f32>()?, [0.0, 1.0, 3.0, 4.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn unfold2d(&self, patches: impl Into<Patches>) -> Tensor {
        let _called = called("unfold2d");
        let (patches, shape) = (patches.into(), self.peek().shape);
        if !(3..=4).contains(&shape.rank()) {
            let text = format!("unfold2d: takes [batch, channels, height, width], not {shape}");
            return self.refuse(Error::new(Code::Shape, text));
        }
        let [h, w] = match patches.axes("unfold2d", [shape.last(1), shape.last(0)]) {
            Ok(axes) => axes,
            Err(error) => return self.refuse(error),
        };
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        let [pw, ph] = [w, h].map(|a| a.padding as isize);
        let x = if pw == 0 && ph == 0 {
            self.clone()
        } else {
            self.pad([pw, pw, ph, ph], Pad::Constant(0.0))
        };
        let outer = shape.dims().iter().rev().skip(2).product();
        let columns = x
            .index_select(-2, &h.index())
            .index_select(-1, &w.index())
            .reshape_to([outer, h.kernel, h.count, w.kernel, w.count])
            .permute([0, 1, 3, 2, 4]);
        let rows = shape.last(2) * h.kernel * w.kernel;
        let out = Shape::from([rows, h.count * w.count]);
        columns.reshape_to(if shape.rank() == 4 { out.insert(0, shape.dim(0)) } else { out })
    }

    /// The sum of patches in an image: `[batch, channels * kernel_h * kernel_w, patches]` becomes
    /// `[batch, channels, height, width]` with `output_size` `[height, width]`; pixels where
    /// patches overlap get the sum. The adjoint of [`Tensor::unfold2d`]; PyTorch's
    /// `nn.functional.fold`.
    ///
    /// # Errors
    /// [`Code::Shape`] for another rank, or columns that are not the patches of such an image;
    /// [`Code::Argument`] for sizes of 0; [`Code::DType`] for a type that does not
    /// compute (bool, bf16, f16).
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let counts = Tensor::ones([1, 4, 4]).fold2d([3, 3], 2);
    /// assert_eq!(counts.to_vec::<f32>()?, [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn fold2d(&self, output_size: impl Into<Sizes<2>>, patches: impl Into<Patches>) -> Tensor {
        let _called = called("fold2d");
        let (patches, shape) = (patches.into(), self.peek().shape);
        let size = output_size.into();
        let [h, w] = match patches.axes("fold2d", size.0) {
            Ok(axes) => axes,
            Err(error) => return self.refuse(error),
        };
        let inner = h.kernel * w.kernel;
        let rank = shape.rank();
        let fits = (2..=3).contains(&rank)
            && shape.last(1).is_multiple_of(inner)
            && shape.last(0) == h.count * w.count;
        if !fits {
            let text = format!("fold2d: {shape} are not the patches of an image {:?}", size.0);
            let help = format!(
                "they are [batch, channels * {inner}, {}] for these options",
                h.count * w.count
            );
            return self.refuse(Error::new(Code::Shape, text).help(help));
        }
        if recorder::error_of(self).is_some() {
            return self.clone();
        }
        let dtype = self.peek().dtype;
        if dtype == DType::Bool || dtype.is_storage() {
            let error = Error::new(Code::DType, format!("fold2d: is not defined on {dtype}"));
            return self.refuse(error.help("patches are summed: `cast` to a number first"));
        }
        let channels = shape.last(1) / inner;
        let batch = if rank == 3 { shape.dim(0) } else { 1 };
        let outer = batch * channels;
        let x = self
            .reshape_to([outer, h.kernel, w.kernel, h.count, w.count])
            .permute([0, 1, 3, 2, 4])
            .reshape_to([outer, h.kernel * h.count, w.kernel * w.count]);
        let add = |x: &Tensor, axis: u8, index: &Tensor, to: Shape| {
            x.apply(Op::IndexAdd { axis }, &[index], Some(to))
        };
        let wide = Shape::from([outer, h.kernel * h.count, w.padded()]);
        let x = add(&x, 2, &w.index(), wide);
        let x = add(&x, 1, &h.index(), wide.with(1, h.padded()));
        let x = x.narrow(1, h.padding, h.size).narrow(2, w.padding, w.size);
        let out = Shape::from([channels, h.size, w.size]);
        x.reshape_to(if rank == 3 { out.insert(0, batch) } else { out })
    }
}
