//! Normalisation and bags of embedded ids.

use crate::harness::Family::Sums;
use crate::harness::{Arg, Call, Line, one, rank};
use gradus::{Bag, Operand, Tensor};

/// How PyTorch's functions of this family are written here.
pub(crate) fn lines() -> Vec<Line> {
    vec![
        ("nn.functional.layer_norm", Sums, |c| {
            let (x, shape) = (c.x()?, sizes(&c.get(0, "normalized_shape"))?);
            let (weight, bias) = (given(c, 1, "weight")?, given(c, 2, "bias")?);
            one(x.layer_norm(shape, op(&weight), op(&bias), number(c, 3, "eps", 1e-5)?))
        }),
        ("nn.functional.rms_norm", Sums, |c| {
            let (x, shape) = (c.x()?, sizes(&c.get(0, "normalized_shape"))?);
            let weight = given(c, 1, "weight")?;
            let eps = match c.get(2, "eps") {
                Arg::None => None,
                some => Some(some.real()?),
            };
            one(x.rms_norm(shape, op(&weight), eps))
        }),
        ("nn.functional.group_norm", Sums, |c| {
            let (x, groups) = (c.x()?, c.get(0, "num_groups").size()?);
            let (weight, bias) = (given(c, 1, "weight")?, given(c, 2, "bias")?);
            one(x.group_norm(groups, op(&weight), op(&bias), number(c, 3, "eps", 1e-5)?))
        }),
        ("nn.functional.batch_norm", Sums, |c| {
            let x = c.x()?;
            if rank(&x) < 2 {
                return Err("an empty vector, which has no channels".into());
            }
            let (mean, var) = (given(c, 0, "running_mean")?, given(c, 1, "running_var")?);
            let (weight, bias) = (given(c, 2, "weight")?, given(c, 3, "bias")?);
            let training = c.flag(4, "training");
            number(c, 5, "momentum", 0.1)?;
            let eps = number(c, 6, "eps", 1e-5)?;
            let statistics = match (&mean, &var) {
                (Some(mean), Some(var)) if !training => Some((mean, var)),
                _ => None,
            };
            one(x.batch_norm(statistics, op(&weight), op(&bias), eps))
        }),
        ("nn.functional.instance_norm", Sums, |c| {
            let x = c.x()?;
            let (mean, var) = (given(c, 0, "running_mean")?, given(c, 1, "running_var")?);
            let (weight, bias) = (given(c, 2, "weight")?, given(c, 3, "bias")?);
            let given = matches!(c.get(4, "use_input_stats"), Arg::Truth(false));
            number(c, 5, "momentum", 0.1)?;
            let eps = number(c, 6, "eps", 1e-5)?;
            match (&mean, &var) {
                (Some(mean), Some(var)) if given => {
                    one(x.batch_norm(Some((mean, var)), op(&weight), op(&bias), eps))
                }
                _ => one(x.instance_norm(op(&weight), op(&bias), eps)),
            }
        }),
        ("nn.functional.local_response_norm", Sums, |c| {
            let (x, size) = (c.x()?, c.get(0, "size").size()?);
            let (alpha, beta) = (number(c, 1, "alpha", 1e-4)?, number(c, 2, "beta", 0.75)?);
            one(x.local_response_norm(size, alpha, beta, number(c, 3, "k", 1.0)?))
        }),
        ("nn.functional.embedding_bag", Sums, |c| {
            let (table, ids) = (c.x()?, c.get(0, "idx").tensor()?);
            let (offsets, weights) =
                (given_named(c, "offsets")?, given_named(c, "per_sample_weights")?);
            let how = match c.named("mode") {
                Arg::Text(how) if how == "sum" => Bag::Sum,
                Arg::Text(how) if how == "max" => Bag::Max,
                _ => Bag::Mean,
            };
            let padding = match c.named("padding_idx") {
                Arg::None => None,
                // Counted from the end, as PyTorch allows.
                id => {
                    let rows = table.shape().map_err(|e| e.to_string())?.dim(0) as isize;
                    let id = id.integer()?;
                    usize::try_from(if id < 0 { id + rows } else { id }).ok()
                }
            };
            one(table.embedding_bag(&ids, offsets.as_ref(), how, weights.as_ref(), padding))
        }),
    ]
}

fn op(tensor: &Option<Tensor>) -> Option<&dyn Operand> {
    tensor.as_ref().map(|tensor| tensor as &dyn Operand)
}

fn some(arg: Arg) -> Result<Option<Tensor>, String> {
    match arg {
        Arg::None => Ok(None),
        some => some.tensor().map(Some),
    }
}

fn given(c: &Call, i: usize, name: &str) -> Result<Option<Tensor>, String> {
    some(c.get(i, name))
}

fn given_named(c: &Call, name: &str) -> Result<Option<Tensor>, String> {
    some(c.named(name))
}

fn sizes(arg: &Arg) -> Result<Vec<usize>, String> {
    let sizes = arg.integers()?;
    sizes.into_iter().map(|n| usize::try_from(n).map_err(|_| "a negative size".into())).collect()
}

fn number(c: &Call, i: usize, name: &str, default: f64) -> Result<f64, String> {
    match c.get(i, name) {
        Arg::None => Ok(default),
        some => some.real(),
    }
}
