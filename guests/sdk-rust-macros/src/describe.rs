//! The line that a class writes into the component's section `durabo.describe`.
//!
//! The host reads it from the bytes at upload; nothing is run for it (decision D6 of `docs/architecture.md`).

use serde_json::{Map, Value, json};

use crate::class::{Class, Function, text_of};
use crate::schema;

/// One JSON object, ended by a line feed.
pub(crate) fn line(class: &Class) -> String {
    let mut handlers = Vec::new();
    if class.fetch.is_some() {
        handlers.push("http");
    }
    if class.alarm.is_some() {
        handlers.push("alarm");
    }
    if class.scheduled.is_some() {
        handlers.push("schedule");
    }
    if class.sockets.all().next().is_some() {
        handlers.push("websocket");
    }
    // A class has some handler; one that has only others is not for calls.
    if !class.methods.is_empty() || handlers.is_empty() {
        handlers.push("rpc");
    }
    let mut object = Map::new();
    object.insert("durabo".into(), json!(1));
    object.insert("class".into(), json!(text_of(&class.name)));
    object.insert("handlers".into(), json!(handlers));
    insert_doc(&mut object, &class.doc);
    object.insert("methods".into(), class.methods.iter().map(method).collect());
    format!("{}\n", Value::Object(object))
}

fn method(function: &Function) -> Value {
    let mut object = Map::new();
    object.insert("name".into(), json!(text_of(&function.name)));
    insert_doc(&mut object, &function.doc);
    let params = function.params.iter().map(|(name, ty)| {
        let mut param = Map::new();
        param.insert("name".into(), json!(name));
        if let Some(schema) = schema::of(ty) {
            param.insert("schema".into(), schema);
        }
        Value::Object(param)
    });
    object.insert("params".into(), params.collect());
    if let Some(schema) = schema::of_return(&function.output) {
        object.insert("result".into(), schema);
    }
    Value::Object(object)
}

fn insert_doc(object: &mut Map<String, Value>, doc: &str) {
    if !doc.is_empty() {
        object.insert("doc".into(), json!(doc));
    }
}

#[cfg(test)]
mod tests {
    use syn::{ItemImpl, parse_quote};

    use super::*;

    fn handlers_of(block: ItemImpl) -> Value {
        let class = Class::read(&block).map_err(|errors| errors.len()).expect("good class");
        let value: Value = serde_json::from_str(&line(&class)).expect("json");
        value["handlers"].clone()
    }

    #[test]
    fn a_class_lists_the_handlers_that_it_has() {
        let handlers = handlers_of(parse_quote! {
            impl Clock {
                pub fn new(ctx: Context) -> Self { Self }
                pub fn start(&self) {}
                pub async fn alarm(&self, info: AlarmInfo) -> Result<(), Failure> { Ok(()) }
                pub async fn scheduled(&self) {}
            }
        });
        assert_eq!(handlers, json!(["alarm", "schedule", "rpc"]));
        let handlers = handlers_of(parse_quote! {
            impl Clock {
                pub fn new(ctx: Context) -> Self { Self }
                pub fn alarm(&self) {}
                fn start(&self) {}
            }
        });
        assert_eq!(handlers, json!(["alarm"]));
        let handlers = handlers_of(parse_quote! {
            impl Clock {
                pub fn new(ctx: Context) -> Self { Self }
                pub fn alarm() {}
            }
        });
        assert_eq!(handlers, json!(["rpc"]));
    }

    #[test]
    fn a_raw_name_is_known_without_its_mark() {
        let block = parse_quote! {
            impl r#Loop {
                pub fn r#new(ctx: Context) -> Self { Self }
                pub fn r#type(&self, r#in: u32) {}
                pub fn r#alarm(&self) {}
            }
        };
        let class = Class::read(&block).map_err(|errors| errors.len()).expect("good class");
        let value: Value = serde_json::from_str(&line(&class)).expect("json");
        assert_eq!((&value["class"], &value["handlers"]), (&json!("Loop"), &json!(["alarm", "rpc"])));
        assert_eq!(value["methods"].as_array().map(Vec::len), Some(1));
        let method = &value["methods"][0];
        assert_eq!((&method["name"], &method["params"][0]["name"]), (&json!("type"), &json!("in")));
    }

    #[test]
    fn a_reserved_name_is_refused_in_its_raw_form_too() {
        let block = parse_quote! {
            impl Line {
                pub fn new(ctx: Context) -> Self { Self }
                pub fn r#dup(&self) {}
            }
        };
        let errors = Class::read(&block).err().expect("a reserved name");
        assert!(errors[0].to_string().starts_with("`dup` is a reserved name"), "{}", errors[0]);
    }

    #[test]
    fn a_class_is_one_line_with_handlers_methods_and_schemas() {
        let block = parse_quote! {
            /// Counts.
            impl Counter {
                pub fn new(ctx: Context) -> Self { Self }
                /// Adds.
                ///
                /// For ever.
                pub fn add(&mut self, by: Option<i64>) -> Result<i64, Failure> { Ok(0) }
                fn private(&self) {}
                pub fn fetch(&mut self, request: Request) -> Response { Response::new(200) }
            }
        };
        let class = Class::read(&block).map_err(|errors| errors.len()).expect("good class");
        let text = line(&class);
        assert!(text.ends_with("}\n") && text.matches('\n').count() == 1, "{text}");
        let value: Value = serde_json::from_str(&text).expect("json");
        assert_eq!(
            value,
            json!({"durabo": 1, "class": "Counter", "handlers": ["http", "rpc"], "doc": "Counts.", "methods": [
                {"name": "add", "doc": "Adds.\n\nFor ever.", "result": {"type": "integer"},
                 "params": [{"name": "by", "schema": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}]}
            ]})
        );
    }
}
