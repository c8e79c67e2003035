//! Images sampled at places of a grid, and grids from affine maps.

use super::resize::cubic;
use crate::error::{Code, Error, Result};
use crate::graph::called::called;
use crate::graph::dtype::DType;
use crate::graph::recorder;
use crate::graph::shape::Shape;
use crate::tensor::Tensor;

/// How [`Tensor::grid_sample`] finds values between pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GridMode {
    /// A straight line between neighbours on each axis.
    #[default]
    Bilinear,
    /// The nearest pixel; the even one of two.
    Nearest,
    /// Keys' cubic, a = -0.75, along each axis.
    Bicubic,
}

/// What [`Tensor::grid_sample`] finds outside the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GridPadding {
    /// Zeros.
    #[default]
    Zeros,
    /// The pixels at the border.
    Border,
    /// The image mirrored at the border.
    Reflection,
}

/// What a sample is about.
struct Sampler {
    /// Rows of channels, one for each pixel of each image: `[batch * pixels, channels]`.
    rows: Tensor,
    /// The number of the first pixel of each sample's image, `[batch, places]`.
    first: Tensor,
    /// Pixels of each axis, slowest first.
    sizes: Vec<usize>,
    padding: GridPadding,
    aligned: bool,
}

impl Tensor {
    /// Values of an image `[batch, channels, height, width]` at the places of a grid `[batch, h, w,
    /// 2]` of (x, y): `[batch, channels, h, w]`. With three axes of pixels the grid has places
    /// (x, y, z). -1 and 1 are the outer edges of the corner pixels, or with `align_corners` their
    /// centres.
    ///
    /// # Errors
    /// [`Code::Shape`] for shapes that do not go together, [`Code::DType`] for other types than one
    /// of f32 and f64.
    ///
    /// ```
    /// use gradus_core::{GridMode, GridPadding, Tensor};
    /// let x = Tensor::from([[0.0, 1.0], [2.0, 3.0]]).reshape([1, 1, 2, 2]);
    /// let middle = Tensor::zeros([1, 1, 1, 2]);
    /// let y = x.grid_sample(&middle, GridMode::Bilinear, GridPadding::Zeros, false);
    /// assert_eq!(y.item()?, 1.5);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn grid_sample(
        &self,
        grid: &Tensor,
        mode: GridMode,
        padding: GridPadding,
        align_corners: bool,
    ) -> Tensor {
        let _called = called("grid_sample");
        if recorder::error_of(grid).is_some() && recorder::error_of(self).is_none() {
            return grid.clone();
        }
        if let Err(error) = self.fits(grid) {
            return self.refuse(error);
        }
        let (shape, at) = (self.peek().shape, grid.peek().shape);
        let (batch, channels) = (shape.dim(0), shape.dim(1));
        let sizes = shape.dims()[2..].to_vec();
        let n = sizes.len();
        let pixels: usize = sizes.iter().product();
        let places: usize = at.dims()[1..=n].iter().product();
        let rows = self
            .reshape_to([batch, channels, pixels])
            .transpose(1, 2)
            .reshape_to([batch * pixels, channels]);
        let first = Tensor::arange(0, batch as i64) * pixels as i64;
        let first = first.reshape_to([batch, 1]).broadcast_to([batch, places]);
        let sampler = Sampler { rows, first, sizes, padding, aligned: align_corners };
        let grid = grid.reshape_to([batch, places, n]);
        // The grid names the fastest axis first.
        let coordinates: Vec<Tensor> = (0..n)
            .map(|axis| {
                let x = grid.narrow(2, n - 1 - axis, 1).reshape_to([batch, places]);
                sampler.unnormalized(axis, &x)
            })
            .collect();
        let found = match mode {
            GridMode::Nearest => sampler.nearest(&coordinates),
            GridMode::Bilinear => sampler.linear(&coordinates),
            GridMode::Bicubic => sampler.cubic(&coordinates),
        };
        let out = Shape::joined([&[batch, channels], &at.dims()[1..=n]]);
        found.reshape_to([batch, places, channels]).transpose(1, 2).reshape_to(out)
    }

    fn fits(&self, grid: &Tensor) -> Result<()> {
        let (x, g) = (self.peek(), grid.peek());
        let n = x.shape.rank().saturating_sub(2);
        let fits = (2..=3).contains(&n)
            && g.shape.rank() == n + 2
            && g.shape.last(0) == n
            && g.shape.dim(0) == x.shape.dim(0);
        if !fits {
            let text = format!("grid_sample: image {} and grid {}", x.shape, g.shape);
            let help = "they are [batch, channels, height, width] and [batch, h, w, 2], or with a \
                        depth [batch, channels, depth, height, width] and [batch, d, h, w, 3]";
            return Err(Error::new(Code::Shape, format!("{text} do not go together")).help(help));
        }
        if x.shape.dims().iter().skip(2).any(|&d| d == 0) {
            let text = format!("grid_sample: the image {} has no pixels", x.shape);
            return Err(Error::new(Code::Shape, text));
        }
        if !x.dtype.is_float() || x.dtype != g.dtype {
            let text = format!("grid_sample: image and grid are {} and {}", x.dtype, g.dtype);
            return Err(Error::new(Code::DType, text).help("both are f32, or both f64"));
        }
        Ok(())
    }

    /// The grid `[batch, h, w, 2]` of an affine map `[batch, 2, 3]`, for [`Tensor::grid_sample`] to
    /// images of `size` `[batch, channels, h, w]`; with a map `[batch, 3, 4]` and a depth, `[batch,
    /// d, h, w, 3]`.
    ///
    /// # Errors
    /// [`Code::Shape`] for shapes that do not go together, [`Code::DType`] for another type than f32
    /// or f64.
    ///
    /// ```
    /// use gradus_core::Tensor;
    /// let same = Tensor::from([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).reshape([1, 2, 3]);
    /// let grid = same.affine_grid([1, 1, 2, 2], true);
    /// assert_eq!(grid.to_vec::<f32>()?, [-1.0, -1.0, 1.0, -1.0, -1.0, 1.0, 1.0, 1.0]);
    /// # Ok::<(), gradus_core::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn affine_grid(&self, size: impl Into<Shape>, align_corners: bool) -> Tensor {
        let _called = called("affine_grid");
        let (size, meta) = (size.into(), self.peek());
        let n = size.rank().saturating_sub(2);
        let fits = (2..=3).contains(&n) && meta.shape == Shape::from([size.dim(0), n, n + 1]);
        if !fits || size.numel() == 0 {
            let text = format!("affine_grid: a map {} for images {size}", meta.shape);
            let help = "a map is [batch, 2, 3] for images [batch, channels, height, width], and \
                        [batch, 3, 4] where they have a depth";
            return self.refuse(Error::new(Code::Shape, text).help(help));
        }
        if !meta.dtype.is_float() {
            let text = format!("affine_grid: takes f32 or f64, not {}", meta.dtype);
            return self.refuse(Error::new(Code::DType, text));
        }
        let mut whole = size.remove(1).insert(n + 1, n);
        let thin = |axis: usize, count: usize| {
            let mut shape = Shape::SCALAR;
            for i in 0..n + 2 {
                shape = shape.insert(i, if i == axis { count } else { 1 });
            }
            shape
        };
        let column = |k: usize| {
            let mut shape = thin(n + 1, n);
            shape = shape.with(0, size.dim(0));
            self.narrow(2, k, 1).reshape_to(shape)
        };
        let mut grid = column(n);
        for axis in 0..n {
            let count = size.dim(axis + 2);
            let i = Tensor::arange(0, count as i64).cast(DType::F64);
            let x = match (count, align_corners) {
                (1, _) => i,
                (_, true) => i * (2.0 / (count - 1) as f64) - 1.0,
                (_, false) => (i * 2.0 + 1.0) * (1.0 / count as f64) - 1.0,
            };
            let x = x.cast(meta.dtype).reshape_to(thin(axis + 1, count));
            grid = grid + column(n - 1 - axis) * x;
        }
        whole = whole.with(0, size.dim(0));
        grid.broadcast_to(whole)
    }
}

impl Sampler {
    /// From -1 to 1 to pixels, of axis `axis`; outside as the padding says.
    #[track_caller]
    fn unnormalized(&self, axis: usize, x: &Tensor) -> Tensor {
        let size = self.sizes[axis] as f64;
        match self.aligned {
            true => (x + 1.0) * ((size - 1.0) / 2.0),
            false => ((x + 1.0) * size - 1.0) * 0.5,
        }
    }

    /// A coordinate brought into the image, unless outside there are zeros.
    #[track_caller]
    fn inside(&self, axis: usize, x: &Tensor) -> Tensor {
        let last = self.sizes[axis] as f64 - 1.0;
        match self.padding {
            GridPadding::Zeros => x.clone(),
            GridPadding::Border => x.clamp(0.0, last),
            GridPadding::Reflection => {
                let (low, span) = if self.aligned { (0.0, last) } else { (-0.5, last + 1.0) };
                if span == 0.0 {
                    return x * 0.0;
                }
                let far = (x - low).abs();
                let extra = far.fmod(span);
                let odd = (&far / span).floor().fmod(2.0).ne(0.0);
                let back = odd.where_(span - &extra, &extra) + low;
                back.clamp(0.0, last)
            }
        }
    }

    /// Pixels at whole coordinates, `[batch * places, channels]`; zeros outside where it is so.
    #[track_caller]
    fn pixels(&self, at: &[Tensor]) -> Tensor {
        let mut number: Option<Tensor> = None;
        let mut valid: Option<Tensor> = None;
        for (axis, at) in at.iter().enumerate() {
            let size = self.sizes[axis];
            let last = size as f64 - 1.0;
            if self.padding == GridPadding::Zeros {
                let own = at.ge(0.0) & at.le(last);
                valid = Some(match valid {
                    Some(all) => all & own,
                    None => own,
                });
            }
            let index = at.clamp(0.0, last).cast(DType::I64);
            number = Some(match number {
                Some(number) => number * size as i64 + index,
                None => index,
            });
        }
        let Some(number) = number else { return self.rows.clone() };
        let picked = self.rows.index_select(0, &(number + &self.first).reshape([-1]));
        match valid {
            Some(valid) => valid.reshape([-1, 1]).where_(picked, 0.0),
            None => picked,
        }
    }

    #[track_caller]
    fn nearest(&self, at: &[Tensor]) -> Tensor {
        let at: Vec<Tensor> =
            at.iter().enumerate().map(|(axis, x)| self.inside(axis, x).round()).collect();
        self.pixels(&at)
    }

    #[track_caller]
    fn linear(&self, at: &[Tensor]) -> Tensor {
        let at: Vec<Tensor> = at.iter().enumerate().map(|(axis, x)| self.inside(axis, x)).collect();
        let floors: Vec<Tensor> = at.iter().map(Tensor::floor).collect();
        let weights: Vec<[Tensor; 2]> = at
            .iter()
            .zip(&floors)
            .map(|(x, floor)| {
                let t = x - floor;
                [1.0 - &t, t]
            })
            .collect();
        let mut sum: Option<Tensor> = None;
        for corner in 0..1usize << at.len() {
            let side = |axis: usize| corner >> (at.len() - 1 - axis) & 1;
            let place: Vec<Tensor> =
                floors.iter().enumerate().map(|(axis, f)| f + side(axis) as f64).collect();
            let weight = weights
                .iter()
                .enumerate()
                .map(|(axis, w)| w[side(axis)].clone())
                .reduce(|a, b| a * b);
            let Some(weight) = weight else { continue };
            let part = self.pixels(&place) * weight.reshape([-1, 1]);
            sum = Some(match sum {
                Some(sum) => sum + part,
                None => part,
            });
        }
        sum.unwrap_or_else(|| self.rows.clone())
    }

    /// Each of the 4 neighbours along every axis is brought into the image by itself.
    #[track_caller]
    fn cubic(&self, at: &[Tensor]) -> Tensor {
        let near: Vec<[(Tensor, Tensor); 4]> = at
            .iter()
            .enumerate()
            .map(|(axis, x)| {
                let floor = x.floor();
                let mut k = -1.0;
                cubic(&(x - &floor)).map(|weight| {
                    // Whole numbers: `round` takes away what reflecting may leave.
                    let at = self.inside(axis, &(&floor + k)).round().detach();
                    k += 1.0;
                    (at, weight.reshape([-1, 1]))
                })
            })
            .collect();
        self.cubic_sum(&near, &mut Vec::with_capacity(at.len()))
    }

    /// The weighted sum over the axes behind those of `place`.
    #[track_caller]
    fn cubic_sum(&self, near: &[[(Tensor, Tensor); 4]], place: &mut Vec<Tensor>) -> Tensor {
        let Some(own) = near.get(place.len()) else { return self.pixels(place) };
        let mut sum: Option<Tensor> = None;
        for (at, weight) in own {
            place.push(at.clone());
            let part = self.cubic_sum(near, place) * weight;
            place.pop();
            sum = Some(match sum {
                Some(sum) => sum + part,
                None => part,
            });
        }
        sum.unwrap_or_else(|| self.rows.clone())
    }
}
