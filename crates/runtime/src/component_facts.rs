//! What can be read from a component's bytes before anything is compiled or run.
//!
//! Description sections at any depth, names of exports, and whether the guest suspends. The facts of
//! an accepted component are kept with its compiled code, so that its bytes are not read again.

use durabo_model::description::ComponentDescription;
use durabo_model::limits;
use serde::{Deserialize, Serialize};
use wasmparser::component_types::{ComponentAnyTypeId, ComponentFuncTypeId};
use wasmparser::{CanonicalFunction, CanonicalOption, Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::error::RuntimeError;

const SECTION: &str = "durabo.describe";
const MAGIC: &[u8] = b"\0asm";
const PACKAGE: &str = "durabo:object/";

/// Facts of one component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentFacts {
    /// What it says about itself; empty without a section.
    pub description: ComponentDescription,
    /// Every export that may wait is lifted so that it suspends. If not, the object is busy until an
    /// event returns, and gets one at a time (D2).
    pub suspends: bool,
}

impl ComponentFacts {
    /// Reads the facts, or says why the bytes are no component that an object could run.
    pub fn read(bytes: &[u8]) -> Result<Self, RuntimeError> {
        if bytes.len() > limits::COMPONENT_BYTES_MAX {
            return Err(RuntimeError::TooLarge(bytes.len()));
        }
        if !bytes.starts_with(MAGIC) {
            return Err(RuntimeError::NotWasm);
        }
        let mut scan = Scan::default();
        scan.run(bytes)?;
        if !scan.exports.iter().any(|name| is_handler(name)) {
            return Err(RuntimeError::NoHandler(list(&scan.exports)));
        }
        let description = ComponentDescription::parse(&scan.description)?;
        Ok(Self { description, suspends: scan.suspending > 0 && scan.blocking == 0 })
    }
}

/// What is gathered on one way through the bytes.
#[derive(Default)]
struct Scan {
    depth: usize,
    description: Vec<u8>,
    exports: Vec<String>,
    suspending: usize,
    blocking: usize,
}

impl Scan {
    fn run(&mut self, bytes: &[u8]) -> Result<(), RuntimeError> {
        // All features: what the engine does not serve is refused by the engine, with its own text.
        // Function bodies are left to it as well.
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(not_valid)?;
            if let (0, Payload::Version { encoding: Encoding::Module, .. }) = (self.depth, &payload) {
                return Err(RuntimeError::CoreModule);
            }
            validator.payload(&payload).map_err(not_valid)?;
            self.visit(&payload, &validator)?;
        }
        Ok(())
    }

    fn visit(&mut self, payload: &Payload<'_>, validator: &Validator) -> Result<(), RuntimeError> {
        match payload {
            Payload::Version { .. } => self.depth += 1,
            Payload::End(_) => self.depth -= 1,
            Payload::CustomSection(section) if section.name() == SECTION => {
                self.describe(section.data())?;
            }
            Payload::ComponentExportSection(section) if self.depth == 1 => {
                for export in section.clone() {
                    self.exports.push(export.map_err(not_valid)?.name.name.to_owned());
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    if let CanonicalFunction::Lift { type_index, options, .. } =
                        function.map_err(not_valid)?
                    {
                        self.lift(validator, type_index, &options);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Joins sections; one that does not end its last line is taken to end there.
    fn describe(&mut self, text: &[u8]) -> Result<(), RuntimeError> {
        if !self.description.is_empty() && !self.description.ends_with(b"\n") {
            self.description.push(b'\n');
        }
        self.description.extend_from_slice(text);
        let is_small = self.description.len() <= limits::DESCRIPTION_BYTES_MAX;
        if is_small { Ok(()) } else { Err(RuntimeError::DescriptionTooLarge) }
    }

    /// Counts lifts of an `async func` only: plain functions of a language runtime may be lifted as
    /// they like and say nothing about the handlers.
    fn lift(&mut self, validator: &Validator, type_index: u32, options: &[CanonicalOption]) {
        let Some(types) = validator.types(0) else { return };
        let ComponentAnyTypeId::Func(id) = types.component_any_type_at(type_index) else { return };
        let function: ComponentFuncTypeId = id;
        if !types[function].async_ {
            return;
        }
        if options.iter().any(|option| matches!(option, CanonicalOption::Async)) {
            self.suspending += 1;
        } else {
            self.blocking += 1;
        }
    }
}

fn is_handler(export: &str) -> bool {
    let interface = export.strip_prefix(PACKAGE).map(|rest| rest.split('@').next().unwrap_or(rest));
    interface.is_some_and(|name| name.ends_with("-handler"))
}

/// Names for an error text, few enough to read.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

fn not_valid(error: wasmparser::BinaryReaderError) -> RuntimeError {
    RuntimeError::NotValid(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLER: &str = r#"
        (core module $m
            (func (export "f") (result i32) i32.const 0)
            (func (export "cb") (param i32 i32 i32) (result i32) i32.const 0))
        (core instance $i (instantiate $m))"#;

    fn component(lift: &str) -> Vec<u8> {
        let text = format!(
            r#"(component {HANDLER} {lift}
                (instance $h (export "call" (func $f)))
                (export "durabo:object/rpc-handler@0.1.0" (instance $h)))"#
        );
        wat::parse_str(text).expect("good text")
    }

    fn suspending() -> Vec<u8> {
        component(r#"(func $f async (canon lift (core func $i "f") async (callback (core func $i "cb"))))"#)
    }

    /// A custom section, in the binary form of sections of less than 128 bytes.
    fn section(name: &str, text: &str) -> Vec<u8> {
        let mut body = vec![name.len() as u8];
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(text.as_bytes());
        let mut bytes = vec![0, body.len() as u8];
        bytes.extend_from_slice(&body);
        bytes
    }

    #[test]
    fn text_is_refused_as_no_wasm() {
        assert!(matches!(ComponentFacts::read(b"hello"), Err(RuntimeError::NotWasm)));
        assert!(matches!(ComponentFacts::read(b""), Err(RuntimeError::NotWasm)));
    }

    #[test]
    fn a_core_module_is_refused_with_the_way_out() {
        let error = ComponentFacts::read(b"\0asm\x01\0\0\0").expect_err("a module");
        assert!(matches!(error, RuntimeError::CoreModule));
        assert!(error.to_string().contains("wasm32-wasip2"), "{error}");
        assert_eq!(error.to_failure().code, "invalid-component");
    }

    #[test]
    fn an_empty_component_exports_nothing() {
        let error = ComponentFacts::read(b"\0asm\x0d\0\x01\0").expect_err("empty");
        assert!(error.to_string().ends_with("it exports nothing"), "{error}");
    }

    #[test]
    fn a_foreign_component_is_refused_with_what_it_exports() {
        let bytes =
            wat::parse_str(r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#);
        let error = ComponentFacts::read(&bytes.expect("good text")).expect_err("foreign");
        assert!(error.to_string().ends_with("it exports `wasi:cli/run@0.2.0`"), "{error}");
    }

    #[test]
    fn a_cut_component_is_refused_as_not_valid() {
        let bytes = suspending();
        let error = ComponentFacts::read(&bytes[..bytes.len() - 3]).expect_err("cut");
        assert!(matches!(error, RuntimeError::NotValid(_)), "{error}");
    }

    #[test]
    fn one_byte_beyond_the_limit_is_too_large() {
        let bytes = vec![0; limits::COMPONENT_BYTES_MAX + 1];
        assert!(matches!(ComponentFacts::read(&bytes), Err(RuntimeError::TooLarge(_))));
    }

    #[test]
    fn an_asynchronous_lift_suspends_and_a_synchronous_one_does_not() {
        assert!(ComponentFacts::read(&suspending()).expect("good").suspends);
        let blocking = component(r#"(func $f async (canon lift (core func $i "f2")))"#);
        assert!(ComponentFacts::read(&blocking).is_err(), "no such core function");
        let text = r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f async (canon lift (core func $i "f")))
            (instance $h (export "call" (func $f)))
            (export "durabo:object/rpc-handler@0.1.0" (instance $h)))"#;
        let bytes = wat::parse_str(text).expect("good text");
        assert!(!ComponentFacts::read(&bytes).expect("good").suspends);
    }

    #[test]
    fn description_sections_are_joined_over_all_depths() {
        let mut bytes = suspending();
        bytes.extend(section(SECTION, r#"{"durabo":1,"class":"A","handlers":["rpc"]}"#));
        bytes.extend(section("other", "nonsense"));
        bytes.extend(section(SECTION, r#"{"durabo":1,"entry":true}"#));
        let facts = ComponentFacts::read(&bytes).expect("good");
        assert_eq!(facts.description.classes.len(), 1);
        assert!(facts.description.entry);
        let nested = r#"(component (core module $m (@custom "durabo.describe" "{\"durabo\":1,\"entry\":true}")
            (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f async (canon lift (core func $i "f")))
            (instance $h (export "call" (func $f)))
            (export "durabo:object/rpc-handler@0.1.0" (instance $h)))"#;
        let facts = ComponentFacts::read(&wat::parse_str(nested).expect("good text")).expect("good");
        assert!(facts.description.entry);
    }

    #[test]
    fn a_bad_description_is_refused_with_its_line() {
        let mut bytes = suspending();
        bytes.extend(section(SECTION, "nonsense"));
        let error = ComponentFacts::read(&bytes).expect_err("bad");
        assert!(error.to_string().starts_with("line 1 of the description"), "{error}");
    }
}
