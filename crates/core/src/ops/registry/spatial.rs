//! Rows of operations on images: other sizes, sampling at places, patches.

use super::arrays::{any, truth, unit, whole};
use super::{ErrorCase, Gradient, Kind, OpRow, Sample, fails};
use crate::array::Array;
use crate::ops::grid::{GridMode, GridPadding};
use crate::ops::patches::Patches;
use crate::ops::resize::{Interpolation, Resize};
use crate::tensor::Tensor;

/// A row of this file.
const fn row(
    [name, signature, formula, pytorch]: [&'static str; 4],
    kind: Kind,
    onnx: Option<&'static str>,
    samples: fn() -> Vec<Sample>,
    errors: fn() -> Vec<ErrorCase>,
) -> OpRow {
    let gradient = Gradient::Yes;
    OpRow { name, signature, formula, kind, pytorch, onnx, gradient, samples, errors }
}

fn image(shape: &[usize], seed: u64) -> Vec<Array> {
    vec![any(shape, seed)]
}

/// An image and places, inside and outside of it.
fn sampled(shape: &[usize], grid: &[usize], seed: u64) -> Vec<Array> {
    vec![any(shape, seed), any(grid, seed + 1)]
}

/// An image and places well inside.
fn inside(shape: &[usize], grid: &[usize], seed: u64) -> Vec<Array> {
    vec![any(shape, seed), unit(grid, seed + 1)]
}

pub(super) fn rows() -> Vec<OpRow> {
    vec![
        row(
            [
                "interpolate",
                "x.interpolate(Resize::by(2.0).mode(Interpolation::Linear))",
                "an image in other sizes",
                "torch.nn.functional.interpolate",
            ],
            Kind::Movement,
            Some("Resize"),
            resized,
            || {
                vec![
                    fails!("a vector", Shape, "interpolate: takes [batch, channels, ..]", {
                        Tensor::zeros([2, 3]).interpolate(Resize::by(2.0))
                    }),
                    fails!("two sizes", Argument, "interpolate: 2 sizes for the 1 axes", {
                        Tensor::zeros([1, 2, 3]).interpolate(Resize::to([4, 4]))
                    }),
                    fails!("no pixels", Argument, "interpolate: axis 2 of [1, 2, 3] would", {
                        Tensor::zeros([1, 2, 3]).interpolate(Resize::by(0.2))
                    }),
                    fails!("a negative factor", Argument, "interpolate: a factor of -1", {
                        Tensor::zeros([1, 2, 3]).interpolate(Resize::by(-1.0))
                    }),
                    fails!("corners of nearest", Argument, "interpolate: Nearest has no", {
                        Tensor::zeros([1, 2, 3]).interpolate(Resize::by(2.0).align_corners(true))
                    }),
                    fails!("means of integers", DType, "interpolate: takes f32 or f64, not i64", {
                        let x = Tensor::from([1, 2]).reshape([1, 1, 2]);
                        x.interpolate(Resize::by(2.0).mode(Interpolation::Linear))
                    }),
                ]
            },
        ),
        row(
            [
                "grid_sample",
                "x.grid_sample(&grid, GridMode::Bilinear, GridPadding::Zeros, false)",
                "values of an image at the places of a grid",
                "torch.nn.functional.grid_sample",
            ],
            Kind::Indexing,
            Some("GridSample"),
            samples_of_grids,
            || {
                vec![fails!("two batches", Shape, "grid_sample: image [1, 1, 2, 2] and grid", {
                    let grid = Tensor::zeros([2, 3, 3, 2]);
                    let (mode, padding) = (GridMode::Bilinear, GridPadding::Zeros);
                    Tensor::zeros([1, 1, 2, 2]).grid_sample(&grid, mode, padding, false)
                })]
            },
        ),
        row(
            [
                "affine_grid",
                "theta.affine_grid([batch, channels, h, w], false)",
                "the places that an affine map sends pixels to",
                "torch.nn.functional.affine_grid",
            ],
            Kind::Product,
            Some("AffineGrid"),
            || {
                vec![
                    Sample::new("two axes", image(&[2, 2, 3], 1), |v| {
                        v[0].affine_grid([2, 1, 3, 4], false)
                    }),
                    Sample::new("corners aligned", image(&[1, 2, 3], 2), |v| {
                        v[0].affine_grid([1, 5, 3, 1], true)
                    }),
                    Sample::new("three axes", image(&[1, 3, 4], 3), |v| {
                        v[0].affine_grid([1, 1, 2, 3, 2], true)
                    }),
                ]
            },
            || {
                vec![fails!("another map", Shape, "affine_grid: a map [1, 2, 2]", {
                    Tensor::zeros([1, 2, 2]).affine_grid([1, 1, 2, 2], false)
                })]
            },
        ),
        row(
            [
                "unfold2d",
                "x.unfold2d(Patches::new(3).padding(1))",
                "the patches of images as columns (im2col)",
                "torch.nn.functional.unfold",
            ],
            Kind::Movement,
            None,
            || {
                vec![
                    Sample::new("every place", image(&[2, 2, 4, 5], 1), |v| v[0].unfold2d(2)),
                    Sample::new("all options", image(&[2, 6, 7], 2), |v| {
                        let p =
                            Patches::new([2, 3]).stride((2, 1)).padding([1, 2]).dilation([2, 1]);
                        v[0].unfold2d(p)
                    }),
                    Sample::new("integers", vec![whole(&[1, 3, 3], 3)], |v| v[0].unfold2d(2)),
                    Sample::new("empty", image(&[0, 2, 3, 3], 4), |v| v[0].unfold2d(2)),
                ]
            },
            || {
                vec![
                    fails!("too large", Shape, "unfold2d: a patch of 4 does not fit 3", {
                        Tensor::zeros([1, 3, 3]).unfold2d(4)
                    }),
                    fails!(
                        "stands still",
                        Argument,
                        "unfold2d: kernel 2, dilation 1 and stride 0",
                        { Tensor::zeros([1, 3, 3]).unfold2d(Patches::new(2).stride(0)) }
                    ),
                    fails!("a matrix", Shape, "unfold2d: takes [batch, channels", {
                        Tensor::zeros([3, 3]).unfold2d(2)
                    }),
                ]
            },
        ),
        row(
            [
                "fold2d",
                "columns.fold2d([h, w], Patches::new(3).padding(1))",
                "the sum of patches in an image (col2im)",
                "torch.nn.functional.fold",
            ],
            Kind::Indexing,
            Some("Col2Im"),
            || {
                vec![
                    Sample::new("overlapping", image(&[2, 8, 12], 1), |v| v[0].fold2d([4, 5], 2)),
                    Sample::new("all options", image(&[12, 24], 2), |v| {
                        let p =
                            Patches::new([2, 3]).stride((2, 1)).padding([1, 2]).dilation([2, 1]);
                        v[0].fold2d([6, 6], p)
                    }),
                ]
            },
            || {
                vec![fails!("other columns", Shape, "fold2d: [1, 8, 5] are not the patches", {
                    Tensor::zeros([1, 8, 5]).fold2d([3, 3], 2)
                })]
            },
        ),
    ]
}

fn resized() -> Vec<Sample> {
    use Interpolation::{Area, Cubic, Linear, Nearest, NearestExact};
    vec![
        Sample::new("twice", image(&[1, 2, 3, 2], 1), |v| v[0].interpolate(Resize::by(2.0))),
        Sample::new("nearest", image(&[2, 1, 5], 2), |v| {
            v[0].interpolate(Resize::to([7]).mode(Nearest))
        }),
        Sample::new("bools", vec![truth(&[1, 1, 4, 4], 3)], |v| {
            v[0].interpolate(Resize::by_each([0.5, 1.6]))
        }),
        Sample::new("nearest, exactly", image(&[1, 2, 5, 4], 4), |v| {
            v[0].interpolate(Resize::to([3, 7]).mode(NearestExact))
        }),
        Sample::new("a line", image(&[2, 2, 5], 5), |v| {
            v[0].interpolate(Resize::by(1.7).mode(Linear))
        }),
        Sample::new("bilinear, corners aligned", image(&[1, 2, 3, 4], 6), |v| {
            v[0].interpolate(Resize::to([5, 2]).mode(Linear).align_corners(true))
        }),
        Sample::new("trilinear", image(&[1, 1, 2, 3, 2], 7), |v| {
            let how = Resize::by(1.5).mode(Linear).recompute_scale_factor(true);
            v[0].interpolate(how)
        }),
        Sample::new("bicubic", image(&[1, 1, 4, 5], 8), |v| {
            v[0].interpolate(Resize::by_each([1.6, 0.7]).mode(Cubic))
        }),
        Sample::new("bicubic, corners aligned", image(&[1, 1, 4, 5], 9), |v| {
            v[0].interpolate(Resize::to([6]).mode(Cubic).align_corners(true))
        }),
        Sample::new("areas", image(&[1, 2, 5, 6], 10), |v| {
            v[0].interpolate(Resize::to([3, 4]).mode(Area))
        }),
        Sample::new("one pixel", image(&[1, 2, 1, 1], 11), |v| {
            v[0].interpolate(Resize::to([3, 2]).mode(Linear))
        }),
        Sample::new("to one pixel", image(&[1, 1, 3, 4], 12), |v| {
            v[0].interpolate(Resize::to([1]).mode(Cubic).align_corners(true))
        }),
        Sample::new("no batch entries", image(&[0, 1, 3], 13), |v| {
            v[0].interpolate(Resize::by(2.0).mode(Linear))
        }),
    ]
}

fn samples_of_grids() -> Vec<Sample> {
    use GridMode::{Bicubic, Bilinear, Nearest};
    use GridPadding::{Border, Reflection, Zeros};
    vec![
        Sample::new("bilinear", inside(&[2, 3, 4, 5], &[2, 3, 2, 2], 1), |v| {
            v[0].grid_sample(&v[1], Bilinear, Zeros, false)
        }),
        // Gradients of places jump where a neighbour leaves the image.
        Sample::new("partly outside", sampled(&[1, 2, 4, 5], &[1, 3, 4, 2], 2), |v| {
            v[0].grid_sample(&v[1], Bilinear, Zeros, true)
        })
        .kinks(),
        Sample::new("border", sampled(&[1, 2, 4, 5], &[1, 3, 4, 2], 3), |v| {
            v[0].grid_sample(&v[1], Bilinear, Border, false)
        }),
        Sample::new("mirrored", sampled(&[1, 2, 4, 3], &[1, 3, 4, 2], 4), |v| {
            v[0].grid_sample(&v[1], Bilinear, Reflection, false)
        }),
        Sample::new("mirrored, corners aligned", sampled(&[1, 2, 4, 3], &[1, 3, 4, 2], 5), |v| {
            v[0].grid_sample(&v[1], Bilinear, Reflection, true)
        }),
        Sample::new("nearest", sampled(&[1, 2, 4, 3], &[1, 3, 4, 2], 6), |v| {
            v[0].grid_sample(&v[1], Nearest, Zeros, false)
        })
        .kinks(),
        Sample::new("bicubic", inside(&[1, 1, 4, 5], &[1, 1, 2, 2], 7), |v| {
            v[0].grid_sample(&v[1], Bicubic, Zeros, false)
        }),
        Sample::new("bicubic, mirrored", sampled(&[1, 1, 4, 5], &[1, 1, 2, 2], 8), |v| {
            v[0].grid_sample(&v[1], Bicubic, Reflection, true)
        }),
        Sample::new("bicubic, three axes", inside(&[1, 1, 2, 3, 2], &[1, 1, 1, 1, 3], 8), |v| {
            v[0].grid_sample(&v[1], Bicubic, Border, false)
        }),
        Sample::new("three axes", inside(&[1, 2, 3, 2, 4], &[1, 2, 1, 2, 3], 9), |v| {
            v[0].grid_sample(&v[1], Bilinear, Zeros, false)
        }),
        Sample::new("one pixel", sampled(&[1, 1, 1, 1], &[1, 1, 2, 2], 10), |v| {
            v[0].grid_sample(&v[1], Bilinear, Reflection, true)
        })
        .kinks(),
    ]
}
