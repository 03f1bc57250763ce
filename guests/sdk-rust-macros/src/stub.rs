//! The typed stub of a class: a type with one method per RPC method.
//!
//! Made only where the author names it, since it asks more of the types of arguments and results.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Ident, ReturnType, Token};

use crate::class::{Class, Function, text_of};
use crate::schema;

/// What stands in the brackets of the attribute.
#[derive(Default)]
pub(crate) struct Options {
    /// Name of the stub's type.
    pub(crate) stub: Option<Ident>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Ok(Self::default());
        }
        let known = "`#[durabo::object]` takes nothing, or the name of a typed stub: \
                     `#[durabo::object(stub = CounterStub)]`";
        let key: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), known))?;
        if key != "stub" {
            return Err(syn::Error::new(key.span(), known));
        }
        input.parse::<Token![=]>().map_err(|error| syn::Error::new(error.span(), known))?;
        let stub = input.parse().map_err(|error| syn::Error::new(error.span(), known))?;
        if !input.is_empty() {
            return Err(input.error(known));
        }
        Ok(Self { stub: Some(stub) })
    }
}

/// The type called `name`, for the objects of `class`.
pub(crate) fn stub(class: &Class, name: &Ident) -> TokenStream {
    let text = text_of(&class.name);
    let doc = format!("A stub of an object of class [`{text}`].");
    let methods = class.methods.iter().map(method);
    quote! {
        #[doc = #doc]
        #[derive(Debug, Clone)]
        pub struct #name {
            stub: ::durabo::Stub,
        }

        impl #name {
            /// The object of that name, of the class as this app binds it under its own name.
            pub fn named(name: &str) -> ::core::result::Result<Self, ::durabo::Failure> {
                ::durabo::Namespace::new(#text).get_by_name(name).map(Self::from)
            }

            /// The object of that id.
            pub fn with_id(id: &str) -> ::core::result::Result<Self, ::durabo::Failure> {
                ::durabo::Namespace::new(#text).get(id).map(Self::from)
            }

            /// The stub without types.
            pub fn untyped(&self) -> &::durabo::Stub {
                &self.stub
            }

            #(#methods)*
        }

        impl ::core::convert::From<::durabo::Stub> for #name {
            fn from(stub: ::durabo::Stub) -> Self {
                Self { stub }
            }
        }
    }
}

fn method(method: &Function) -> TokenStream {
    let (name, doc) = (&method.name, &method.doc);
    let text = text_of(name);
    let arguments: Vec<_> =
        (1..=method.params.len()).map(|number| format_ident!("argument_{number}")).collect();
    let types = method.params.iter().map(|(_, ty)| ty);
    let result = match &method.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => {
            let ty = schema::success_of(ty).unwrap_or(ty);
            quote!(#ty)
        }
    };
    let doc = if doc.is_empty() { format!("Calls `{text}`.") } else { doc.clone() };
    quote! {
        #[doc = #doc]
        pub fn #name(&self, #(#arguments: #types),*) -> ::durabo::stub::Call<#result> {
            self.stub.call(#text, (#(#arguments,)*))
        }
    }
}
