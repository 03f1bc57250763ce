#!/usr/bin/env python3
"""Measures what grows with a node: objects on disk, live objects, and the change log.

  scaling.py [--full] [--minutes M] [--max OBJECTS] [--disk-free GIB] [--parts disk,live,log]
             [--durabo-limit NAME=VALUE] [--no-build]

Objects on disk: 1,000, 10,000 and 100,000 (--full: and 1,000,000, bounded by --max) are made over many
connections, within --make-seconds; at each size the node is stopped and started, and killed and started. Live objects: memory of
1,000 and 10,000 objects touched within the idle time, with and without an open database. Log: after 0.1
and 1 GiB (--full: and 10) of it, and after small commits of many objects, the node is killed under load and
started again; what was acknowledged must be there. A size that the disk has no room for is left out, with
the reason, and so is what does not fit into --minutes: each part has a share of them. Prints JSON.
"""
import argparse, json, os, random, shutil, time

from servers import Durabo, Work, build, bytes_each, invoked, load, machine, memory_kb, note, part, request

GIB = 2**30
VALUE_BYTES = 500_000
# Shares of the time.
SHARES = {"disk": 0.5, "live": 0.2, "log": 0.3}
# Seconds that what follows the making of objects, or of a log, takes at most on a machine that is not busy.
REST_SECONDS = 30
NO_TIME = "no time left; see --minutes"
# Mappings that a node counts on for a live object.
MAPPINGS_PER_OBJECT = 10


class Wrong(SystemExit):
    """A server answered something that cannot be."""


def numbered(server, workload, names):
    return ((name, request(server.path(workload, name))) for name in names)


def counts_at_least(least):
    def check(key, body):
        if int(body) < least:
            raise Wrong(f"{key} answered {body!r}, not at least {least}")
    return check


def used_bytes(data):
    """Bytes that the disk holds for a data folder."""
    return sum(entry.stat(follow_symlinks=False).st_blocks * 512
               for folder, _, files in os.walk(data) for entry in os.scandir(folder) if entry.name in files)


def first_call_us(server, count, calls):
    """First calls of random cold objects, one after another: p50 and p99."""
    names = [f"o-{n}" for n in random.sample(range(count), min(calls, count // 4))]
    latencies = load(server.port, numbered(server, "peek", names), 1, counts_at_least(1))
    return {"first_call_p50_us": round(part(latencies, 0.5)), "first_call_p99_us": round(part(latencies, 0.99))}


def commits_per_s(server, count, options):
    """Durable increments of a hundred of the objects."""
    names = [f"o-{n}" for n in random.sample(range(count), 100)]
    load(server.port, numbered(server, "counter", names), 64, counts_at_least(2))
    endless = (random.choice(names) for _ in iter(int, 1))
    begin = time.perf_counter()
    done = load(server.port, numbered(server, "counter", endless), 64, counts_at_least(3), options.seconds)
    return {"commits_per_s": round(len(done) / (time.perf_counter() - begin)), "commit_p50_us": round(part(done, 0.5)),
            "commit_p99_us": round(part(done, 0.99))}


def time_left(options):
    """Seconds that the part has left for making what it measures."""
    return options.end - time.monotonic() - REST_SECONDS


def room(data, more, per_object, options):
    """Why the disk has no room for so many more objects; None if it has."""
    free = shutil.disk_usage(data).free
    needed = more * per_object + options.disk_free * GIB
    if free < needed:
        return f"{free / GIB:.1f} GiB free, {needed / GIB:.1f} needed, of it {options.disk_free} to be left"


def on_disk(options):
    made, per_object = 0, 32 * 1024
    with Work() as work, Durabo(f"{work}/data") as server:
        server.start().wait("/readyz")
        server.deploy("bench", "example_bench")
        for size in [n for n in options.sizes if n <= options.max]:
            seconds = min(options.make_seconds, time_left(options))
            reason = room(work, size - made, per_object, options) or (seconds <= 0 and NO_TIME)
            if reason:
                yield {"part": "disk", "objects": size, "skipped": reason}
                return
            begin, refused = time.perf_counter(), []
            names = (f"o-{n}" for n in range(made, size))
            done = load(server.port, numbered(server, "create", names), 64, counts_at_least(1), seconds, refused)
            wanted, size = size, made + len(done)
            row = {"part": "disk", "objects": size, "wanted": wanted, "made_per_s": round(len(done) / (time.perf_counter() - begin)),
                   "refused": len(refused),
                   "rss_kb_after_making": memory_kb(server.pid)["rss_kb"]}
            made = size
            row["stop_s"] = round(server.stop(), 2)
            per_object = used_bytes(f"{server.data}/objects") / size
            row["disk_bytes_per_object"] = round(per_object)
            row["start_ms"] = round(server.start().wait("/readyz"), 1)
            row["rss_kb_after_start"] = memory_kb(server.pid)["rss_kb"]
            row |= first_call_us(server, size, options.calls)
            row |= commits_per_s(server, size, options)
            row["rss_kb_after_load"] = memory_kb(server.pid)["rss_kb"]
            row["log_bytes_read"] = server.status()["log"]["recoveryBytes"]
            server.kill()
            row["start_after_kill_ms"] = round(server.start().wait("/readyz"), 1)
            yield row
            if size < wanted:
                yield {"part": "disk", "objects": wanted, "skipped": f"only {size:,} were made, the last of them in {seconds:.0f} s"}
                return


def live(options):
    for what, workload, check in (("without database", "noop", None), ("with database", "counter", counts_at_least(1))):
        for size in [n for n in options.live if n <= options.max]:
            if time_left(options) <= 0:
                yield {"part": "live", "what": what, "touched": size, "skipped": NO_TIME}
                continue
            with Work() as work, Durabo(f"{work}/data") as server:
                server.start(*options.durabo_limit).wait("/readyz")
                server.deploy("bench", "example_bench")
                load(server.port, numbered(server, workload, (f"warm-{n}" for n in range(100))), 64, check)
                before, begin = memory_kb(server.pid), time.perf_counter()
                status = server.status()
                live_before = status["liveObjects"]
                # Those that fit first, since memory by object can be told only while none has left; then the rest.
                fitting = min(size, (status["liveObjectsMax"] or 2 * size) - live_before)
                load(server.port, numbered(server, workload, (f"o-{n}" for n in range(fitting))), 64, check)
                seconds = time.perf_counter() - begin
                status, after, refused = server.status(), memory_kb(server.pid), []
                further = status["liveObjects"] - live_before
                rest = (f"o-{n}" for n in range(fitting, size))
                load(server.port, numbered(server, workload, rest), 64, check, refused=refused)
                row = {"part": "live", "what": what, "touched": size, "live": status["liveObjects"],
                       "live_max": status["liveObjectsMax"], "touch_s": round(seconds, 1), "refused": len(refused),
                       "rss_per_object": bytes_each(after["rss_kb"] - before["rss_kb"], further),
                       "anon_per_object": bytes_each(after["anon_kb"] - before["anon_kb"], further),
                       "rss_kb": memory_kb(server.pid)["rss_kb"]}
                # They leave when they were idle for ten seconds; a node that is slow to let them go gets a minute.
                end = time.monotonic() + 60
                while server.status()["liveObjects"] and time.monotonic() < end:
                    time.sleep(0.5)
                row |= {"live_after_idle": server.status()["liveObjects"], "rss_kb_after_idle": memory_kb(server.pid)["rss_kb"]}
                yield row


def sql(server, name, *queries):
    """Runs statements in an object of the conformance guest; the rows of the last."""
    status, text = server.ask("POST", f"/rpc/sql/Sql/{name}/run", json.dumps([[{"query": query} for query in queries]]))
    if status != 200:
        raise Wrong(f"{name}: {status} {text}")
    answer = json.loads(text)[-1]
    if "rows" not in answer:
        raise Wrong(f"{name}: {answer}")
    return answer["rows"]


def large_commits(server, gib, options):
    """Commits of half a megabyte that do not compress, until the log has grown so far; what each object counted."""
    names = [f"log-{n}" for n in range(8)]
    for name in names:
        sql(server, name, "CREATE TABLE t (n INTEGER, b BLOB)", f"INSERT INTO t VALUES (0, randomblob({VALUE_BYTES}))")
    counted = dict.fromkeys(names, 0)

    def check(name, _):
        counted[name] += 1

    update = [[{"query": f"UPDATE t SET n = n + 1, b = randomblob({VALUE_BYTES})"}]]
    requests = [(name, request(f"/rpc/sql/Sql/{name}/run", "POST", update)) for name in names]
    while (missing := gib * GIB - server.status()["log"]["durablePosition"]) > 0 and (seconds := time_left(options)) > 0:
        load(server.port, (requests[n % 8] for n in range(max(8, int(missing / VALUE_BYTES)))), 8, check, seconds)
    return counted, lambda name: sql(server, name, "SELECT n FROM t")[0][0]


def small_commits(server, _, options):
    """Increments of a thousand objects for some seconds; what each counted."""
    names = [f"o-{n}" for n in range(1000)]
    counted = dict.fromkeys(names, 0)

    def check(name, body):
        counted[name] = max(counted[name], int(body))

    load(server.port, numbered(server, "counter", (random.choice(names) for _ in iter(int, 1))), 64, check,
         options.seconds * 5)
    return counted, lambda name: int(server.ask("GET", server.path("peek", name))[1])


def log(options):
    plan = [("small commits", small_commits, None)] + [("large commits", large_commits, gib) for gib in options.gibs]
    for what, fill, gib in plan:
        with Work() as work, Durabo(f"{work}/data") as server:
            server.start().wait("/readyz")
            server.deploy("bench", "example_bench").deploy("sql", "conformance_sql")
            if reason := room(work, 0, 0, options) or (time_left(options) <= 0 and NO_TIME):
                yield {"part": "log", "what": what, "gib": gib, "skipped": reason}
                continue
            counted, now = fill(server, gib, options)
            status = server.status()["log"]
            server.kill()
            row = {"part": "log", "what": what, "gib": gib, "log_bytes": status["durablePosition"], "commits": status["commits"],
                   "syncs": status["syncs"], "log_bytes_read": status["recoveryBytes"],
                   "start_after_kill_ms": round(server.start().wait("/readyz"), 1),
                   "rss_kb_after_start": memory_kb(server.pid)["rss_kb"]}
            for name, least in counted.items():
                if (found := now(name)) < least:
                    raise Wrong(f"{name} counts {found}, {least} were acknowledged before the kill")
            row["disk_bytes"] = used_bytes(server.data)
            yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="1,000,000 objects and 10 GiB of log as well")
    parser.add_argument("--minutes", type=float, default=15, help="time for all of it, building apart")
    parser.add_argument("--max", type=int, default=1_000_000, help="most objects")
    parser.add_argument("--sizes", type=lambda s: [int(x) for x in s.split(",")], help="objects on disk, growing")
    parser.add_argument("--live", type=lambda s: [int(x) for x in s.split(",")], default=[1_000, 10_000], help="live objects")
    parser.add_argument("--gibs", type=lambda s: [float(x) for x in s.split(",")], help="sizes of the log")
    parser.add_argument("--disk-free", type=float, default=5, help="GiB that must stay free")
    parser.add_argument("--parts", type=lambda s: s.split(","), default=["disk", "live", "log"])
    parser.add_argument("--calls", type=int, default=400, help="first calls that are measured at each size")
    parser.add_argument("--make-seconds", type=float, help="longest time to make the objects of a size (240; --full: what there is)")
    parser.add_argument("--seconds", type=float, default=3, help="length of a measurement of commits")
    parser.add_argument("--durabo-limit", action="append", default=[],
                        help="limits for the node of the live objects, such as live_objects_max=10200")
    parser.add_argument("--no-build", action="store_true", help="use what is built")
    options = parser.parse_args()
    options.sizes = options.sizes or [1_000, 10_000, 100_000] + [1_000_000] * options.full
    options.make_seconds = options.make_seconds or (60 * options.minutes if options.full else 240)
    options.gibs = options.gibs or [0.1, 1] + [10] * options.full
    if not options.no_build:
        build(peer=False)
    mappings = machine()["max_map_count"]
    if "live" in options.parts and mappings < (needed := MAPPINGS_PER_OBJECT * max(options.live)):
        note(f"vm.max_map_count is {mappings}, so that {mappings // MAPPINGS_PER_OBJECT} objects can live at once; for all of "
             f"them: sysctl -w vm.max_map_count={2 * needed}")
    rows, spare, shares = [], [], sum(SHARES[name] for name in options.parts)
    for name in options.parts:
        # What a part leaves of its time goes to those after it.
        options.end = time.monotonic() + 60 * options.minutes * SHARES[name] / shares + max(0, sum(spare[-1:]))
        for row in {"disk": on_disk, "live": live, "log": log}[name](options):
            note(json.dumps(row))
            rows.append(row)
        spare.append(options.end - time.monotonic())
    del options.end
    print(json.dumps({"tool": "scaling", "machine": machine(), "command": invoked(), "options": vars(options), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
