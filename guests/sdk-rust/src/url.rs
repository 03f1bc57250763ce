//! The parts of a request's URL that handlers ask for: path, segments, query.
//!
//! The host has checked the URL; what is malformed here is passed on as it stands, never refused.

/// Path and query of an absolute URL. An empty path is `/`.
pub(crate) fn split(url: &str) -> (&str, &str) {
    let rest = url.find("://").map_or(url, |scheme_end| {
        let authority = &url[scheme_end + 3..];
        authority.find(['/', '?', '#']).map_or("", |path_start| &authority[path_start..])
    });
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    (if path.is_empty() { "/" } else { path }, query)
}

/// The segments of a path, each decoded. A slash at the end gives no segment.
pub(crate) fn segments(path: &str) -> Vec<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() { Vec::new() } else { path.split('/').map(decode).collect() }
}

/// The first value of a parameter of a query, decoded as forms are.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(key, value)| (form_decode(key), value))
        .find(|(key, _)| key == name)
        .map(|(_, v)| form_decode(v))
}

fn form_decode(text: &str) -> String {
    decode(&text.replace('+', " "))
}

/// Resolves `%xx`; what is no such escape stays, what is no UTF-8 is replaced.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = match tail {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest = &rest[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_are_what_stands_after_the_authority() {
        assert_eq!(split("http://h:1/a/b?x=1#f"), ("/a/b", "x=1"));
        assert_eq!(split("http://h"), ("/", ""));
        assert_eq!(split("http://h?x=/"), ("/", "x=/"));
        assert_eq!(split("/only/path"), ("/only/path", ""));
    }

    #[test]
    fn segments_are_decoded_after_the_split() {
        assert_eq!(segments("/a%2Fb/c%20d/"), ["a/b", "c d"]);
        assert_eq!(segments("/"), [""; 0]);
        assert_eq!(segments("/%zz/%"), ["%zz", "%"]);
    }

    #[test]
    fn a_query_value_is_the_first_of_its_name() {
        assert_eq!(query_value("a=1&b=x+%2B&b=2", "b").as_deref(), Some("x +"));
        assert_eq!(query_value("a=1&flag", "flag").as_deref(), Some(""));
        assert_eq!(query_value("a=1", "b"), None);
    }
}
