//! Who may ask: web pages of other origins reach neither the control plane nor RPC, nobody without token
//! reaches the control plane.

use serde_json::json;

use crate::case::{Case, cases};
use crate::client::{Client, Fields};
use crate::{Answer, guest};

use super::standing::node;

const FOREIGN: [(&str, &str); 6] = [
    ("origin", "http://evil.example"),
    ("origin", "null"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-site", "same-site"),
    ("host", "evil.example"),
    ("host", "evil.example:7610"),
];

fn assert_foreign(answer: &Answer, field: (&str, &str)) {
    assert_eq!((answer.status, answer.error().code.as_str()), (403, "foreign-origin"), "{field:?}");
}

fn foreign_pages_do_not_reach_rpc() {
    let object = node().fresh(guest::COUNTER, "Counter");
    let path = format!("/rpc/{}/increment", object.address());
    for field in FOREIGN {
        // A form of a page can send this type without being asked first.
        let fields = [("content-type", "text/plain"), field];
        assert_foreign(&node().client().send("POST", &path, &fields, b"[]"), field);
    }
    assert_eq!(object.listed(), None, "the object was started");
    assert_eq!(object.ok("increment", json!([])), json!(1));
}

fn foreign_pages_do_not_reach_the_control_plane() {
    let client = Client::new(node().control_address());
    let control = node().control();
    let before = control.app(guest::COUNTER.app);
    for field in FOREIGN {
        let fields = [("authorization", control.authorization()), field];
        assert_foreign(&client.send("GET", "/v1/status", &fields, b""), field);
        let upload = client.send("POST", "/v1/apps/counter/deployments", &fields, b"no component");
        assert_foreign(&upload, field);
    }
    assert_eq!(control.app(guest::COUNTER.app), before);
}

fn a_foreign_host_does_not_reach_fetch() {
    let object = node().fresh(guest::COUNTER, "Counter");
    assert_foreign(&object.fetch("GET", "/", &[("host", "evil.example")], b""), ("host", "evil.example"));
    assert_eq!(object.get("/").text(), "0");
}

fn the_nodes_own_pages_reach_rpc() {
    let object = node().fresh(guest::COUNTER, "Counter");
    let origin = format!("http://{}", node().listen_address());
    let fields = [("origin", origin.as_str()), ("sec-fetch-site", "same-origin")];
    let answer = node().client().send("POST", &format!("/rpc/{}/increment", object.address()), &fields, b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, "1"));
}

fn without_the_token_the_control_plane_says_nothing() {
    let client = Client::new(node().control_address());
    let control = node().control();
    let wrong = control.authorization().replace(|digit: char| digit.is_ascii_digit(), "f");
    let cases: [Fields<'_>; 4] = [
        &[],
        &[("authorization", "Bearer ")],
        &[("authorization", &wrong)],
        &[("authorization", control.authorization().trim_start_matches("Bearer "))],
    ];
    for fields in cases {
        for (method, path) in [
            ("GET", "/v1/status"),
            ("GET", "/v1/apps"),
            ("GET", "/nothing"),
            ("POST", "/v1/apps/x/deployments"),
        ] {
            let answer = client.send(method, path, fields, b"");
            assert_eq!(
                (answer.status, answer.error().code.as_str()),
                (401, "unauthorized"),
                "{fields:?} {path}"
            );
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{answer:?}");
        }
    }
    assert_eq!(node().control().status()["ready"], json!(true));
}

fn the_data_plane_serves_no_control_plane_and_the_other_way_round() {
    let control = node().control();
    let fields = [("authorization", control.authorization())];
    assert_eq!(node().client().send("GET", "/v1/status", &fields, b"").status, 404);
    assert_eq!(control.send("GET", "/healthz", b"").status, 404);
    assert_eq!(node().client().get("/healthz").status, 200);
    assert_eq!(node().client().get("/readyz").status, 200);
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    foreign_pages_do_not_reach_rpc,
    foreign_pages_do_not_reach_the_control_plane,
    a_foreign_host_does_not_reach_fetch,
    the_nodes_own_pages_reach_rpc,
    without_the_token_the_control_plane_says_nothing,
    the_data_plane_serves_no_control_plane_and_the_other_way_round,
];
