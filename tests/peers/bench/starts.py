#!/usr/bin/env python3
"""Measures how soon a started server answers, and how soon a cold object does; peer and durabo in turns.

  starts.py [--starts N] [--objects N] [--no-build]

Each start is measured from the start of the process: to the first answer, and to the first durable one,
which is a count of a deployed app's object that must go on where the start before ended. Half of the
starts follow a clean stop, half a kill -9. Then, one request at a time: first events of objects never
touched before, and of objects that are on disk since an earlier start. Prints JSON.
"""
import argparse, json, statistics

from servers import Durabo, Work, Workerd, build, invoked, load, machine, note, request


def expect(wanted):
    def check(key, body):
        if body != wanted:
            raise SystemExit(f"{key} answered {body!r}, not {wanted!r}")
    return check


def one_by_one(server, workload, names, wanted):
    requests = [(name, request(server.path(workload, name))) for name in names]
    return load(server.port, requests, 1, expect(wanted))


def measure(kind, data, number, options, rows):
    """One start; `number` counts them from 1."""
    names = [f"{number}-{n}" for n in range(options.objects)]
    with kind(data).start() as server:
        rows["first answer"].append(server.wait(server.first_path))
        status, body = server.ask("GET", server.path("counter", "started"))
        if (status, body) != (200, str(number + 1)):
            raise SystemExit(f"{server.name}: start {number} counted {status} {body}: something is lost")
        rows["first durable answer"].append(server.since_ms())
        ms = lambda latencies: statistics.median(latencies) / 1e3
        rows["new object, noop"].append(ms(one_by_one(server, "noop", [f"noop-{n}" for n in names], b"ok")))
        rows["new object, counter"].append(ms(one_by_one(server, "counter", [f"new-{n}" for n in names], b"1")))
        rows["object on disk, counter"].append(ms(one_by_one(server, "counter", [f"disk-{n}" for n in names], b"2")))
        server.kill() if number % 2 else server.stop()


def prepare(kind, data, options):
    """The first start: deploys, and makes the objects that later starts find on disk."""
    with kind(data).start() as server:
        server.wait(server.first_path)
        if kind is Durabo:
            server.deploy("bench", "example_bench")
        names = [f"disk-{number}-{n}" for number in range(1, options.starts + 1) for n in range(options.objects)]
        requests = [(name, request(server.path("counter", name))) for name in ["started"] + names]
        load(server.port, requests, 8, expect(b"1"))
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--objects", type=int, default=30, help="cold objects of each kind by start")
    parser.add_argument("--no-build", action="store_true", help="use what is built and installed")
    options = parser.parse_args()
    if not options.no_build:
        build()
    rows = []
    with Work() as work:
        kinds = {kind: {} for kind in (Workerd, Durabo)}
        for kind, found in kinds.items():
            prepare(kind, f"{work}/{kind.name}", options)
            for what in ("first answer", "first durable answer", "new object, noop", "new object, counter",
                         "object on disk, counter"):
                found[what] = []
        for number in range(1, options.starts + 1):
            for kind, found in kinds.items():
                measure(kind, f"{work}/{kind.name}", number, options, found)
        for kind, found in kinds.items():
            for what, values in found.items():
                median = round(statistics.median(values), 2)
                rows.append({"what": what, "target": kind.name, "median_ms": median, "least_ms": round(min(values), 2),
                             "most_ms": round(max(values), 2), "starts": len(values)})
                note(f"{kind.name:8} {what:24} {median} ms")
    print(json.dumps({"tool": "starts", "machine": machine(), "command": invoked(), "options": vars(options), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
