//! Updates by a gradient that is a product of matrices and that nobody else wants: each tile of it is
//! used up while the next one is computed, and never is in memory.

use super::{AdamWith, Kernel, Part, Quick, Ready};
use crate::gemm::beside::{Taken, Taker, taken};
use crate::gemm::tile::{Tile, TileFn};
use crate::gemm::{Activation, Gemm};
use crate::memory::{KernelError, Mem, Shared, Storage};

/// A product as a gradient: C = A B, in the layout of the parameter.
#[derive(Clone, Copy, Debug)]
pub struct Gradient<'a> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Columns of B and C.
    pub n: usize,
    /// The left operand.
    pub a: Mem<'a>,
    /// Distance of two rows and of two columns of A, in elements.
    pub a_strides: [usize; 2],
    /// The right operand.
    pub b: Mem<'a>,
    /// Distance of two rows and of two columns of B, in elements.
    pub b_strides: [usize; 2],
}

impl Ready<'_> {
    /// Whether [`Ready::by_product`] takes gradients of this size, on this machine: it does where that is
    /// faster.
    pub fn takes(&self, m: usize, k: usize, n: usize) -> bool {
        #[cfg(target_arch = "x86_64")]
        let able = matches!(&self.quick, Some(Quick::Adam(with)) if x86::able(with));
        #[cfg(not(target_arch = "x86_64"))]
        let able = false;
        able && crate::gemm::takes(m, k, n)
    }

    /// Updates a tensor and its state in place by a gradient that is computed here, with the bits of the
    /// product and then [`Ready::in_place`]. Whether the gradient is finite is the caller's to know.
    ///
    /// # Errors
    /// As for these two; a size or rule that is not taken.
    pub fn by_product(
        &self,
        p: &mut Storage,
        mut states: [Option<&mut Storage>; 3],
        g: &Gradient<'_>,
    ) -> Result<(), KernelError> {
        const SHARED: KernelError = KernelError::Overlap("an update in place of shared memory");
        let n = p.len();
        if g.m.checked_mul(g.n) != Some(n) {
            return Err(KernelError::Bounds("gradient of an update"));
        }
        let ty = p.ty();
        let c = p.write().ok_or(SHARED)?;
        let at = c.ptr_bytes().cast::<f32>();
        let mut part = Part {
            n,
            p: (at.cast_const(), at),
            g: std::ptr::null(),
            states: [(std::ptr::null(), std::ptr::null_mut()); 3],
        };
        let mut given = 0;
        for (to, state) in part.states.iter_mut().zip(states.iter_mut().flatten()) {
            if state.len() != n || state.ty() != ty {
                return Err(KernelError::Bounds("state of an update"));
            }
            let at = state.write().ok_or(SHARED)?.ptr_bytes().cast::<f32>();
            *to = (at.cast_const(), at);
            given += 1;
        }
        if given < self.rule.states() {
            return Err(KernelError::Bounds("state of an update"));
        }
        let product = Gemm {
            m: g.m,
            k: g.k,
            n: g.n,
            a: g.a,
            a_strides: g.a_strides,
            b: g.b,
            b_strides: g.b_strides,
            c,
            c_stride: g.n,
            batch: 1,
            a_batch: &[],
            b_batch: &[],
            accumulate: false,
            bias: None,
            activation: Activation::None,
            watch: false,
        };
        // SAFETY: tensor and states have no other handle and are borrowed alone, so they overlap nothing,
        // and tiles take different elements of them.
        let part = unsafe { Shared::new(part) };
        match &self.quick {
            #[cfg(target_arch = "x86_64")]
            Some(Quick::Adam(with)) if x86::able(with) => {
                taken(&product, &x86::AdamBeside::new(with, &part))
            }
            Some(Quick::Adam(with)) => taken(&product, &By { with, part: &part }),
            Some(Quick::Sgd(with)) => taken(&product, &By { with, part: &part }),
            None => Err(KernelError::Type("a rule that takes no products")),
        }
    }
}

/// A rule that works on a tile after it was computed.
struct By<'a, K> {
    with: &'a K,
    /// The whole tensor.
    part: &'a Shared<Part<f32>>,
}

impl<K: Kernel<f32>> By<'_, K> {
    /// # Safety
    /// As for [`Taker::take`].
    unsafe fn all(&self, t: &Taken) {
        let whole = self.part.get();
        for r in 0..t.rows {
            let at = t.at + r * t.row;
            let part = Part {
                n: t.cols,
                p: (whole.p.0.wrapping_add(at), whole.p.1.wrapping_add(at)),
                g: t.values.wrapping_add(r * t.value_row),
                states: whole.states.map(|(a, b)| (a.wrapping_add(at), b.wrapping_add(at))),
            };
            // SAFETY: the tile is inside of C, which has the parameter's elements.
            unsafe { self.with.run(part) };
        }
    }
}

// SAFETY: it touches the elements of the tile and nothing else.
unsafe impl<K: Kernel<f32>> Taker for By<'_, K> {
    unsafe fn tile(&self, kernel: TileFn, tile: &Tile, before: Option<&Taken>, _: &Taken) {
        // SAFETY: the contract.
        unsafe {
            kernel(tile);
            if let Some(before) = before {
                self.all(before);
            }
        }
    }

    unsafe fn take(&self, last: &Taken) {
        // SAFETY: the contract.
        unsafe { self.all(last) };
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use crate::gemm::beside::{Side, tile};
    use crate::gemm::simd::{Avx512, prefetch};
    use core::arch::x86_64::*;

    /// Adam with AVX-512: a register of the tile before in each turn.
    pub(super) struct AdamBeside<'a> {
        by: By<'a, AdamWith<f32>>,
        numbers: Numbers,
    }

    /// The numbers of [`AdamWith`].
    struct Numbers {
        shrink: f32,
        toward: f32,
        beta2: f32,
        rest2: f32,
        unroot2: f32,
        eps: f32,
        minus_step: f32,
    }

    /// Whether this form of Adam, on this machine, can be computed beside a product.
    pub(super) fn able(with: &AdamWith<f32>) -> bool {
        let f = with.flags;
        let plain = !f.maximize && !f.amsgrad && !with.from_g && (f.decoupled || !f.decays);
        plain && crate::isa::active() == crate::isa::Isa::Avx512
    }

    impl<'a> AdamBeside<'a> {
        /// Of a form that is [`able`].
        pub(super) fn new(with: &'a AdamWith<f32>, part: &'a Shared<Part<f32>>) -> Self {
            let numbers = Numbers {
                shrink: with.shrink,
                toward: with.toward,
                beta2: with.beta2,
                rest2: with.rest2,
                unroot2: with.unroot2,
                eps: with.eps,
                minus_step: with.minus_step,
            };
            AdamBeside { by: By { with, part }, numbers }
        }
    }

    // SAFETY: it touches the elements of the tile and nothing else, but for prefetches.
    unsafe impl Taker for AdamBeside<'_> {
        unsafe fn tile(&self, kernel: TileFn, t: &Tile, before: Option<&Taken>, next: &Taken) {
            let packed = t.padded && t.a_row == 1 && t.a_col == next.rows && t.total.is_null();
            let wide = t.b_row / 16;
            let beside = match (next.rows, wide) {
                _ if !packed => None,
                (8, 3) => Some(beside::<8, 3> as unsafe fn(&Tile, usize, Turns<'_>)),
                (7, 3) => Some(beside::<7, 3> as _),
                (8, 2) => Some(beside::<8, 2> as _),
                (7, 2) => Some(beside::<7, 2> as _),
                _ => None,
            };
            // SAFETY: the contract; the machine has AVX-512.
            unsafe {
                let (Some(beside), Some(before)) = (beside, before) else {
                    return self.by.tile(kernel, t, before, next);
                };
                let turns = before.rows * before.cols.div_ceil(16);
                if turns > t.k {
                    return self.by.tile(kernel, t, Some(before), next);
                }
                beside(t, turns, Turns::new(self, before, next));
            }
        }

        unsafe fn take(&self, last: &Taken) {
            // SAFETY: the contract.
            unsafe { self.by.take(last) };
        }
    }

    /// # Safety
    /// As for [`tile`].
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn beside<const MR: usize, const NV: usize>(
        t: &Tile,
        turns: usize,
        mut side: Turns<'_>,
    ) {
        // SAFETY: the same contract.
        unsafe { tile::<Avx512, MR, NV>(t, turns, &mut side) };
    }

    /// Where the next turn is.
    struct Turns<'a> {
        numbers: &'a Numbers,
        g: *const f32,
        p: *mut f32,
        m: *mut f32,
        v: *mut f32,
        /// Elements to the tile that is being computed.
        ahead: usize,
        /// Columns left in this row.
        left: usize,
        cols: usize,
        /// From behind a row's last register to the next row, in C and in the tile.
        down: usize,
        g_down: usize,
        decays: bool,
    }

    impl<'a> Turns<'a> {
        fn new(by: &'a AdamBeside<'_>, before: &Taken, next: &Taken) -> Turns<'a> {
            let whole = by.by.part.get();
            let wide = before.cols.next_multiple_of(16);
            Turns {
                numbers: &by.numbers,
                g: before.values,
                p: whole.p.1.wrapping_add(before.at),
                m: whole.states[0].1.wrapping_add(before.at),
                v: whole.states[1].1.wrapping_add(before.at),
                ahead: next.at.wrapping_sub(before.at),
                left: before.cols,
                cols: before.cols,
                down: before.row.wrapping_sub(wide),
                g_down: before.value_row - wide,
                decays: by.by.with.flags.decays,
            }
        }
    }

    impl Side for Turns<'_> {
        #[inline(always)]
        unsafe fn turn(&mut self) {
            // SAFETY: the contract of `Taker`: this register is inside of the tile.
            unsafe {
                let n: *const Numbers = opaque(self.numbers);
                let number = |x: *const f32| _mm512_set1_ps(*x);
                let mask =
                    if self.left >= 16 { 0xffff } else { ((1u32 << self.left) - 1) as __mmask16 };
                let g = _mm512_loadu_ps(self.g);
                let m = _mm512_maskz_loadu_ps(mask, self.m);
                let v = _mm512_maskz_loadu_ps(mask, self.v);
                let p = _mm512_maskz_loadu_ps(mask, self.p);
                prefetch(self.m.wrapping_add(self.ahead));
                prefetch(self.v.wrapping_add(self.ahead));
                prefetch(self.p.wrapping_add(self.ahead));
                let m = flushed(_mm512_fmadd_ps(
                    _mm512_sub_ps(g, m),
                    number(&raw const (*n).toward),
                    m,
                ));
                _mm512_mask_storeu_ps(self.m, mask, m);
                let square = _mm512_mul_ps(_mm512_mul_ps(number(&raw const (*n).rest2), g), g);
                let v = _mm512_add_ps(_mm512_mul_ps(v, number(&raw const (*n).beta2)), square);
                let v = flushed(v);
                _mm512_mask_storeu_ps(self.v, mask, v);
                let root = _mm512_sqrt_ps(v);
                let denom = _mm512_fmadd_ps(
                    root,
                    number(&raw const (*n).unroot2),
                    number(&raw const (*n).eps),
                );
                let step = _mm512_mul_ps(m, number(&raw const (*n).minus_step));
                let p =
                    if self.decays { _mm512_mul_ps(p, number(&raw const (*n).shrink)) } else { p };
                let p = flushed(_mm512_add_ps(p, _mm512_div_ps(step, denom)));
                _mm512_mask_storeu_ps(self.p, mask, p);
                let mut by = 16;
                let mut g_by = 16;
                if self.left > 16 {
                    self.left -= 16;
                } else {
                    self.left = self.cols;
                    by = self.down.wrapping_add(16);
                    g_by += self.g_down;
                }
                self.p = self.p.wrapping_add(by);
                self.m = self.m.wrapping_add(by);
                self.v = self.v.wrapping_add(by);
                self.g = self.g.wrapping_add(g_by);
            }
        }
    }

    /// 0 for subnormals and -0.
    #[inline(always)]
    unsafe fn flushed(x: __m512) -> __m512 {
        // SAFETY: the machine has AVX-512.
        unsafe {
            // Zeros of both signs, and subnormals.
            let small = _mm512_fpclass_ps_mask::<0x26>(x);
            _mm512_mask_mov_ps(x, small, _mm512_setzero_ps())
        }
    }

    /// The pointer itself. Without this, the compiler makes a register of each number before the loop,
    /// and there are none left.
    #[inline(always)]
    #[allow(clippy::pointers_in_nomem_asm_block)] // nothing is read through it there
    fn opaque<T>(x: *const T) -> *const T {
        let mut x = x;
        // SAFETY: there is no instruction here.
        unsafe {
            core::arch::asm!("/* {0} */", inout(reg) x, options(nomem, nostack, preserves_flags));
        }
        x
    }
}
