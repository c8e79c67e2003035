//! Few output channels, as in depthwise convolutions: places in the lanes instead of channels.

use super::data::{Field, Room, part};
use super::strip::{self, Dots, LANES, MOST_SLOTS, Slot, Strip};
use super::tile::{BLOCK, Kernels, OWN, SHARED, with_scratch};
use super::{Geometry, volume};
use crate::memory::Shared;
use crate::pool::{self, PiecePanicked};

/// Multiply-adds for which a piece is worth its price.
const PIECE: usize = 1 << 17;

/// Pieces that keep many threads busy: with fewer, the batch is cut as well.
const PIECES: usize = 16;

/// A forward pass, or a residue of the gradient for the input.
pub(super) struct Narrow<'a> {
    pub(super) kernels: &'a Kernels,
    pub(super) field: Field,
    pub(super) groups: usize,
    pub(super) taps: usize,
    /// Data channels of a group, and channels of the result of a group.
    pub(super) channels: usize,
    pub(super) outs: usize,
    pub(super) out: *mut f32,
    /// Sizes of the result, and which of its elements are the places: start and step.
    pub(super) dims: [usize; 3],
    pub(super) start: [usize; 3],
    pub(super) step: [usize; 3],
    pub(super) work: usize,
}

/// The weight of a group, an output channel and a tap.
pub(super) type Weight<'a> = &'a dyn Fn(usize, usize, usize) -> f32;

/// Offsets that a slot takes.
const SLOT: usize = size_of::<Slot>() / size_of::<usize>();

impl Narrow<'_> {
    /// # Safety
    /// The machine has the instruction set of the kernels; the windows have the sizes that the fields
    /// say, and the result overlaps no operand.
    pub(super) unsafe fn run(&self, weight: Weight<'_>) -> Result<(), PiecePanicked> {
        let strips = strip::of(crate::isa::active(), self.field.axes[2].places);
        let (kernel, registers) = strips.strips[self.outs - 1];
        let mut room = Room::new();
        let (w_at, taps_at) =
            (room.elements(self.groups * self.taps * self.outs), room.offsets(self.taps));
        let mut own = Room::new();
        let copy_at = own.elements(self.field.copy_len());
        let slots = self.field.most_slots(strips.lanes);
        let slots_at = own.offsets((slots + MOST_SLOTS) * SLOT);
        let units = self.field.units();
        let alone = self.work / (self.groups * units).max(1);
        let parts = self.groups.div_ceil((PIECE / alone.max(1)).clamp(1, self.groups));
        let plane = volume(self.dims);
        let image = self.groups * self.outs * plane;
        let strides = [self.dims[1] * self.dims[2], self.dims[2], 1];
        let steps: [usize; 3] = std::array::from_fn(|i| self.step[i] * strides[i]);
        let start: [usize; 3] = std::array::from_fn(|i| self.start[i] * strides[i]);
        with_scratch(&SHARED, room.len(), |scratch| {
            let (w, taps) =
                (scratch.wrapping_add(w_at), scratch.wrapping_add(taps_at).cast::<usize>());
            // SAFETY: there is room for all taps and weights.
            unsafe {
                self.field.taps(self.channels, taps);
                let mut to = w;
                for group in 0..self.groups {
                    for tap in 0..self.taps {
                        for f in 0..self.outs {
                            *to = weight(group, f, tap);
                            to = to.wrapping_add(1);
                        }
                    }
                }
            }
            // SAFETY: pieces write apart from each other.
            let shared = unsafe { Shared::new((self, w, taps)) };
            let cost = self.work as u64 / self.kernels.speed * 4;
            pool::run(parts * units, cost, &|piece| {
                let &(this, w, taps) = shared.get();
                let unit = this.field.unit(piece % units);
                let (first, some) = part(this.groups, parts, piece / units);
                with_scratch(&OWN, own.len(), |scratch| {
                    let copy = scratch.wrapping_add(copy_at);
                    let slots = scratch.wrapping_add(slots_at).cast::<Slot>();
                    let mut start = start;
                    start[0] += this.field.offset(&unit, steps);
                    // SAFETY: the contract; the scratch memory has room for each part.
                    let count = unsafe {
                        let count =
                            this.field.slots(&unit, strips.lanes, image, start, steps, slots);
                        for i in 0..MOST_SLOTS {
                            let from = (*slots).from;
                            *slots.wrapping_add(count + i) = Slot { from, to: 0, len: 0 };
                        }
                        count
                    };
                    for group in first..first + some {
                        let channel = group * this.channels;
                        // SAFETY: as above.
                        let a = unsafe {
                            this.field.load(this.kernels, &unit, channel, this.channels, copy)
                        };
                        let at = unit.image * image + group * this.outs * plane;
                        let mut tap = 0;
                        loop {
                            let taps_now = (this.taps - tap).min(BLOCK);
                            for slot in (0..count).step_by(registers) {
                                let t = Strip {
                                    a,
                                    slots: slots.wrapping_add(slot),
                                    taps: taps.wrapping_add(tap),
                                    count: taps_now,
                                    w: w.wrapping_add((group * this.taps + tap) * this.outs),
                                    c: this.out.wrapping_add(at),
                                    c_row: plane,
                                    c_step: this.step[2],
                                    add: tap > 0,
                                };
                                // SAFETY: as above; the kernel is the one for these channels.
                                unsafe { kernel(&t) };
                            }
                            tap += taps_now;
                            if tap >= this.taps {
                                break;
                            }
                        }
                    }
                });
            })
        })
    }
}

/// The gradient of w from (x, gradient of y): 16 lanes of places an element of w.
///
/// # Safety
/// The machine has the instruction set of the kernels; the windows have the sizes of the geometry.
pub(super) unsafe fn weight(
    kernels: &Kernels,
    g: &Geometry,
    field: &Field,
    dy: *const f32,
    dw: *mut f32,
) -> Result<(), PiecePanicked> {
    let (channels, outs) = (g.inputs / g.groups, g.outputs / g.groups);
    let taps = channels * volume(g.kernel);
    let dots = strip::of(crate::isa::active(), LANES).dots;
    let units = field.units();
    let chunks = (PIECES / g.groups).clamp(1, units);
    let plane = volume(g.y);
    let sums = outs * taps * LANES;
    let mut room = Room::new();
    let (sums_at, taps_at) = (room.elements(chunks * g.groups * sums), room.offsets(taps));
    let mut own = Room::new();
    let copy_at = own.elements(field.copy_len());
    let slots_at = own.offsets(field.most_slots(LANES) * SLOT);
    with_scratch(&SHARED, room.len(), |scratch| {
        let partial = scratch.wrapping_add(sums_at);
        let offsets = scratch.wrapping_add(taps_at).cast::<usize>();
        // SAFETY: there is room for the offsets of all taps.
        unsafe { field.taps(channels, offsets) };
        // SAFETY: pieces write apart from each other.
        let shared = unsafe { Shared::new((field, partial, offsets, dy, dw)) };
        let cost = g.work() as u64 / kernels.speed * 4;
        pool::run(g.groups * chunks, cost, &|piece| {
            let &(field, partial, offsets, dy, _) = shared.get();
            let (group, chunk) = (piece / chunks, piece % chunks);
            let partial = partial.wrapping_add((chunk * g.groups + group) * sums);
            with_scratch(&OWN, own.len(), |scratch| {
                let copy = scratch.wrapping_add(copy_at);
                let slots = scratch.wrapping_add(slots_at).cast::<Slot>();
                // SAFETY: the contract; the scratch memory has room for each part.
                unsafe {
                    partial.write_bytes(0, sums);
                    let (first, some) = part(units, chunks, chunk);
                    for u in first..first + some {
                        let unit = field.unit(u);
                        let steps = [g.y[1] * g.y[2], g.y[2], 1];
                        let start = [field.offset(&unit, steps), 0, 0];
                        let count =
                            field.slots(&unit, LANES, g.outputs * plane, start, steps, slots);
                        let a = field.load(kernels, &unit, group * channels, channels, copy);
                        for f in 0..outs {
                            let at = (unit.image * g.outputs + group * outs + f) * plane;
                            dots(&Dots {
                                a,
                                g: dy.wrapping_add(at),
                                slots,
                                count,
                                taps: offsets,
                                rows: taps,
                                sums: partial.wrapping_add(f * taps * LANES),
                            });
                        }
                    }
                }
            });
        })?;
        pool::run(g.groups, (chunks * g.groups * sums) as u64, &|group| {
            let &(_, partial, _, _, dw) = shared.get();
            for i in 0..outs * taps {
                let mut lanes = [0.0f32; LANES];
                for chunk in 0..chunks {
                    let from = partial.wrapping_add((chunk * g.groups + group) * sums + i * LANES);
                    for (l, lane) in lanes.iter_mut().enumerate() {
                        // SAFETY: the sums of all pieces are written.
                        let x = unsafe { *from.wrapping_add(l) };
                        *lane = if chunk == 0 { x } else { *lane + x };
                    }
                }
                let mut width = LANES / 2;
                while width > 0 {
                    for l in 0..width {
                        lanes[l] += lanes[l + width];
                    }
                    width /= 2;
                }
                // SAFETY: the contract.
                unsafe { *dw.wrapping_add(group * outs * taps + i) = lanes[0] };
            }
        })
    })
}
