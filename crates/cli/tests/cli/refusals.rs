//! What is refused, with which exit code, and what the refusal says.
//!
//! 1 is a no of the node or for what is wrong with the input, 2 is everything that is broken.

use std::fs;
use std::net::Ipv4Addr;

use serde_json::Value;
use tokio::net::TcpSocket;

use crate::node_process::{NodeProcess, Ran, examples, folder, run};

fn assert_ends(ran: &Ran, code: i32, says: &str) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    assert!(ran.stderr.contains(says), "`{says}` is not in {ran:?}");
}

#[test]
fn mistakes_on_the_command_line_are_refused_with_the_way_out() {
    assert_ends(&run(&["srve"]), 1, "'serve'");
    assert_ends(&run(&["call", "demo/Counter", "get"]), 1, "`APP/CLASS/NAME`");
    assert_ends(&run(&["call", "demo/Counter/a", "get", "hello"]), 1, "argument 1, `hello`, is not JSON");
    assert_ends(&run(&["objects", "Demo/Counter"]), 1, "app name `Demo` is not valid");
    assert_ends(&run(&["serve", "--listen", "7610"]), 1, "`127.0.0.1:7610`");
    assert_ends(&run(&["status", "--control", "nowhere"]), 1, "is not an address");
    assert_ends(&run(&["deploy", "no-such-file.wasm", "--app", "demo"]), 1, "component `no-such-file.wasm`");
}

#[test]
fn a_limit_that_there_is_none_of_is_refused_before_the_node_starts() {
    let serve = |limit| run(&["serve", "--data", "/nowhere/at/all", "--limit", limit]);
    assert_ends(&serve("mailbox_event_max=5"), 1, "did you mean `mailbox_events_max`?");
    assert_ends(&serve("mailbox_events_max=0"), 1, "it is 1 at least");
    assert_ends(&serve("drain=5"), 1, "such as `5s`");
    assert_ends(&serve("drain"), 1, "NAME=VALUE");
}

#[test]
fn a_limit_that_is_set_holds_and_the_last_value_counts() {
    let folder = folder();
    let data = folder.path().join("data");
    let limits = ["live_objects_max=9", "http.connections_max=21", "live_objects_max=17"];
    let flags: Vec<_> = limits.iter().flat_map(|limit| ["--limit", limit]).collect();
    let log = data.with_extension("log");
    let node = NodeProcess::start_with(&flags, &data, &log);
    let status = node.ask(&["status", "--json"]);
    let status: Value =
        serde_json::from_str(&status.stdout).unwrap_or_else(|error| panic!("{error}: {status:?}"));
    assert_eq!(status["liveObjectsMax"], 17, "{status}");
    let log = fs::read_to_string(log).expect("its log");
    assert!(log.contains("connections_max=21"), "{log}");
}

#[test]
fn a_node_that_is_not_there_is_broken_and_not_refused() {
    // Bound, so that nobody else gets its port, and not listening.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
    let address = socket.local_addr().expect("an address").to_string();
    assert_ends(&run(&["status", "--control", &address]), 2, "start one with `durabo serve`");
    assert_ends(&run(&["call", "demo/Counter/a", "get", "--listen", &address]), 2, "no node answers at");
    let ran = run(&["status", "--control", &address, "--json"]);
    let record: Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert!(
        record["error"]["message"].as_str().is_some_and(|text| text.contains("no node answers")),
        "{record}"
    );
}

#[test]
fn a_second_node_on_one_folder_is_refused() {
    let folder = folder();
    let data = folder.path().join("data");
    let node = NodeProcess::start(&data);
    let second = run(&[
        "serve",
        "--data",
        data.to_str().expect("path"),
        "--listen",
        "127.0.0.1:0",
        "--control",
        "127.0.0.1:0",
    ]);
    assert_ends(&second, 1, data.to_str().expect("path"));
    node.deploy_examples();
    assert_eq!(node.call(&["demo/Counter/a", "increment"]).stdout, "1\n");
}

#[test]
fn a_folder_of_a_newer_format_and_a_foreign_one_are_refused() {
    let folder = folder();
    let data = folder.path().join("data");
    assert_eq!(NodeProcess::start(&data).terminate().code(), Some(0));
    let format = data.join("FORMAT");
    let newer = r#"{"durabo":999}"#;
    fs::write(&format, newer).expect("FORMAT");
    let serve =
        |path: &str| run(&["serve", "--data", path, "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
    assert_ends(&serve(data.to_str().expect("path")), 1, "use a newer durabo");
    assert_eq!(fs::read_to_string(&format).expect("FORMAT"), newer, "a refused folder is left as it was");
    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).expect("folder");
    fs::write(foreign.join("letter.txt"), "dear").expect("file");
    assert_ends(&serve(foreign.to_str().expect("path")), 1, "letter.txt");
}

#[test]
fn without_the_right_token_the_control_plane_says_where_it_is_looked_for() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    let none = run(&["apps", "--control", &node.control, "--data", "no-such-folder"]);
    assert_ends(&none, 1, "unauthorized");
    assert_ends(&none, 1, "no-such-folder");
    let wrong = run(&["apps", "--control", &node.control, "--token", "wrong"]);
    assert_ends(&wrong, 1, "`--token` or `DURABO_TOKEN`");
    let component = examples();
    let deploy = ["deploy", component.to_str().expect("path"), "--app", "demo", "--control", &node.control];
    assert_ends(&run(&[&deploy[..], &["--token", "wrong"]].concat()), 1, "unauthorized");
    let token = fs::read_to_string(node.data.join("token")).expect("token");
    assert_eq!(run(&[&deploy[..], &["--token", token.trim()]].concat()).code, Some(0));
}

#[test]
fn what_is_no_component_is_refused_and_the_running_deployment_stays() {
    let folder = folder();
    let node = NodeProcess::start(&folder.path().join("data"));
    node.deploy_examples();
    assert_eq!(node.call(&["demo/Counter/a", "increment"]).stdout, "1\n");
    let text = folder.path().join("text.wasm");
    fs::write(&text, "not wasm").expect("file");
    let refused = node.ask(&["deploy", text.to_str().expect("path"), "--app", "demo"]);
    assert_ends(&refused, 1, "invalid-component");
    let huge = folder.path().join("huge.wasm");
    fs::File::create(&huge).and_then(|file| file.set_len(1 << 30)).expect("file");
    let refused = node.ask(&["deploy", huge.to_str().expect("path"), "--app", "demo"]);
    assert_ends(&refused, 1, "1.0 GiB, the limit is 64.0 MiB");
    assert_eq!(node.call(&["demo/Counter/a", "increment"]).stdout, "2\n");
    let unknown = node.call(&["demo/Counters/a", "increment"]);
    assert_ends(&unknown, 1, "class-not-found");
    let raised = node.call(&["demo/Bank/a", "transfer", "\"x\"", "\"y\"", "1"]);
    assert_ends(&raised, 1, "insufficient-funds");
}
