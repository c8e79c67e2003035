//! Random numbers without state: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, 2011).
//!
//! The counter of element `i` is `(i / 4, draw, stream)`, the key is the seed (see [`RandomKey`]),
//! so a value depends on the key and the element's index alone and any range can be made on its
//! own. One counter gives four words `w0..w3`, for elements `4k..4k + 4`:
//!
//! - uniform: element `4k + j` is the upper 24 bits of `wj`, times 2^-24: in [0, 1);
//! - normal: elements `4k` and `4k + 1` are the two values that Box–Muller makes of `w0` and `w1`
//!   (`r cos a` and `r sin a`), elements `4k + 2` and `4k + 3` those of `w2` and `w3`. The radius
//!   comes from `u1 = (upper 24 bits + 1) 2^-24`, in (0, 1], the angle from `u2` in [0, 1).

use crate::isa;
use crate::program::{Dist, RandomKey};
use crate::vmath;

/// Counters made side by side.
const WIDE: usize = 16;
/// Elements of [`WIDE`] counters.
const GROUP: usize = 4 * WIDE;

const MUL0: u32 = 0xd251_1f53;
const MUL1: u32 = 0xcd9e_8d57;
const WEYL0: u32 = 0x9e37_79b9;
const WEYL1: u32 = 0xbb67_ae85;

/// The four words of one counter.
#[inline(always)]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let p0 = u64::from(MUL0) * u64::from(c0);
        let p1 = u64::from(MUL1) * u64::from(c2);
        (c0, c1, c2, c3) =
            ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(WEYL0);
        k1 = k1.wrapping_add(WEYL1);
    }
    [c0, c1, c2, c3]
}

/// The words of counters `first..first + WIDE`, in the order of the elements.
#[inline(always)]
fn words(key: RandomKey, first: u64) -> [u32; GROUP] {
    // Each word sits in a lane of 64 bits whose upper half is ignored: that is what the vector
    // multiplication 32 x 32 -> 64 wants, and nothing has to be widened or narrowed on the way.
    const LOW: u64 = 0xffff_ffff;
    let (mut c0, mut c1) = ([0_u64; WIDE], [0_u64; WIDE]);
    for j in 0..WIDE {
        c0[j] = first.wrapping_add(j as u64);
        c1[j] = c0[j] >> 32;
    }
    let mut c2 = [u64::from(key.draw); WIDE];
    let mut c3 = [u64::from(key.stream); WIDE];
    let (mut k0, mut k1) = (key.seed as u32, (key.seed >> 32) as u32);
    for _ in 0..10 {
        for j in 0..WIDE {
            let p0 = (c0[j] & LOW) * u64::from(MUL0);
            let p1 = (c2[j] & LOW) * u64::from(MUL1);
            c0[j] = (p1 >> 32) ^ c1[j] ^ u64::from(k0);
            c1[j] = p1;
            c2[j] = (p0 >> 32) ^ c3[j] ^ u64::from(k1);
            c3[j] = p0;
        }
        k0 = k0.wrapping_add(WEYL0);
        k1 = k1.wrapping_add(WEYL1);
    }
    let mut pairs = [0_u64; 2 * WIDE];
    for j in 0..WIDE {
        pairs[2 * j] = (c0[j] & LOW) | c1[j] << 32;
        pairs[2 * j + 1] = (c2[j] & LOW) | c3[j] << 32;
    }
    if cfg!(target_endian = "big") {
        pairs = pairs.map(|p| p.rotate_left(32));
    }
    // SAFETY: both are plain numbers of the same total size.
    unsafe { std::mem::transmute::<[u64; 2 * WIDE], [u32; GROUP]>(pairs) }
}

/// The upper 24 bits as a number in [0, 1). The conversion goes through i32, which every level has.
#[inline(always)]
fn unit(word: u32) -> f32 {
    (word >> 8) as i32 as f32 * (1.0 / 16_777_216.0)
}

/// Two normal values from two words.
#[inline(always)]
fn box_muller<const FMA: bool>(a: u32, b: u32) -> (f32, f32) {
    let u1 = ((a >> 8) + 1) as i32 as f32 * (1.0 / 16_777_216.0);
    let radius = (-2.0 * vmath::log_positive::<FMA>(u1)).sqrt();
    let (sin, cos) = vmath::sin_cos_turns::<FMA>(unit(b));
    (radius * cos, radius * sin)
}

/// The elements of `WIDE` counters, in order.
#[inline(always)]
fn group<const FMA: bool>(key: RandomKey, dist: Dist, first: u64) -> [f32; GROUP] {
    let w = words(key, first);
    let mut out = [0.0; GROUP];
    match dist {
        Dist::Uniform => {
            for i in 0..GROUP {
                out[i] = unit(w[i]);
            }
        }
        Dist::Normal => {
            for i in 0..GROUP / 2 {
                (out[2 * i], out[2 * i + 1]) = box_muller::<FMA>(w[2 * i], w[2 * i + 1]);
            }
        }
    }
    out
}

#[inline(always)]
fn fill_any<const FMA: bool>(key: RandomKey, dist: Dist, start: u64, out: &mut [f32]) {
    // Whole counters only; the first and last elements of the run may be inside one.
    let mut skip = (start % 4) as usize;
    let mut counter = start / 4;
    let mut rest = out;
    while !rest.is_empty() {
        let values = group::<FMA>(key, dist, counter);
        let n = rest.len().min(GROUP - skip);
        let (now, later) = rest.split_at_mut(n);
        if let Some(from) = values.get(skip..skip + n) {
            now.copy_from_slice(from);
        }
        rest = later;
        skip = 0;
        counter = counter.wrapping_add(WIDE as u64);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn fill_avx512(key: RandomKey, dist: Dist, start: u64, out: &mut [f32]) {
    fill_any::<true>(key, dist, start, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn fill_avx2(key: RandomKey, dist: Dist, start: u64, out: &mut [f32]) {
    fill_any::<true>(key, dist, start, out);
}

/// Writes the random values of elements `start..start + out.len()`.
pub fn fill(key: RandomKey, dist: Dist, start: u64, out: &mut [f32]) {
    match isa::active() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `isa::active` gives only levels that this machine has.
        isa::Isa::Avx512 => unsafe { fill_avx512(key, dist, start, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        isa::Isa::Avx2 => unsafe { fill_avx2(key, dist, start, out) },
        _ => fill_any::<{ vmath::BASE_FMA }>(key, dist, start, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmath::BASE_FMA;

    #[test]
    fn the_wide_form_is_the_plain_one() {
        let key = RandomKey { seed: 0xdead_beef_0123_4567, stream: 0x8765_4321, draw: 0xffff_fff0 };
        for first in [0, 5, u64::from(u32::MAX) - 3, u64::MAX - 2] {
            let wide = words(key, first);
            for (j, wide) in wide.chunks(4).enumerate() {
                let c = first.wrapping_add(j as u64);
                let counter = [c as u32, (c >> 32) as u32, key.draw, key.stream];
                assert_eq!(wide, philox4x32(counter, [0x0123_4567, 0xdead_beef]));
            }
        }
    }

    #[test]
    fn every_word_gives_a_normal_value_that_is_finite() {
        for a in [0, 255, 256, 1 << 31, u32::MAX] {
            for b in [0, 1 << 30, u32::MAX] {
                let (x, y) = box_muller::<BASE_FMA>(a, b);
                assert!(x.abs() < 6.0 && y.abs() < 6.0, "{a} {b}: {x} {y}");
            }
        }
    }

    #[test]
    fn known_answers_of_the_random123_paper() {
        let all = u32::MAX;
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([all; 4], [all; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, want) in cases {
            assert_eq!(philox4x32(counter, key), want);
        }
    }
}
