#!/usr/bin/env python3
"""Measures memory while objects come and go, and shows that nothing is lost when they leave.

  eviction.py [--live N] [--touched N] [--durabo-limit NAME=VALUE] [--no-build]

Live objects: as many as --live, or as the machine carries, are made with an open database; memory is looked at
while all have instances, when all hibernate, and when all have left. Then they are woken and written to once
more, and the node is stopped: all of them leave at once. Objects in turn: as many as --touched are made one
after the other, more than fit into memory, and then counted in turn a second time; each must have kept its
value. Prints JSON.
"""
import argparse, json, time

from servers import Durabo, Work, build, bytes_each, invoked, load, machine, memory_kb, note, request


def expect(wanted):
    def check(key, body):
        if body != wanted:
            raise SystemExit(f"{key} answered {body!r}, not {wanted!r}: its value is lost")
    return check


def count(server, names, wanted, refused=None):
    """Counts up every object of `names`; each must come to `wanted`. Returns the seconds that took."""
    begin = time.perf_counter()
    requests = ((name, request(server.path("counter", name))) for name in names)
    load(server.port, requests, 64, expect(wanted), refused=refused)
    return time.perf_counter() - begin


def settle(server, done, seconds=300):
    """Waits until the status is as wanted and memory has stood still for three looks; its size, in KiB."""
    end, sizes = time.monotonic() + seconds, []
    while time.monotonic() < end:
        time.sleep(1)
        sizes.append(memory_kb(server.pid)["rss_kb"])
        if done(server.status()) and len(sizes) > 2 and max(sizes[-3:]) - min(sizes[-3:]) < 512:
            return sizes[-1]
    raise SystemExit(f"not in {seconds} s: {server.status()}")


def live(options):
    with Work() as work, Durabo(f"{work}/data") as server:
        # Long enough that all are there at once, also on a busy machine.
        server.start(f"hibernate_after={options.idle}s", f"close_after={2 * options.idle}s", *options.durabo_limit).wait("/readyz")
        server.deploy("bench", "example_bench")
        count(server, (f"warm-{n}" for n in range(100)), b"1")
        before = memory_kb(server.pid)["rss_kb"]
        warm = server.status()["liveObjects"]
        objects = min(options.live, (server.status()["liveObjectsMax"] or options.live + warm) - warm)
        names = [f"o-{n}" for n in range(objects)]
        row = {"part": "live", "wanted": options.live, "objects": objects, "rss_kb_before": before,
               "make_s": round(count(server, names, b"1"), 1), "rss_kb_live": memory_kb(server.pid)["rss_kb"]}
        status = server.status()
        row |= {"live": status["liveObjects"], "instances": status["instances"],
                "rss_bytes_per_object": bytes_each(row["rss_kb_live"] - before, status["liveObjects"] - warm)}
        if status["instances"] < objects:
            note(f"only {status['instances']} instances ran for {objects} objects when memory was looked at; a longer --idle keeps them")
        row["rss_kb_hibernating"] = settle(server, lambda status: status["instances"] == 0)
        row["hibernating"] = server.status()["liveObjects"]
        row["rss_kb_gone"] = settle(server, lambda status: status["liveObjects"] == 0)
        row["wake_s"] = round(count(server, names, b"2"), 1)
        row["stopped"] = server.status()["liveObjects"]
        row["stop_s"] = round(server.stop(), 2)
        server.start().wait("/readyz")
        row["checked"] = len(names[:: max(1, objects // 1000)])
        count(server, names[:: max(1, objects // 1000)], b"3")
        return row


def in_turn(options):
    with Work() as work, Durabo(f"{work}/data") as server:
        server.start(*options.durabo_limit).wait("/readyz")
        server.deploy("bench", "example_bench")
        places, sizes, refused, seconds, most = server.status()["liveObjectsMax"], [], [], [], 0
        row = {"part": "in turn", "objects": options.touched, "places": places}
        for wanted in (b"1", b"2"):
            seconds.append(0)
            for first in range(0, options.touched, 1000):
                names = (f"o-{n}" for n in range(first, min(first + 1000, options.touched)))
                seconds[-1] += count(server, names, wanted, refused)
                sizes.append(memory_kb(server.pid)["rss_kb"])
                most = max(most, server.status()["liveObjects"])
            note(f"in turn: {options.touched} objects came to {wanted.decode()} in {seconds[-1]:.0f} s")
        row |= {"made_per_s": round(options.touched / seconds[0]), "woken_per_s": round(options.touched / seconds[1]),
                "refused": len(refused), "live_most": most, "rss_kb_most": max(sizes)}
        if places and most > places:
            raise SystemExit(f"{most} objects were live, more than {places}")
        row["rss_kb_gone"] = settle(server, lambda status: status["liveObjects"] == 0)
        row["stop_s"] = round(server.stop(), 2)
        return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", type=int, default=10_000)
    parser.add_argument("--idle", type=int, default=30, help="seconds after which an object hibernates")
    parser.add_argument("--touched", type=int, default=100_000)
    parser.add_argument("--durabo-limit", action="append", default=[], help="limits that durabo is started with")
    parser.add_argument("--no-build", action="store_true", help="use what is built and installed")
    options = parser.parse_args()
    if not options.no_build:
        build(peer=False)
    rows = []
    for part in (live, in_turn):
        rows.append(part(options))
        note(json.dumps(rows[-1]))
    print(json.dumps({"command": invoked(), "machine": machine(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
