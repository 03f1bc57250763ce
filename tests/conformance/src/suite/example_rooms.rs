//! The examples with sockets, as their readers would use them (C-318): `chat` and `presence`.
//!
//! A browser uses the page of the chat in `tests/peers/browser`.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::{Object, Seen, TestNode, WebSocket, eventually, guest};

use super::standing::{hibernating_node, socket_node};

/// Someone in a room, who has been told what was said before and who is here.
struct Guest {
    socket: WebSocket,
    name: String,
}

impl Guest {
    fn enter(node: &TestNode, room: &Object, name: &str) -> Self {
        let socket = WebSocket::open(node, room, &format!("/socket?name={name}"));
        Self { socket, name: name.to_owned() }
    }

    fn hears(&mut self) -> Value {
        serde_json::from_str(&self.socket.text()).expect("JSON")
    }

    /// The next message to all; news of who is here are passed over.
    fn hears_a_message(&mut self) -> (String, String) {
        loop {
            if let Some(entry) = self.hears()["messages"].get(0) {
                let part = |name: &str| entry[name].as_str().expect("a text").to_owned();
                return (part("from"), part("text"));
            }
        }
    }

    fn says(&mut self, text: &str) {
        let key = format!("{}-{text}", self.name);
        self.socket.send(&json!({"say": {"key": key, "text": text}}).to_string());
    }
}

fn c_318_twenty_guests_hear_each_of_twenty_messages_also_from_a_room_that_slept() {
    let node = hibernating_node();
    let room = node.fresh(guest::CHAT, "Chat");
    let mut guests: Vec<_> = (0..20).map(|number| Guest::enter(node, &room, &format!("g{number}"))).collect();
    for (number, guest) in guests.iter_mut().enumerate() {
        if number == 10 {
            room.wait_until_hibernated();
        }
        guest.says("hello");
    }
    let wanted: HashSet<_> = (0..20).map(|number| (format!("g{number}"), "hello".to_owned())).collect();
    for guest in &mut guests {
        let heard: Vec<_> = (0..20).map(|_| guest.hears_a_message()).collect();
        assert_eq!(heard.iter().cloned().collect::<HashSet<_>>(), wanted, "{} heard {heard:?}", guest.name);
    }
    let mut people: Vec<_> = (0..20).map(|number| format!("g{number}")).collect();
    people.sort();
    assert_eq!(room.ok("people", json!([])), json!(people));
}

fn who_comes_back_hears_what_was_missed_and_what_is_sent_again_is_said_once() {
    let node = socket_node();
    let room = node.fresh(guest::CHAT, "Chat");
    let mut ada = Guest::enter(node, &room, "ada");
    ada.says("one");
    let before = ada.hears();
    assert_eq!(before, json!({"messages": []}));
    assert_eq!(ada.hears_a_message(), ("ada".to_owned(), "one".to_owned()));
    room.ok("say", json!(["bob", "two", "key"]));
    room.ok("say", json!(["bob", "two", "key"]));
    assert_eq!(ada.hears_a_message(), ("bob".to_owned(), "two".to_owned()));
    ada.says("one");
    assert_eq!(ada.hears_a_message(), ("ada".to_owned(), "one".to_owned()), "its sender alone is told");
    let history = room.ok("history", json!([]));
    let told: Vec<_> = history.as_array().expect("a list").iter().map(|entry| &entry["text"]).collect();
    assert_eq!(told, [&json!("one"), &json!("two")]);
    let since = &history[0]["id"];
    let mut again = WebSocket::open(node, &room, &format!("/socket?name=eve&since={since}"));
    let missed: Value = serde_json::from_str(&again.text()).expect("JSON");
    assert_eq!(missed, json!({"messages": [history[1]]}));
}

fn a_whisper_reaches_those_of_a_name_and_is_not_kept() {
    let node = socket_node();
    let room = node.fresh(guest::CHAT, "Chat");
    let mut guests: Vec<_> = ["ada", "bob", "eve"].map(|name| Guest::enter(node, &room, name)).into();
    let [ada, bob, eve] = guests.as_mut_slice() else { unreachable!("three guests") };
    ada.socket.send(&json!({"whisper": {"to": "bob", "text": "psst"}}).to_string());
    for guest in [ada, bob] {
        let whisper = std::iter::repeat_with(|| guest.hears()).find(|heard| heard["whisper"].is_object());
        let whisper = whisper.expect("endless")["whisper"].clone();
        assert_eq!(
            (&whisper["from"], &whisper["to"], &whisper["text"]),
            (&json!("ada"), &json!("bob"), &json!("psst"))
        );
    }
    eve.socket.send(&json!({"whisper": {"to": "zoe", "text": "psst"}}).to_string());
    let refused = std::iter::repeat_with(|| eve.hears())
        .find(|heard| !heard["people"].is_array() && heard["messages"] != json!([]));
    assert_eq!(refused, Some(json!({"refused": "zoe is not here"})), "it heard the whisper");
    assert_eq!(room.ok("history", json!([])), json!([]));
}

fn a_chat_serves_its_page_and_refuses_what_is_none_of_its_business() {
    let node = socket_node();
    let room = node.fresh(guest::CHAT, "Chat");
    let page = room.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(page.text().contains("new WebSocket("), "{}", page.text());
    assert_eq!(room.get("/socket").status, 426);
    assert_eq!(room.get("/other").status, 404);
    let refused = WebSocket::ask(node, &room, "/socket?name=%20", &[]).expect_err("a name of nothing");
    assert_eq!(refused.status(), 400);
    let mut ada = Guest::enter(node, &room, "ada");
    for (sent, answered) in [
        (
            json!({"say": {"key": "k", "text": "x".repeat(2001)}}),
            json!({"refused": "a message has 1 to 2000 characters", "key": "k"}),
        ),
        (json!({"say": {"key": "", "text": "x"}}), json!({"refused": "a key has 1 to 64 bytes", "key": ""})),
    ] {
        ada.socket.send(&sent.to_string());
        let heard = std::iter::repeat_with(|| ada.hears()).find(|heard| heard["refused"].is_string());
        assert_eq!(heard, Some(answered));
    }
    ada.socket.send("{}");
    ada.socket.send_binary(vec![1]);
    assert!(ada.hears()["refused"].as_str().is_some_and(|text| text.starts_with("this is no message")));
    assert_eq!(ada.hears(), json!({"refused": "messages are texts"}));
}

/// The next news of who is here.
fn told(socket: &mut WebSocket) -> Value {
    serde_json::from_str::<Value>(&socket.text()).expect("JSON")["people"].clone()
}

fn those_who_fall_silent_are_away_and_then_gone() {
    let node = hibernating_node();
    let place = node.fresh(guest::PRESENCE, "Presence");
    let mut ada = WebSocket::open(node, &place, "/socket?user=ada");
    assert_eq!(told(&mut ada), json!({"ada": "here"}));
    let mut bob = WebSocket::open(node, &place, "/socket?user=bob");
    assert_eq!(
        (told(&mut ada), told(&mut bob)),
        (json!({"ada": "here", "bob": "here"}), json!({"ada": "here", "bob": "here"}))
    );
    bob.send("away");
    assert_eq!(
        (told(&mut ada), told(&mut bob)),
        (json!({"ada": "here", "bob": "away"}), json!({"ada": "here", "bob": "away"}))
    );
    bob.send("here");
    assert_eq!(
        (told(&mut ada), told(&mut bob)),
        (json!({"ada": "here", "bob": "here"}), json!({"ada": "here", "bob": "here"}))
    );
    assert_eq!(place.ok("last_seen", json!(["ada"])), json!(null));
    // From here on only the alarm brings news: it wakes the object, which sleeps in between.
    place.wait_until_hibernated();
    place.ok("set_times", json!([1, 3_600_000]));
    let mut people = told(&mut ada);
    while people != json!({"ada": "away", "bob": "away"}) {
        people = told(&mut ada);
    }
    place.ok("set_times", json!([1, 2]));
    let silent = Seen::Close(4000, "nothing was heard for too long".to_owned());
    for socket in [&mut ada, &mut bob] {
        let end = std::iter::repeat_with(|| socket.see()).find(|seen| !matches!(seen, Seen::Text(_)));
        assert_eq!(end, Some(silent.clone()));
        assert_eq!(socket.see(), Seen::Lost);
    }
    eventually("both have left", || (place.ok("people", json!([])) == json!({})).then_some(()));
    eventually("it is noted when", || place.ok("last_seen", json!(["ada"])).is_u64().then_some(()));
    assert_eq!(WebSocket::ask(node, &place, "/socket", &[]).expect_err("nobody").status(), 400);
}

fn one_who_is_here_twice_leaves_once() {
    let node = socket_node();
    let place = node.fresh(guest::PRESENCE, "Presence");
    let (mut eve, mut first) = (
        WebSocket::open(node, &place, "/socket?user=eve"),
        WebSocket::open(node, &place, "/socket?user=ada"),
    );
    let both = json!({"ada": "here", "eve": "here"});
    assert_eq!(
        (told(&mut eve), told(&mut eve), told(&mut first)),
        (json!({"eve": "here"}), both.clone(), both.clone())
    );
    let mut second = WebSocket::open(node, &place, "/socket?user=ada");
    assert_eq!(told(&mut second), both.clone());
    first.close_and_wait();
    eventually("the first has left", || place.ok("last_seen", json!(["ada"])).is_u64().then_some(()));
    assert_eq!((told(&mut eve), told(&mut second)), (both.clone(), both));
    second.close_and_wait();
    assert_eq!(told(&mut eve), json!({"eve": "here"}));
}

fn who_is_here_goes_if_the_time_to_go_comes_before_the_time_to_be_away() {
    let node = socket_node();
    let place = node.fresh(guest::PRESENCE, "Presence");
    let mut eve = WebSocket::open(node, &place, "/socket?user=eve");
    assert_eq!(told(&mut eve), json!({"eve": "here"}));
    place.ok("set_times", json!([3_600_000, 1]));
    let end = std::iter::repeat_with(|| eve.see()).find(|seen| !matches!(seen, Seen::Text(_)));
    assert_eq!(end, Some(Seen::Close(4000, "nothing was heard for too long".to_owned())));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_318_twenty_guests_hear_each_of_twenty_messages_also_from_a_room_that_slept,
    who_comes_back_hears_what_was_missed_and_what_is_sent_again_is_said_once,
    a_whisper_reaches_those_of_a_name_and_is_not_kept,
    a_chat_serves_its_page_and_refuses_what_is_none_of_its_business,
    those_who_fall_silent_are_away_and_then_gone,
    one_who_is_here_twice_leaves_once,
    who_is_here_goes_if_the_time_to_go_comes_before_the_time_to_be_away,
];
