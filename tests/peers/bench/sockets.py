#!/usr/bin/env python3
"""Measures WebSockets of peer and durabo in one run: echo, fan-out, the same beside a client that never reads, and what
idle sockets cost.

  sockets.py [--no-build] [--hold SOCKETS:OBJECTS,...] [--durabo-limit NAME=VALUE] [options of ../workerd/bench.py]

Echo and fan-out are driven in turns, as `run` does, with bare WebSockets as the limit. Each row of idle sockets has
servers of its own, so that what an earlier row has left behind in a server's heap does not make later sockets look
cheap; one with more sockets than a process may open files is left out. Durabo gets limits then by which the files
are there for the sockets; those of --durabo-limit go before. Needs node. Prints JSON.
"""
import argparse, json, resource, subprocess
from contextlib import ExitStack

from servers import HERE, PEER, Axum, Durabo, Work, Workerd, build, invoked, machine, note

HOLD = "1000:1000,5000:1,5000:100,10000:100,10000:10000"

# Files of a client or server beside its sockets.
FILES = 500

# What durabo has files for beside the sockets of a row: clients that connect, and objects beside those of the row.
CONNECTIONS, OBJECTS = 500, 200


def limits_to_hold(hold):
    """Limits by which durabo keeps no files for connections, nor, where a row has few, for objects that are never there:
    WebSockets get what these leave of the files that a process may open."""
    sockets, objects = (int(number) for number in hold.split(":"))
    few = [f"live_objects_max={objects + OBJECTS}"] if 10 * objects <= sockets else []
    return [f"http.connections_max={CONNECTIONS}", *few]


def drive(work, options, with_limit, *more, limits=()):
    """The rows of `bench.py` over both servers, freshly started on folders of their own, and over bare sockets."""
    with ExitStack() as stack:
        peer = stack.enter_context(Workerd(f"{work}/workerd").start())
        ours = stack.enter_context(Durabo(f"{work}/durabo").start(*limits, *options.durabo_limit))
        servers = [(peer, []), (ours, [f"{HERE}/durabo.json"])]
        if with_limit:
            servers.append((stack.enter_context(Axum(f"{work}/axum").start()), [f"{HERE}/axum.json"]))
        for server, _ in servers:
            server.wait(server.first_path)
        ours.deploy("bench", "example_bench")
        targets = [",".join([f"{server.name}=http://127.0.0.1:{server.port}", str(server.pid), *paths])
                   for server, paths in servers]
        status = f"--status=durabo=http://127.0.0.1:{ours.control}/v1/status,{ours.data}/token"
        bench = subprocess.run([f"{PEER}/bench.py", *(f"--target={target}" for target in targets), status, *more],
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
        rows = drive(work, options, True, "--groups", "ws", *rest)
    with Work() as work:
        rows += drive(work, options, False, "--groups", "crowd", *rest)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for hold in options.hold.split(","):
        if int(hold.split(":")[0]) + FILES > files != resource.RLIM_INFINITY:
            note(f"idle sockets: {hold} is left out, since a process may open {files} files")
            continue
        note(f"idle sockets: {hold}")
        with Work() as work:
            rows += drive(work, options, False, "--groups", "hold", "--hold", hold, "--idle", "0", *rest, limits=limits_to_hold(hold))
    print(json.dumps({"rows": rows, "tool": "sockets", "machine": machine(), "command": invoked()}, indent=1))


if __name__ == "__main__":
    main()
