//! Channels last inside a plan: fewer copies, and not a bit of difference.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first failure")]

use std::sync::Arc;

use gradus_core::{
    Array, ConvOptions, DType, Pad, Param, Pool, Rng, Rule, Tensor, UpdateGroup, eager, explain,
    seed, set_split_all, set_threads, step,
};

fn normal(shape: &[usize], s: u64) -> Array {
    Rng::new(s).normal(shape.to_vec(), 0.0, 0.5).unwrap()
}

fn padded() -> ConvOptions<2> {
    ConvOptions::new().padding(1)
}

/// The loss of a net in which everything meets a convolution that may: norms, pools, residuals,
/// joins, slices, random numbers, sums over any axes; and what lies on the way.
fn forward(x: &Tensor, p: &[Param]) -> (Tensor, Vec<Tensor>) {
    let a = x.conv2d(&p[0], Some(&p[1]), padded()).relu();
    let b = a.conv2d(&p[2], None, padded());
    let b = b.batch_norm(None, Some(&p[3]), Some(&p[4]), 1e-5).relu();
    let c = (b.conv2d(&p[2], None, padded()).batch_norm(None, Some(&p[3]), None, 1e-5) + &a).relu();
    let d = Tensor::concat(&[&c, &a.slice(1, 0, 3, 1), &b.flip(2)], 1)
        .dropout(0.3)
        .feature_dropout(0.2);
    let (e, places) = d.max_pool2d_with_indices(Pool::new(3).stride(2).padding(1));
    let f = d.avg_pool2d(Pool::new(2)).instance_norm(None, None, 1e-5);
    let lines = f.mean_dim([2, 3]) * e.max_dim([2, 3]);
    let channels = c.softmax(1).square().sum_dim([0, 1]).mean() + c.square().mean();
    let rest = places.cast(DType::F32).mean() * 1e-4;
    let loss = lines.square().mean()
        + channels
        + rest
        + e.pad([1, 0, 2, 1], Pad::Constant(0.5)).flatten(1).square().mean();
    (loss, vec![a, b, c, d, e, f, lines])
}

fn train(hold: bool) -> Vec<Array> {
    seed(3);
    let shapes: [&[usize]; 5] = [&[6, 3, 3, 3], &[6], &[6, 6, 3, 3], &[6], &[6]];
    let params: Vec<Param> =
        (0..).zip(shapes).map(|(i, shape)| Param::new(normal(shape, i))).collect();
    let refs: Vec<&Param> = params.iter().collect();
    let rule = Rule::Adam { decoupled: true, amsgrad: false, maximize: false };
    let group = Arc::new(UpdateGroup::new(rule, &refs).unwrap());
    let x = normal(&[4, 3, 13, 10], 9);
    let mut held = Vec::new();
    for t in 1..=3 {
        let (loss, on_the_way) = forward(&Tensor::from(&x), &params);
        if hold {
            held.push((loss.clone(), on_the_way));
        }
        step(&loss, &[(&group, &[1e-2, 0.9, 0.999, 1e-8, 0.01, f64::from(t)])]).unwrap();
    }
    let mut all: Vec<Array> = params.iter().map(|p| p.get().unwrap()).collect();
    if hold {
        // Values that were held are read in the order in which they were recorded.
        let again = forward(&Tensor::from(&x), &params).0;
        assert!(again.item().unwrap().is_finite());
        all.truncate(params.len());
    }
    all
}

#[test]
fn a_net_of_convolutions_trains_to_the_same_bits_however_it_is_run() {
    let want = train(false);
    let check = |what: &str, have: Vec<Array>| {
        for (i, (a, b)) in want.iter().zip(&have).enumerate() {
            assert!(a.same_bits(b), "parameter {i} differs: {what}");
        }
    };
    check("eager", eager(|| train(false)));
    check("handles held", train(true));
    for threads in [2, 3] {
        set_threads(threads);
        set_split_all(true);
        check("threads", train(false));
    }
    set_split_all(false);
}

#[test]
fn only_what_goes_in_and_out_is_turned() {
    let x = Tensor::from(normal(&[4, 3, 16, 16], 1));
    let w = [normal(&[16, 3, 3, 3], 2), normal(&[16, 16, 3, 3], 3), normal(&[16], 4)];
    let w = w.map(Tensor::from);
    let h = x.conv2d(&w[0], Some(&w[2]), padded()).relu();
    let h = (h.conv2d(&w[1], None, padded()).batch_norm(None, None, None, 1e-5) + &h).relu();
    let y = h.max_pool2d(2).conv2d(&w[1], None, padded()).relu().mean_dim([2, 3]);
    let text = explain(&y).unwrap();
    assert_eq!(text.matches("channels last").count(), 4, "{text}");
    assert_eq!(text.lines().filter(|l| l.contains(" copy ")).count(), 1, "{text}");
    assert!(text.contains("channels last + bias, relu"), "{text}");
}
