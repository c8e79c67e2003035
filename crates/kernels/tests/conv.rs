//! Convolutions against sums written down naively in f64, and their bits everywhere.
#![allow(clippy::unwrap_used, clippy::panic)] // tests

mod support;

use gradus_kernels::conv::{Epilogue, Geometry, Pass, conv};
use gradus_kernels::gemm::Activation;
use gradus_kernels::isa;
use gradus_kernels::memory::Mem;
use half::bf16;
use support::{Numbers, alone, bits, everywhere, everywhere_in_bf16, f32s};

/// All three passes, naively: what is outside of the data is a zero that takes part.
fn naive(g: &Geometry, pass: Pass, a: &[f32], b: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let (cg, fg) = (g.inputs / g.groups, g.outputs / g.groups);
    let count = |channels: usize, d: [usize; 3]| channels * d[0] * d[1] * d[2];
    let at = |channel: usize, d: [usize; 3], i: [usize; 3]| {
        ((channel * d[0] + i[0]) * d[1] + i[1]) * d[2] + i[2]
    };
    let all = |d: [usize; 3]| {
        (0..d[0] * d[1] * d[2]).map(move |i| [i / (d[1] * d[2]), i / d[2] % d[1], i % d[2]])
    };
    let len = match pass {
        Pass::Forward => g.batch * count(g.outputs, g.y),
        Pass::Input => g.batch * count(g.inputs, g.x),
        Pass::Weight => count(g.outputs * cg, g.kernel),
    };
    let (mut out, mut size) = (vec![0.0; len], vec![0.0; len]);
    for n in 0..g.batch {
        for f in 0..g.outputs {
            for c in 0..cg {
                let channel = f / fg * cg + c;
                for k in all(g.kernel) {
                    for o in all(g.y) {
                        let i: [isize; 3] = std::array::from_fn(|s| {
                            (o[s] * g.stride[s] + k[s] * g.dilation[s]) as isize
                                - g.before[s] as isize
                        });
                        let inside = (0..3).all(|s| i[s] >= 0 && (i[s] as usize) < g.x[s]);
                        if !inside {
                            continue;
                        }
                        let x = at(n * g.inputs + channel, g.x, i.map(|i| i as usize));
                        let y = at(n * g.outputs + f, g.y, o);
                        let w = at(f * cg + c, g.kernel, k);
                        let (to, term) = match pass {
                            Pass::Forward => (y, f64::from(a[x]) * f64::from(b[w])),
                            Pass::Input => (x, f64::from(a[y]) * f64::from(b[w])),
                            Pass::Weight => (w, f64::from(a[x]) * f64::from(b[y])),
                        };
                        out[to] += term;
                        size[to] += term.abs();
                    }
                }
            }
        }
    }
    (out, size)
}

fn sizes(g: &Geometry) -> [usize; 3] {
    let v = |d: [usize; 3]| d[0] * d[1] * d[2];
    [
        g.batch * g.inputs * v(g.x),
        g.outputs * (g.inputs / g.groups) * v(g.kernel),
        g.batch * g.outputs * v(g.y),
    ]
}

/// Every pass, in f32 and in bf16.
fn check(g: &Geometry) {
    checked(g);
    checked(&Geometry { bf16: true, ..*g });
}

fn checked(g: &Geometry) {
    let [x, w, y] = sizes(g);
    for pass in [Pass::Forward, Pass::Input, Pass::Weight] {
        let (na, nb, n) = match pass {
            Pass::Forward => (x, w, y),
            Pass::Input => (y, w, x),
            Pass::Weight => (x, y, w),
        };
        let (a, b) = (f32s(na, 1), f32s(nb, 2));
        let run = || {
            let mut out = vec![7.0f32; n];
            conv(pass, g, Mem::read(&a), Mem::read(&b), &Epilogue::default(), Mem::write(&mut out))
                .unwrap();
            out
        };
        let round = |v: &[f32]| match g.bf16 {
            true => v.iter().map(|&x| bf16::from_f32(x).to_f32()).collect(),
            false => v.to_vec(),
        };
        let (want, size) = naive(g, pass, &round(&a), &round(&b));
        // In tiles an error is relative to the largest elements of both sides.
        let most = size.iter().fold(0.0, |a: f64, &b| a.max(b));
        let near = if in_tiles(g) { 1e-6 * most } else { 0.0 };
        let close = |have: &[f32]| {
            for (i, ((&h, &w), &s)) in have.iter().zip(&want).zip(&size).enumerate() {
                let error = (f64::from(h) - w).abs();
                let allowed = 1e-5 * s + 1e-7 + near;
                assert!(error <= allowed, "{pass:?} {g:?}: element {i}: {h}, not {w}");
            }
        };
        let made = || {
            let out = run();
            close(&out);
            same(g, pass, &a, &b, &out);
            // Without the fused instruction other bits are right too.
            let fused = gradus_kernels::isa::active() != gradus_kernels::isa::Isa::Generic;
            if fused { bits(&out) } else { Vec::new() }
        };
        match g.bf16 {
            true => everywhere_in_bf16(made),
            false => drop(everywhere(made)),
        }
    }
}

/// Whether a pass may be computed with fewer multiplications.
fn in_tiles(g: &Geometry) -> bool {
    let dense = g.stride == [1; 3] && g.dilation == [1; 3] && g.groups == 1;
    g.kernel == [1, 3, 3] && dense && g.inputs.min(g.outputs) >= 16 && !g.bf16
}

/// Channels second to channels last.
fn turned(x: &[f32], batch: usize, channels: usize) -> Vec<f32> {
    let plane = x.len() / (batch * channels).max(1);
    let from = |i: usize| {
        let (n, place, c) = (i / (plane * channels), i / channels % plane, i % channels);
        (n * channels + c) * plane + place
    };
    (0..x.len()).map(|i| x[from(i)]).collect()
}

/// Channels last gives the bits of channels second, and an epilogue those of separate passes.
fn same(g: &Geometry, pass: Pass, a: &[f32], b: &[f32], want: &[f32]) {
    let x = |v: &[f32]| turned(v, g.batch, g.inputs);
    let y = |v: &[f32]| turned(v, g.batch, g.outputs);
    let last = Geometry { last: true, ..*g };
    let (la, lb, lwant) = match pass {
        Pass::Forward => (x(a), b.to_vec(), y(want)),
        Pass::Input => (y(a), b.to_vec(), x(want)),
        Pass::Weight => (x(a), y(b), want.to_vec()),
    };
    let run = |g: &Geometry, a: &[f32], b: &[f32], epilogue: &Epilogue<'_>| {
        let mut out = vec![7.0f32; want.len()];
        conv(pass, g, Mem::read(a), Mem::read(b), epilogue, Mem::write(&mut out)).unwrap();
        out
    };
    let have = run(&last, &la, &lb, &Epilogue::default());
    assert_eq!(bits(&have), bits(&lwant), "{pass:?} {g:?}: channels last");
    if pass == Pass::Weight || want.is_empty() {
        return;
    }
    let channels = if pass == Pass::Forward { g.outputs } else { g.inputs };
    let bias = f32s(channels, 9);
    for relu in [false, true] {
        let activation = if relu { Activation::Relu } else { Activation::None };
        let epilogue = Epilogue { bias: Some(Mem::read(&bias)), activation };
        let end = |x: f32| if relu && 0.0 > x { 0.0 } else { x };
        let with = |v: &[f32], channel: &dyn Fn(usize) -> usize| {
            v.iter().enumerate().map(|(i, &v)| end(v + bias[channel(i)])).collect::<Vec<_>>()
        };
        let plane = want.len() / (g.batch * channels);
        let first = with(want, &|i| i / plane % channels);
        assert_eq!(bits(&run(g, a, b, &epilogue)), bits(&first), "{pass:?} {g:?}: epilogue");
        let second = with(&lwant, &|i| i % channels);
        assert_eq!(bits(&run(&last, &la, &lb, &epilogue)), bits(&second), "{pass:?} {g:?}");
    }
}

/// A two-dimensional one; `after` are zeros behind.
fn flat(
    [batch, inputs, outputs, groups]: [usize; 4],
    x: [usize; 2],
    kernel: [usize; 2],
    stride: usize,
    dilation: usize,
    pad: usize,
) -> Geometry {
    let x = [1, x[0], x[1]];
    let kernel = [1, kernel[0], kernel[1]];
    let (stride, dilation, before) = ([1, stride, stride], [1, dilation, dilation], [0, pad, pad]);
    let y = std::array::from_fn(|i| {
        (x[i] + 2 * before[i] - dilation[i] * (kernel[i] - 1) - 1) / stride[i] + 1
    });
    Geometry {
        batch,
        groups,
        inputs,
        outputs,
        x,
        y,
        kernel,
        stride,
        dilation,
        before,
        last: false,
        bf16: false,
    }
}

#[test]
fn usual_layers() {
    check(&flat([2, 1, 32, 1], [28, 28], [3, 3], 1, 1, 0));
    check(&flat([2, 8, 20, 1], [12, 12], [5, 5], 1, 1, 0));
    check(&flat([3, 16, 16, 1], [32, 32], [3, 3], 1, 1, 1));
    check(&flat([2, 16, 32, 1], [32, 32], [3, 3], 2, 1, 1));
    check(&flat([2, 16, 32, 1], [32, 32], [1, 1], 2, 1, 0));
    check(&flat([9, 64, 64, 1], [8, 8], [3, 3], 1, 1, 1));
    check(&flat([2, 3, 64, 1], [33, 33], [7, 7], 2, 1, 3));
    check(&flat([5, 70, 50, 1], [4, 4], [3, 3], 1, 1, 1));
    check(&flat([7, 130, 33, 1], [1, 1], [1, 1], 1, 1, 0));
}

#[test]
fn groups_and_depthwise() {
    check(&flat([2, 8, 8, 8], [9, 9], [3, 3], 1, 1, 1));
    check(&flat([2, 8, 16, 8], [9, 9], [3, 3], 2, 1, 1));
    check(&flat([2, 12, 18, 3], [7, 6], [3, 2], 1, 1, 1));
    check(&flat([2, 40, 40, 40], [16, 16], [3, 3], 1, 1, 1));
    check(&flat([1, 33, 33, 33], [10, 35], [5, 5], 1, 2, 4));
}

#[test]
fn few_channels() {
    // Lanes with data of their own: blocks of 64 and a rest, several outputs or inputs a group.
    check(&flat([2, 83, 83, 83], [9, 9], [3, 3], 1, 1, 0));
    check(&flat([2, 80, 80, 80], [9, 9], [3, 3], 2, 1, 0));
    check(&flat([2, 30, 90, 30], [7, 8], [3, 3], 1, 1, 1));
    check(&flat([2, 90, 30, 30], [7, 8], [3, 3], 1, 1, 1));
    check(&flat([2, 44, 44, 22], [7, 8], [3, 2], 1, 1, 1));
    // Neighbours share: one image and several, whole and cut, groups, windows of three and others.
    check(&flat([3, 3, 16, 1], [28, 28], [3, 3], 1, 1, 1));
    check(&flat([1, 70, 9, 1], [70, 65], [3, 3], 1, 1, 1));
    check(&flat([9, 6, 10, 2], [6, 6], [2, 3], 1, 1, 1));
    check(&flat([2, 2, 6, 1], [28, 28], [5, 5], 1, 1, 2));
    check(&flat([2, 200, 1, 1], [9, 40], [3, 3], 1, 1, 1));
}

/// Windows of three by three over many channels, which are computed in tiles.
#[test]
fn tiles() {
    // Tiles beyond the edges; channels that fill no register, one panel, several; chains of channels.
    check(&flat([1, 17, 33, 1], [7, 9], [3, 3], 1, 1, 1));
    check(&flat([3, 33, 16, 1], [11, 8], [3, 3], 1, 1, 0));
    check(&flat([2, 20, 70, 1], [5, 24], [3, 3], 1, 1, 2));
    check(&flat([1, 600, 18, 1], [4, 4], [3, 3], 1, 1, 1));
    check(&flat([1, 18, 600, 1], [4, 4], [3, 3], 1, 1, 1));
    // Images are cut, along either axis; several are taken together.
    check(&flat([2, 20, 17, 1], [70, 65], [3, 3], 1, 1, 1));
    check(&flat([1, 16, 16, 1], [2, 2101], [3, 3], 1, 1, 1));
    check(&flat([1, 16, 16, 1], [4, 402], [3, 3], 1, 1, 0));
    check(&flat([37, 24, 40, 1], [6, 6], [3, 3], 1, 1, 1));
    // The result is larger than what fits, or smaller.
    let g = flat([2, 19, 21, 1], [9, 9], [3, 3], 1, 1, 1);
    check(&Geometry { y: [1, 13, 12], ..g });
    check(&Geometry { y: [1, 4, 6], before: [0, 4, 0], ..g });
    let mut r = Numbers(77);
    for _ in 0..25 {
        let mut pick = |n: usize| 1 + r.below(n);
        let (batch, inputs, outputs) = (pick(4), 15 + pick(40), 15 + pick(60));
        let (size, pad) = ([3 + pick(14), 3 + pick(14)], pick(3) - 1);
        check(&flat([batch, inputs, outputs, 1], size, [3, 3], 1, 1, pad));
    }
}

/// Fewer multiplications cost few digits: errors are those of plain sums, which the same numbers give with a
/// stride along an axis of one place.
#[test]
fn tiles_lose_few_digits() {
    let _alone = alone();
    isa::force(isa::best());
    for (channels, size) in [(16, 16), (64, 12), (256, 8)] {
        let g = flat([2, channels, channels, 1], [size, size], [3, 3], 1, 1, 1);
        let [x, w, y] = sizes(&g);
        for pass in [Pass::Forward, Pass::Input, Pass::Weight] {
            let (na, nb, n) = match pass {
                Pass::Forward => (x, w, y),
                Pass::Input => (y, w, x),
                Pass::Weight => (x, y, w),
            };
            let (a, b) = (f32s(na, 1), f32s(nb, 2));
            let (want, _) = naive(&g, pass, &a, &b);
            let error = |stride: [usize; 3]| {
                let g = Geometry { stride, ..g };
                let mut out = vec![0.0f32; n];
                let (a, b, out_mem) = (Mem::read(&a), Mem::read(&b), Mem::write(&mut out));
                conv(pass, &g, a, b, &Epilogue::default(), out_mem).unwrap();
                let squares = out.iter().zip(&want).map(|(&o, &w)| (f64::from(o) - w).powi(2));
                squares.sum::<f64>().sqrt()
            };
            let (tiles, plain) = (error([1, 1, 1]), error([2, 1, 1]));
            assert_ne!(tiles, plain, "{pass:?}: {channels} channels are not computed in tiles");
            assert!(tiles < 1.7 * plain, "{pass:?}, {channels} channels: {tiles} after {plain}");
        }
    }
}

/// A place depends on its own window and on no other image.
#[test]
fn tiles_keep_to_their_windows() {
    let _alone = alone();
    isa::force(isa::best());
    let g = flat([3, 17, 20, 1], [7, 8], [3, 3], 1, 1, 1);
    let [x, w, y] = sizes(&g);
    let (mut a, b) = (f32s(x, 1), f32s(w, 2));
    let run = |g: &Geometry, a: &[f32]| {
        let mut out = vec![0.0f32; y / 3 * g.batch];
        let end = Epilogue::default();
        conv(Pass::Forward, g, Mem::read(a), Mem::read(&b), &end, Mem::write(&mut out)).unwrap();
        out
    };
    let all = run(&g, &a);
    for image in 0..3 {
        let alone = run(&Geometry { batch: 1, ..g }, &a[image * x / 3..][..x / 3]);
        assert_eq!(bits(&alone), bits(&all[image * y / 3..][..y / 3]), "image {image}");
    }
    for bad in [f32::NAN, f32::INFINITY] {
        for place in 0..56 {
            // Of the last channel of the second image.
            let at = x / 3 + 16 * 56 + place;
            let old = std::mem::replace(&mut a[at], bad);
            for (i, v) in run(&g, &a).into_iter().enumerate() {
                let (image, i) = (i / (y / 3), i % 56);
                let far = |a: usize, b: usize| a.abs_diff(b) > 1;
                let outside = image != 1 || far(i / 8, place / 8) || far(i % 8, place % 8);
                assert_eq!(v.is_finite(), outside, "{bad} at {place}: place {i} of image {image}");
            }
            a[at] = old;
        }
    }
}

#[test]
fn strides_and_dilations() {
    for (stride, dilation) in [(1, 2), (2, 2), (3, 2), (2, 3), (4, 2), (5, 1), (3, 3)] {
        check(&flat([2, 3, 5, 1], [17, 19], [3, 2], stride, dilation, 2));
    }
    // The window is wider than the image; a stride beyond it.
    check(&flat([2, 2, 3, 1], [3, 3], [5, 5], 1, 1, 2));
    check(&flat([2, 2, 3, 1], [4, 4], [2, 2], 7, 1, 0));
    check(&flat([1, 2, 3, 1], [9, 9], [1, 1], 3, 1, 5));
}

#[test]
fn one_and_three_axes() {
    let line = Geometry {
        batch: 2,
        groups: 2,
        inputs: 6,
        outputs: 4,
        x: [1, 1, 3000],
        y: [1, 1, 1499],
        kernel: [1, 1, 5],
        stride: [1, 1, 2],
        dilation: [1, 1, 1],
        before: [0, 0, 1],
        last: false,
        bf16: false,
    };
    check(&line);
    let cube = Geometry {
        batch: 2,
        groups: 1,
        inputs: 3,
        outputs: 18,
        x: [5, 6, 7],
        y: [3, 4, 8],
        kernel: [3, 2, 2],
        stride: [2, 2, 1],
        dilation: [1, 1, 1],
        before: [1, 1, 1],
        last: false,
        bf16: false,
    };
    check(&cube);
    check(&Geometry { y: [2, 3, 5], ..cube });
}

#[test]
fn large_images_are_cut() {
    check(&flat([1, 2, 17, 1], [70, 65], [3, 3], 1, 1, 1));
    check(&flat([1, 40, 3, 1], [64, 64], [3, 3], 1, 1, 1));
    check(&flat([1, 5, 3, 1], [41, 400], [3, 3], 2, 1, 1));
}

#[test]
fn random_sizes() {
    let mut r = Numbers(4242);
    for _ in 0..60 {
        let groups = [1, 1, 1, 2, 3][r.below(5)];
        let (cg, fg) = (1 + r.below(9), 1 + r.below(40));
        let mut pick = |n: usize| 1 + r.below(n);
        let x = [pick(3), pick(9), pick(20)];
        let kernel = [pick(2), pick(4), pick(4)];
        let stride = [pick(2), pick(3), pick(3)];
        let dilation = [pick(2), pick(2), pick(3)];
        let before: [usize; 3] = std::array::from_fn(|i| pick(4) - 1 + usize::from(i > 3));
        // The result may be smaller or larger than what fits: beyond the data there are zeros.
        let y = [pick(3), pick(8), pick(12)];
        let g = Geometry {
            batch: pick(4),
            groups,
            inputs: cg * groups,
            outputs: fg * groups,
            x,
            y,
            kernel,
            stride,
            dilation,
            before,
            last: false,
            bf16: false,
        };
        check(&g);
    }
}

#[test]
fn nothing_to_do_and_wrong_windows() {
    let g = flat([2, 3, 4, 1], [5, 5], [3, 3], 1, 1, 1);
    let (x, w) = (vec![1.0f32; 150], vec![1.0f32; 108]);
    let mut y = vec![1.0f32; 200];
    let mut run = |g: &Geometry, x: &[f32], w: &[f32]| {
        conv(Pass::Forward, g, Mem::read(x), Mem::read(w), &Epilogue::default(), Mem::write(&mut y))
    };
    assert!(run(&g, &x, &w).is_ok());
    assert!(run(&g, &x[1..], &w).is_err());
    assert!(run(&g, &x, &w[1..]).is_err());
    assert!(run(&Geometry { groups: 2, ..g }, &x, &w).is_err());
    assert!(run(&Geometry { groups: 0, ..g }, &x, &w).is_err());
    assert!(run(&Geometry { stride: [1, 0, 1], ..g }, &x, &w).is_err());
    assert!(run(&Geometry { batch: 0, ..g }, &x, &w).is_ok());
    let mut y = vec![1.0f32; 200];
    let none = Geometry { inputs: 0, ..g };
    let done = conv(
        Pass::Forward,
        &none,
        Mem::read(&x[..0]),
        Mem::read(&w[..0]),
        &Epilogue::default(),
        Mem::write(&mut y),
    );
    assert!(done.is_ok() && y.iter().all(|&y| y == 0.0));
    let mut both = vec![1.0f32; 300];
    let (shared, rest) = both.split_at_mut(150);
    assert!(
        conv(
            Pass::Forward,
            &g,
            Mem::read(shared),
            Mem::read(&w),
            &Epilogue::default(),
            Mem::write(rest)
        )
        .is_err(),
        "150 elements are not 200"
    );
}

/// A zero of the padding takes part: with an infinite weight it is NaN.
#[test]
fn padding_takes_part() {
    let g = flat([1, 1, 1, 1], [2, 2], [3, 3], 1, 1, 1);
    let mut w = vec![1.0f32; 9];
    w[0] = f32::INFINITY;
    let mut y = vec![0.0f32; 4];
    conv(
        Pass::Forward,
        &g,
        Mem::read(&[1.0f32; 4]),
        Mem::read(&w),
        &Epilogue::default(),
        Mem::write(&mut y),
    )
    .unwrap();
    assert!(y[0].is_nan() && y[3] == f32::INFINITY, "{y:?}");
}

/// What fills up a pair is 0 times 0: an infinite number makes only what meets it infinite or NaN.
#[test]
fn nothing_else_becomes_infinite_in_bf16() {
    for (channels, batch, outputs) in [(3, 3, 20), (4, 2, 20), (1, 1, 20), (3, 3, 4)] {
        let g = flat([batch, channels, outputs, 1], [6, 7], [3, 2], 1, 1, 1);
        let g = Geometry { bf16: true, ..g };
        let [x, w, y] = sizes(&g);
        let passes = [Pass::Forward, Pass::Input, Pass::Weight].map(|pass| (pass, false));
        for (pass, second) in passes.into_iter().chain([(Pass::Weight, true)]) {
            let (na, nb, n) = match pass {
                Pass::Forward => (x, w, y),
                Pass::Input => (y, w, x),
                Pass::Weight => (x, y, w),
            };
            let (mut a, mut b) = (f32s(na, 1), f32s(nb, 2));
            // In the last image, of the last channel.
            if second {
                b[nb - 10] = f32::INFINITY;
            } else {
                a[na - 10] = f32::INFINITY;
            }
            let (want, _) = naive(&g, pass, &a, &b);
            everywhere_in_bf16(|| {
                let mut out = vec![7.0f32; n];
                let end = Epilogue::default();
                conv(pass, &g, Mem::read(&a), Mem::read(&b), &end, Mem::write(&mut out)).unwrap();
                for (i, (&h, &w)) in out.iter().zip(&want).enumerate() {
                    assert_eq!(h.is_finite(), w.is_finite(), "{pass:?} {g:?}: element {i}: {h}");
                }
            });
        }
    }
}

/// The same of weights: what fills up a pair of channels meets none of the next element of the window.
#[test]
fn an_infinite_weight_meets_its_own_channel_in_bf16() {
    for (channels, outputs) in [(3, 20), (5, 4)] {
        let g = flat([2, channels, outputs, 1], [6, 7], [3, 2], 1, 1, 0);
        let g = Geometry { bf16: true, ..g };
        let [x, w, y] = sizes(&g);
        let a: Vec<f32> = f32s(x, 1).iter().map(|x| x.abs() + 0.5).collect();
        for at in (0..channels * 6).chain([w - 1]) {
            let mut b = f32s(w, 2);
            b[at] = f32::INFINITY;
            let (want, _) = naive(&g, Pass::Forward, &a, &b);
            everywhere_in_bf16(|| {
                let (mut out, end) = (vec![7.0f32; y], Epilogue::default());
                let to = Mem::write(&mut out);
                conv(Pass::Forward, &g, Mem::read(&a), Mem::read(&b), &end, to).unwrap();
                for (i, (&h, &w)) in out.iter().zip(&want).enumerate() {
                    let same = if w.is_finite() { h.is_finite() } else { f64::from(h) == w };
                    assert!(same, "{g:?}, weight {at}: element {i}: {h}, not {w}");
                }
            });
        }
    }
}
