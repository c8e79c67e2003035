//! `#[derive(Module)]`: writes the walk over a struct's fields, nothing else.
//!
//! The macro knows no types: each field must implement `gradus_nn::Field`, and the compiler says
//! so where one does not. The only field it rejects by its name is a `Tensor`, because that
//! mistake deserves a better message. Start reading at `expand`.

use proc_macro::TokenStream;
use proc_macro2::{Span, TokenStream as Tokens, TokenTree};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Generics, LitStr, Path, Type};

/// Implements `gradus_nn::Module` for a struct by walking its fields in order.
///
/// Every field must implement `gradus_nn::Field`: `Param`, `Buffer`, any module, `Option`, `Vec`,
/// arrays and tuples of those, and plain data (numbers, `bool`, `String`), which is passed over.
/// The name of a field is its name in saved files, as in PyTorch: `l1.weight`.
///
/// * `#[module(skip)]` on a field leaves it out (plain data of another type).
/// * `#[module(name = "c_attn")]` on a field gives it another name in files.
/// * `#[module(crate = "path")]` on the struct says where `gradus_nn` is.
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: TokenStream) -> TokenStream {
    run(input, "::gradus_nn")
}

/// As [`macro@Module`], with paths through the facade crate `gradus`, which re-exports it.
#[proc_macro_derive(FacadeModule, attributes(module))]
pub fn derive_module_of_facade(input: TokenStream) -> TokenStream {
    run(input, "::gradus::nn")
}

fn run(input: TokenStream, root: &str) -> TokenStream {
    syn::parse(input)
        .and_then(|input| expand(&input, root))
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

/// The attributes of a field.
#[derive(Default)]
struct Options {
    skip: bool,
    name: Option<String>,
}

fn expand(input: &DeriveInput, root: &str) -> syn::Result<Tokens> {
    let root = crate_path(input, root)?;
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(data) => return Err(only_structs(data.enum_token.span())),
        Data::Union(data) => return Err(only_structs(data.union_token.span())),
    };
    let mut visits = Vec::new();
    let mut bounds = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        let options = field_options(field)?;
        if options.skip {
            continue;
        }
        reject_tensor(&field.ty)?;
        let (access, plain) = match &field.ident {
            Some(ident) => (quote!(#ident), ident.unraw().to_string()),
            None => {
                let index = syn::Index::from(i);
                (quote!(#index), i.to_string())
            }
        };
        let name = options.name.unwrap_or(plain);
        // At the place of the type, so that the compiler points at a field that is not allowed.
        let span = field.ty.span().resolved_at(Span::call_site());
        visits.push(quote_spanned! { span =>
            #root::Field::visit(&self.#access, #name, visitor);
        });
        if mentions(&field.ty, &input.generics) {
            bounds.push(&field.ty);
        }
    }
    let ident = &input.ident;
    let (impl_generics, type_generics, clause) = input.generics.split_for_impl();
    let mut predicates: Vec<Tokens> =
        clause.iter().flat_map(|c| &c.predicates).map(|p| quote!(#p)).collect();
    predicates.extend(bounds.iter().map(|ty| quote!(#ty: #root::Field)));
    if input.generics.type_params().next().is_some() {
        predicates.push(quote!(Self: ::core::marker::Send + ::core::marker::Sync));
    }
    let clause = if predicates.is_empty() { quote!() } else { quote!(where #(#predicates),*) };
    let visitor = if visits.is_empty() { quote!(_visitor) } else { quote!(visitor) };
    let label = ident.unraw().to_string();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #root::Module for #ident #type_generics #clause {
            fn walk(&self, #visitor: &mut dyn #root::Visitor) {
                #(#visits)*
            }
            fn name(&self) -> &'static str {
                #label
            }
        }
    })
}

fn only_structs(span: Span) -> Error {
    Error::new(
        span,
        "`Module` can be derived for structs only; for an enum of layers, implement \
         `Module::walk` by hand or hold a `Box<dyn Layer>`",
    )
}

/// Where `gradus_nn` is: the attribute of the struct, or what the macro was told.
fn crate_path(input: &DeriveInput, default: &str) -> syn::Result<Path> {
    let mut path: Path = syn::parse_str(default)?;
    for attribute in input.attrs.iter().filter(|a| a.path().is_ident("module")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("expected `crate = \"path\"`"));
            }
            path = meta.value()?.parse::<LitStr>()?.parse()?;
            Ok(())
        })?;
    }
    Ok(path)
}

fn field_options(field: &syn::Field) -> syn::Result<Options> {
    let mut options = Options::default();
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("module")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("skip") {
                options.skip = true;
            } else if meta.path.is_ident("name") {
                let name = meta.value()?.parse::<LitStr>()?;
                if name.value().is_empty() {
                    return Err(Error::new(name.span(), "a field's name cannot be empty"));
                }
                options.name = Some(name.value());
            } else {
                return Err(meta.error("expected `skip` or `name = \"...\"`"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

/// A `Tensor` field, also inside `Option`, `Vec` and the like, is the classic mistake: it belongs
/// to a step and a thread, and nothing would train or save it.
fn reject_tensor(ty: &Type) -> syn::Result<()> {
    match find_ident(quote!(#ty), &|ident| ident == "Tensor") {
        Some(span) => Err(Error::new(
            span,
            "a module cannot hold a `Tensor`: use `Param` for trained values, `Buffer` for kept \
             ones (both have `.tensor()`), or `Array` with `#[module(skip)]` for a constant",
        )),
        None => Ok(()),
    }
}

fn mentions(ty: &Type, generics: &Generics) -> bool {
    let is_param = |ident: &str| generics.type_params().any(|p| p.ident == ident);
    find_ident(quote!(#ty), &is_param).is_some()
}

/// The place of the first identifier that `test` accepts.
fn find_ident(tokens: Tokens, test: &dyn Fn(&str) -> bool) -> Option<Span> {
    tokens.into_iter().find_map(|tree| match tree {
        TokenTree::Ident(ident) => test(&ident.to_string()).then(|| ident.span()),
        TokenTree::Group(group) => find_ident(group.stream(), test),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(source: &str) -> Result<String, String> {
        let input: DeriveInput = syn::parse_str(source).map_err(|e| e.to_string())?;
        expand(&input, "::gradus_nn").map(|t| t.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_tensor_field_is_rejected_with_a_hint() {
        for ty in ["Tensor", "gradus::Tensor", "Option<Tensor>", "Vec<(Tensor, usize)>"] {
            let error = expanded(&format!("struct M {{ a: Param, b: {ty} }}")).unwrap_err();
            assert!(error.contains("use `Param` for trained values, `Buffer` for kept"), "{error}");
        }
        assert!(expanded("struct M { #[module(skip)] b: PhantomData<Tensor> }").is_ok());
    }

    #[test]
    fn enums_unions_and_unknown_attributes_are_rejected() {
        assert!(expanded("enum M { A }").unwrap_err().contains("structs only"));
        assert!(expanded("union M { a: u8, b: i8 }").unwrap_err().contains("structs only"));
        let error = expanded("struct M { #[module(skipp)] a: u8 }").unwrap_err();
        assert!(error.contains("expected `skip`"), "{error}");
        let error = expanded("#[module(krate = \"x\")] struct M;").unwrap_err();
        assert!(error.contains("expected `crate"), "{error}");
        assert!(expanded("struct M { #[module(name = \"\")] a: u8 }").is_err());
    }

    #[test]
    fn fields_are_walked_in_order_under_their_names() {
        let code = expanded("struct M { b: A, #[module(name = \"x\")] a: A, r#type: A }").unwrap();
        let at = |name: &str| code.find(&format!("\"{name}\"")).unwrap_or(usize::MAX);
        assert!(at("b") < at("x") && at("x") < at("type"), "{code}");
        assert!(!code.contains("\"a\""), "{code}");
        assert!(expanded("struct M(A, B);").unwrap().contains("\"1\""));
    }

    #[test]
    fn only_fields_that_mention_a_type_parameter_get_a_bound() {
        let code = expanded("struct M<T, const N: usize> { a: Linear, b: [T; N] }").unwrap();
        assert!(code.contains("[T ; N] : :: gradus_nn :: Field"), "{code}");
        assert!(!code.contains("Linear : "), "{code}");
        assert!(expanded("#[module(crate = \"a::b\")] struct M;").unwrap().contains("a :: b"));
    }
}
