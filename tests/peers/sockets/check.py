#!/usr/bin/env python3
"""Clients that others have written, and frames that none of them sends, against a node; any wrong answer ends it.

  check.py BINARY ROOM_COMPONENT MODULES_FOLDER

Runs with the interpreter that has `websockets`. When all have gone, no socket and no file may be left behind.
"""
import json, os, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
import frames
from node import Node, equal, eventually, must


def run(*command):
    done = subprocess.run(command)
    must(done.returncode == 0, f"{os.path.basename(command[1])} ended with {done.returncode}")


def ended(node, room):
    """How the sockets of a room have ended, as the object was told, when all have."""
    eventually(f"all sockets of {room} have ended", lambda: node.call(room, "listed", None) == 0)
    return [note for note in node.call(room, "journal") if note.startswith(("close ", "error "))]


def main():
    binary, component, modules = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="durabo-sockets-") as folder, Node(binary, folder) as node:
        node.deploy("sockets", component)
        rooms = {name: f"sockets/Room/{name}" for name in ("npm", "pypi", "raw")}
        for room in rooms.values():
            equal(node.call(room, "listed", None), 0, "sockets at the start")
        before = node.files()
        url = lambda name: f"ws://{node.listen}/o/{rooms[name]}"
        run("node", f"{HERE}/npm-ws.mjs", url("npm"), os.path.abspath(modules))
        run(sys.executable, f"{HERE}/pypi_websockets.py", url("pypi"))
        count = frames.check(node.listen, f"/o/{rooms['raw']}")

        for name in ("npm", "pypi"):
            ends = ended(node, rooms[name])
            must('close 4001 "bye" clean true' in ends, f"{name}: {ends}")
            equal(len([end for end in ends if end.startswith("error ")]), 1, f"{name}: the one that was too large, of {ends}")
        errors = [end for end in ended(node, rooms["raw"]) if end.startswith("error ")]
        equal(len(errors), count, "errors that the object was told of")
        eventually("as many files are open as before", lambda: node.files() <= before)
    print(f"sockets: ws, websockets, and {count} faults of the protocol: all answers right")


main()
