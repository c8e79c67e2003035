//! Vectors of 16 elements, and parts of them at the ends of rows.

use crate::lanes::LANES;

/// The lanes of [`crate::lanes`], side by side.
pub(crate) type V = [f32; LANES];

/// All ones, then zeros: the 16 words from `16 - count` on are a mask for `count` lanes.
static MASKS: [u32; 2 * LANES] = {
    let mut masks = [0; 2 * LANES];
    let mut i = 0;
    while i < LANES {
        masks[i] = !0;
        i += 1;
    }
    masks
};

/// `for_vectors!(n => |start, count| body)`: the vectors of a row. A macro as
/// [`crate::levels::lanewise`] is one.
macro_rules! for_vectors {
    ($n:expr => |$i:ident, $count:ident| $body:expr) => {{
        let n: usize = $n;
        let mut $i = 0;
        // Whole vectors in a loop without conditions, then the rest.
        while $i + $crate::lanes::LANES <= n {
            let $count = $crate::lanes::LANES;
            $body;
            $i += $crate::lanes::LANES;
            $crate::levels::one_vector_a_turn();
        }
        if $i < n {
            let $count = n - $i;
            $body;
        }
    }};
}
pub(crate) use for_vectors;

/// The first `count` lanes of `v`, and `fill` in the others.
#[inline(always)]
pub(crate) fn first_lanes(v: V, count: usize, fill: f32) -> V {
    let masks = MASKS.get(LANES - count.min(LANES)..).and_then(|m| m.first_chunk::<LANES>());
    let masks = masks.copied().unwrap_or_default();
    let fill = fill.to_bits();
    let mut out = v;
    for (lane, mask) in out.iter_mut().zip(masks) {
        *lane = f32::from_bits((lane.to_bits() & mask) | (fill & !mask));
    }
    out
}

/// Loads `count <= 16` elements, `fill` in the other lanes; `readable` elements lie at `p`.
///
/// # Safety
/// `readable >= count` elements may be read at `p`.
#[inline(always)]
pub(crate) unsafe fn load(p: *const f32, count: usize, readable: usize, fill: f32) -> V {
    // SAFETY: the caller's promise; 16 elements are read only where there are so many. Reading on
    // and dropping it is faster than any loop of `count`.
    unsafe {
        if count == LANES {
            p.cast::<V>().read_unaligned()
        } else if readable >= LANES {
            first_lanes(p.cast::<V>().read_unaligned(), count, fill)
        } else {
            load_end(p, count, fill)
        }
    }
}

/// [`load`] where nothing may be read beyond `count`.
///
/// # Safety
/// `count <= 16` elements may be read at `p`.
#[inline(never)]
unsafe fn load_end(p: *const f32, count: usize, fill: f32) -> V {
    let mut v = [fill; LANES];
    for (i, x) in v.iter_mut().enumerate().take(count) {
        // SAFETY: i < count.
        *x = unsafe { p.add(i).read() };
    }
    v
}

/// Stores the first `count <= 16` lanes.
///
/// # Safety
/// `count` elements may be written at `p`.
#[inline(always)]
pub(crate) unsafe fn store(p: *mut f32, v: V, count: usize) {
    // SAFETY: each part ends within `count`.
    unsafe {
        if count == LANES {
            p.cast::<V>().write_unaligned(v);
            return;
        }
        let v = v.as_ptr();
        let mut i = 0;
        if count & 8 != 0 {
            p.cast::<[f32; 8]>().write_unaligned(v.cast::<[f32; 8]>().read_unaligned());
            i = 8;
        }
        if count & 4 != 0 {
            p.add(i)
                .cast::<[f32; 4]>()
                .write_unaligned(v.add(i).cast::<[f32; 4]>().read_unaligned());
            i += 4;
        }
        if count & 2 != 0 {
            p.add(i)
                .cast::<[f32; 2]>()
                .write_unaligned(v.add(i).cast::<[f32; 2]>().read_unaligned());
            i += 2;
        }
        if count & 1 != 0 {
            p.add(i).write(v.add(i).read());
        }
    }
}
