//! Attention: places become windows of the kernels.

use gradus_kernels::attention::{Backward, Forward, Mask, Operand, backward, forward};
use gradus_kernels::memory::{KernelError, Mem};

use super::Run;
use crate::backend::{AttentionStep, Strided};

/// The window that starts with the first element.
fn window<'a>(run: &Run<'a>, x: &Strided) -> Result<Mem<'a>, KernelError> {
    let whole = run.bank(x.bank, x.extent(), x.dtype.ty());
    whole
        .and_then(|m| m.slice(x.offset, m.len().checked_sub(x.offset)?))
        .ok_or(KernelError::Bounds("an operand of attention"))
}

/// The distances along the axes; those that nothing steps over do not count.
fn strides<const N: usize>(x: &Strided) -> [usize; N] {
    std::array::from_fn(|i| match x.shape.dim(i) {
        1 => 0,
        _ => usize::try_from(x.strides.get(i).copied().unwrap_or(0)).unwrap_or(0),
    })
}

pub(super) fn run(run: &Run<'_>, step: &AttentionStep) -> Result<(), KernelError> {
    let heads = step.heads;
    let operand = |x: &Strided| window(run, x).map(|mem| Operand { mem, strides: strides(x) });
    let [q, k, v] = &step.operands;
    let (q, k, v) = (operand(q)?, operand(k)?, operand(v)?);
    let mask = match &step.mask {
        Some(x) => Some(Mask { mem: window(run, x)?, strides: strides(x) }),
        None => None,
    };
    let out = run.mem(&step.out)?;
    match &step.backward {
        None => forward(&Forward { heads, q, k, v, mask, tape: out }),
        Some([tape, g]) => {
            let (tape, g) = (run.mem(tape)?, run.mem(g)?);
            backward(&Backward { heads, q, k, v, mask, tape, g, out })
        }
    }
}
