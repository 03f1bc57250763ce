//! How commands name classes and objects, `APP/CLASS` and `APP/CLASS/NAME`, and the paths that this
//! becomes.
//!
//! Any text is a name, slashes included: what cannot stand in a path is sent in the form `~b64:` (see
//! `docs/reference/addresses.md`). Names in one of the node's own forms pass as they are.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use durabo_model::name::{AppName, ClassName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is encoded in a segment of a path: all but the unreserved characters and the colon, which
/// stands in the node's own forms.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A class of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassTarget {
    /// The app.
    pub app: AppName,
    /// The class.
    pub class: ClassName,
}

/// An object of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectTarget {
    /// Its class.
    pub of: ClassTarget,
    /// Its name, or one of the forms `~id:…`, `~new` and `~b64:…`.
    pub name: String,
}

/// An app, a class of it, or an object of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `APP`.
    App(AppName),
    /// `APP/CLASS`.
    Class(ClassTarget),
    /// `APP/CLASS/NAME`.
    Object(ObjectTarget),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.matches('/').count() {
            0 => AppName::new(text).map(Target::App).map_err(|error| error.to_string()),
            1 => text.parse().map(Target::Class),
            _ => text.parse().map(Target::Object),
        }
    }
}

impl Target {
    /// What the control plane calls it.
    pub fn path(&self) -> String {
        match self {
            Target::App(app) => format!("/v1/apps/{app}"),
            Target::Class(class) => class.path(),
            Target::Object(object) => object.path(),
        }
    }
}

impl FromStr for ClassTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split('/').collect::<Vec<_>>().as_slice() {
            [app, class] => Self::new(app, class),
            _ => Err("a class is named `APP/CLASS`, such as `demo/Counter`".to_owned()),
        }
    }
}

impl ClassTarget {
    fn new(app: &str, class: &str) -> Result<Self, String> {
        let app = AppName::new(app).map_err(|error| error.to_string())?;
        let class = ClassName::new(class).map_err(|error| error.to_string())?;
        Ok(Self { app, class })
    }

    /// What the control plane calls it.
    pub fn path(&self) -> String {
        format!("/v1/apps/{}/classes/{}", self.app, self.class)
    }
}

impl FromStr for ObjectTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '/');
        let (Some(app), Some(class), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("an object is named `APP/CLASS/NAME`, such as `demo/Counter/a`".to_owned());
        };
        if name.is_empty() {
            return Err("the name is empty; the object with the empty name is `~b64:`".to_owned());
        }
        Ok(Self { of: ClassTarget::new(app, class)?, name: name.to_owned() })
    }
}

impl ObjectTarget {
    /// What the control plane calls it.
    pub fn path(&self) -> String {
        format!("{}/objects/{}", self.of.path(), self.segment())
    }

    /// The segment of a path that addresses the object.
    pub fn segment(&self) -> String {
        let name = self.name.as_str();
        let is_form = name == "~new" || name.starts_with("~id:") || name.starts_with("~b64:");
        let is_unsafe = name.starts_with('~')
            || matches!(name, "." | "..")
            || name.contains(|character: char| matches!(character, '/' | '\\') || character.is_control());
        if is_unsafe && !is_form {
            return format!("~b64:{}", URL_SAFE_NO_PAD.encode(name));
        }
        segment(name)
    }
}

/// One segment of a path, encoded.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment_of(text: &str) -> String {
        text.parse::<ObjectTarget>().expect(text).segment()
    }

    #[test]
    fn any_name_can_be_addressed() {
        let vectors = [
            ("demo/Room/a", "a"),
            ("demo/Room/Hello World", "Hello%20World"),
            ("demo/Room/é?#%", "%C3%A9%3F%23%25"),
            ("demo/Room/a/b", "~b64:YS9i"),
            ("demo/Room/.", "~b64:Lg"),
            ("demo/Room/a\n", "~b64:YQo"),
            ("demo/Room/~x", "~b64:fng"),
            ("demo/Room/~new", "~new"),
            ("demo/Room/~id:00ff", "~id:00ff"),
            ("demo/Room/~b64:fm5ldw", "~b64:fm5ldw"),
        ];
        for (text, segment) in vectors {
            assert_eq!(segment_of(text), segment, "{text}");
        }
    }

    #[test]
    fn apps_classes_and_objects_are_told_apart_by_their_slashes() {
        let path_of = |text: &str| text.parse::<Target>().expect(text).path();
        assert_eq!(path_of("demo"), "/v1/apps/demo");
        assert_eq!(path_of("demo/Room"), "/v1/apps/demo/classes/Room");
        assert_eq!(path_of("demo/Room/a b"), "/v1/apps/demo/classes/Room/objects/a%20b");
        assert_eq!(path_of("demo/Room/a/b"), "/v1/apps/demo/classes/Room/objects/~b64:YS9i");
        for text in ["", "Demo", "demo/1", "demo/", "demo/Room/"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_names_no_object_is_refused_with_the_form() {
        for text in ["", "demo", "demo/Room"] {
            let error = text.parse::<ObjectTarget>().expect_err(text);
            assert!(error.contains("`APP/CLASS/NAME`"), "{error}");
        }
        assert!("demo/Room/".parse::<ObjectTarget>().expect_err("empty").contains("~b64:"));
        assert!("Demo/Room/a".parse::<ObjectTarget>().expect_err("app").contains("app name `Demo`"));
        assert!("demo/1/a".parse::<ObjectTarget>().expect_err("class").contains("class name `1`"));
        assert!("demo/Room/a".parse::<ClassTarget>().expect_err("object").contains("`APP/CLASS`"));
    }
}
