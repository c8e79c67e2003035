//! A recurrent network: places become windows of the kernels.

use gradus_kernels::memory::{KernelError, Mem};
use gradus_kernels::recurrent::{Backward, Cell, Forward, Walk, backward, forward};

/// Runs a pass; `lengths`, `out` and `work` as in the kernels.
pub(super) fn run<'a>(
    walk: Walk,
    back: bool,
    ins: &[Mem<'a>],
    lengths: Option<Mem<'a>>,
    out: Mem<'a>,
    work: Mem<'a>,
) -> Result<(), KernelError> {
    let lstm = walk.cell == Cell::Lstm;
    match (back, ins) {
        (false, &[gates, weight, h0, ref more @ ..]) => {
            let more = more.first().copied();
            let (c0, bias) = if lstm { (more, None) } else { (None, more) };
            forward(&Forward { walk, gates, weight, h0, c0, bias, lengths, tape: out, work })
        }
        (true, &[tape, g, weight, h0, ref more @ ..]) => {
            let c0 = more.first().copied().filter(|_| lstm);
            backward(&Backward { walk, tape, g, weight, h0, c0, lengths, out, work })
        }
        _ => Err(KernelError::Bounds("the operands of a recurrent network")),
    }
}
