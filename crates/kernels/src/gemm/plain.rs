//! Registers for targets other than x86-64: in plain Rust, and NEON on top of it where that is
//! part of the target, because LLVM turns only some of the plain code into vector instructions.

use super::simd::Simd;

/// Four lanes in plain Rust, for machines of which we know nothing; LLVM makes registers of it.
#[derive(Clone, Copy)]
pub(crate) struct Plain([f32; 4]);

/// The fused multiply-add only where it is an instruction: elsewhere it would be a library call.
#[inline(always)]
fn plain_fma(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

impl Simd for Plain {
    const LANES: usize = 4;
    const FREE_MASK: bool = false;
    type Mask = usize;
    type Block = [Self; 4];

    #[inline(always)]
    unsafe fn mask(n: usize) -> usize {
        n
    }
    #[inline(always)]
    unsafe fn zero() -> Self {
        Plain([0.0; 4])
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Plain([x; 4])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller says that four elements can be read at p.
        Plain(unsafe { p.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_mask(p: *const f32, m: usize) -> Self {
        let mut x = [0.0; 4];
        for (i, x) in x.iter_mut().enumerate().take(m) {
            // SAFETY: the caller says that m elements can be read at p.
            *x = unsafe { *p.add(i) };
        }
        Plain(x)
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller says that four elements can be written at p.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn store_mask(self, p: *mut f32, m: usize) {
        for (i, x) in self.0.iter().enumerate().take(m) {
            // SAFETY: the caller says that m elements can be written at p.
            unsafe { *p.add(i) = *x };
        }
    }
    #[inline(always)]
    unsafe fn add(self, o: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] + o.0[i]))
    }
    #[inline(always)]
    unsafe fn sub(self, o: Self) -> Self {
        Plain(std::array::from_fn(|i| self.0[i] - o.0[i]))
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        Plain(std::array::from_fn(|i| plain_fma(self.0[i], b.0[i], c.0[i])))
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Plain(self.0.map(|x| if 0.0 > x { 0.0 } else { x }))
    }
    #[inline(always)]
    unsafe fn keep(self, m: usize) -> Self {
        Plain(std::array::from_fn(|i| if i < m { self.0[i] } else { 0.0 }))
    }
    #[inline(always)]
    unsafe fn any_nan(self) -> bool {
        self.0.iter().any(|x| x.is_nan())
    }
    #[inline(always)]
    unsafe fn transpose(p: *const f32, ld: usize, rows: usize, cols: usize) -> [Self; 4] {
        let mut out = [Plain([0.0; 4]); 4];
        for i in 0..rows.min(4) {
            for (j, o) in out.iter_mut().enumerate().take(cols) {
                // SAFETY: the caller says that rows x cols elements can be read.
                o.0[i] = unsafe { *p.add(i * ld + j) };
            }
        }
        out
    }
    #[inline(always)]
    unsafe fn sums(x: &[Self]) -> Self {
        Plain(std::array::from_fn(|j| {
            let [a, b, c, d] = x[j].0;
            (a + c) + (b + d)
        }))
    }
}

#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;

#[cfg(target_arch = "aarch64")]
mod neon {
    use super::{Plain, Simd};
    use core::arch::aarch64::*;

    /// Four lanes, NEON: what every aarch64 machine has.
    #[derive(Clone, Copy)]
    pub(crate) struct Neon(float32x4_t);

    impl Neon {
        #[inline(always)]
        fn plain(self) -> Plain {
            let mut x = [0.0; 4];
            // SAFETY: NEON is part of the target, and x has four elements.
            unsafe { vst1q_f32(x.as_mut_ptr(), self.0) };
            Plain(x)
        }

        #[inline(always)]
        fn from(x: Plain) -> Neon {
            // SAFETY: NEON is part of the target, and x has four elements.
            Neon(unsafe { vld1q_f32(x.0.as_ptr()) })
        }
    }

    impl Simd for Neon {
        const LANES: usize = 4;
        const FREE_MASK: bool = false;
        type Mask = usize;
        type Block = [Self; 4];

        #[inline(always)]
        unsafe fn mask(n: usize) -> usize {
            n
        }
        #[inline(always)]
        unsafe fn zero() -> Self {
            Self::from(Plain([0.0; 4]))
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: NEON is part of the target (and so in all methods below).
            Neon(unsafe { vdupq_n_f32(x) })
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: the caller says that four elements can be read at p.
            Neon(unsafe { vld1q_f32(p) })
        }
        #[inline(always)]
        unsafe fn load_mask(p: *const f32, m: usize) -> Self {
            // SAFETY: the caller says that m elements can be read at p.
            Self::from(unsafe { Plain::load_mask(p, m) })
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: the caller says that four elements can be written at p.
            unsafe { vst1q_f32(p, self.0) }
        }
        #[inline(always)]
        unsafe fn store_mask(self, p: *mut f32, m: usize) {
            // SAFETY: the caller says that m elements can be written at p.
            unsafe { self.plain().store_mask(p, m) }
        }
        #[inline(always)]
        unsafe fn add(self, o: Self) -> Self {
            // SAFETY: as in `splat`.
            Neon(unsafe { vaddq_f32(self.0, o.0) })
        }
        #[inline(always)]
        unsafe fn sub(self, o: Self) -> Self {
            // SAFETY: as in `splat`.
            Neon(unsafe { vsubq_f32(self.0, o.0) })
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: as in `splat`; the sum comes first here.
            Neon(unsafe { vfmaq_f32(c.0, self.0, b.0) })
        }
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // SAFETY: a method of plain Rust.
            Self::from(unsafe { self.plain().relu() })
        }
        #[inline(always)]
        unsafe fn keep(self, m: usize) -> Self {
            // SAFETY: a method of plain Rust.
            Self::from(unsafe { self.plain().keep(m) })
        }
        #[inline(always)]
        unsafe fn any_nan(self) -> bool {
            // SAFETY: a method of plain Rust.
            unsafe { self.plain().any_nan() }
        }
        #[inline(always)]
        unsafe fn transpose(p: *const f32, ld: usize, rows: usize, cols: usize) -> [Self; 4] {
            // SAFETY: the caller says that rows x cols elements can be read.
            unsafe { Plain::transpose(p, ld, rows, cols) }.map(Self::from)
        }
        #[inline(always)]
        unsafe fn sums(x: &[Self]) -> Self {
            let plain: [Plain; 4] = std::array::from_fn(|j| x[j].plain());
            // SAFETY: a method of plain Rust.
            Self::from(unsafe { Plain::sums(&plain) })
        }
    }
}
