//! Pooling against plain loops over the definition of a window.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use gradus_kernels::memory::{KernelError, Mem};
use gradus_kernels::window::{Axis, Divisor, Pooling, Windows, pooling, pooling_last};
use proptest::prelude::*;
use support::{Numbers, bits, everywhere, f32s, output};

/// The elements of window `j` along an axis, by the definition.
fn members(axis: &Axis, j: usize) -> Vec<usize> {
    let w = axis.windows;
    if w.kernel == 0 {
        return (j * axis.size / axis.out..((j + 1) * axis.size).div_ceil(axis.out)).collect();
    }
    let first = (j * usize::from(w.stride)) as isize - w.padding as isize;
    let all = (0..isize::from(w.kernel as i16)).map(|k| first + k * w.dilation as isize);
    all.filter_map(|i| usize::try_from(i).ok()).filter(|&i| i < axis.size).collect()
}

fn divisor(axis: &Axis, j: usize, by: Divisor) -> usize {
    let w = axis.windows;
    match by {
        Divisor::One => 1,
        Divisor::Padded if w.kernel > 0 => {
            let start = (j * usize::from(w.stride)) as isize - w.padding as isize;
            let end = (start + w.kernel as isize).min((axis.size + w.padding as usize) as isize);
            (end - start) as usize
        }
        _ => members(axis, j).len(),
    }
}

/// For each window, its elements in order and what its sum is divided by.
fn windows(axes: &[Axis; 3], by: Divisor) -> Vec<(Vec<usize>, usize)> {
    let [a, b, c] = axes;
    let mut out = Vec::new();
    for i in 0..a.out {
        for j in 0..b.out {
            for k in 0..c.out {
                let mut all = Vec::new();
                for d in members(a, i) {
                    for h in members(b, j) {
                        all.extend(members(c, k).iter().map(|w| (d * b.size + h) * c.size + w));
                    }
                }
                out.push((all, divisor(a, i, by) * divisor(b, j, by) * divisor(c, k, by)));
            }
        }
    }
    out
}

fn best(x: &[f32], at: &[usize]) -> usize {
    let mut best = at[0];
    for &i in at {
        if x[i] > x[best] || x[i].is_nan() {
            best = i;
        }
    }
    best
}

fn axis(n: &mut Numbers, most: usize) -> Axis {
    let size = 1 + n.below(most);
    if n.below(4) == 0 {
        return Axis { size, out: 1 + n.below(size + 2), windows: Windows::ADAPTIVE };
    }
    let dilation = 1 + n.below(2);
    let kernel = 1 + n.below(size.min(12)).min((size - 1) / dilation);
    let span = (kernel - 1) * dilation + 1;
    let padding = n.below(span / 2 + 1);
    let stride = 1 + n.below(3);
    let mut out = (size + 2 * padding - span) / stride + 1;
    // One more that is cut at the end, if it starts inside.
    out += usize::from(out * stride < size + padding && n.below(3) == 0);
    let [kernel, stride, padding, dilation] = [kernel, stride, padding, dilation].map(|v| v as u16);
    Axis { size, out, windows: Windows { kernel, stride, padding, dilation } }
}

fn close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (k, (x, y)) in a.iter().zip(b).enumerate() {
        let same = x == y || (x - y).abs() <= 2e-5 * (1.0 + y.abs()) || x.is_nan() && y.is_nan();
        assert!(same, "element {k} is {x}, not {y}");
    }
}

/// Planes of images between one another: the last axis of `[images, elements, channels]`.
fn turned<T: Copy>(x: &[T], images: usize, channels: usize) -> Vec<T> {
    let n = x.len() / (images * channels).max(1);
    let at = |i: usize, e: usize, c: usize| x[(i * channels + c) * n + e];
    let places = (0..images).flat_map(|i| (0..n).map(move |e| (i, e)));
    places.flat_map(|(i, e)| (0..channels).map(move |c| at(i, e, c))).collect()
}

/// Channels last give the bits that channels second give.
fn check_last(axes: [Axis; 3], channels: usize, seed: u64) {
    let images = 2;
    let size = |f: fn(&Axis) -> usize| axes.iter().map(f).product::<usize>() * images * channels;
    let (whole, short) = (size(|a| a.size), size(|a| a.out));
    let (x, v, g) = (f32s(whole, seed), f32s(whole, seed + 1), f32s(short, seed + 2));
    let mut kinds = vec![(Pooling::Max, vec![&x], short), (Pooling::MaxPick, vec![&x, &v], short)];
    kinds.push((Pooling::MaxPlace, vec![&x, &g], whole));
    for by in [Divisor::One, Divisor::Inside, Divisor::Padded] {
        kinds.push((Pooling::Mean(by), vec![&x], short));
        kinds.push((Pooling::Spread(by), vec![&g], whole));
    }
    for (kind, operands, len) in kinds {
        let mems: Vec<Mem<'_>> = operands.iter().map(|o| Mem::read(o)).collect();
        let planes = images * channels;
        let want = output::<f32>(len, |to| pooling(kind, axes, planes, &mems, to)).unwrap();
        let want = bits(&turned(&want, images, channels));
        let last: Vec<Vec<f32>> = operands.iter().map(|o| turned(o, images, channels)).collect();
        let have = everywhere(|| {
            let mems: Vec<Mem<'_>> = last.iter().map(|o| Mem::read(o)).collect();
            let size = (images, channels);
            bits(&output::<f32>(len, |to| pooling_last(kind, axes, size, &mems, to)).unwrap())
        });
        assert_eq!(have, want, "{kind:?} {axes:?} {channels}");
    }
    type Run<'r> = &'r dyn Fn(&[Mem<'_>], Mem<'_>) -> Result<(), KernelError>;
    let at = |x: &[f32], run: Run<'_>| output::<i64>(short, |to| run(&[Mem::read(x)], to)).unwrap();
    let planes = images * channels;
    let want = at(&x, &|ins, to| pooling(Pooling::MaxAt, axes, planes, ins, to));
    let have = at(&turned(&x, images, channels), &|ins, to| {
        pooling_last(Pooling::MaxAt, axes, (images, channels), ins, to)
    });
    assert_eq!(have, turned(&want, images, channels), "{axes:?} {channels}");
}

fn check(axes: [Axis; 3], planes: usize, x: &[f32], seed: u64) {
    let plane: usize = axes.iter().map(|a| a.size).product();
    let list = windows(&axes, Divisor::One);
    if list.iter().any(|(at, _)| at.is_empty()) {
        return;
    }
    let count = list.len();
    let (v, g) = (f32s(plane * planes, seed + 1), f32s(count * planes, seed + 2));
    let of = |p: usize, i: usize| best(&x[p * plane..(p + 1) * plane], &list[i].0);
    let each = || (0..planes).flat_map(|p| (0..count).map(move |i| (p, i)));
    let run = |kind, operands: &[&[f32]], len| {
        everywhere(|| {
            let mems: Vec<Mem<'_>> = operands.iter().map(|o| Mem::read(o)).collect();
            let out = output::<f32>(len, |to| pooling(kind, axes, planes, &mems, to)).unwrap();
            bits(&out)
        })
        .into_iter()
        .map(f32::from_bits)
        .collect::<Vec<f32>>()
    };
    let want: Vec<f32> = each().map(|(p, i)| x[p * plane + of(p, i)]).collect();
    close(&run(Pooling::Max, &[x], want.len()), &want);
    let want: Vec<i64> = each().map(|(p, i)| of(p, i) as i64).collect();
    let at = everywhere(|| {
        let x = [Mem::read(x)];
        output::<i64>(want.len(), |to| pooling(Pooling::MaxAt, axes, planes, &x, to)).unwrap()
    });
    assert_eq!(at, want, "{axes:?}");
    let want: Vec<f32> = each().map(|(p, i)| v[p * plane + of(p, i)]).collect();
    assert_eq!(run(Pooling::MaxPick, &[x, &v], want.len()), want);
    let mut want = vec![0.0; x.len()];
    for (p, i) in each() {
        want[p * plane + of(p, i)] += g[p * count + i];
    }
    close(&run(Pooling::MaxPlace, &[x, &g], want.len()), &want);
    for by in [Divisor::One, Divisor::Inside, Divisor::Padded] {
        let list = windows(&axes, by);
        let sum =
            |p: usize, at: &[usize]| at.iter().map(|k| f64::from(v[p * plane + k])).sum::<f64>();
        let want: Vec<f32> =
            each().map(|(p, i)| (sum(p, &list[i].0) / list[i].1 as f64) as f32).collect();
        close(&run(Pooling::Mean(by), &[&v], want.len()), &want);
        let mut want = vec![0.0; x.len()];
        for (p, i) in each() {
            for k in &list[i].0 {
                want[p * plane + k] += g[p * count + i] / list[i].1 as f32;
            }
        }
        close(&run(Pooling::Spread(by), &[&g], want.len()), &want);
    }
    for channels in [1, 6, 21] {
        check_last(axes, channels, seed);
    }
}

const ONE: Axis = Axis { size: 1, out: 1, windows: Windows::NONE };

fn pair(size: usize) -> Axis {
    let windows = Windows { kernel: 2, stride: 2, padding: 0, dilation: 1 };
    Axis { size, out: size / 2, windows }
}

#[test]
fn pairs_with_and_without_a_rest() {
    for (h, w) in [(2, 2), (28, 28), (7, 9), (5, 150)] {
        for planes in [1, 3] {
            let x = f32s(h * w * planes, 5);
            check([ONE, pair(h), pair(w)], planes, &x, 9);
            let flat = vec![1.0; x.len()];
            check([ONE, pair(h), pair(w)], planes, &flat, 9);
        }
    }
    check([pair(4), pair(6), pair(8)], 2, &f32s(4 * 6 * 8 * 2, 1), 3);
    // The last ones are cut.
    let cut = |size: usize| Axis { out: size.div_ceil(2), ..pair(size) };
    check([ONE, cut(5), cut(7)], 3, &f32s(5 * 7 * 3, 1), 3);
    check([ONE, pair(6), cut(131)], 2, &f32s(6 * 131 * 2, 1), 3);
}

#[test]
fn nan_and_infinities() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let x = [-inf, -inf, nan, 1.0, -inf, -inf, 3.0, inf];
    let windows = Windows { kernel: 3, stride: 1, padding: 1, dilation: 1 };
    let wide = Axis { size: 4, out: 4, windows };
    check([ONE, pair(2), pair(4)], 1, &x, 1);
    check([ONE, Axis { size: 2, out: 2, windows }, wide], 1, &x, 1);
}

#[test]
fn windows_that_do_not_fit_are_refused() {
    let x = [0.0f32; 8];
    let axes = [ONE, pair(2), pair(4)];
    let run = |axes, planes, len| {
        output::<f32>(len, |to| pooling(Pooling::Max, axes, planes, &[Mem::read(&x)], to))
    };
    assert!(run(axes, 1, 2).is_ok());
    for (planes, len) in [(2, 4), (1, 3), (usize::MAX, 2)] {
        assert!(matches!(run(axes, planes, len), Err(KernelError::Bounds(_))), "{planes} {len}");
    }
    let still = Windows { stride: 0, ..Windows::NONE };
    let stuck = [ONE, ONE, Axis { size: 8, out: 8, windows: still }];
    assert!(run(stuck, 1, 8).is_err());
    let whole = output::<i64>(2, |to| pooling(Pooling::Max, axes, 1, &[Mem::read(&x)], to));
    assert!(matches!(whole, Err(KernelError::Type(_))));
    assert_eq!(run(axes, 0, 0).unwrap_err(), KernelError::Bounds("pooling"));
    let none = output::<f32>(0, |to| pooling(Pooling::Max, axes, 0, &[Mem::read(&x[..0])], to));
    assert!(none.unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_windows(rank in 1usize..4, planes in 1usize..4, seed in 0u64..1 << 40) {
        let mut n = Numbers(seed + 1);
        let most = [90, 20, 7][rank - 1];
        let mut axes = [ONE; 3];
        for axis_of in axes.iter_mut().skip(3 - rank) {
            *axis_of = axis(&mut n, most);
        }
        let plane: usize = axes.iter().map(|a| a.size).product();
        let x = f32s(plane * planes, seed);
        check(axes, planes, &x, seed);
        // Many equal elements.
        let x: Vec<f32> = x.iter().map(|v| (v * 2.0).round()).collect();
        check(axes, planes, &x, seed);
    }
}
