//! What an `impl` block says about a class: constructor, `fetch`, handlers of alarms and sockets, methods, and every
//! reason to refuse it.
//!
//! All mistakes of a block are collected, so that an author sees them at once.

use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Error, FnArg, GenericParam, Ident, ImplItem, ImplItemFn, ItemImpl, Pat, ReturnType, Type, Visibility,
};

use crate::schema;

/// Names that no RPC method may have (RP-3), in the forms of JavaScript and of Rust.
const RESERVED: &[&str] = &[
    "connect",
    "constructor",
    "dup",
    "webSocketMessage",
    "webSocketClose",
    "webSocketError",
    "web_socket_message",
    "web_socket_close",
    "web_socket_error",
];

/// What the handlers of HTTP and of alarms are.
const FETCH: &str = "`fetch` is the HTTP handler: `pub async fn fetch(&self, request: durabo::Request) -> \
     Result<durabo::Response, durabo::Failure>`";
const ALARM: &str = "`alarm` is the handler of the object's alarm: \
     `pub async fn alarm(&self, info: durabo::AlarmInfo) -> Result<(), durabo::Failure>`, \
     with or without `info`";
const SCHEDULED: &str = "`scheduled` is the handler of the object's named alarms: \
     `pub async fn scheduled(&self, info: durabo::ScheduleInfo) -> Result<(), durabo::Failure>`, \
     with or without `info`";

/// A class, read from its block.
pub(crate) struct Class {
    pub(crate) name: Ident,
    pub(crate) doc: String,
    pub(crate) constructor: Function,
    pub(crate) fetch: Option<Function>,
    pub(crate) alarm: Option<Function>,
    pub(crate) scheduled: Option<Function>,
    pub(crate) methods: Vec<Function>,
    pub(crate) sockets: SocketHandlers,
    /// Some handler is `async`: all take `&self`.
    pub(crate) suspends: bool,
}

/// What a class does with events of its sockets.
#[derive(Default)]
pub(crate) struct SocketHandlers {
    pub(crate) message: Option<Function>,
    pub(crate) close: Option<Function>,
    pub(crate) error: Option<Function>,
}

impl SocketHandlers {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Function> {
        [&self.message, &self.close, &self.error].into_iter().flatten()
    }
}

/// A function of the block that the host may call.
pub(crate) struct Function {
    pub(crate) name: Ident,
    pub(crate) doc: String,
    pub(crate) params: Vec<(String, Type)>,
    pub(crate) output: ReturnType,
    pub(crate) is_async: bool,
    /// Where `mut` stands in `&mut self`.
    exclusive: Option<proc_macro2::Span>,
}

impl Function {
    /// Its type is called a `Result`.
    pub(crate) fn may_fail(&self) -> bool {
        match &self.output {
            ReturnType::Default => false,
            ReturnType::Type(_, ty) => schema::success_of(ty).is_some(),
        }
    }
}

/// A name as others know it: `r#type` is called `type`.
pub(crate) fn text_of(name: &Ident) -> String {
    name.unraw().to_string()
}

impl Class {
    pub(crate) fn read(block: &ItemImpl) -> Result<Self, Vec<Error>> {
        let mut errors = Vec::new();
        let name = class_name(block, &mut errors);
        let mut constructor = None;
        let mut fetch = None;
        let mut alarm = None;
        let mut scheduled = None;
        let mut methods = Vec::new();
        let mut sockets = SocketHandlers::default();
        for item in &block.items {
            let ImplItem::Fn(function) = item else { continue };
            let name = text_of(&function.sig.ident);
            let takes_self = function.sig.receiver().is_some();
            match name.as_str() {
                "new" => constructor = read_constructor(function, &mut errors),
                "fetch" if takes_self => fetch = read_fetch(function, &mut errors),
                "alarm" if takes_self => alarm = read_alarm(function, ALARM, &mut errors),
                "scheduled" if takes_self => scheduled = read_alarm(function, SCHEDULED, &mut errors),
                "websocket_message" if takes_self => {
                    sockets.message = read_socket_handler(function, "message: durabo::Message", &mut errors);
                }
                "websocket_close" if takes_self => {
                    sockets.close = read_socket_handler(function, "close: durabo::Close", &mut errors);
                }
                "websocket_error" if takes_self => {
                    sockets.error = read_socket_handler(function, "error: durabo::Failure", &mut errors);
                }
                _ if takes_self && is_public(function) => methods.extend(read_method(function, &mut errors)),
                _ => {}
            }
        }
        let is_new = |item: &ImplItem| matches!(item, ImplItem::Fn(f) if f.sig.ident.unraw() == "new");
        let has_new = block.items.iter().any(is_new);
        if !has_new {
            let class = name.as_ref().map_or_else(String::new, |name| format!(" `{name}`"));
            errors.push(Error::new(
                block.self_ty.span(),
                format!("class{class} has no constructor; add `pub fn new(ctx: durabo::Context) -> Self`"),
            ));
        }
        let handlers = || fetch.iter().chain(&alarm).chain(&scheduled).chain(&methods).chain(sockets.all());
        let suspends = handlers().any(|function| function.is_async);
        if suspends {
            handlers().for_each(|function| refuse_exclusive(function, &mut errors));
        }
        match (name, constructor) {
            (Some(name), Some(constructor)) if errors.is_empty() => Ok(Self {
                name,
                doc: doc_of(&block.attrs),
                constructor,
                fetch,
                alarm,
                scheduled,
                methods,
                sockets,
                suspends,
            }),
            _ => Err(errors),
        }
    }
}

fn class_name(block: &ItemImpl, errors: &mut Vec<Error>) -> Option<Ident> {
    if let Some((_, path, _)) = &block.trait_ {
        errors.push(Error::new(
            path.span(),
            "`#[durabo::object]` belongs on the `impl` block of the type itself",
        ));
    }
    if let Some(param) = block.generics.params.first() {
        errors
            .push(Error::new(param.span(), "a class cannot be generic: the host names it by one plain name"));
    }
    match &*block.self_ty {
        Type::Path(path) if path.qself.is_none() => path.path.get_ident().cloned(),
        _ => None,
    }
    .or_else(|| {
        if errors.is_empty() {
            errors.push(Error::new(block.self_ty.span(), "a class is a plain name, such as `Counter`"));
        }
        None
    })
}

fn read_constructor(function: &ImplItemFn, errors: &mut Vec<Error>) -> Option<Function> {
    let read = read_function(function, errors)?;
    if function.sig.receiver().is_some() || read.params.len() != 1 {
        errors.push(Error::new(
            function.sig.span(),
            "the constructor takes the context alone: `pub fn new(ctx: durabo::Context) -> Self`",
        ));
        return None;
    }
    if matches!(read.output, ReturnType::Default) {
        errors.push(Error::new(
            function.sig.span(),
            "the constructor returns the object: `-> Self` or `-> Result<Self, durabo::Failure>`",
        ));
        return None;
    }
    Some(read)
}

fn read_fetch(function: &ImplItemFn, errors: &mut Vec<Error>) -> Option<Function> {
    let fits = |read: &Function| read.params.len() == 1 && !matches!(read.output, ReturnType::Default);
    read_handler(function, FETCH, fits, errors)
}

fn read_alarm(function: &ImplItemFn, form: &str, errors: &mut Vec<Error>) -> Option<Function> {
    let fits = |read: &Function| read.params.len() <= 1 && gives_nothing(&read.output);
    read_handler(function, form, fits, errors)
}

fn read_socket_handler(function: &ImplItemFn, argument: &str, errors: &mut Vec<Error>) -> Option<Function> {
    let name = text_of(&function.sig.ident);
    let form = format!(
        "`{name}` handles events of sockets: `pub fn {name}(&self, socket: durabo::Socket, {argument}) -> \
         Result<(), durabo::Failure>`"
    );
    let fits = |read: &Function| read.params.len() == 2 && gives_nothing(&read.output);
    read_handler(function, &form, fits, errors)
}

/// A handler, which has one name and one form. One that is not public is refused: an author who forgot `pub` would
/// find out only when nothing handles the event.
fn read_handler(
    function: &ImplItemFn,
    form: &str,
    fits: impl FnOnce(&Function) -> bool,
    errors: &mut Vec<Error>,
) -> Option<Function> {
    let read = if is_public(function) { Some(read_function(function, errors)?) } else { None };
    let read = read.filter(fits);
    if read.is_none() {
        let text = format!("{form}; give another function another name");
        errors.push(Error::new(function.sig.span(), text));
    }
    read
}

fn is_public(function: &ImplItemFn) -> bool {
    matches!(function.vis, Visibility::Public(_))
}

/// Whether a function returns nothing, or what may fail and is nothing otherwise.
fn gives_nothing(output: &ReturnType) -> bool {
    let ReturnType::Type(_, ty) = output else { return true };
    match schema::success_of(ty) {
        // A `Result` without arguments does not show what is in it; the compiler sees it.
        Some(success) if std::ptr::eq(success, &**ty) => true,
        success => matches!(success.unwrap_or(ty), Type::Tuple(tuple) if tuple.elems.is_empty()),
    }
}

fn read_method(function: &ImplItemFn, errors: &mut Vec<Error>) -> Option<Function> {
    let read = read_function(function, errors)?;
    let name = text_of(&read.name);
    if RESERVED.contains(&name.as_str()) {
        errors.push(Error::new(
            read.name.span(),
            format!(
                "`{name}` is a reserved name and cannot be called over RPC; rename it or make it private"
            ),
        ));
        return None;
    }
    for (param, ty) in &read.params {
        if let Type::Reference(reference) = ty {
            errors.push(Error::new(
                reference.span(),
                format!("argument `{param}` is read from a message, so it must own its value; take `String`, `Vec<…>` or `durabo::Bytes`"),
            ));
        }
    }
    Some(read)
}

fn read_function(function: &ImplItemFn, errors: &mut Vec<Error>) -> Option<Function> {
    let found = errors.len();
    let sig = &function.sig;
    let generic = sig.generics.params.iter().find(|param| !matches!(param, GenericParam::Lifetime(_)));
    if let Some(param) = generic {
        errors.push(Error::new(
            param.span(),
            format!("`{}` is called by name with values, so it cannot be generic; name the type, or make it private", sig.ident),
        ));
    }
    let mut exclusive = None;
    if let Some(receiver) = sig.receiver() {
        if receiver.reference.is_none() || receiver.colon_token.is_some() {
            errors.push(Error::new(
                receiver.span(),
                "the object outlives every call; take `&self` or `&mut self`",
            ));
        } else if let Some(mutable) = receiver.mutability {
            exclusive = Some(mutable.span());
        }
    }
    if let (Some(span), true) = (exclusive, sig.asyncness.is_some()) {
        errors.push(Error::new(
            span,
            "while an `async` method waits, other events of the object run, so it cannot have the object for \
             itself; take `&self` and keep what changes in a `durabo::State`",
        ));
    }
    let mut params = Vec::new();
    for input in &sig.inputs {
        let FnArg::Typed(input) = input else { continue };
        if let Type::ImplTrait(ty) = &*input.ty {
            errors
                .push(Error::new(ty.span(), "an argument is read from a message, so its type must be named"));
        }
        let name = match &*input.pat {
            Pat::Ident(pattern) => text_of(&pattern.ident).trim_start_matches('_').to_owned(),
            _ => format!("argument-{}", params.len() + 1),
        };
        params.push((name, (*input.ty).clone()));
    }
    (errors.len() == found).then(|| Function {
        name: sig.ident.clone(),
        doc: doc_of(&function.attrs),
        params,
        output: sig.output.clone(),
        is_async: sig.asyncness.is_some(),
        exclusive,
    })
}

fn refuse_exclusive(function: &Function, errors: &mut Vec<Error>) {
    let Some(span) = function.exclusive else { return };
    let message = format!(
        "`{}` takes `&mut self`, but this class has `async` methods: it would change the object behind one \
         that waits; take `&self` and keep what changes in a `durabo::State`",
        function.name
    );
    errors.push(Error::new(span, message));
}

fn doc_of(attrs: &[syn::Attribute]) -> String {
    let lines: Vec<String> = attrs
        .iter()
        .filter(|attr| attr.path().is_ident("doc"))
        .filter_map(|attr| match &attr.meta.require_name_value().ok()?.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => {
                let text = text.value();
                Some(text.strip_prefix(' ').unwrap_or(&text).trim_end().to_owned())
            }
            _ => None,
        })
        .collect();
    lines.join("\n").trim().to_owned()
}
