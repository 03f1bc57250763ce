#!/usr/bin/env python3
"""Uploads the classes in C and Python to a node and calls them over RPC and HTTP; any wrong answer ends it.

  smoke.py BINARY C_COMPONENT PYTHON_COMPONENT

Looks at no timing: where it waits for something, it asks until it is so, within a bound.
"""
import os, sys, tempfile, threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from node import DEADLINE, Node, equal, eventually, must


def call(node, app, name, method, *args):
    return node.call(f"{app}/Counter/{name}", method, *args)


def counts(node, app):
    """What a class in any language does: it counts, keeps, refuses, and keeps objects apart."""
    equal([call(node, app, "a", "increment") for _ in range(3)], [1, 2, 3], f"{app}: three increments")
    equal(call(node, app, "a", "add", 40), 43, f"{app}: add")
    equal(call(node, app, "a", "add", -3), 40, f"{app}: add of a negative number")
    equal(call(node, app, "b", "get"), 0, f"{app}: a fresh object")
    equal(node.ask("GET", f"/o/{app}/Counter/a"), (200, "40\n"), f"{app}: HTTP")
    equal(node.ask("POST", f"/o/{app}/Counter/a", {})[0], 405, f"{app}: a method that is not served")
    below = call(node, app, "a", "add", -41)
    equal((below["kind"], below["remote"]), ("storage", True), f"{app}: a number below zero")
    must("SQLITE_CONSTRAINT_CHECK" in below["message"], f"{app}: message {below['message']!r}")
    wrong = call(node, app, "a", "add", "many")
    equal((wrong["kind"], wrong["name"]), ("application", "TypeError"), f"{app}: an argument of the wrong type")
    missing = call(node, app, "a", "sing")
    equal((missing["kind"], missing["code"]), ("not-found", "method-not-found"), f"{app}: no such method")
    equal(call(node, app, "a", "get"), 40, f"{app}: the count after the errors")


def interleaves(node, app):
    """A method that waits lets others in, so another call can end its wait."""
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(call(node, app, "w", "wait_for", 1, DEADLINE * 1000)))
    waiter.start()
    eventually(f"{app}: the call that waits has begun", lambda: call(node, app, "w", "waiting") == 1)
    equal(call(node, app, "w", "increment"), 1, f"{app}: an increment beside a call that waits")
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
                equal(call(node, app, "a", "get"), 40, f"{app}: the count after a restart")
    print("classes in C and Python: all answers right")


main()
