//! The operand that is read by offsets: where its elements are, padded or in place, and the places
//! of the window cut into units.
//!
//! All of this depends on the shape alone: on no thread, and on no instruction set.

use super::strip::Slot;
use super::tile::{Kernels, Pad};
use super::volume;

/// Places of a unit at most, if one row of them is not more; larger images are cut.
const CUT: usize = 1024;

/// Images are taken together until a unit has so many places.
const TOGETHER: usize = 256;

/// Elements of a padded copy that stay in the L2 cache beside the other operand.
const COPY: usize = 96 << 10;

/// Elements that the vectors of a copy may write beyond its end.
const SLACK: usize = 64;

/// `total` things in `count` parts that differ by at most one: start and length of part `i`.
pub(super) fn part(total: usize, count: usize, i: usize) -> (usize, usize) {
    let (base, more) = (total / count, total % count);
    (i * base + i.min(more), base + usize::from(i < more))
}

/// Along one axis: tap `j` at place `o` meets element `o * step + first + j * delta` of the data,
/// which is zero outside of it.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) places: usize,
    pub(super) step: usize,
    pub(super) taps: usize,
    pub(super) first: isize,
    pub(super) delta: isize,
}

impl Axis {
    /// The tap's element at place 0.
    fn tap(&self, j: usize) -> isize {
        self.first + j as isize * self.delta
    }

    /// The smallest element of any tap at place 0, and how many elements further the largest is.
    fn span(&self) -> (isize, usize) {
        let (a, b) = (self.tap(0), self.tap(self.taps.saturating_sub(1)));
        (a.min(b), a.abs_diff(b))
    }

    /// Elements from the first to the last that so many places need.
    fn extent(&self, places: usize) -> usize {
        places.saturating_sub(1) * self.step + self.span().1 + 1
    }
}

/// Some places: of several images all, or of one image some along the axis that is cut.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) image: usize,
    pub(super) images: usize,
    /// First place along the axis that is cut, and how many.
    start: usize,
    len: usize,
    /// Places of each image.
    pub(super) each: usize,
    /// Number of the first of them in its image.
    pub(super) first: usize,
}

/// The data of one pass, and its units.
pub(super) struct Field {
    src: *const f32,
    /// Sizes of the data; distance of two images and of two channels there.
    dims: [usize; 3],
    src_image: usize,
    src_channel: usize,
    pub(super) axes: [Axis; 3],
    low: [isize; 3],
    /// The data are read where they are.
    in_place: bool,
    cut: usize,
    bands: usize,
    parts: usize,
    batch: usize,
    channels: usize,
    /// Rows of the copy have every so many elements side by side, then the ones between.
    split: usize,
    /// Distances where the kernel reads.
    strides: [usize; 3],
    channel: usize,
    image: usize,
}

impl Field {
    /// Data `[batch, all, dims]`, of which pieces read `channels` channels at a time; `narrow` if
    /// they read whole registers, of places side by side.
    pub(super) fn new(
        src: *const f32,
        batch: usize,
        all: usize,
        channels: usize,
        dims: [usize; 3],
        axes: [Axis; 3],
        narrow: bool,
    ) -> Field {
        let src_channel = volume(dims);
        let spans = axes.map(|a| a.span());
        let low = spans.map(|s| s.0);
        let fits = (0..3)
            .all(|i| low[i] >= 0 && low[i] as usize + axes[i].extent(axes[i].places) <= dims[i]);
        // Channels that many pages apart share few places of the L1 cache.
        let in_place = fits && !narrow && (!src_channel.is_multiple_of(512) || channels <= 4);
        let split = if narrow { axes[2].step } else { 1 };
        let cut = (0..2).find(|&i| axes[i].places > 1).unwrap_or(2);
        let places = volume(axes.map(|a| a.places));
        let row = places.checked_div(axes[cut].places).unwrap_or(0).max(1);
        // The sizes of the copy of one channel, for so many places along the axis.
        let padded = |len: usize| {
            let mut sizes: [usize; 3] = std::array::from_fn(|i| axes[i].extent(axes[i].places));
            sizes[cut] = axes[cut].extent(len);
            sizes[2] = sizes[2].next_multiple_of(split);
            sizes
        };
        // An odd number of cache lines, so that channels lie in different places of the L1 cache.
        let plane = |len: usize| (volume(padded(len)).div_ceil(16) | 1) * 16;
        let mut len = (CUT / row).clamp(1, axes[cut].places.max(1));
        if !in_place {
            while len > 1 && plane(len).saturating_mul(channels) > COPY {
                len = len.div_ceil(2);
            }
        }
        let bands = axes[cut].places.div_ceil(len).max(1);
        let len = axes[cut].places.div_ceil(bands);
        let mut together = 1;
        if bands == 1 {
            together = (TOGETHER / places.max(1)).clamp(1, batch.max(1));
            if !in_place {
                together = together.min((COPY / (plane(len) * channels).max(1)).max(1));
            }
        }
        let (strides, channel, image) = if in_place {
            ([dims[1] * dims[2], dims[2], 1], src_channel, all * src_channel)
        } else {
            let [_, h, w] = padded(len);
            ([h * w, w, 1], plane(len), channels * plane(len))
        };
        Field {
            src,
            dims,
            src_image: all * src_channel,
            src_channel,
            axes,
            low,
            in_place,
            cut,
            bands,
            parts: batch.div_ceil(together),
            batch,
            channels,
            split,
            strides,
            channel,
            image,
        }
    }

    pub(super) fn units(&self) -> usize {
        self.bands * self.parts
    }

    pub(super) fn unit(&self, u: usize) -> Unit {
        let (image, images) = part(self.batch, self.parts, u / self.bands);
        let (start, len) = part(self.axes[self.cut].places, self.bands, u % self.bands);
        let all = volume(self.axes.map(|a| a.places));
        let row = all.checked_div(self.axes[self.cut].places).unwrap_or(0);
        Unit { image, images, start, len, each: len * row, first: start * row }
    }

    /// Places of the largest unit.
    pub(super) fn most_places(&self) -> usize {
        let unit = self.unit(0);
        unit.images * unit.each
    }

    /// Elements of the copy of a unit.
    pub(super) fn copy_len(&self) -> usize {
        if self.in_place { 0 } else { self.unit(0).images * self.image + SLACK }
    }

    /// How far a unit's first place is, for such steps along the axes.
    pub(super) fn offset(&self, unit: &Unit, steps: [usize; 3]) -> usize {
        unit.start * steps[self.cut]
    }

    /// Makes a unit's data readable by offsets: returns where offset 0 of channel `channel` is.
    ///
    /// # Safety
    /// The machine has the instruction set of the kernels, the data can be read, and
    /// [`Field::copy_len`] elements be written at `copy`.
    pub(super) unsafe fn load(
        &self,
        kernels: &Kernels,
        unit: &Unit,
        channel: usize,
        channels: usize,
        copy: *mut f32,
    ) -> *const f32 {
        let mut from = self.low;
        from[self.cut] += (unit.start * self.axes[self.cut].step) as isize;
        let src = self.src.wrapping_add(unit.image * self.src_image + channel * self.src_channel);
        if self.in_place {
            let at: isize = (0..3).map(|i| from[i] * self.strides[i] as isize).sum();
            return src.wrapping_offset(at);
        }
        let mut sizes: [usize; 3] =
            std::array::from_fn(|i| self.axes[i].extent(self.axes[i].places));
        sizes[self.cut] = self.axes[self.cut].extent(unit.len);
        for image in 0..unit.images {
            let pad = Pad {
                src: src.wrapping_add(image * self.src_image),
                dims: self.dims,
                src_channel: self.src_channel,
                from,
                sizes,
                strides: self.strides,
                channels: channels.min(self.channels),
                channel: self.channel,
                dst: copy.wrapping_add(image * self.image),
            };
            // SAFETY: the contract.
            unsafe {
                match self.split {
                    1 => (kernels.pad)(&pad),
                    _ => self.split(&pad),
                }
            }
        }
        copy.cast_const()
    }

    /// The copy with split rows.
    ///
    /// # Safety
    /// As for [`Field::load`].
    unsafe fn split(&self, p: &Pad) {
        let inside = |i: isize, n: usize| usize::try_from(i).ok().filter(|&i| i < n);
        for c in 0..p.channels {
            for d in 0..p.sizes[0] {
                for h in 0..p.sizes[1] {
                    let z = inside(p.from[0] + d as isize, p.dims[0]);
                    let y = inside(p.from[1] + h as isize, p.dims[1]);
                    let to = c * p.channel + d * p.strides[0] + h * p.strides[1];
                    let dst = p.dst.wrapping_add(to);
                    let row = z.zip(y).map(|(z, y)| {
                        p.src.wrapping_add(c * p.src_channel + (z * p.dims[1] + y) * p.dims[2])
                    });
                    for r in 0..self.split {
                        let dst = dst.wrapping_add(r * (self.strides[1] / self.split));
                        for (q, at) in (r..p.sizes[2]).step_by(self.split).enumerate() {
                            let w = inside(p.from[2] + at as isize, p.dims[2]);
                            // SAFETY: the contract.
                            unsafe {
                                *dst.wrapping_add(q) =
                                    row.zip(w).map_or(0.0, |(row, w)| *row.wrapping_add(w));
                            }
                        }
                    }
                }
            }
        }
    }

    /// Slots of the largest unit, of at most `width` places.
    pub(super) fn most_slots(&self, width: usize) -> usize {
        let unit = self.unit(0);
        let row = if self.cut == 2 { unit.len } else { self.axes[2].places };
        (unit.images * unit.each).checked_div(row).unwrap_or(0) * row.div_ceil(width)
    }

    /// The places of a unit as slots of at most `width`, and where they are in the result: as in
    /// [`Field::positions`]. Returns how many.
    ///
    /// # Safety
    /// There is room for [`Field::most_slots`].
    pub(super) unsafe fn slots(
        &self,
        unit: &Unit,
        width: usize,
        image: usize,
        start: [usize; 3],
        steps: [usize; 3],
        slots: *mut Slot,
    ) -> usize {
        let mut counts = self.axes.map(|a| a.places);
        counts[self.cut] = unit.len;
        let mut count = 0;
        for i in 0..unit.images {
            for d in 0..counts[0] {
                for h in 0..counts[1] {
                    let from = i * self.image
                        + d * self.axes[0].step * self.strides[0]
                        + h * self.axes[1].step * self.strides[1];
                    let to = i * image + start.iter().sum::<usize>() + d * steps[0] + h * steps[1];
                    for w in (0..counts[2]).step_by(width) {
                        let len = (counts[2] - w).min(width);
                        // SAFETY: the contract.
                        unsafe {
                            *slots.wrapping_add(count) =
                                Slot { from: from + w, to: to + w * steps[2], len };
                        }
                        count += 1;
                    }
                }
            }
        }
        count
    }

    /// The offsets of a unit's places, in order.
    ///
    /// # Safety
    /// There is room for [`Field::most_places`] numbers.
    pub(super) unsafe fn places(&self, unit: &Unit, to: *mut usize) {
        let steps = std::array::from_fn(|i| self.axes[i].step * self.strides[i]);
        // SAFETY: the contract.
        unsafe { self.positions(unit, self.image, [0; 3], steps, to) };
    }

    /// For each place of a unit: the element at `start + place * step` of each axis, in images that
    /// are so far apart.
    ///
    /// # Safety
    /// As for [`Field::places`].
    pub(super) unsafe fn positions(
        &self,
        unit: &Unit,
        image: usize,
        start: [usize; 3],
        steps: [usize; 3],
        mut to: *mut usize,
    ) {
        let mut counts = self.axes.map(|a| a.places);
        counts[self.cut] = unit.len;
        for i in 0..unit.images {
            for d in 0..counts[0] {
                for h in 0..counts[1] {
                    let at = i * image + start[0] + d * steps[0] + start[1] + h * steps[1];
                    let mut at = at + start[2];
                    for _ in 0..counts[2] {
                        // SAFETY: the contract.
                        unsafe { *to = at };
                        to = to.wrapping_add(1);
                        at += steps[2];
                    }
                }
            }
        }
    }

    /// The offsets of the taps: channels, and the window for each.
    ///
    /// # Safety
    /// There is room for so many numbers.
    pub(super) unsafe fn taps(&self, channels: usize, mut to: *mut usize) {
        let at = |axis: usize, j: usize| {
            let at = (self.axes[axis].tap(j) - self.low[axis]) as usize;
            if axis == 2 && self.split > 1 {
                return at % self.split * (self.strides[1] / self.split) + at / self.split;
            }
            at * self.strides[axis]
        };
        for c in 0..channels {
            for d in 0..self.axes[0].taps {
                for h in 0..self.axes[1].taps {
                    for w in 0..self.axes[2].taps {
                        // SAFETY: the contract.
                        unsafe { *to = c * self.channel + at(0, d) + at(1, h) + at(2, w) };
                        to = to.wrapping_add(1);
                    }
                }
            }
        }
    }
}

/// Cuts scratch memory into parts, each starting at a cache line.
pub(super) struct Room {
    at: usize,
}

impl Room {
    pub(super) fn new() -> Room {
        Room { at: 0 }
    }

    /// Room for `n` elements: where it starts.
    pub(super) fn elements(&mut self, n: usize) -> usize {
        let at = self.at;
        self.at += n.next_multiple_of(16);
        at
    }

    /// Room for `n` offsets.
    pub(super) fn offsets(&mut self, n: usize) -> usize {
        self.elements(n * (size_of::<usize>() / size_of::<f32>()))
    }

    pub(super) fn len(&self) -> usize {
        self.at
    }
}
