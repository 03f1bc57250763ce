//! The code that a class expands to: the block as it stands, `Class` for its type, its description.
//!
//! What is refused keeps its block, so that the author sees only the refusal and not what follows from it.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Error, ItemImpl};

use crate::class::{Class, Function, text_of};
use crate::describe;

/// The block, one error per mistake, and a class that nobody can start: it keeps the compiler from
/// adding that the type is no class.
pub(crate) fn refuse(block: &ItemImpl, errors: &[Error]) -> TokenStream {
    let errors = errors.iter().map(Error::to_compile_error);
    let class = &block.self_ty;
    let (generics, _, bounds) = block.generics.split_for_impl();
    let placeholder = block.trait_.is_none().then(|| {
        quote! {
            impl #generics ::durabo::lifecycle::Class for #class #bounds {
                const NAME: &'static str = "";
                type Held = ();
                async fn start(_: ::durabo::Context) -> ::core::result::Result<(), ::durabo::Failure> {
                    ::core::unreachable!("the class was refused")
                }
                async fn call(
                    _: &(),
                    _: &str,
                    _: &[u8],
                ) -> ::core::result::Result<::std::vec::Vec<u8>, ::durabo::Failure> {
                    ::core::unreachable!("the class was refused")
                }
            }
        }
    });
    quote! { #block #placeholder #(#errors)* }
}

/// The block and what makes it a class.
pub(crate) fn expand(block: &ItemImpl, class: &Class) -> TokenStream {
    let name = &class.name;
    let text = text_of(name);
    let held = if class.suspends { quote!(#name) } else { quote!(::durabo::lifecycle::Exclusive<#name>) };
    let start = start(class);
    let arms = class.methods.iter().map(|method| arm(class, method));
    let fetch = class.fetch.as_ref().map(|function| fetch(class, function));
    let alarm = class.alarm.as_ref().map(|function| woken(class, function, &quote!(AlarmInfo)));
    let scheduled = class.scheduled.as_ref().map(|function| woken(class, function, &quote!(ScheduleInfo)));
    let sockets = sockets(class);
    let description = description(class);
    quote! {
        #block

        impl ::durabo::lifecycle::Class for #name {
            const NAME: &'static str = #text;

            type Held = #held;

            #start

            async fn call(
                held: &Self::Held,
                method: &str,
                args: &[u8],
            ) -> ::core::result::Result<::std::vec::Vec<u8>, ::durabo::Failure> {
                match method {
                    #(#arms)*
                    _ => ::core::result::Result::Err(::durabo::rpc::not_found(method)),
                }
            }

            #fetch

            #alarm

            #scheduled

            #sockets
        }

        const _: fn() = || {
            fn exported<T: ::durabo::lifecycle::Exported>() {}
            exported::<#name>();
        };

        #description
    }
}

fn start(class: &Class) -> TokenStream {
    let name = &class.name;
    let made = outcome(&class.constructor, quote!(#name::new(ctx)));
    let held = if class.suspends { quote!(made) } else { quote!(::durabo::lifecycle::Exclusive::new(made)) };
    quote! {
        async fn start(ctx: ::durabo::Context) -> ::core::result::Result<Self::Held, ::durabo::Failure> {
            let made = #made;
            ::core::result::Result::Ok(#held)
        }
    }
}

fn arm(class: &Class, method: &Function) -> TokenStream {
    let text = text_of(&method.name);
    let names: Vec<_> = (1..=method.params.len()).map(|number| format_ident!("argument_{number}")).collect();
    let reads = method
        .params
        .iter()
        .zip(&names)
        .map(|((param, ty), name)| quote!(let #name: #ty = arguments.next(#param)?;));
    let mutable = (!method.params.is_empty()).then(|| quote!(mut));
    let call = call(class, method, &quote!(#(#names),*));
    let result = outcome(method, call);
    quote! {
        #text => {
            #[allow(unused_variables)]
            let #mutable arguments = ::durabo::rpc::Arguments::read(method, args)?;
            #(#reads)*
            #[allow(clippy::let_unit_value)]
            let result = #result;
            ::durabo::rpc::encode(&result)
        }
    }
}

fn fetch(class: &Class, function: &Function) -> TokenStream {
    let call = call(class, function, &quote!(request));
    let response = outcome(function, call);
    quote! {
        async fn fetch(
            held: &Self::Held,
            request: ::durabo::Request,
        ) -> ::core::result::Result<::durabo::Response, ::durabo::Failure> {
            let response = #response;
            ::core::result::Result::Ok(response)
        }
    }
}

fn woken(class: &Class, function: &Function, info: &TokenStream) -> TokenStream {
    let name = &function.name;
    let call = call(class, function, &if function.params.is_empty() { quote!() } else { quote!(info) });
    let ended = outcome(function, call);
    quote! {
        #[allow(unused_variables, clippy::let_unit_value)]
        async fn #name(
            held: &Self::Held,
            info: ::durabo::#info,
        ) -> ::core::result::Result<(), ::durabo::Failure> {
            let ended: () = #ended;
            ::core::result::Result::Ok(ended)
        }
    }
}

/// The handlers of sockets, if there are any; events without one are dropped.
fn sockets(class: &Class) -> Option<TokenStream> {
    class.sockets.all().next()?;
    let handlers = [
        ("Message", &class.sockets.message),
        ("Close", &class.sockets.close),
        ("Error", &class.sockets.error),
    ];
    let arms = handlers.into_iter().filter_map(|(event, function)| {
        let function = function.as_ref()?;
        let event = format_ident!("{event}");
        let handled = outcome(function, call(class, function, &quote!(socket, event)));
        Some(quote!(::durabo::lifecycle::SocketEvent::#event(event) => { let (): () = #handled; }))
    });
    Some(quote! {
        async fn websocket(
            held: &Self::Held,
            socket: ::durabo::Socket,
            event: ::durabo::lifecycle::SocketEvent,
        ) -> ::core::result::Result<(), ::durabo::Failure> {
            #[allow(unreachable_patterns, clippy::let_unit_value)]
            match event {
                #(#arms)*
                _ => {}
            }
            ::core::result::Result::Ok(())
        }
    })
}

/// The call of a function on the object, which is held in one of two ways.
fn call(class: &Class, function: &Function, arguments: &TokenStream) -> TokenStream {
    let (class_name, function) = (&class.name, &function.name);
    if class.suspends {
        quote!(#class_name::#function(held, #arguments))
    } else {
        quote!(held.with(|object| #class_name::#function(object, #arguments)))
    }
}

/// What a call comes to: awaited if it is `async`, its error returned if it may fail.
fn outcome(function: &Function, call: TokenStream) -> TokenStream {
    let span = match &function.output {
        syn::ReturnType::Default => function.name.span(),
        syn::ReturnType::Type(_, ty) => syn::spanned::Spanned::span(&**ty),
    };
    let awaited = if function.is_async { quote!((#call).await) } else { call };
    if function.may_fail() { quote_spanned!(span=> (#awaited)?) } else { awaited }
}

fn description(class: &Class) -> TokenStream {
    let line = describe::line(class);
    let size = line.len();
    let bytes = Literal::byte_string(line.as_bytes());
    quote! {
        const _: () = {
            #[cfg(target_family = "wasm")]
            #[used]
            #[unsafe(link_section = "durabo.describe")]
            static DESCRIPTION: [u8; #size] = *#bytes;
        };
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;
    use crate::stub;

    #[test]
    fn a_raw_name_is_called_without_its_mark() {
        let block = parse_quote! {
            impl Line {
                pub fn new(ctx: Context) -> Self { Self }
                pub fn r#type(&self, r#in: u32) {}
            }
        };
        let class = Class::read(&block).map_err(|errors| errors.len()).expect("good class");
        let expanded = expand(&block, &class).to_string();
        assert!(expanded.contains(r#""type" =>"#) && expanded.contains(r#""in""#), "{expanded}");
        let stub = stub::stub(&class, &format_ident!("LineStub")).to_string();
        assert!(stub.contains(r#""type""#), "{stub}");
        for text in [expanded, stub] {
            assert!(text.contains("r#type") && !text.contains(r#""r#"#), "{text}");
        }
    }
}
