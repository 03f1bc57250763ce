//! JSON Schemas of argument and result types, as far as their names tell.
//!
//! A macro sees names, not types: numbers, texts, lists, maps, tuples and options of std are known,
//! an author's own types are left open. The schema describes the JSON form of a value (decision D5 of
//! `docs/architecture.md`).

use serde_json::{Value, json};
use syn::{GenericArgument, PathArguments, PathSegment, ReturnType, Type};

/// The schema of `ty`; `None` if its name says nothing.
pub(crate) fn of(ty: &Type) -> Option<Value> {
    match ty {
        Type::Tuple(tuple) if tuple.elems.is_empty() => Some(json!({"type": "null"})),
        Type::Tuple(tuple) => {
            let items: Vec<_> = tuple.elems.iter().map(|item| of(item).unwrap_or(json!(true))).collect();
            Some(
                json!({"type": "array", "minItems": items.len(), "maxItems": items.len(), "prefixItems": items}),
            )
        }
        Type::Array(array) => Some(list(&array.elem)),
        Type::Paren(inner) => of(&inner.elem),
        Type::Group(inner) => of(&inner.elem),
        Type::Path(path) if path.qself.is_none() => named(path.path.segments.last()?),
        _ => None,
    }
}

/// The schema of what a function returns on success.
pub(crate) fn of_return(output: &ReturnType) -> Option<Value> {
    match output {
        ReturnType::Default => Some(json!({"type": "null"})),
        ReturnType::Type(_, ty) => of(success_of(ty).unwrap_or(ty)),
    }
}

/// If a type is called a `Result`: its first argument, or itself without one.
pub(crate) fn success_of(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    last.ident.to_string().ends_with("Result").then(|| argument(last, 0).unwrap_or(ty))
}

fn named(last: &PathSegment) -> Option<Value> {
    Some(match last.ident.to_string().as_str() {
        "i8" | "i16" | "i32" | "i64" | "isize" => json!({"type": "integer"}),
        "u8" | "u16" | "u32" | "u64" | "usize" => json!({"type": "integer", "minimum": 0}),
        "f32" | "f64" => json!({"type": "number"}),
        "bool" => json!({"type": "boolean"}),
        "String" | "char" => json!({"type": "string"}),
        "Bytes" => json!({"type": "object", "properties": {"$bytes": {"type": "string",
            "contentEncoding": "base64"}}, "required": ["$bytes"]}),
        "Vec" | "VecDeque" | "HashSet" | "BTreeSet" => list(argument(last, 0)?),
        "HashMap" | "BTreeMap" => {
            json!({"type": "object", "additionalProperties": of(argument(last, 1)?).unwrap_or(json!(true))})
        }
        "Option" => json!({"anyOf": [of(argument(last, 0)?)?, {"type": "null"}]}),
        "Box" | "Rc" => of(argument(last, 0)?)?,
        _ => return None,
    })
}

fn list(item: &Type) -> Value {
    match of(item) {
        Some(item) => json!({"type": "array", "items": item}),
        None => json!({"type": "array"}),
    }
}

fn argument(segment: &PathSegment, index: usize) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.into_iter().nth(index)
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn types_of_std_are_described_and_others_left_open() {
        assert_eq!(of(&parse_quote!(u32)), Some(json!({"type": "integer", "minimum": 0})));
        assert_eq!(
            of(&parse_quote!(Option<String>)),
            Some(json!({"anyOf": [{"type": "string"}, {"type": "null"}]}))
        );
        assert_eq!(of(&parse_quote!(Vec<Item>)), Some(json!({"type": "array"})));
        assert_eq!(of(&parse_quote!(Item)), None);
    }

    #[test]
    fn a_result_is_described_by_its_success() {
        assert_eq!(of_return(&parse_quote!(-> Result<bool, Failure>)), Some(json!({"type": "boolean"})));
        assert_eq!(of_return(&parse_quote!()), Some(json!({"type": "null"})));
        assert!(success_of(&parse_quote!(std::io::Result<i64>)).is_some());
        assert!(success_of(&parse_quote!(Results)).is_none());
    }
}
