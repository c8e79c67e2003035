//! One vector register as a type, so that the tile kernels are written once for all instruction
//! sets. It knows nothing of matrices. The methods are small and always inlined; the functions
//! with `#[target_feature]` that they are inlined into are in the tables of [`super::kernels`].

/// A register of f32 lanes.
///
/// # Safety
/// Every method may be called only on a machine that has the instruction set, and the ones that
/// take a pointer read or write the lanes that they name there.
pub(super) trait Simd: Copy {
    /// Lanes in a register.
    const LANES: usize;
    /// Whether a masked load costs no more than a plain one.
    const FREE_MASK: bool;
    /// The first few lanes.
    type Mask: Copy;
    /// A square of `LANES` registers.
    type Block: Copy + AsRef<[Self]>;

    /// The first `n` lanes, `n <= LANES`.
    unsafe fn mask(n: usize) -> Self::Mask;
    unsafe fn zero() -> Self;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    /// Zero outside of the mask, where memory is not touched.
    unsafe fn load_mask(p: *const f32, m: Self::Mask) -> Self;
    unsafe fn store(self, p: *mut f32);
    unsafe fn store_mask(self, p: *mut f32, m: Self::Mask);
    unsafe fn add(self, o: Self) -> Self;
    /// `self * b + c`, rounded once where the instruction set has it.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// `0 > x ? 0 : x`, which keeps NaN.
    unsafe fn relu(self) -> Self;
    /// Zero outside of the mask.
    unsafe fn keep(self, m: Self::Mask) -> Self;
    unsafe fn any_nan(self) -> bool;
    /// Reads `rows` rows, `ld` elements apart, of `cols` elements each (both at most `LANES`), and
    /// returns the transpose: register `j` holds element `j` of every row, and something for missing
    /// rows; registers of missing elements are zero.
    unsafe fn transpose(p: *const f32, ld: usize, rows: usize, cols: usize) -> Self::Block;
}

/// Asks for the cache line at `p`; any address is allowed.
#[inline(always)]
pub(super) fn prefetch(p: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch of any address is allowed.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// Four lanes in plain Rust, for machines of which we know nothing; LLVM makes registers of it.
#[derive(Clone, Copy)]
pub(super) struct Plain([f32; 4]);

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
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use core::arch::x86_64::*;

    /// The number itself. Without this, the compiler works out the offsets of all rows of a square
    /// before a loop over squares, and then loads each one from the stack.
    #[inline(always)]
    fn opaque(mut x: usize) -> usize {
        // SAFETY: there is no instruction here.
        unsafe {
            core::arch::asm!("/* {0} */", inout(reg) x, options(nomem, nostack, preserves_flags));
        }
        x
    }

    /// Sixteen lanes, AVX-512.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512);

    impl Simd for Avx512 {
        const LANES: usize = 16;
        const FREE_MASK: bool = true;
        type Mask = __mmask16;
        type Block = [Self; 16];

        #[inline(always)]
        unsafe fn mask(n: usize) -> __mmask16 {
            ((1u32 << n) - 1) as __mmask16
        }
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: see the trait: the machine has AVX-512 (and so in all methods below).
            Avx512(unsafe { _mm512_setzero_ps() })
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: as in `zero`.
            Avx512(unsafe { _mm512_set1_ps(x) })
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: the caller says that 16 elements can be read at p.
            Avx512(unsafe { _mm512_loadu_ps(p) })
        }
        #[inline(always)]
        unsafe fn load_mask(p: *const f32, m: __mmask16) -> Self {
            // SAFETY: the caller says that the lanes of m can be read; others are not touched.
            Avx512(unsafe { _mm512_maskz_loadu_ps(m, p) })
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: the caller says that 16 elements can be written at p.
            unsafe { _mm512_storeu_ps(p, self.0) }
        }
        #[inline(always)]
        unsafe fn store_mask(self, p: *mut f32, m: __mmask16) {
            // SAFETY: the caller says that the lanes of m can be written; others are not touched.
            unsafe { _mm512_mask_storeu_ps(p, m, self.0) }
        }
        #[inline(always)]
        unsafe fn add(self, o: Self) -> Self {
            // SAFETY: as in `zero`.
            Avx512(unsafe { _mm512_add_ps(self.0, o.0) })
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: as in `zero`.
            Avx512(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // SAFETY: as in `zero`. The second operand is returned where one is NaN.
            Avx512(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
        }
        #[inline(always)]
        unsafe fn keep(self, m: __mmask16) -> Self {
            // SAFETY: as in `zero`.
            Avx512(unsafe { _mm512_maskz_mov_ps(m, self.0) })
        }
        #[inline(always)]
        unsafe fn any_nan(self) -> bool {
            // SAFETY: as in `zero`.
            unsafe { _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0) != 0 }
        }
        #[inline(always)]
        unsafe fn transpose(p: *const f32, ld: usize, rows: usize, cols: usize) -> [Self; 16] {
            // SAFETY: the caller says that rows x cols elements can be read; nothing else is.
            unsafe {
                let mut r = [_mm512_setzero_ps(); 16];
                let (mut q, ld) = (p, opaque(ld));
                if rows == 16 && cols == 16 {
                    for r in &mut r {
                        *r = _mm512_loadu_ps(q);
                        q = q.wrapping_add(ld);
                    }
                } else {
                    let m = Self::mask(cols);
                    for (i, r) in r.iter_mut().enumerate() {
                        let m = if i < rows { m } else { 0 };
                        *r = _mm512_maskz_loadu_ps(m, q);
                        q = q.wrapping_add(ld);
                    }
                }
                let mut t = r;
                for i in 0..8 {
                    t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                    t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
                }
                // Register 4q + j: column 4 * lane + j of rows 4q..4q+4.
                for q in 0..4 {
                    let [a, b, c, d] = [t[4 * q], t[4 * q + 1], t[4 * q + 2], t[4 * q + 3]]
                        .map(|x| _mm512_castps_pd(x));
                    r[4 * q] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
                    r[4 * q + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
                    r[4 * q + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
                    r[4 * q + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
                }
                let mut out = [Avx512(_mm512_setzero_ps()); 16];
                for j in 0..4 {
                    let lo_even = _mm512_shuffle_f32x4::<0x88>(r[j], r[4 + j]);
                    let lo_odd = _mm512_shuffle_f32x4::<0xdd>(r[j], r[4 + j]);
                    let hi_even = _mm512_shuffle_f32x4::<0x88>(r[8 + j], r[12 + j]);
                    let hi_odd = _mm512_shuffle_f32x4::<0xdd>(r[8 + j], r[12 + j]);
                    out[j] = Avx512(_mm512_shuffle_f32x4::<0x88>(lo_even, hi_even));
                    out[4 + j] = Avx512(_mm512_shuffle_f32x4::<0x88>(lo_odd, hi_odd));
                    out[8 + j] = Avx512(_mm512_shuffle_f32x4::<0xdd>(lo_even, hi_even));
                    out[12 + j] = Avx512(_mm512_shuffle_f32x4::<0xdd>(lo_odd, hi_odd));
                }
                out
            }
        }
    }

    /// Eight lanes, AVX2 with FMA.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256);

    /// Eight lanes on, then eight off: a window of it is a mask.
    static LANES_ON: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

    impl Simd for Avx2 {
        const LANES: usize = 8;
        const FREE_MASK: bool = false;
        type Mask = __m256i;
        type Block = [Self; 8];

        #[inline(always)]
        unsafe fn mask(n: usize) -> __m256i {
            // SAFETY: the machine has AVX2 (and so in all methods below); n <= 8, so the window
            // of eight elements from 8 - n on is inside of the table.
            unsafe { _mm256_loadu_si256(LANES_ON.as_ptr().add(8 - n).cast()) }
        }
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: as in `mask`.
            Avx2(unsafe { _mm256_setzero_ps() })
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: as in `mask`.
            Avx2(unsafe { _mm256_set1_ps(x) })
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: the caller says that eight elements can be read at p.
            Avx2(unsafe { _mm256_loadu_ps(p) })
        }
        #[inline(always)]
        unsafe fn load_mask(p: *const f32, m: __m256i) -> Self {
            // SAFETY: the caller says that the lanes of m can be read; others are not touched.
            Avx2(unsafe { _mm256_maskload_ps(p, m) })
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: the caller says that eight elements can be written at p.
            unsafe { _mm256_storeu_ps(p, self.0) }
        }
        #[inline(always)]
        unsafe fn store_mask(self, p: *mut f32, m: __m256i) {
            // SAFETY: the caller says that the lanes of m can be written; others are not touched.
            unsafe { _mm256_maskstore_ps(p, m, self.0) }
        }
        #[inline(always)]
        unsafe fn add(self, o: Self) -> Self {
            // SAFETY: as in `mask`.
            Avx2(unsafe { _mm256_add_ps(self.0, o.0) })
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: as in `mask`; FMA is part of the level.
            Avx2(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
        }
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // SAFETY: as in `mask`. The second operand is returned where one is NaN.
            Avx2(unsafe { _mm256_max_ps(_mm256_setzero_ps(), self.0) })
        }
        #[inline(always)]
        unsafe fn keep(self, m: __m256i) -> Self {
            // SAFETY: as in `mask`.
            Avx2(unsafe { _mm256_and_ps(self.0, _mm256_castsi256_ps(m)) })
        }
        #[inline(always)]
        unsafe fn any_nan(self) -> bool {
            // SAFETY: as in `mask`.
            unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0)) != 0 }
        }
        #[inline(always)]
        unsafe fn transpose(p: *const f32, ld: usize, rows: usize, cols: usize) -> [Self; 8] {
            // SAFETY: the caller says that rows x cols elements can be read; nothing else is.
            unsafe {
                let mut r = [_mm256_setzero_ps(); 8];
                if rows == 8 && cols == 8 {
                    let (mut q, ld) = (p, opaque(ld));
                    for r in &mut r {
                        *r = _mm256_loadu_ps(q);
                        q = q.wrapping_add(ld);
                    }
                } else {
                    let m = Self::mask(cols);
                    for (i, r) in r.iter_mut().enumerate() {
                        if i < rows {
                            *r = _mm256_maskload_ps(p.add(i * ld), m);
                        }
                    }
                }
                let mut t = r;
                for i in 0..4 {
                    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
                }
                for q in 0..2 {
                    let [a, b, c, d] = [t[4 * q], t[4 * q + 1], t[4 * q + 2], t[4 * q + 3]]
                        .map(|x| _mm256_castps_pd(x));
                    r[4 * q] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
                    r[4 * q + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
                    r[4 * q + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
                    r[4 * q + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
                }
                let mut out = [Avx2(_mm256_setzero_ps()); 8];
                for j in 0..4 {
                    out[j] = Avx2(_mm256_permute2f128_ps::<0x20>(r[j], r[4 + j]));
                    out[4 + j] = Avx2(_mm256_permute2f128_ps::<0x31>(r[j], r[4 + j]));
                }
                out
            }
        }
    }
}
