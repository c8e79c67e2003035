//! Columns of a single chunk, which cannot be cut into groups: their lanes are filled side by side.

use super::{Blocks, Eval, Job, MOST, PARTIALS, Targets, add_flat, join_lanes, with_scratch};
use crate::lanes::{Fold, LANES};
use crate::memory::{KernelError, Shared};
use std::ops::Range;

impl Job<'_> {
    /// All columns of one chunk, its lanes in `parts` that are filled apart, then joined.
    pub(super) fn lanes_apart<T: Eval, F: Fold<T>>(
        &self,
        targets: Targets<T>,
        parts: usize,
    ) -> Result<(), KernelError> {
        let (w, count) = (self.geometry.width, self.count());
        with_scratch(&PARTIALS, count * LANES * w, |lanes: &mut [T]| {
            // SAFETY: pieces read the windows and take different lanes.
            let shared = unsafe { Shared::new((self, lanes.as_mut_ptr())) };
            self.fork(parts, &|part| {
                let (job, lanes) = *shared.get();
                let each = LANES / parts;
                let own = std::array::from_fn(|k| {
                    let len = if k < count { each * w } else { 0 };
                    let at = if k < count { (k * LANES + part * each) * w } else { 0 };
                    // SAFETY: within `count * LANES * w` elements, and apart for all `k` and `part`.
                    unsafe { std::slice::from_raw_parts_mut(lanes.add(at), len) }
                });
                job.fill::<T, F>(own, part * each..(part + 1) * each)
            })?;
            for (lanes, target) in lanes.chunks_exact_mut(LANES * w).zip(&targets) {
                join_lanes::<T, F>(lanes, w);
                let result = lanes.get_mut(..w).unwrap_or_default();
                for v in result.iter_mut() {
                    *v = F::finish(*v);
                }
                // SAFETY: the pieces have ended.
                unsafe { target.put(0, result) };
            }
            Ok(())
        })
    }

    /// Adds the rows of some neighbouring lanes to them.
    fn fill<T: Eval, F: Fold<T>>(
        &self,
        mut own: [&mut [T]; MOST],
        lanes: Range<usize>,
    ) -> Result<(), KernelError> {
        let (g, w) = (&self.geometry, self.geometry.width);
        let mut blocks: Blocks<'_, T> = self.blocks()?;
        let rows = (blocks.most() / w).max(1);
        own.iter_mut().for_each(|lanes| lanes.fill(F::IDENTITY));
        let mut r = lanes.start;
        while r < g.reduced() {
            let (at, left) = g.reduced_start(r);
            let lane = r % LANES;
            let n = left.min(g.reduced() - r).min(lanes.end - lane).min(rows);
            blocks.evaluate(at, n * w);
            for (k, own) in own.iter_mut().enumerate().take(self.count()) {
                add_flat::<T, F>(own, (lane - lanes.start) * w, blocks.result(k));
            }
            r += n;
            if r % LANES == lanes.end % LANES {
                r += LANES - lanes.len();
            }
        }
        blocks.error()
    }
}
