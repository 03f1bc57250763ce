//! `env`: what the deployment hands to the guest.
//!
//! Answers from what the instance was made with; nothing is looked up.

use crate::bindings::object::env::{Binding, Host, Namespace};
use crate::env_bindings::EnvBinding;
use crate::state::GuestState;

impl Host for GuestState {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<Binding>> {
        Ok(self.bindings.get(&name).map(to_guest))
    }

    fn all(&mut self) -> wasmtime::Result<Vec<(String, Binding)>> {
        Ok(self.bindings.iter().map(|(name, binding)| (name.to_owned(), to_guest(binding))).collect())
    }
}

fn to_guest(binding: &EnvBinding) -> Binding {
    match binding {
        EnvBinding::Text(text) => Binding::Text(text.clone()),
        EnvBinding::Json(text) => Binding::Json(text.clone()),
        EnvBinding::Secret(text) => Binding::Secret(text.clone()),
        EnvBinding::Namespace(namespace) => Binding::Namespace(Namespace {
            class_name: namespace.class.as_str().to_owned(),
            app: namespace.app.as_ref().map(|app| app.as_str().to_owned()),
        }),
    }
}
