//! What a component says about itself: the lines of its `durabo.describe` sections.
//!
//! UTF-8, one JSON object a line; unknown fields are ignored, a class twice is refused. `runtime`
//! finds the sections in a component's bytes, `catalog` keeps what was read.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::name::ClassName;

/// Kind of event that a class handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handler {
    /// `http-handler`.
    Http,
    /// `rpc-handler`.
    Rpc,
    /// `alarm-handler`.
    Alarm,
    /// `schedule-handler`.
    Schedule,
    /// `websocket-handler`.
    Websocket,
}

/// One RPC method as its author described it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MethodDescription {
    /// Its name.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
    /// Parameters in order.
    #[serde(default)]
    pub params: Vec<ParameterDescription>,
    /// JSON Schema of the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
    /// The method writes nothing.
    #[serde(default)]
    pub read_only: bool,
}

/// One parameter of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterDescription {
    /// Its name.
    pub name: String,
    /// JSON Schema of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<serde_json::Value>,
}

/// One class of a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassDescription {
    /// Its name.
    #[serde(rename = "class")]
    pub name: ClassName,
    /// What it handles: a part of what the component exports.
    pub handlers: Vec<Handler>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
    /// RPC methods, if the SDK knows them.
    #[serde(default)]
    pub methods: Vec<MethodDescription>,
}

/// All that a component says about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ComponentDescription {
    /// Its classes, in the order of their lines.
    pub classes: Vec<ClassDescription>,
    /// It may serve as an app's entry.
    pub entry: bool,
}

/// Why a description cannot be read. Line numbers count from 1 over all sections joined.
#[derive(Debug, Error)]
pub enum DescriptionError {
    /// Not UTF-8.
    #[error("the description is not UTF-8")]
    NotText,
    /// A line is not what the format asks for.
    #[error("line {line} of the description: {reason}")]
    BadLine {
        /// Which line.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Two lines describe one class.
    #[error("the description names class `{0}` twice")]
    ClassTwice(ClassName),
}

#[derive(Deserialize)]
struct Line {
    durabo: u32,
    #[serde(default)]
    entry: bool,
    class: Option<serde_json::Value>,
}

impl ComponentDescription {
    /// Reads the joined text of all sections. No text gives an empty description.
    pub fn parse(text: &[u8]) -> Result<Self, DescriptionError> {
        let text = std::str::from_utf8(text).map_err(|_| DescriptionError::NotText)?;
        let mut description = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let bad = |reason: String| DescriptionError::BadLine { line: index + 1, reason };
            let head: Line = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
            if head.durabo != 1 {
                return Err(bad(format!("format {} is not known; this node reads format 1", head.durabo)));
            }
            description.entry |= head.entry;
            if head.class.is_none() {
                continue;
            }
            let class: ClassDescription = serde_json::from_str(line).map_err(|e| bad(e.to_string()))?;
            if description.classes.iter().any(|known| known.name == class.name) {
                return Err(DescriptionError::ClassTwice(class.name));
            }
            description.classes.push(class);
        }
        Ok(description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_classes_and_entry_and_ignores_unknown_fields() {
        let text = br#"{"durabo":1,"class":"Counter","handlers":["http","rpc"],"new":1,"methods":[{"name":"add","params":[{"name":"by"}],"read-only":true}]}
{"durabo":1,"entry":true}
"#;
        let description = ComponentDescription::parse(text).expect("good text");
        assert!(description.entry);
        assert_eq!(description.classes.len(), 1);
        assert_eq!(description.classes[0].handlers, [Handler::Http, Handler::Rpc]);
        assert!(description.classes[0].methods[0].read_only);
    }

    #[test]
    fn refuses_a_class_twice_and_names_it() {
        let line = r#"{"durabo":1,"class":"A","handlers":[]}"#;
        let error = ComponentDescription::parse(format!("{line}\n{line}").as_bytes()).expect_err("twice");
        assert_eq!(error.to_string(), "the description names class `A` twice");
    }

    #[test]
    fn refuses_garbage_with_its_line_number() {
        let error = ComponentDescription::parse(b"{\"durabo\":1,\"entry\":true}\nnonsense").expect_err("bad");
        assert!(error.to_string().starts_with("line 2 of the description: "), "{error}");
    }

    #[test]
    fn refuses_an_unknown_format() {
        let error = ComponentDescription::parse(b"{\"durabo\":2}").expect_err("format 2");
        assert!(error.to_string().contains("format 2 is not known"), "{error}");
    }
}
