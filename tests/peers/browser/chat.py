#!/usr/bin/env python3
"""Two tabs of a real browser use the chat's page, whatever becomes of the room's instance; any wrong answer ends it.

  chat.py BINARY CHAT_COMPONENT BROWSER [--screenshots FOLDER]

The room hibernates, traps, is deployed anew with its sockets and without them, and its node is killed and started
again. Looks at no timing: it waits for what the page shows, and for what the node says of the room.
"""
import argparse, json, os, sys, tempfile, urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from devtools import Browser
from node import Node, equal, eventually, marked, must

ROOM = "lobby & <b>"
ADDRESS = f"chat/Chat/{urllib.parse.quote(ROOM)}"
MIB = 1 << 20
# Memory of an instance, so that a message of twice that is a trap.
MEMORY = 8


class Person:
    """Someone in a tab."""

    def __init__(self, browser, node, name):
        self.name = name
        self.tab = browser.open(f"http://{node.listen}/o/{ADDRESS}/")
        self.tab.type("#name", name)
        self.tab.until("document.querySelector('#state').className === 'open'")

    def says(self, text):
        self.tab.type("#text", text)

    def sees(self, text):
        """A message, which is stored and not only on its way."""
        item = f"(li) => li.lastChild.data === {json.dumps(text)}"
        self.tab.until(f"[...document.querySelectorAll('#messages li:not(.waiting)')].some({item})")

    def all_seen(self):
        return self.tab.ask("[...document.querySelectorAll('#messages li')].map((li) => li.lastChild.data)")

    def sees_people(self, *names):
        self.tab.until(f"document.querySelector('#people').textContent === {json.dumps(', '.join(names))}")

    def marks_connection(self):
        """The one that there is, or that a machine which stalled for a round of pings is about to make."""
        self.tab.until("document.querySelector('#state').className === 'open'")
        self.tab.ask("void (window.marked = socket)")

    def stops_pings(self):
        self.tab.ask("clearInterval(pings)")

    def has_the_same_connection(self):
        return self.tab.ask("window.marked === socket && socket.readyState === WebSocket.OPEN")


def talk(one, other, what):
    """Both hear both."""
    for speaker in (one, other):
        speaker.says(f"{speaker.name}: {what}")
    for listener in (one, other):
        for speaker in (one, other):
            listener.sees(f"{speaker.name}: {what}")


def listed(node):
    return node.listed("chat/Chat", ROOM) or {}


def stays_connected(node, component, ada, bob):
    """What sockets outlive."""
    for person in (ada, bob):
        person.stops_pings()  # or a machine that stalls for a round of them would look like a node that cuts
        person.marks_connection()
    starts = eventually("the room hibernates", lambda: listed(node).get("instance") is False and listed(node)["starts"])
    talk(ada, bob, "after a sleep")
    must(listed(node)["starts"] > starts, "the room was not started again")

    ada.tab.ask(f"socket.send('x'.repeat({2 * MEMORY * MIB}))")
    eventually("the room was reset", lambda: listed(node).get("resets", 0) > 0)
    talk(ada, bob, "after a trap")

    with tempfile.TemporaryDirectory(prefix="durabo-deploy-") as folder:
        with open(f"{folder}/durabo.toml", "w") as file:
            file.write("keep_sockets = true\n")
        node.deploy("chat", marked(component, 1, f"{folder}/chat.wasm"))
        talk(ada, bob, "after a deployment")
    for person in (ada, bob):
        must(person.has_the_same_connection(), f"{person.name} was cut")


def comes_back(node, component, ada, bob):
    """What cuts them."""
    with tempfile.TemporaryDirectory(prefix="durabo-deploy-") as folder:
        node.deploy("chat", marked(component, 2, f"{folder}/chat.wasm"))
    for person in (ada, bob):
        person.tab.until("window.marked !== socket && document.querySelector('#state').className === 'open'")
    talk(ada, bob, "after a cut")

    node.kill()
    for person in (ada, bob):
        person.tab.until("document.querySelector('#state').className !== 'open'")
    ada.says("@Bob: later")
    equal(ada.tab.ask("document.querySelector('#text').value"), "@Bob: later", "a whisper that cannot be sent")
    ada.tab.ask("document.querySelector('#text').value = ''")
    ada.says("said into the void")
    ada.tab.until("document.querySelector('#messages li.waiting') !== null")
    node.start()
    equal(node.call(ADDRESS, "say", "Eve", "missed by both", "1"), None, "a message by RPC")
    for person in (ada, bob):
        person.sees("said into the void")
        person.sees("missed by both")
        person.sees_people("Ada", "Bob")
    talk(ada, bob, "after all")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for argument in ("binary", "component", "browser"):
        parser.add_argument(argument)
    parser.add_argument("--screenshots", help="folder for pictures of both tabs")
    options = parser.parse_args()
    # It hibernates and stays in memory, where its starts and resets are counted.
    limits = ("hibernate_after=200ms", "close_after=1h", f"memory_bytes_max={MEMORY}MiB")
    with tempfile.TemporaryDirectory(prefix="durabo-chat-") as folder, Node(options.binary, folder, *limits) as node, \
            Browser(options.browser) as browser:
        node.deploy("chat", options.component)
        ada, bob = Person(browser, node, "Ada"), Person(browser, node, "Bob")
        equal(ada.tab.ask("document.title"), ROOM, "the title")
        for person in (ada, bob):
            person.sees_people("Ada", "Bob")
        talk(ada, bob, "hello <img src=x onerror='throw 1'> & welcome")
        ada.says("@Bob: psst")
        bob.sees("psst")
        ada.says("@Zoe: psst?")
        ada.sees("Zoe is not here")

        stays_connected(node, options.component, ada, bob)
        comes_back(node, options.component, ada, bob)

        stored = [entry["text"] for entry in node.call(ADDRESS, "history")]
        for person in (ada, bob):
            seen = [text for text in person.all_seen() if text in stored]
            equal(seen, stored, f"what {person.name} has seen, each once and in order")
        equal(len(stored), len(set(stored)), f"messages that are stored once, of {stored}")
        for number, person in enumerate((ada, bob) if options.screenshots else ()):
            person.tab.screenshot(f"{options.screenshots}/chat-{number + 1}.png")
    print("browser: two tabs talked over hibernation, a trap, deployments and a kill: all was seen once and in order")


if __name__ == "__main__":
    main()
