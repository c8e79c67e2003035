//! Which instructions the kernels use, chosen once at run time.
//!
//! `GRADUS_ISA=generic|avx2|avx512` forces a level (a level that the machine lacks is refused by
//! [`requested`]'s error, and the best one that it has is used); [`force`] does the same for tests.

use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction-set level, from least to most capable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Isa {
    /// Whatever the target's baseline is (SSE2 on x86-64, NEON on aarch64).
    Generic = 1,
    /// AVX2 with FMA.
    Avx2 = 2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512 = 3,
}

impl Isa {
    /// The name that `GRADUS_ISA` takes and run folders record.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Generic => "generic",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// The level of that name.
    pub fn parse(name: &str) -> Option<Isa> {
        [Isa::Generic, Isa::Avx2, Isa::Avx512].into_iter().find(|i| i.name() == name)
    }

    /// Whether this machine can run the level.
    pub fn supported(self) -> bool {
        self <= best()
    }
}

static ACTIVE: AtomicU8 = AtomicU8::new(0);

/// The best level that this machine has.
pub fn best() -> Isa {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if avx2 && avx512 {
            return Isa::Avx512;
        }
        if avx2 {
            return Isa::Avx2;
        }
    }
    Isa::Generic
}

/// The level that kernels use now.
#[inline]
pub fn active() -> Isa {
    match ACTIVE.load(Ordering::Relaxed) {
        3 => Isa::Avx512,
        2 => Isa::Avx2,
        1 => Isa::Generic,
        _ => first_use(),
    }
}

#[cold]
fn first_use() -> Isa {
    let isa = requested().unwrap_or_else(|_| best());
    ACTIVE.store(isa as u8, Ordering::Relaxed);
    isa
}

/// What `GRADUS_ISA` asks for; the best level where it is not set.
///
/// # Errors
/// A sentence for the user when the variable names no level, or one that this machine lacks.
pub fn requested() -> Result<Isa, String> {
    let Ok(name) = std::env::var("GRADUS_ISA") else { return Ok(best()) };
    match Isa::parse(name.trim()) {
        Some(isa) if isa.supported() => Ok(isa),
        Some(isa) => Err(format!(
            "GRADUS_ISA asks for {}, but this machine has at most {}",
            isa.name(),
            best().name()
        )),
        None => Err(format!("GRADUS_ISA is `{name}`; it takes generic, avx2 or avx512")),
    }
}

/// Makes kernels use `isa` from now on, in every thread; false if this machine lacks it.
pub fn force(isa: Isa) -> bool {
    let ok = isa.supported();
    if ok {
        ACTIVE.store(isa as u8, Ordering::Relaxed);
    }
    ok
}

/// 0 for not asked yet, 1 for no, 2 for yes.
static PAIRS: AtomicU8 = AtomicU8::new(0);

/// Whether products of bf16 use the machine's instruction for them (AVX512-BF16); otherwise operands are
/// rounded to bf16 and multiplied as f32. `GRADUS_BF16=wide` asks for that; so does any level below
/// AVX-512.
pub fn bf16_pairs() -> bool {
    active() == Isa::Avx512
        && match PAIRS.load(Ordering::Relaxed) {
            0 => {
                let wide = std::env::var("GRADUS_BF16").is_ok_and(|v| v.trim() == "wide");
                force_bf16_pairs(!wide)
            }
            known => known == 2,
        }
}

/// Makes products of bf16 use pairs from now on, or not; returns whether they do.
pub fn force_bf16_pairs(on: bool) -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    PAIRS.store(if on && has { 2 } else { 1 }, Ordering::Relaxed);
    on && has
}
