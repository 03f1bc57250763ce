#!/usr/bin/env python3
"""Measures WebSockets of peer and durabo in one run: echo, fan-out, the same beside a client that never reads, and what
idle sockets cost.

  sockets.py [--no-build] [--hold SOCKETS:OBJECTS,...] [--durabo-limit NAME=VALUE] [options of ../workerd/bench.py]

Echo and fan-out are driven in turns, as `run` does. Each row of idle sockets has servers of its own, so that what an
earlier row has left behind in a server's heap does not make later sockets look cheap; one with more sockets than a
process may open files is left out. Needs node. Prints JSON.
"""
import argparse, json, resource, subprocess

from servers import HERE, PEER, Durabo, Work, Workerd, build, invoked, machine, note

HOLD = "1000:1000,5000:1,5000:100,10000:100,10000:10000"

# Files of a client or server beside its sockets.
FILES = 500


def drive(work, options, *more):
    """The rows of `bench.py` over both servers, freshly started on folders of their own."""
    with Workerd(f"{work}/workerd").start() as peer, Durabo(f"{work}/durabo").start(*options.durabo_limit) as ours:
        for server in (peer, ours):
            server.wait(server.first_path)
        ours.deploy("bench", "example_bench")
        bench = subprocess.run(
            [f"{PEER}/bench.py", "--target", f"{peer.name}=http://127.0.0.1:{peer.port},{peer.pid}",
             "--target", f"{ours.name}=http://127.0.0.1:{ours.port},{ours.pid},{HERE}/durabo.json", *more],
            stdout=subprocess.PIPE, text=True)
        if bench.returncode:
            raise SystemExit("bench.py failed")
        return json.loads(bench.stdout)["rows"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-build", action="store_true", help="use what is built and installed")
    parser.add_argument("--hold", default=HOLD, help="rows of idle sockets, each on fresh servers")
    parser.add_argument("--durabo-limit", action="append", default=[], help="limits that durabo is started with")
    options, rest = parser.parse_known_args()
    if not options.no_build:
        build()
    with Work() as work:
        rows = drive(work, options, "--groups", "ws,crowd", *rest)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for hold in options.hold.split(","):
        if int(hold.split(":")[0]) + FILES > files != resource.RLIM_INFINITY:
            note(f"idle sockets: {hold} is left out, since a process may open {files} files")
            continue
        note(f"idle sockets: {hold}")
        with Work() as work:
            rows += drive(work, options, "--groups", "hold", "--hold", hold, "--idle", "0", *rest)
    print(json.dumps({"rows": rows, "tool": "sockets", "machine": machine(), "command": invoked()}, indent=1))


if __name__ == "__main__":
    main()
