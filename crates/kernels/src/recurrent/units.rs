//! What happens in a block of units of one sample in one step, after the product, in vectors of 16.

use super::{Cell, parts};
use crate::lanes::LANES;
use crate::levels::leveled;
use crate::rows::vector::{V, for_vectors, load, store};
use crate::vmath;

/// Where the numbers of a block are in the forward pass; gates are `hidden` apart, those
/// that are kept `units`.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    pub(super) units: usize,
    pub(super) hidden: usize,
    /// What the inputs bring, and what the state brings, whose gates are `units` apart.
    pub(super) x: *const f32,
    pub(super) s: *const f32,
    /// Of a GRU: what is added to the state's part.
    pub(super) bias: *const f32,
    /// The state before, and the memory of an LSTM.
    pub(super) h0: *const f32,
    pub(super) c0: *const f32,
    pub(super) h: *mut f32,
    pub(super) c: *mut f32,
    pub(super) kept: *mut f32,
}

/// Where the numbers of a block are in the backward pass; gates are `hidden` apart, those
/// that are kept `units`.
#[derive(Clone, Copy)]
pub(super) struct Back {
    pub(super) units: usize,
    pub(super) hidden: usize,
    /// The gradient of this step's result, and what came from the steps after; what goes on to the
    /// step before, but for the product, takes the latter's place.
    pub(super) g: *const f32,
    pub(super) dh: *mut f32,
    pub(super) dc: *mut f32,
    pub(super) h0: *const f32,
    pub(super) c0: *const f32,
    pub(super) h: *const f32,
    pub(super) c: *const f32,
    pub(super) kept: *const f32,
    /// The gradients of the gates, and of a GRU those of the state's part.
    pub(super) gates: *mut f32,
    pub(super) own: *mut f32,
}

impl Ahead {
    /// A step that does not count: the state stays.
    ///
    /// # Safety
    /// As for [`ahead`].
    pub(super) unsafe fn stay(&self, cell: Cell) {
        // SAFETY: the caller's promise.
        unsafe {
            self.h.copy_from_nonoverlapping(self.h0, self.units);
            if cell == Cell::Lstm {
                self.c.copy_from_nonoverlapping(self.c0, self.units);
            }
            for gate in 0..cell.kept() {
                self.kept.add(gate * self.units).write_bytes(0, self.units);
            }
        }
    }
}

impl Back {
    /// Asks for what [`back`] reads and writes.
    pub(super) fn fetch(&self, cell: Cell) {
        parts::fetch(self.g, self.units);
        parts::fetch(self.kept, cell.kept() * self.units);
        for gate in 0..cell.gates() {
            parts::fetch(self.gates.wrapping_add(gate * self.hidden), self.units);
        }
        match cell {
            Cell::Lstm => {
                parts::fetch(self.c, self.units);
                parts::fetch(self.c0, self.units);
            }
            Cell::Gru => {
                parts::fetch(self.h0, self.units);
                for gate in 0..cell.gates() {
                    parts::fetch(self.own.wrapping_add(gate * self.hidden), self.units);
                }
            }
            Cell::Tanh | Cell::Relu => parts::fetch(self.h, self.units),
        }
    }

    /// A step that does not count: what comes goes on.
    ///
    /// # Safety
    /// As for [`back`].
    pub(super) unsafe fn pass(&self, cell: Cell) {
        // SAFETY: the caller's promise.
        unsafe {
            for i in 0..self.units {
                *self.dh.add(i) += *self.g.add(i);
            }
            for gate in 0..cell.gates() {
                self.gates.add(gate * self.hidden).write_bytes(0, self.units);
                self.own.add(gate * self.hidden).write_bytes(0, self.units);
            }
        }
    }
}

macro_rules! each_lane {
    ($i:ident => $formula:expr) => {{
        let mut out = [0.0f32; LANES];
        for ($i, lane) in out.iter_mut().enumerate() {
            *lane = $formula;
        }
        out
    }};
}

/// # Safety
/// `count` elements may be read at `p`.
#[inline(always)]
unsafe fn get(p: *const f32, count: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { load(p, count, count, 0.0) }
}

/// A block of one sample in one step, forward.
///
/// # Safety
/// The pointers that the cell uses are good for `units` elements of each gate.
pub(super) unsafe fn ahead(cell: Cell, a: Ahead) {
    match cell {
        Cell::Tanh => tanh_ahead(a),
        Cell::Relu => relu_ahead(a),
        Cell::Lstm => lstm_ahead(a),
        Cell::Gru => gru_ahead(a),
    }
}

/// A block of one sample in one step, backward.
///
/// # Safety
/// As for [`ahead`].
pub(super) unsafe fn back(cell: Cell, b: Back) {
    match cell {
        Cell::Tanh => tanh_back(b),
        Cell::Relu => relu_back(b),
        Cell::Lstm => lstm_back(b),
        Cell::Gru => gru_back(b),
    }
}

leveled!(fn tanh_ahead[](a: Ahead) => tanh_ahead_body);
#[inline(always)]
fn tanh_ahead_body<const FMA: bool>(a: Ahead) {
    for_vectors!(a.units => |i, count| {
        // SAFETY: the promise made to `ahead`.
        unsafe {
            let (x, s) = (get(a.x.add(i), count), get(a.s.add(i), count));
            store(a.h.add(i), each_lane!(l => vmath::tanh::<FMA>(x[l] + s[l])), count);
        }
    });
}

leveled!(fn relu_ahead[](a: Ahead) => relu_ahead_body);
#[inline(always)]
fn relu_ahead_body<const FMA: bool>(a: Ahead) {
    for_vectors!(a.units => |i, count| {
        // SAFETY: the promise made to `ahead`.
        unsafe {
            let (x, s) = (get(a.x.add(i), count), get(a.s.add(i), count));
            store(a.h.add(i), each_lane!(l => vmath::relu(x[l] + s[l])), count);
        }
    });
}

leveled!(fn lstm_ahead[](a: Ahead) => lstm_ahead_body);
#[inline(always)]
fn lstm_ahead_body<const FMA: bool>(a: Ahead) {
    let (n, m) = (a.hidden, a.units);
    for_vectors!(m => |i, count| {
        // SAFETY: the promise made to `ahead`: there are four gates, `n` apart.
        unsafe {
            let (x, s, kept) = (a.x.add(i), a.s.add(i), a.kept.add(i));
            let (u, v) = (get(x, count), get(s, count));
            let input = each_lane!(l => vmath::sigmoid::<FMA>(u[l] + v[l]));
            store(kept, input, count);
            let (u, v) = (get(x.add(n), count), get(s.add(m), count));
            let forget = each_lane!(l => vmath::sigmoid::<FMA>(u[l] + v[l]));
            store(kept.add(m), forget, count);
            let (u, v) = (get(x.add(2 * n), count), get(s.add(2 * m), count));
            let new = each_lane!(l => vmath::tanh::<FMA>(u[l] + v[l]));
            store(kept.add(2 * m), new, count);
            let (u, v) = (get(x.add(3 * n), count), get(s.add(3 * m), count));
            let out = each_lane!(l => vmath::sigmoid::<FMA>(u[l] + v[l]));
            store(kept.add(3 * m), out, count);
            let c0 = get(a.c0.add(i), count);
            let c = each_lane!(l => forget[l] * c0[l] + input[l] * new[l]);
            store(a.c.add(i), c, count);
            store(a.h.add(i), each_lane!(l => out[l] * vmath::tanh::<FMA>(c[l])), count);
        }
    });
}

leveled!(fn gru_ahead[](a: Ahead) => gru_ahead_body);
#[inline(always)]
fn gru_ahead_body<const FMA: bool>(a: Ahead) {
    let (n, m) = (a.hidden, a.units);
    for_vectors!(m => |i, count| {
        // SAFETY: the promise made to `ahead`: there are three gates, `n` apart, and room for a
        // fourth in what is kept.
        unsafe {
            let (x, s, bias) = (a.x.add(i), a.s.add(i), a.bias.add(i));
            let kept = a.kept.add(i);
            let (u, v, b) = (get(x, count), get(s, count), get(bias, count));
            let reset = each_lane!(l => vmath::sigmoid::<FMA>(u[l] + (v[l] + b[l])));
            store(kept, reset, count);
            let (u, v, b) = (get(x.add(n), count), get(s.add(m), count), get(bias.add(n), count));
            let update = each_lane!(l => vmath::sigmoid::<FMA>(u[l] + (v[l] + b[l])));
            store(kept.add(m), update, count);
            let (v, b) = (get(s.add(2 * m), count), get(bias.add(2 * n), count));
            let own = each_lane!(l => v[l] + b[l]);
            store(kept.add(3 * m), own, count);
            let u = get(x.add(2 * n), count);
            let new = each_lane!(l => vmath::tanh::<FMA>(u[l] + reset[l] * own[l]));
            store(kept.add(2 * m), new, count);
            let h0 = get(a.h0.add(i), count);
            let h = each_lane!(l => new[l] + update[l] * (h0[l] - new[l]));
            store(a.h.add(i), h, count);
        }
    });
}

/// The gradient that comes to a step's result.
///
/// # Safety
/// `i + count <= units`.
#[inline(always)]
unsafe fn arriving(b: &Back, i: usize, count: usize) -> V {
    // SAFETY: the caller's promise, and the one made to `back`.
    unsafe {
        let (g, dh) = (get(b.g.add(i), count), get(b.dh.add(i), count));
        each_lane!(l => g[l] + dh[l])
    }
}

leveled!(fn tanh_back[](b: Back) => tanh_back_body);
#[inline(always)]
fn tanh_back_body<const FMA: bool>(b: Back) {
    for_vectors!(b.units => |i, count| {
        // SAFETY: the promise made to `back`.
        unsafe {
            let (d, h) = (arriving(&b, i, count), get(b.h.add(i), count));
            store(b.gates.add(i), each_lane!(l => d[l] * (1.0 - h[l] * h[l])), count);
            store(b.dh.add(i), [0.0; LANES], count);
        }
    });
}

leveled!(fn relu_back[](b: Back) => relu_back_body);
#[inline(always)]
fn relu_back_body<const FMA: bool>(b: Back) {
    for_vectors!(b.units => |i, count| {
        // SAFETY: the promise made to `back`.
        unsafe {
            let (d, h) = (arriving(&b, i, count), get(b.h.add(i), count));
            store(b.gates.add(i), each_lane!(l => if h[l] > 0.0 { d[l] } else { 0.0 }), count);
            store(b.dh.add(i), [0.0; LANES], count);
        }
    });
}

leveled!(fn lstm_back[](b: Back) => lstm_back_body);
#[inline(always)]
fn lstm_back_body<const FMA: bool>(b: Back) {
    let (n, m) = (b.hidden, b.units);
    for_vectors!(m => |i, count| {
        // SAFETY: the promise made to `back`: there are four gates, `n` apart.
        unsafe {
            let (kept, to) = (b.kept.add(i), b.gates.add(i));
            let d = arriving(&b, i, count);
            let c = get(b.c.add(i), count);
            let t = each_lane!(l => vmath::tanh::<FMA>(c[l]));
            let out = get(kept.add(3 * m), count);
            let dc = get(b.dc.add(i), count);
            let dc = each_lane!(l => dc[l] + d[l] * out[l] * (1.0 - t[l] * t[l]));
            let d_out = each_lane!(l => d[l] * t[l] * out[l] * (1.0 - out[l]));
            store(to.add(3 * n), d_out, count);
            let (input, new) = (get(kept, count), get(kept.add(2 * m), count));
            let d_in = each_lane!(l => dc[l] * new[l] * input[l] * (1.0 - input[l]));
            store(to, d_in, count);
            let d_new = each_lane!(l => dc[l] * input[l] * (1.0 - new[l] * new[l]));
            store(to.add(2 * n), d_new, count);
            let (forget, c0) = (get(kept.add(m), count), get(b.c0.add(i), count));
            let d_forget = each_lane!(l => dc[l] * c0[l] * forget[l] * (1.0 - forget[l]));
            store(to.add(n), d_forget, count);
            store(b.dc.add(i), each_lane!(l => dc[l] * forget[l]), count);
            store(b.dh.add(i), [0.0; LANES], count);
        }
    });
}

leveled!(fn gru_back[](b: Back) => gru_back_body);
#[inline(always)]
fn gru_back_body<const FMA: bool>(b: Back) {
    let (n, m) = (b.hidden, b.units);
    for_vectors!(m => |i, count| {
        // SAFETY: the promise made to `back`: there are three gates, `n` apart, and a fourth number.
        unsafe {
            let (kept, to, own) = (b.kept.add(i), b.gates.add(i), b.own.add(i));
            let d = arriving(&b, i, count);
            let (reset, update) = (get(kept, count), get(kept.add(m), count));
            let (new, part) = (get(kept.add(2 * m), count), get(kept.add(3 * m), count));
            let h0 = get(b.h0.add(i), count);
            let d_new = each_lane!(l => d[l] * (1.0 - update[l]) * (1.0 - new[l] * new[l]));
            store(to.add(2 * n), d_new, count);
            store(own.add(2 * n), each_lane!(l => d_new[l] * reset[l]), count);
            let d_update =
                each_lane!(l => d[l] * (h0[l] - new[l]) * update[l] * (1.0 - update[l]));
            store(to.add(n), d_update, count);
            store(own.add(n), d_update, count);
            let d_reset = each_lane!(l => d_new[l] * part[l] * reset[l] * (1.0 - reset[l]));
            store(to, d_reset, count);
            store(own, d_reset, count);
            store(b.dh.add(i), each_lane!(l => d[l] * update[l]), count);
        }
    });
}
