//! One source, compiled once for each instruction-set level.

/// `leveled!(vis fn name[T: Bound, ..](a: A, b: B) -> R => body);` makes a function that calls
/// `body::<FMA, T, ..>(a, b)`, compiled for the level in use. The body must be `#[inline(always)]`,
/// and so must all that it wants compiled for the level.
macro_rules! leveled {
    ($(#[$meta:meta])* $vis:vis fn $name:ident [$($g:ident : $bound:path),*]
     ($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? => $body:ident) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name<$($g: $bound),*>($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn v4<$($g: $bound),*>($($arg: $ty),*) $(-> $ret)? {
                    $body::<true, $($g),*>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn v3<$($g: $bound),*>($($arg: $ty),*) $(-> $ret)? {
                    $body::<true, $($g),*>($($arg),*)
                }
                match $crate::isa::active() {
                    // SAFETY: a level is active only if the machine has it.
                    $crate::isa::Isa::Avx512 => return unsafe { v4::<$($g),*>($($arg),*) },
                    // SAFETY: as above.
                    $crate::isa::Isa::Avx2 => return unsafe { v3::<$($g),*>($($arg),*) },
                    $crate::isa::Isa::Generic => {}
                }
            }
            $body::<{ $crate::vmath::BASE_FMA }, $($g),*>($($arg),*)
        }
    };
}
pub(crate) use leveled;

/// `lanewise!(v => |x| formula)` and `lanewise!(a, b => |x, y| formula)`: the formula for each lane
/// of arrays. A macro because a closure is a function of its own, and where several levels share one
/// the compiler may leave it compiled for none of them.
macro_rules! lanewise {
    ($v:expr => |$x:ident| $formula:expr) => {{
        let mut out = $v;
        for lane in &mut out {
            let $x = *lane;
            *lane = $formula;
        }
        out
    }};
    ($a:expr, $b:expr => |$x:ident, $y:ident| $formula:expr) => {{
        let mut out = $a;
        let other = $b;
        for (lane, &$y) in out.iter_mut().zip(&other) {
            let $x = *lane;
            *lane = $formula;
        }
        out
    }};
}
pub(crate) use lanewise;

/// Called in a loop whose body handles an array of lanes: keeps the compiler from seeing a loop over
/// single elements there, which it would vectorise across the turns, with a shuffle or a gather for
/// each lane. It then vectorises the array, as is meant. Costs no instruction.
#[inline(always)]
pub(crate) fn one_vector_a_turn() {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    // SAFETY: there is no instruction in it.
    unsafe {
        std::arch::asm!("", options(nomem, nostack, preserves_flags));
    }
}
