//! The operand that is read by offsets: where its elements are, in place or copied, and the places
//! of the window cut into units.
//!
//! How places are cut depends on the shape alone: on no thread, no instruction set, no layout.

use super::copy::Pad;
use super::pairs::{self, Kept, Rows, Two};
use super::tile::Kernels;
use super::volume;

/// Places of a unit at most, if one row of them is not more; larger images are cut.
const CUT: usize = 1024;

/// Images are taken together until a unit has so many places.
const TOGETHER: usize = 256;

/// Elements of a copy that stay in the L2 cache beside the other operand.
const COPY: usize = 96 << 10;

/// Elements that the vectors of a copy may write beyond its end.
const SLACK: usize = 64;

/// Lanes that are computed together where each has its own data, on any machine.
pub(super) const EACH: usize = 64;

/// Lanes of the widest register of any machine.
const WIDEST: usize = 16;

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

/// How an array of images lies in memory: channels last (side by side), or second.
#[derive(Clone, Copy)]
pub(super) struct Images {
    pub(super) last: bool,
    pub(super) channels: usize,
    pub(super) dims: [usize; 3],
}

impl Images {
    pub(super) fn new(last: bool, channels: usize, dims: [usize; 3]) -> Images {
        // Where there is one channel, or one place, both are the same.
        Images { last: last || channels == 1 || volume(dims) == 1, channels, dims }
    }

    /// Distance of two images.
    pub(super) fn image(&self) -> usize {
        self.channels * volume(self.dims)
    }

    /// Distance of two channels.
    pub(super) fn channel(&self) -> usize {
        if self.last { 1 } else { volume(self.dims) }
    }

    /// Distance of two places.
    pub(super) fn place(&self) -> usize {
        if self.last { self.channels } else { 1 }
    }

    /// Distances along the axes.
    pub(super) fn strides(&self) -> [usize; 3] {
        let [_, h, w] = self.dims;
        [h * w, w, 1].map(|s| s * self.place())
    }
}

/// Which data a lane has where each has its own: in plane `j`, lane `f` has channel
/// `f / repeat * planes + j`.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    pub(super) planes: usize,
    pub(super) repeat: usize,
    /// Lanes in all.
    pub(super) lanes: usize,
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
    /// Places of a line of the last axis.
    pub(super) line: usize,
}

/// The data of one pass, and its units.
pub(super) struct Field {
    src: *const f32,
    data: Images,
    pub(super) axes: [Axis; 3],
    low: [isize; 3],
    spread: Option<Spread>,
    kept: Kept,
    /// The data are read where they are.
    in_place: bool,
    cut: usize,
    bands: usize,
    parts: usize,
    /// Images of the source, and of the copy.
    images: usize,
    batch: usize,
    /// Channels of the source that a piece reads at most.
    channels: usize,
    /// Distances where the kernel reads: along the axes, of two images, of two planes.
    strides: [usize; 3],
    image: usize,
    plane: usize,
    /// Elements of a place of the copy.
    width: usize,
}

impl Field {
    /// Data of which pieces read `channels` channels at a time, shared by all lanes; or
    /// as `spread` says, where `channels` is the number of lanes.
    pub(super) fn new(
        src: *const f32,
        data: Images,
        batch: usize,
        channels: usize,
        axes: [Axis; 3],
        spread: Option<Spread>,
        kept: Kept,
    ) -> Field {
        let (images, batch) = (batch, batch.div_ceil(kept.images()));
        let dims = data.dims;
        let spans = axes.map(|a| a.span());
        let low = spans.map(|s| s.0);
        let fits = (0..3)
            .all(|i| low[i] >= 0 && low[i] as usize + axes[i].extent(axes[i].places) <= dims[i]);
        // Lanes read whole registers.
        let own = spread
            .is_none_or(|s| s.planes == 1 && s.repeat == 1 && data.channels.is_multiple_of(WIDEST));
        let in_place = data.last && fits && own && kept == Kept::Full;
        let planes = spread.map_or(1, |s| s.planes);
        let width = match spread {
            Some(_) => planes * channels.next_multiple_of(WIDEST),
            None => kept.channels(channels),
        };
        let cut = (0..2).find(|&i| axes[i].places > 1).unwrap_or(2);
        let field = Field {
            src,
            data,
            axes,
            low,
            spread,
            kept,
            in_place,
            cut,
            bands: 1,
            parts: 1,
            images,
            batch,
            channels,
            strides: data.strides(),
            image: data.image(),
            plane: width / planes.max(1),
            width,
        };
        field.units_of(CUT, TOGETHER)
    }

    /// With units of at most so many places, if one row of them is not more; images with fewer places are
    /// taken together until a unit has so many.
    pub(super) fn units_of(mut self, most: usize, together: usize) -> Field {
        let (axes, cut, width) = (self.axes, self.cut, self.width);
        let places = volume(axes.map(|a| a.places));
        let row = places.checked_div(axes[cut].places).unwrap_or(0).max(1);
        // The sizes of the copy, for so many places along the axis.
        let padded = |len: usize| {
            let mut sizes: [usize; 3] = std::array::from_fn(|i| axes[i].extent(axes[i].places));
            sizes[cut] = axes[cut].extent(len);
            sizes
        };
        let size = |len: usize| volume(padded(len)).saturating_mul(width.max(1));
        let mut len = (most / row).clamp(1, axes[cut].places.max(1));
        while len > 1 && size(len) > COPY {
            len = len.div_ceil(2);
        }
        self.bands = axes[cut].places.div_ceil(len).max(1);
        let len = axes[cut].places.div_ceil(self.bands);
        let mut images = 1;
        if self.bands == 1 {
            images = (together / places.max(1)).min(COPY / size(len).max(1));
            images = images.clamp(1, self.batch.max(1));
        }
        self.parts = self.batch.div_ceil(images);
        if !self.in_place {
            let [_, h, w] = padded(len);
            self.strides = [h * w * width, w * width, width];
            self.image = size(len);
        }
        self
    }

    pub(super) fn units(&self) -> usize {
        self.bands * self.parts
    }

    /// Unit 0 has the most places, and those of others lie like its first ones.
    pub(super) fn unit(&self, u: usize) -> Unit {
        let (image, images) = part(self.batch, self.parts, u / self.bands);
        let (start, len) = part(self.axes[self.cut].places, self.bands, u % self.bands);
        let all = volume(self.axes.map(|a| a.places));
        let row = all.checked_div(self.axes[self.cut].places).unwrap_or(0);
        let line = if self.cut == 2 { len } else { self.axes[2].places };
        Unit { image, images, start, len, each: len * row, first: start * row, line: line.max(1) }
    }

    /// Places of the largest unit.
    pub(super) fn most_places(&self) -> usize {
        let unit = self.unit(0);
        unit.images * unit.each
    }

    /// Elements of the copy of a unit, and what making it needs.
    pub(super) fn copy_len(&self) -> usize {
        if self.in_place { 0 } else { self.copied() + self.near() }
    }

    /// Elements of the copy of a unit.
    fn copied(&self) -> usize {
        (self.unit(0).images * self.image + SLACK).next_multiple_of(WIDEST)
    }

    /// Elements near by for making pairs: a line of two images as they are, or all of the second.
    fn near(&self) -> usize {
        match (self.kept, self.spread) {
            (Kept::Full | Kept::Wide, _) => 0,
            (_, Some(s)) if s.planes * s.repeat > 1 => self.image + SLACK,
            _ if self.data.last => 0,
            _ => pairs::room(self.data.dims[2] * self.channels),
        }
    }

    /// The images of the source that are a unit's: first, and how many.
    fn sources(&self, unit: &Unit) -> (usize, usize) {
        let first = unit.image * self.kept.images();
        (first, (unit.images * self.kept.images()).min(self.images - first))
    }

    /// Where the data of a unit are, and how many elements: none where they are in many places.
    pub(super) fn region(&self, u: usize) -> (*const f32, usize) {
        if !self.data.last || u >= self.units() {
            return (self.src, 0);
        }
        let unit = self.unit(u);
        let (first, images) = self.sources(&unit);
        let at = first * self.data.image();
        if self.bands == 1 {
            return (self.src.wrapping_add(at), images * self.data.image());
        }
        let row = self.data.strides()[self.cut];
        let axis = self.axes[self.cut];
        let all = self.data.dims[self.cut];
        let start = self.low[self.cut] + (unit.start * axis.step) as isize;
        let start = usize::try_from(start).unwrap_or(0).min(all);
        let n = axis.extent(unit.len).min(all - start);
        (self.src.wrapping_add(at + start * row), n * row)
    }

    /// The axis that is cut, and a unit's first place and places along it.
    pub(super) fn band(&self, unit: &Unit) -> (usize, usize, usize) {
        (self.cut, unit.start, unit.len)
    }

    /// How far a unit's first place is, for such steps along the axes.
    pub(super) fn offset(&self, unit: &Unit, steps: [usize; 3]) -> usize {
        unit.start * steps[self.cut]
    }

    /// Makes a unit's data readable by offsets: returns where offset 0 is, of channel (or lane)
    /// `first`; `channels` of them will be read.
    ///
    /// # Safety
    /// The machine has the instruction set of the kernels, the data can be read, and
    /// [`Field::copy_len`] elements be written at `copy`.
    pub(super) unsafe fn load(
        &self,
        kernels: &Kernels,
        unit: &Unit,
        first: usize,
        channels: usize,
        copy: *mut f32,
    ) -> *const f32 {
        let mut from = self.low;
        from[self.cut] += (unit.start * self.axes[self.cut].step) as isize;
        let (first_image, images) = self.sources(unit);
        let src = self.src.wrapping_add(first_image * self.data.image());
        if self.in_place {
            let at: isize = (0..3).map(|i| from[i] * self.strides[i] as isize).sum();
            return src.wrapping_add(first).wrapping_offset(at);
        }
        let mut sizes: [usize; 3] =
            std::array::from_fn(|i| self.axes[i].extent(self.axes[i].places));
        sizes[self.cut] = self.axes[self.cut].extent(unit.len);
        let near = copy.wrapping_add(self.copied());
        let paired = matches!(self.kept, Kept::Channels | Kept::Images);
        for image in 0..unit.images {
            let source = image * self.kept.images();
            let pad = Pad {
                src: src.wrapping_add(source * self.data.image()),
                dims: self.data.dims,
                src_channel: self.data.channel(),
                src_place: self.data.place(),
                from,
                sizes,
                strides: self.strides,
                channels,
                dst: copy.wrapping_add(image * self.image),
            };
            let second = (source + 1 < images).then(|| self.data.image());
            let own = Pad { src: pad.src.wrapping_add(first * pad.src_channel), ..pad };
            // SAFETY: the contract; there are pairs only where the machine has the instruction.
            unsafe {
                match self.spread {
                    Some(s) if s.planes * s.repeat > 1 => {
                        self.spread(&pad, s, first);
                        if paired {
                            let other = second.map(|apart| {
                                let src = pad.src.wrapping_add(apart);
                                self.spread(&Pad { src, dst: near, ..pad }, s, first);
                                near.cast_const()
                            });
                            self.zip(pad.dst, other);
                        }
                    }
                    _ if self.kept == Kept::Channels => {
                        pairs::pad(kernels, &own, Two::Channels, near);
                    }
                    _ if paired => pairs::pad(kernels, &own, Two::Images(second), near),
                    _ => (kernels.pad)(&own),
                }
            }
        }
        if self.kept == Kept::Wide {
            // SAFETY: the copy has so many elements.
            unsafe { pairs::wide(copy, unit.images * self.image) };
        }
        copy.cast_const()
    }

    /// An image becomes pairs with another one.
    ///
    /// # Safety
    /// Both can be read, and the first be written.
    unsafe fn zip(&self, image: *mut f32, other: Option<*const f32>) {
        let n = self.image;
        let rows = Rows { from: image, row: n, count: 1, width: n, to: image, to_row: n };
        // SAFETY: the contract.
        unsafe { pairs::zip(&rows, other.unwrap_or(std::ptr::null()), n) };
    }

    /// The copy where several lanes have the same channel, or a lane has several.
    ///
    /// # Safety
    /// As for [`Field::load`].
    unsafe fn spread(&self, p: &Pad, s: Spread, first: usize) {
        let inside = |i: isize, n: usize| usize::try_from(i).ok().filter(|&i| i < n);
        for d in 0..p.sizes[0] {
            let z = inside(p.from[0] + d as isize, p.dims[0]);
            for h in 0..p.sizes[1] {
                let y = inside(p.from[1] + h as isize, p.dims[1]);
                for w in 0..p.sizes[2] {
                    let x = inside(p.from[2] + w as isize, p.dims[2]);
                    let at = d * p.strides[0] + h * p.strides[1] + w * p.strides[2];
                    let src = z.zip(y).zip(x).map(|((z, y), x)| {
                        let place = (z * p.dims[1] + y) * p.dims[2] + x;
                        p.src.wrapping_add(place * p.src_place)
                    });
                    for plane in 0..s.planes {
                        let dst = p.dst.wrapping_add(at + plane * self.plane);
                        for lane in 0..p.channels {
                            let channel = (first + lane) / s.repeat * s.planes + plane;
                            // SAFETY: the contract.
                            unsafe {
                                *dst.wrapping_add(lane) = src
                                    .map_or(0.0, |src| *src.wrapping_add(channel * p.src_channel));
                            }
                        }
                    }
                }
            }
        }
    }

    /// The offsets of a unit's places, in order.
    ///
    /// # Safety
    /// There is room for [`Field::most_places`] numbers.
    pub(super) unsafe fn places(&self, unit: &Unit, to: *mut usize) {
        let steps = std::array::from_fn(|i| self.axes[i].step * self.strides[i]);
        // SAFETY: the contract.
        unsafe { self.positions(unit, self.image, steps, to) };
    }

    /// For each place of a unit: the element at `place * step` of each axis, in images that are so
    /// far apart.
    ///
    /// # Safety
    /// As for [`Field::places`].
    pub(super) unsafe fn positions(
        &self,
        unit: &Unit,
        image: usize,
        steps: [usize; 3],
        mut to: *mut usize,
    ) {
        let mut counts = self.axes.map(|a| a.places);
        counts[self.cut] = unit.len;
        for i in 0..unit.images {
            for d in 0..counts[0] {
                for h in 0..counts[1] {
                    let mut at = i * image + d * steps[0] + h * steps[1];
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

    /// Distances along the axes, where the kernel reads.
    pub(super) fn strides(&self) -> [usize; 3] {
        self.strides
    }

    /// The offsets of the taps in `runs`: as [`Field::taps`], but the elements of a line of the window
    /// follow each other, the nearest first.
    ///
    /// # Safety
    /// There is room for so many numbers.
    pub(super) unsafe fn runs(&self, channels: usize, mut to: *mut usize) {
        for d in 0..self.axes[0].taps {
            for h in 0..self.axes[1].taps {
                for c in 0..channels {
                    for w in 0..self.axes[2].taps {
                        let at = self.tap(0, d) + self.tap(1, h) + c + w * self.strides[2];
                        // SAFETY: the contract.
                        unsafe { *to = at };
                        to = to.wrapping_add(1);
                    }
                }
            }
        }
    }

    /// The offset of an element of the window along an axis.
    fn tap(&self, axis: usize, j: usize) -> usize {
        (self.axes[axis].tap(j) - self.low[axis]) as usize * self.strides[axis]
    }

    /// The offsets of the taps: elements of the window, and the channels (or planes) for each.
    ///
    /// # Safety
    /// There is room for so many numbers.
    pub(super) unsafe fn taps(&self, channels: usize, mut to: *mut usize) {
        let apart = if self.spread.is_some() { self.plane } else { 1 };
        for d in 0..self.axes[0].taps {
            for h in 0..self.axes[1].taps {
                for w in 0..self.axes[2].taps {
                    let window = self.tap(0, d) + self.tap(1, h) + self.tap(2, w);
                    for c in 0..channels {
                        // SAFETY: the contract.
                        unsafe { *to = window + c * apart };
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
