//! Reads what control-plane requests carry in their query and body. Unknown fields are refused: a
//! mistyped option must not be ignored by something that deploys.

use axum::extract::Query;
use ciborium::Value;
use durabo_model::egress::EgressRules;
use durabo_model::error_code::ErrorCode;
use durabo_model::name::ClassName;
use http::Uri;
use serde::Deserialize;

use super::api::{SqlRequest, SqlValue};
use crate::error_response::{Refused, refuse};
use crate::json_cbor::json_to_cbor;

/// Most entries of one part of a list.
pub const PAGE_ENTRIES_MAX: usize = 1000;

const PAGE_ENTRIES_DEFAULT: usize = 100;

/// Keys and values of the query.
fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Refused> {
    let parsed = Query::<Vec<(String, String)>>::try_from_uri(uri);
    parsed
        .map(|Query(pairs)| pairs)
        .map_err(|error| refuse(ErrorCode::InvalidArgument, format!("the query cannot be read: {error}")))
}

fn unknown(key: &str, known: &str) -> Refused {
    let key: String = key.chars().take(64).collect();
    refuse(ErrorCode::InvalidArgument, format!("query parameter `{key}` is not known here; known: {known}"))
}

/// What the query of an upload says of it.
#[derive(Debug)]
pub struct Deployment {
    /// Classes, for a component without description.
    pub classes: Vec<ClassName>,
    /// Where its objects may send requests.
    pub egress: EgressRules,
    /// Whether open sockets go over to it.
    pub keep_sockets: bool,
}

/// `?class=A&class=B&egress=api.example.com&keepSockets=true`.
pub fn deployment(uri: &Uri) -> Result<Deployment, Refused> {
    let invalid = |message: String| refuse(ErrorCode::InvalidArgument, message);
    let (mut classes, mut egress, mut keep_sockets) = (Vec::new(), Vec::new(), false);
    for (key, value) in pairs(uri)? {
        match key.as_str() {
            "class" => {
                let class = ClassName::new(value).map_err(|error| invalid(error.to_string()))?;
                if classes.contains(&class) {
                    return Err(invalid(format!("class `{class}` is named twice")));
                }
                classes.push(class);
            }
            "egress" => egress.push(value),
            "keepSockets" => {
                keep_sockets = value
                    .parse()
                    .map_err(|_| invalid("`keepSockets` must be `true` or `false`".to_owned()))?;
            }
            _ => return Err(unknown(&key, "`class`, `egress`, `keepSockets`")),
        }
    }
    let egress = EgressRules::parse(egress).map_err(|error| invalid(error.to_string()))?;
    Ok(Deployment { classes, egress, keep_sockets })
}

/// `?{from}=…&limit=…`: where a part of a list begins, and how long it may be.
pub fn page(uri: &Uri, from: &str) -> Result<(Option<String>, usize), Refused> {
    let (mut start, mut limit) = (None, PAGE_ENTRIES_DEFAULT);
    for (key, value) in pairs(uri)? {
        match key.as_str() {
            "limit" => limit = limit_of(&value)?,
            key if key == from => start = Some(value),
            key => return Err(unknown(key, &format!("`{from}`, `limit`"))),
        }
    }
    Ok((start, limit))
}

/// `?limit=…`: how long a list may be.
pub fn limit(uri: &Uri) -> Result<usize, Refused> {
    let mut limit = PAGE_ENTRIES_DEFAULT;
    for (key, value) in pairs(uri)? {
        match key.as_str() {
            "limit" => limit = limit_of(&value)?,
            key => return Err(unknown(key, "`limit`")),
        }
    }
    Ok(limit)
}

/// For requests that have no query.
pub fn nothing(uri: &Uri) -> Result<(), Refused> {
    pairs(uri)?.first().map_or(Ok(()), |(key, _)| Err(unknown(key, "none")))
}

/// `?binary=true`: whether a message is bytes; a text if nothing is said.
pub fn is_binary(uri: &Uri) -> Result<bool, Refused> {
    let mut is_binary = false;
    for (key, value) in pairs(uri)? {
        match key.as_str() {
            "binary" => {
                is_binary = value
                    .parse()
                    .map_err(|_| refuse(ErrorCode::InvalidArgument, "`binary` must be `true` or `false`"))?;
            }
            key => return Err(unknown(key, "`binary`")),
        }
    }
    Ok(is_binary)
}

/// `?code=…&reason=…`: how a socket is to be closed.
pub fn close(uri: &Uri) -> Result<(Option<u16>, Option<String>), Refused> {
    let (mut code, mut reason) = (None, None);
    for (key, value) in pairs(uri)? {
        match key.as_str() {
            "code" => {
                let number = value.parse().map_err(|_| {
                    refuse(ErrorCode::InvalidArgument, "`code` must be a number from 1000 to 4999")
                })?;
                code = Some(number);
            }
            "reason" => reason = Some(value),
            key => return Err(unknown(key, "`code`, `reason`")),
        }
    }
    Ok((code, reason))
}

fn limit_of(value: &str) -> Result<usize, Refused> {
    let wanted = value.parse().ok().filter(|limit| (1..=PAGE_ENTRIES_MAX).contains(limit));
    wanted.ok_or_else(|| {
        let message = format!("`limit` must be a number from 1 to {PAGE_ENTRIES_MAX}");
        refuse(ErrorCode::InvalidArgument, message)
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlFields {
    query: String,
    #[serde(default)]
    bindings: Vec<Value>,
    #[serde(default)]
    write: bool,
}

/// `{"query", "bindings", "write"}`, with values by the rules of RPC.
pub fn sql_request(body: &[u8]) -> Result<SqlRequest, Refused> {
    let invalid = |reason: String| {
        let shape = r#"{"query": "…", "bindings": […], "write": false}"#;
        refuse(ErrorCode::InvalidBody, format!("{reason}; send `{shape}`"))
    };
    // By way of CBOR, since that has a place for every form of the rules.
    let item = json_to_cbor(body).map_err(|error| invalid(error.to_string()))?;
    let fields: SqlFields = ciborium::from_reader(item.as_slice()).map_err(|error| {
        invalid(match error {
            ciborium::de::Error::Semantic(_, reason) => reason,
            other => other.to_string(),
        })
    })?;
    let bindings = fields.bindings.into_iter().enumerate().map(|(at, value)| {
        SqlValue::from_cbor(value).map_err(|what| invalid(format!("binding {} is {what}", at + 1)))
    });
    Ok(SqlRequest { query: fields.query, bindings: bindings.collect::<Result<_, _>>()?, write: fields.write })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_come_with_typed_bindings() {
        let body = br#"{"query":"SELECT ?","bindings":[1,true,1.5,"a",null,{"$bytes":"AQ=="},{"$int":"-9223372036854775808"}]}"#;
        let request = sql_request(body).expect("request");
        let expected = [
            SqlValue::Integer(1),
            SqlValue::Integer(1),
            SqlValue::Real(1.5),
            SqlValue::Text("a".to_owned()),
            SqlValue::Null,
            SqlValue::Blob(vec![1]),
            SqlValue::Integer(i64::MIN),
        ];
        assert_eq!((request.bindings, request.write), (expected.to_vec(), false));
    }

    #[test]
    fn statements_of_another_shape_are_refused() {
        let bad: [&[u8]; 7] = [
            b"",
            b"[]",
            br#"{"bindings":[]}"#,
            br#"{"query":"x","bind":[]}"#,
            br#"{"query":"x","bindings":[[1]]}"#,
            br#"{"query":"x","bindings":[{"$date":0}]}"#,
            br#"{"query":"x","bindings":[9007199254740993]}"#,
        ];
        for body in bad {
            let refused = sql_request(body).expect_err("refused");
            assert_eq!(refused.failure.code, "invalid-body", "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn queries_are_read_and_mistyped_ones_refused() {
        let classes_of =
            |query: &str| deployment(&format!("/x?{query}").parse().expect("URI")).map(|read| read.classes);
        assert_eq!(classes_of("class=A&class=B").expect("classes").len(), 2);
        assert!(
            classes_of("clas=A").is_err()
                && classes_of("class=1").is_err()
                && classes_of("class=A&class=A").is_err()
        );
        let read = deployment(&"/x?egress=a.b%3A1&class=A&egress=*".parse().expect("URI")).expect("rules");
        assert_eq!(
            (read.egress.texts(), read.keep_sockets),
            (&["a.b:1".to_owned(), "*".to_owned()][..], false)
        );
        let keeps = |value| deployment(&format!("/x?keepSockets={value}").parse().expect("URI"));
        assert!(keeps("true").expect("read").keep_sockets && !keeps("false").expect("read").keep_sockets);
        assert!(keeps("yes").is_err());
        assert!(deployment(&"/x?egress=a%20b".parse().expect("URI")).is_err());
        let page_of = |query: &str| page(&format!("/x?{query}").parse().expect("URI"), "after");
        assert_eq!(page_of("after=ff&limit=5").expect("page"), (Some("ff".to_owned()), 5));
        let close_of = |query: &str| close(&format!("/x?{query}").parse().expect("URI"));
        assert_eq!(close_of("").expect("read"), (None, None));
        let with_reason = close_of("code=4000&reason=a%20b").expect("read");
        assert_eq!(with_reason, (Some(4000), Some("a b".to_owned())));
        assert!(close_of("code=x").is_err() && close_of("code=70000").is_err() && close_of("cod=1").is_err());
        let binary_of = |query: &str| is_binary(&format!("/x?{query}").parse().expect("URI"));
        assert!(binary_of("binary=true").expect("read") && !binary_of("").expect("read"));
        assert!(
            nothing(&"/x".parse().expect("URI")).is_ok() && nothing(&"/x?a".parse().expect("URI")).is_err()
        );
        assert!(binary_of("binary=1").is_err() && binary_of("text=true").is_err());
        assert!(page_of("limit=0").is_err() && page_of("limit=1001").is_err() && page_of("afte=1").is_err());
    }
}
