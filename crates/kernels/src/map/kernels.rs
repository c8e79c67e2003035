//! The loops that run one instruction over one block, and their tables of function pointers.
//!
//! A loop loads a chunk of lanes into local arrays, computes, and stores: the pointers may be
//! equal (in place), so LLVM would not vectorise a loop straight through them.

use super::ops::{Lane, Op1, Op2, Op3};
use crate::vmath::BASE_FMA;
use std::marker::PhantomData;

/// `(out, a, b, c, n)`: n lanes of one instruction. Unused operands may be anything. A scalar
/// operand points to one lane.
///
/// # Safety
/// `out` is valid for writing n lanes and each used vector operand for reading n lanes, of the
/// kernel's types; an operand is the same memory as `out` with the same lane size, or does not
/// overlap it; the machine has the kernel's level.
pub(super) type Kernel = unsafe fn(*mut u8, *const u8, *const u8, *const u8, usize);

/// One kernel for each level, in the order of `Isa`.
pub(super) type Levels = [Kernel; 3];

/// Lanes of a step of a short operation: with less, LLVM unrolls the chunk before it vectorises,
/// and gives scalar code.
const WIDE: usize = 64;
/// Lanes of a step of a long operation, whose chunk can then stay in registers, and of the last
/// steps of the others.
const NARROW: usize = 16;

/// A chunk on the stack. LLVM vectorises a long chunk as a loop through memory, where vectors that
/// straddle cache lines cost up to half the speed.
#[repr(align(64))]
struct Chunk<T, const N: usize>([T; N]);

/// Reads the first `n < N` lanes; the others are zero.
///
/// # Safety
/// `p` is valid for reading n lanes.
#[inline(always)]
unsafe fn load_part<T: Lane, const N: usize>(p: *const T, n: usize) -> [T; N] {
    let mut out = [T::default(); N];
    // SAFETY: n < N lanes on both sides; the array is new, so they do not overlap.
    unsafe { super::load::copy_short(p, out.as_mut_ptr(), n) };
    out
}

/// One step of a loop of three operands: N lanes from lane `i` on, or the `part` that is left.
///
/// # Safety
/// As [`Kernel`], for the lanes from `i` on.
#[inline(always)]
unsafe fn step<P: Op3, const FMA: bool, const N: usize, const B: bool, const C: bool>(
    out: *mut P::O,
    (a, b, c): (*const P::A, *const P::B, *const P::C),
    (b0, c0): (P::B, P::C),
    i: usize,
    part: Option<usize>,
) {
    // SAFETY: the caller promises the lanes i..i + N, or i..i + part.
    unsafe {
        let Chunk(x) = match part {
            None => Chunk(a.add(i).cast::<[P::A; N]>().read_unaligned()),
            Some(n) => Chunk(load_part(a.add(i), n)),
        };
        let Chunk(y) = match part {
            _ if B => Chunk([b0; N]),
            None => Chunk(b.add(i).cast::<[P::B; N]>().read_unaligned()),
            Some(n) => Chunk(load_part(b.add(i), n)),
        };
        let Chunk(z) = match part {
            _ if C => Chunk([c0; N]),
            None => Chunk(c.add(i).cast::<[P::C; N]>().read_unaligned()),
            Some(n) => Chunk(load_part(c.add(i), n)),
        };
        let Chunk(mut w) = Chunk([P::O::default(); N]);
        if P::PATCHED && x.iter().fold(false, |any, &v| any | P::needs_patch(v)) {
            // Rare, so on its own: with a patch in the loop below, `x` and `w` could not stay in
            // registers. The other lanes get the same bits as there.
            for j in 0..N {
                w[j] = if P::needs_patch(x[j]) {
                    P::patch::<FMA>(x[j])
                } else {
                    P::lane::<FMA>(x[j], y[j], z[j])
                };
            }
        } else {
            for j in 0..N {
                w[j] = P::lane::<FMA>(x[j], y[j], z[j]);
            }
        }
        match part {
            None => out.add(i).cast::<[P::O; N]>().write_unaligned(w),
            Some(n) => super::load::copy_short(w.as_ptr(), out.add(i), n),
        }
    }
}

/// The loop behind every kernel. `B` and `C` say that the operand is a scalar.
///
/// # Safety
/// As [`Kernel`].
#[inline(always)]
unsafe fn run<P: Op3, const FMA: bool, const B: bool, const C: bool>(
    out: *mut u8,
    a: *const u8,
    b: *const u8,
    c: *const u8,
    n: usize,
) {
    let out = out.cast::<P::O>();
    let from = (a.cast::<P::A>(), b.cast::<P::B>(), c.cast::<P::C>());
    // SAFETY: a scalar operand has one lane; the steps below stay within n lanes.
    unsafe {
        let b0 = if B { from.1.read_unaligned() } else { P::B::default() };
        let c0 = if C { from.2.read_unaligned() } else { P::C::default() };
        let mut i = 0;
        while !P::LONG && i + WIDE <= n {
            step::<P, FMA, WIDE, B, C>(out, from, (b0, c0), i, None);
            i += WIDE;
        }
        while i + NARROW <= n {
            step::<P, FMA, NARROW, B, C>(out, from, (b0, c0), i, None);
            i += NARROW;
        }
        if i < n {
            step::<P, FMA, NARROW, B, C>(out, from, (b0, c0), i, Some(n - i));
        }
    }
}

/// The kernels of one operation in one form.
pub(super) struct Table<P, const B: bool, const C: bool>(PhantomData<P>);

/// # Safety
/// As [`Kernel`].
unsafe fn base<P: Op3, const B: bool, const C: bool>(
    out: *mut u8,
    a: *const u8,
    b: *const u8,
    c: *const u8,
    n: usize,
) {
    // SAFETY: the caller's promise.
    unsafe { run::<P, BASE_FMA, B, C>(out, a, b, c, n) }
}

/// # Safety
/// As [`Kernel`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<P: Op3, const B: bool, const C: bool>(
    out: *mut u8,
    a: *const u8,
    b: *const u8,
    c: *const u8,
    n: usize,
) {
    // SAFETY: the caller's promise.
    unsafe { run::<P, true, B, C>(out, a, b, c, n) }
}

/// # Safety
/// As [`Kernel`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512<P: Op3, const B: bool, const C: bool>(
    out: *mut u8,
    a: *const u8,
    b: *const u8,
    c: *const u8,
    n: usize,
) {
    // SAFETY: the caller's promise.
    unsafe { run::<P, true, B, C>(out, a, b, c, n) }
}

impl<P: Op3, const B: bool, const C: bool> Table<P, B, C> {
    #[cfg(target_arch = "x86_64")]
    pub(super) const LEVELS: &'static Levels =
        &[base::<P, B, C>, avx2::<P, B, C>, avx512::<P, B, C>];
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) const LEVELS: &'static Levels = &[base::<P, B, C>, base::<P, B, C>, base::<P, B, C>];
}

/// An operation of one operand as one of three.
pub(super) struct One<P>(PhantomData<P>);

impl<P: Op1> Op3 for One<P> {
    type A = P::A;
    type B = u8;
    type C = u8;
    type O = P::O;
    const PATCHED: bool = P::PATCHED;
    const LONG: bool = P::LONG;
    #[inline(always)]
    fn lane<const FMA: bool>(a: P::A, _: u8, _: u8) -> P::O {
        P::lane::<FMA>(a)
    }
    #[inline(always)]
    fn needs_patch(a: P::A) -> bool {
        P::needs_patch(a)
    }
    #[inline(always)]
    fn patch<const FMA: bool>(a: P::A) -> P::O {
        P::patch::<FMA>(a)
    }
}

/// An operation of two operands as one of three.
pub(super) struct Two<P>(PhantomData<P>);

impl<P: Op2> Op3 for Two<P> {
    type A = P::A;
    type B = P::A;
    type C = u8;
    type O = P::O;
    const LONG: bool = P::LONG;
    #[inline(always)]
    fn lane<const FMA: bool>(a: P::A, b: P::A, _: u8) -> P::O {
        P::lane::<FMA>(a, b)
    }
}

/// The same with the operands exchanged, for a scalar first operand.
pub(super) struct Swapped<P>(PhantomData<P>);

impl<P: Op2> Op3 for Swapped<P> {
    type A = P::A;
    type B = P::A;
    type C = u8;
    type O = P::O;
    const LONG: bool = P::LONG;
    #[inline(always)]
    fn lane<const FMA: bool>(a: P::A, b: P::A, _: u8) -> P::O {
        P::lane::<FMA>(b, a)
    }
}

/// The kernels of an operation of one operand.
pub(super) fn one<P: Op1>() -> &'static Levels {
    Table::<One<P>, true, true>::LEVELS
}

/// The kernels of an operation of two operands: both vectors, scalar second, scalar first (whose
/// operands are to be given in exchanged order).
pub(super) fn two<P: Op2>() -> [&'static Levels; 3] {
    [
        Table::<Two<P>, false, true>::LEVELS,
        Table::<Two<P>, true, true>::LEVELS,
        Table::<Swapped<P>, true, true>::LEVELS,
    ]
}

/// The kernels of an operation of three operands, by whether the second and third are scalars
/// (index `second + 2 * third`).
pub(super) fn three<P: Op3>() -> [&'static Levels; 4] {
    [
        Table::<P, false, false>::LEVELS,
        Table::<P, true, false>::LEVELS,
        Table::<P, false, true>::LEVELS,
        Table::<P, true, true>::LEVELS,
    ]
}
