//! The numeric kernels of Gradus: slices in, slices out.
//!
//! This crate knows nothing of tensors, graphs or layers, and it is the only crate of the
//! workspace with `unsafe` code. Every public function is safe: lengths, bounds and overlaps are
//! checked at the entry, before the first raw pointer is read. No kernel allocates in a steady
//! state, prints, or panics. Start reading at [`isa`] (which instructions run) and [`pool`]
//! (how work is split), then the kernel of your choice.
//!
//! **Bits.** For f32 and f64, AVX2+FMA and AVX-512 give the same bits, for any number of threads: work is
//! cut by shape and never by thread count, sums run over 16 virtual lanes and one fixed tree, and
//! a GEMM adds up k in blocks of a fixed size, one chain of fused multiply-adds a block.

pub mod attention;
pub mod bound;
pub mod conv;
pub mod convert;
pub mod copy;
pub mod gemm;
pub mod index;
pub mod isa;
mod lanes;
mod levels;
pub mod map;
pub mod memory;
pub mod peak;
pub mod philox;
pub mod pool;
pub mod program;
pub mod recurrent;
pub mod reduce;
pub mod rows;
pub mod running;
pub mod scan;
pub mod scatter;
pub mod sort;
pub mod special;
pub mod update;
pub mod vmath;
pub mod window;
