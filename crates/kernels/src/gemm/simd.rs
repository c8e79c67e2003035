//! One vector register as a type, so that the tile kernels are written once for all instruction
//! sets. It knows nothing of matrices. The methods are small and always inlined; the functions
//! with `#[target_feature]` that they are inlined into are in the tables of [`super::kernels`].

/// A register of f32 lanes.
///
/// # Safety
/// Every method may be called only on a machine that has the instruction set, and the ones that
/// take a pointer read or write the lanes that they name there.
pub(crate) trait Simd: Copy {
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
    unsafe fn sub(self, o: Self) -> Self;
    /// `self * b + c`, rounded once where the instruction set has it.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// A step of a product: `self * b + c`, or for registers of pairs the sum of two products and `c`.
    #[inline(always)]
    unsafe fn step(self, b: Self, c: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { self.fma(b, c) }
    }
    /// `0 > x ? 0 : x`, which keeps NaN.
    unsafe fn relu(self) -> Self;
    /// Zero outside of the mask.
    unsafe fn keep(self, m: Self::Mask) -> Self;
    unsafe fn any_nan(self) -> bool;
    /// Reads `rows` rows, `ld` elements apart, of `cols` elements each (both at most `LANES`), and
    /// returns the transpose: register `j` holds element `j` of every row, and something for missing
    /// rows; registers of missing elements are zero.
    unsafe fn transpose(p: *const f32, ld: usize, rows: usize, cols: usize) -> Self::Block;
    /// Lane `j` is the sum of the lanes of register `j` of [`Simd::LANES`]: lanes l and l + half of them first,
    /// and so on down to l + 1.
    unsafe fn sums(x: &[Self]) -> Self;
}

/// Asks for the cache line at `p`; any address is allowed.
#[inline(always)]
pub(crate) fn prefetch(p: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch of any address is allowed.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

#[cfg(target_arch = "aarch64")]
pub(crate) use super::plain::Neon as Base;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use super::plain::Plain as Base;
/// What the target has in any case.
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::Sse2 as Base;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, Avx512Bf16};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use core::arch::x86_64::*;

    /// Four lanes, SSE2: what every x86-64 machine has.
    #[derive(Clone, Copy)]
    pub(crate) struct Sse2(__m128);

    impl Simd for Sse2 {
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
            // SAFETY: SSE2 is part of x86-64 (and so in all methods below).
            Sse2(unsafe { _mm_setzero_ps() })
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: as in `zero`.
            Sse2(unsafe { _mm_set1_ps(x) })
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: the caller says that four elements can be read at p.
            Sse2(unsafe { _mm_loadu_ps(p) })
        }
        #[inline(always)]
        unsafe fn load_mask(p: *const f32, m: usize) -> Self {
            let mut x = [0.0; 4];
            // SAFETY: the caller says that m <= 4 elements can be read at p.
            unsafe {
                std::ptr::copy_nonoverlapping(p, x.as_mut_ptr(), m);
                Self::load(x.as_ptr())
            }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: the caller says that four elements can be written at p.
            unsafe { _mm_storeu_ps(p, self.0) }
        }
        #[inline(always)]
        unsafe fn store_mask(self, p: *mut f32, m: usize) {
            let mut x = [0.0; 4];
            // SAFETY: the caller says that m <= 4 elements can be written at p.
            unsafe {
                self.store(x.as_mut_ptr());
                std::ptr::copy_nonoverlapping(x.as_ptr(), p, m);
            }
        }
        #[inline(always)]
        unsafe fn add(self, o: Self) -> Self {
            // SAFETY: as in `zero`.
            Sse2(unsafe { _mm_add_ps(self.0, o.0) })
        }
        #[inline(always)]
        unsafe fn sub(self, o: Self) -> Self {
            // SAFETY: as in `zero`.
            Sse2(unsafe { _mm_sub_ps(self.0, o.0) })
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: as in `zero`. Where FMA is part of the target, one rounding.
            #[cfg(target_feature = "fma")]
            return Sse2(unsafe { _mm_fmadd_ps(self.0, b.0, c.0) });
            // SAFETY: as in `zero`.
            #[cfg(not(target_feature = "fma"))]
            return Sse2(unsafe { _mm_add_ps(_mm_mul_ps(self.0, b.0), c.0) });
        }
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // SAFETY: as in `zero`. The second operand is returned where one is NaN.
            Sse2(unsafe { _mm_max_ps(_mm_setzero_ps(), self.0) })
        }
        #[inline(always)]
        unsafe fn keep(self, m: usize) -> Self {
            let mut x = [0.0; 4];
            // SAFETY: four elements can be written and read at x.
            unsafe {
                self.store(x.as_mut_ptr());
                Self::load_mask(x.as_ptr(), m)
            }
        }
        #[inline(always)]
        unsafe fn any_nan(self) -> bool {
            // SAFETY: as in `zero`.
            unsafe { _mm_movemask_ps(_mm_cmpunord_ps(self.0, self.0)) != 0 }
        }
        #[inline(always)]
        unsafe fn transpose(p: *const f32, ld: usize, rows: usize, cols: usize) -> [Self; 4] {
            // SAFETY: the caller says that rows x cols elements can be read; nothing else is.
            unsafe {
                let mut r = [_mm_setzero_ps(); 4];
                for (i, r) in r.iter_mut().enumerate().take(rows) {
                    let q = p.wrapping_add(i * ld);
                    *r = if cols == 4 { Self::load(q) } else { Self::load_mask(q, cols) }.0;
                }
                let (a, b) = (_mm_unpacklo_ps(r[0], r[1]), _mm_unpackhi_ps(r[0], r[1]));
                let (c, d) = (_mm_unpacklo_ps(r[2], r[3]), _mm_unpackhi_ps(r[2], r[3]));
                [
                    Sse2(_mm_movelh_ps(a, c)),
                    Sse2(_mm_movehl_ps(c, a)),
                    Sse2(_mm_movelh_ps(b, d)),
                    Sse2(_mm_movehl_ps(d, b)),
                ]
            }
        }
        #[inline(always)]
        unsafe fn sums(x: &[Self]) -> Self {
            // SAFETY: as in `zero`.
            unsafe {
                let (a, b, c, d) = (x[0].0, x[1].0, x[2].0, x[3].0);
                let ab = _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a));
                let cd = _mm_add_ps(_mm_movelh_ps(c, d), _mm_movehl_ps(d, c));
                let even = _mm_shuffle_ps::<0x88>(ab, cd);
                Sse2(_mm_add_ps(even, _mm_shuffle_ps::<0xdd>(ab, cd)))
            }
        }
    }

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
    pub(crate) struct Avx512(__m512);

    /// As [`Avx512`], but what a product multiplies are pairs of bf16 in the place of each f32.
    #[derive(Clone, Copy)]
    #[repr(transparent)]
    pub(crate) struct Avx512Bf16(__m512);

    impl AsRef<[Avx512Bf16]> for PairBlock {
        #[inline(always)]
        fn as_ref(&self) -> &[Avx512Bf16] {
            &self.0
        }
    }

    /// Sixteen registers of pairs.
    #[derive(Clone, Copy)]
    pub(crate) struct PairBlock([Avx512Bf16; 16]);

    // SAFETY of all methods: that of `Avx512`'s, which do the work; `step` needs AVX512-BF16 as well.
    impl Simd for Avx512Bf16 {
        const LANES: usize = 16;
        const FREE_MASK: bool = true;
        type Mask = __mmask16;
        type Block = PairBlock;

        #[inline(always)]
        unsafe fn mask(n: usize) -> __mmask16 {
            // SAFETY: see above (and so in all methods below).
            unsafe { Avx512::mask(n) }
        }
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: see above.
            Self(unsafe { Avx512::zero() }.0)
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: see above. As integers: a pair is no number.
            Self(unsafe { _mm512_castsi512_ps(_mm512_set1_epi32(x.to_bits().cast_signed())) })
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: see above.
            Self(unsafe { Avx512::load(p) }.0)
        }
        #[inline(always)]
        unsafe fn load_mask(p: *const f32, m: __mmask16) -> Self {
            // SAFETY: see above.
            Self(unsafe { Avx512::load_mask(p, m) }.0)
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: see above.
            unsafe { Avx512(self.0).store(p) }
        }
        #[inline(always)]
        unsafe fn store_mask(self, p: *mut f32, m: __mmask16) {
            // SAFETY: see above.
            unsafe { Avx512(self.0).store_mask(p, m) }
        }
        #[inline(always)]
        unsafe fn add(self, o: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { Avx512(self.0).add(Avx512(o.0)) }.0)
        }
        #[inline(always)]
        unsafe fn sub(self, o: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { Avx512(self.0).sub(Avx512(o.0)) }.0)
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: see above.
            Self(unsafe { Avx512(self.0).fma(Avx512(b.0), Avx512(c.0)) }.0)
        }
        #[inline(always)]
        unsafe fn step(self, b: Self, c: Self) -> Self {
            // SAFETY: see above; the types have the same bits.
            unsafe {
                let pair = |x: __m512| std::mem::transmute::<__m512, __m512bh>(x);
                Self(_mm512_dpbf16_ps(c.0, pair(self.0), pair(b.0)))
            }
        }
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // SAFETY: see above.
            Self(unsafe { Avx512(self.0).relu() }.0)
        }
        #[inline(always)]
        unsafe fn keep(self, m: __mmask16) -> Self {
            // SAFETY: see above.
            Self(unsafe { Avx512(self.0).keep(m) }.0)
        }
        #[inline(always)]
        unsafe fn any_nan(self) -> bool {
            // SAFETY: see above.
            unsafe { Avx512(self.0).any_nan() }
        }
        #[inline(always)]
        unsafe fn transpose(p: *const f32, ld: usize, rows: usize, cols: usize) -> PairBlock {
            // SAFETY: see above.
            PairBlock(unsafe { Avx512::transpose(p, ld, rows, cols) }.map(|x| Self(x.0)))
        }
        #[inline(always)]
        unsafe fn sums(x: &[Self]) -> Self {
            // SAFETY: see above.
            unsafe {
                let mut all = [Avx512::zero(); 16];
                for (to, x) in all.iter_mut().zip(x) {
                    *to = Avx512(x.0);
                }
                Self(Avx512::sums(&all).0)
            }
        }
    }

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
        unsafe fn sub(self, o: Self) -> Self {
            // SAFETY: as in `zero`.
            Avx512(unsafe { _mm512_sub_ps(self.0, o.0) })
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
        #[inline(always)]
        unsafe fn sums(x: &[Self]) -> Self {
            // SAFETY: as in `zero`.
            unsafe {
                // Lanes of two registers, of four, of eight side by side; each time halves are added.
                let mut two = [_mm512_setzero_ps(); 8];
                for (i, two) in two.iter_mut().enumerate() {
                    let (a, b) = (x[2 * i].0, x[2 * i + 1].0);
                    let low = _mm512_shuffle_f32x4::<0x44>(a, b);
                    *two = _mm512_add_ps(low, _mm512_shuffle_f32x4::<0xee>(a, b));
                }
                let mut four = [_mm512_setzero_ps(); 4];
                for (i, four) in four.iter_mut().enumerate() {
                    let (a, b) = (two[2 * i], two[2 * i + 1]);
                    let low = _mm512_shuffle_f32x4::<0x88>(a, b);
                    *four = _mm512_add_ps(low, _mm512_shuffle_f32x4::<0xdd>(a, b));
                }
                let mut eight = [_mm512_setzero_ps(); 2];
                for (i, eight) in eight.iter_mut().enumerate() {
                    let (a, b) = (four[2 * i], four[2 * i + 1]);
                    let low = _mm512_shuffle_ps::<0x44>(a, b);
                    *eight = _mm512_add_ps(low, _mm512_shuffle_ps::<0xee>(a, b));
                }
                let [a, b] = eight;
                let even = _mm512_shuffle_ps::<0x88>(a, b);
                let sums = _mm512_add_ps(even, _mm512_shuffle_ps::<0xdd>(a, b));
                // Lane 4j + q is now that of register 4q + j.
                let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
                Avx512(_mm512_permutexvar_ps(order, sums))
            }
        }
    }

    /// Eight lanes, AVX2 with FMA.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256);

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
        unsafe fn sub(self, o: Self) -> Self {
            // SAFETY: as in `mask`.
            Avx2(unsafe { _mm256_sub_ps(self.0, o.0) })
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
        #[inline(always)]
        unsafe fn sums(x: &[Self]) -> Self {
            // SAFETY: as in `mask`.
            unsafe {
                let mut two = [_mm256_setzero_ps(); 4];
                for (i, two) in two.iter_mut().enumerate() {
                    let (a, b) = (x[i].0, x[i + 4].0);
                    let low = _mm256_permute2f128_ps::<0x20>(a, b);
                    *two = _mm256_add_ps(low, _mm256_permute2f128_ps::<0x31>(a, b));
                }
                let mut four = [_mm256_setzero_ps(); 2];
                for (i, four) in four.iter_mut().enumerate() {
                    let (a, b) = (two[2 * i], two[2 * i + 1]);
                    let low = _mm256_shuffle_ps::<0x44>(a, b);
                    *four = _mm256_add_ps(low, _mm256_shuffle_ps::<0xee>(a, b));
                }
                let [a, b] = four;
                let even = _mm256_shuffle_ps::<0x88>(a, b);
                Avx2(_mm256_add_ps(even, _mm256_shuffle_ps::<0xdd>(a, b)))
            }
        }
    }
}
