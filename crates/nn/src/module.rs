//! What a model is: a plain struct that can be walked.
//!
//! A [`Module`] shows a [`Visitor`] its parameters, buffers, children and tag, in order and by
//! name; everything else (names, files, optimizers, messages) is made from that walk. Nothing here
//! knows a layer. Start at [`Module`]; what every module can do is in `walk`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use gradus_core::{Buffer, DType, Param, Shape, Tag};

/// A model or a part of one: something with parameters that can be walked.
///
/// Derive it; the derive walks the fields in order, and the names of the fields become the names
/// in saved files, as in PyTorch (`l1.weight`).
///
/// ```
/// use gradus_core::{Array, DType, Param, Tensor};
/// use gradus_nn::{Layer, Linear, Module, ModuleExt};
///
/// #[derive(Module)]
/// struct Gated {
///     value: Linear,
///     gate: Linear,
///     scale: Param,
/// }
///
/// impl Layer for Gated {
///     fn forward(&self, x: &Tensor) -> Tensor {
///         self.value.forward(x) * self.gate.forward(x).sigmoid() * &self.scale
///     }
/// }
///
/// let scale = Param::new(Array::zeros([1], DType::F32)?);
/// let model = Gated { value: Linear::new(4, 2), gate: Linear::new(4, 2), scale };
/// assert_eq!(model.num_parameters(), 21);
/// assert_eq!(model.named_parameters()[0].0, "value.weight");
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// A `Tensor` cannot be a field: it belongs to one step and one thread.
///
/// ```compile_fail
/// # use gradus_core::Tensor;
/// # use gradus_nn::Module;
/// #[derive(Module)]
/// struct Wrong {
///     weight: Tensor, // use `Param` for trained values, `Buffer` for kept ones
/// }
/// ```
///
/// Nor can other types that say nothing about themselves, unless they are skipped.
///
/// ```compile_fail
/// # use gradus_nn::Module;
/// struct Settings;
/// #[derive(Module)]
/// struct Wrong {
///     settings: Settings, // needs `#[module(skip)]`
/// }
/// ```
pub trait Module: Send + Sync {
    /// Shows the visitor every parameter, buffer, child and tag of this module, in order.
    fn walk(&self, visitor: &mut dyn Visitor);

    /// The name of the type, which starts the layer paths in messages: `Mlp > l1`.
    fn name(&self) -> &'static str {
        short_name(std::any::type_name::<Self>())
    }
}

/// What sees the parts of a module during a walk.
///
/// A part that is shared (tied) is shown wherever it is held; it is recognised by its `id()`.
pub trait Visitor {
    /// A parameter of this module.
    fn param(&mut self, name: &str, param: &Param);
    /// A buffer of this module.
    fn buffer(&mut self, name: &str, buffer: &Buffer);
    /// A module inside this one. A visitor that wants to see its parts calls its `walk`.
    fn child(&mut self, name: &str, module: &dyn Module);
    /// The identity with which this module opens scopes.
    fn tag(&mut self, _tag: &Tag) {}
}

/// What may be a field of a derived module.
///
/// Parameters, buffers and modules, `Option`s, lists, arrays, tuples and maps of them, and plain
/// data, which is passed over.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a module",
    label = "neither a parameter, a buffer, a module nor plain data",
    note = "use `Param` for trained values, `Buffer` for kept ones, `#[derive(Module)]` for parts \
            that have them, and `#[module(skip)]` on a field of plain data"
)]
pub trait Field {
    /// Shows this field to the visitor under a name.
    fn visit(&self, name: &str, visitor: &mut dyn Visitor);
}

impl<M: Module> Field for M {
    fn visit(&self, name: &str, visitor: &mut dyn Visitor) {
        visitor.child(name, self);
    }
}

impl Field for Param {
    fn visit(&self, name: &str, visitor: &mut dyn Visitor) {
        visitor.param(name, self);
    }
}

impl Field for Buffer {
    fn visit(&self, name: &str, visitor: &mut dyn Visitor) {
        visitor.buffer(name, self);
    }
}

impl Field for Tag {
    fn visit(&self, _: &str, visitor: &mut dyn Visitor) {
        visitor.tag(self);
    }
}

impl<T: Field> Field for Option<T> {
    fn visit(&self, name: &str, visitor: &mut dyn Visitor) {
        if let Some(field) = self {
            field.visit(name, visitor);
        }
    }
}

macro_rules! plain {
    ($($t:ty),*) => {$(
        impl Field for $t {
            fn visit(&self, _: &str, _: &mut dyn Visitor) {}
        }
    )*};
}
plain!(bool, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, f32, f64, char);
plain!(String, &'static str, DType, Shape);

impl<T: ?Sized> Field for PhantomData<T> {
    fn visit(&self, _: &str, _: &mut dyn Visitor) {}
}

macro_rules! pointer {
    ($($t:ty),*) => {$(
        impl<M: Module + ?Sized> Module for $t {
            fn walk(&self, visitor: &mut dyn Visitor) {
                (**self).walk(visitor);
            }
            fn name(&self) -> &'static str {
                (**self).name()
            }
        }
    )*};
}
pointer!(Box<M>, Arc<M>, &M);

impl<T: Field + Send + Sync> Module for Vec<T> {
    fn walk(&self, visitor: &mut dyn Visitor) {
        for (i, field) in self.iter().enumerate() {
            field.visit(&index_name(i), visitor);
        }
    }
    fn name(&self) -> &'static str {
        "Vec"
    }
}

impl<T: Field + Send + Sync, const N: usize> Module for [T; N] {
    fn walk(&self, visitor: &mut dyn Visitor) {
        for (i, field) in self.iter().enumerate() {
            field.visit(&index_name(i), visitor);
        }
    }
    fn name(&self) -> &'static str {
        "Array"
    }
}

/// Children under their keys, as PyTorch's `ModuleDict`.
impl<T: Field + Send + Sync> Module for BTreeMap<String, T> {
    fn walk(&self, visitor: &mut dyn Visitor) {
        for (name, field) in self {
            field.visit(name, visitor);
        }
    }
    fn name(&self) -> &'static str {
        "Map"
    }
}

impl Module for () {
    fn walk(&self, _: &mut dyn Visitor) {}
    fn name(&self) -> &'static str {
        "Tuple"
    }
}

macro_rules! tuple {
    ($($t:ident $i:tt),*) => {
        impl<$($t: Field + Send + Sync),*> Module for ($($t,)*) {
            fn walk(&self, visitor: &mut dyn Visitor) {
                $(self.$i.visit(stringify!($i), visitor);)*
            }
            fn name(&self) -> &'static str {
                "Tuple"
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);

/// `a::b::Mlp<c::D>` as `Mlp`.
fn short_name(full: &'static str) -> &'static str {
    let plain = full.split('<').next().unwrap_or(full);
    plain.rsplit("::").next().unwrap_or(plain)
}

/// An index as a name; small ones without allocating.
pub(crate) fn index_name(i: usize) -> Cow<'static, str> {
    const SMALL: [&str; 32] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
        "17", "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31",
    ];
    match SMALL.get(i) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(i.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_name_is_cut_to_its_last_part() {
        assert_eq!(short_name("a::b::Mlp"), "Mlp");
        assert_eq!(short_name("a::Mlp<b::C<d::E>>"), "Mlp");
        assert_eq!(short_name("Mlp"), "Mlp");
        assert_eq!(index_name(31), "31");
        assert_eq!(index_name(32), "32");
    }
}
