#!/usr/bin/env python3
"""Uploads the classes in C and Python to a node and calls them over RPC and HTTP; any wrong answer ends it.

  smoke.py BINARY C_COMPONENT PYTHON_COMPONENT

Looks at no timing: where it waits for something, it asks until it is so, within a bound.
"""
import json, os, subprocess, sys, tempfile, threading, time, urllib.error, urllib.request

DEADLINE = 300


class Node:
    """A node on a fresh folder, on ports that it finds itself; ended at the end."""

    def __init__(self, binary, folder):
        self.binary, self.data = binary, f"{folder}/data"

    def __enter__(self):
        command = [self.binary, "--json", "serve", "--data", self.data, "--listen", "127.0.0.1:0",
                   "--control", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started = json.loads(self.process.stdout.readline())
        self.listen, self.control = started["listen"], started["control"]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        code = self.process.wait(DEADLINE)
        must(code == 0, f"the node ended with {code}")

    def deploy(self, app, component, *options):
        command = [self.binary, "deploy", component, "--app", app, "--data", self.data, "--control", self.control]
        subprocess.run([*command, *options], check=True, stdout=sys.stderr)

    def ask(self, method, path, body=None):
        """Status and text of one answer."""
        request = urllib.request.Request(f"http://{self.listen}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()

    def call(self, app, name, method, *args):
        """The result of a call, or its error as a map."""
        status, text = self.ask("POST", f"/rpc/{app}/Counter/{name}/{method}", list(args))
        return json.loads(text) if status == 200 else json.loads(text)["error"]


def must(condition, text):
    if not condition:
        raise SystemExit(f"wrong: {text}")


def equal(got, wanted, what):
    must(got == wanted, f"{what}: {got!r} in place of {wanted!r}")


def counts(node, app):
    """What a class in any language does: it counts, keeps, refuses, and keeps objects apart."""
    equal([node.call(app, "a", "increment") for _ in range(3)], [1, 2, 3], f"{app}: three increments")
    equal(node.call(app, "a", "add", 40), 43, f"{app}: add")
    equal(node.call(app, "a", "add", -3), 40, f"{app}: add of a negative number")
    equal(node.call(app, "b", "get"), 0, f"{app}: a fresh object")
    equal(node.ask("GET", f"/o/{app}/Counter/a"), (200, "40\n"), f"{app}: HTTP")
    equal(node.ask("POST", f"/o/{app}/Counter/a", {})[0], 405, f"{app}: a method that is not served")
    below = node.call(app, "a", "add", -41)
    equal((below["kind"], below["remote"]), ("storage", True), f"{app}: a number below zero")
    must("SQLITE_CONSTRAINT_CHECK" in below["message"], f"{app}: message {below['message']!r}")
    wrong = node.call(app, "a", "add", "many")
    equal((wrong["kind"], wrong["name"]), ("application", "TypeError"), f"{app}: an argument of the wrong type")
    missing = node.call(app, "a", "sing")
    equal((missing["kind"], missing["code"]), ("not-found", "method-not-found"), f"{app}: no such method")
    equal(node.call(app, "a", "get"), 40, f"{app}: the count after the errors")


def interleaves(node, app):
    """A method that waits lets others in, so another call can end its wait."""
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(node.call(app, "w", "wait_for", 1, DEADLINE * 1000)))
    waiter.start()
    until = time.monotonic() + DEADLINE
    while node.call(app, "w", "waiting") != 1:
        must(time.monotonic() < until, f"{app}: the call that waits never began")
    equal(node.call(app, "w", "increment"), 1, f"{app}: an increment beside a call that waits")
    waiter.join(DEADLINE)
    equal(answers, [True], f"{app}: the call that waited")


def main():
    binary, c, python = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="durabo-languages-") as folder:
        with Node(binary, folder) as node:
            node.deploy("c", c)
            node.deploy("python", python, "--class", "Counter")
            for app in ("c", "python"):
                counts(node, app)
            interleaves(node, "python")
        # What was acknowledged is there after a restart, and the compiled code is used again.
        with Node(binary, folder) as node:
            for app in ("c", "python"):
                equal(node.call(app, "a", "get"), 40, f"{app}: the count after a restart")
    print("classes in C and Python: all answers right")


main()
