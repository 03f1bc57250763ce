//! The attribute of the durabo SDK that turns an `impl` block into a class of objects.
//!
//! Re-exported as `durabo::object`; nobody depends on this crate directly. Modules stand bottom-up.

mod schema;
mod class;
mod describe;
mod stub;
mod expand;

use proc_macro::TokenStream;

/// Makes the type of an `impl` block a class of objects.
///
/// - `pub fn new(ctx: Context) -> Self` (or a `Result` of it, or `async`) is the constructor.
/// - `fetch` answers HTTP: `pub fn fetch(&self, request: Request)`, a `Response` or a `Result` of one.
/// - `alarm` runs at the time of the object's alarm: `pub fn alarm(&self, info: AlarmInfo)`, with or without
///   its argument, and a `Result` of nothing if it may fail. Nobody can call it.
/// - `websocket_message`, `websocket_close` and `websocket_error` handle events of sockets that the object has
///   accepted: `pub fn websocket_message(&self, socket: Socket, message: Message)`, and the others with a `Close` and
///   a `Failure`.
/// - `scheduled` runs at the times of its named alarms, in the same way: `pub fn scheduled(&self, info: ScheduleInfo)`.
/// - Every other `pub fn` with `self` is an RPC method. Arguments are read by serde, in order; an
///   `Option` at the end may be left out. The result is written by serde; a type whose name ends in
///   `Result` is one that may fail, and its error must turn into a `Failure`.
/// - Other functions that are not `pub`, and those without `self`, are the author's own. A handler has to be `pub`.
///
/// While an `async` method waits, other events of the object run. So a class is one of two kinds:
/// either all its methods are plain, then they may take `&mut self`; or some are `async`, then all take
/// `&self` and what changes lives in a `State`. The macro refuses a mixture.
///
/// `#[durabo::object(stub = CounterStub)]` also makes a type of that name, with one method per RPC method,
/// through which other objects of the app call those of the class. Types of arguments and results must then
/// be readable and writable by serde in both directions.
///
/// ```
/// use durabo::{Context, Failure};
///
/// pub struct Counter {
///     ctx: Context,
///     calls: u32,
/// }
///
/// #[durabo::object]
/// impl Counter {
///     pub fn new(ctx: Context) -> Result<Self, Failure> {
///         ctx.sql().exec("CREATE TABLE IF NOT EXISTS counter (n INTEGER NOT NULL)", ())?;
///         Ok(Self { ctx, calls: 0 })
///     }
///
///     /// Adds to the counter and returns how often it was called since it is in memory.
///     pub fn add(&mut self, by: i64) -> Result<u32, Failure> {
///         self.ctx.sql().exec("INSERT INTO counter (n) VALUES (?)", (by,))?;
///         self.calls += 1;
///         Ok(self.calls)
///     }
/// }
///
/// durabo::export!(Counter);
/// # fn main() {}
/// ```
#[proc_macro_attribute]
pub fn object(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let block = match syn::parse::<syn::ItemImpl>(item) {
        Ok(block) => block,
        Err(error) => {
            let hint =
                "`#[durabo::object]` belongs on an `impl` block: `#[durabo::object] impl Counter { … }`";
            return syn::Error::new(error.span(), hint).to_compile_error().into();
        }
    };
    let options = match syn::parse::<stub::Options>(arguments) {
        Ok(options) => options,
        Err(error) => return expand::refuse(&block, &[error]).into(),
    };
    match class::Class::read(&block) {
        Ok(class) => {
            let stub = options.stub.map(|name| stub::stub(&class, &name));
            let class = expand::expand(&block, &class);
            quote::quote!(#class #stub).into()
        }
        Err(errors) => expand::refuse(&block, &errors).into(),
    }
}
