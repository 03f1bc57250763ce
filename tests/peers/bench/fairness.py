#!/usr/bin/env python3
"""Measures what neighbours of hogs suffer: latencies of small calls, first alone, then beside endless SQL and loops.

  fairness.py [options]

Starts a node of its own on loopback and ends it. Calls go out at fixed moments, whether or not earlier ones
were answered, and their latency counts from that moment. Prints JSON; latencies in microseconds. Every call
must be answered correctly. The client raises its own priority where it may, so that its waits do not count.
--plot FILE draws the latencies as an SVG.
"""
import argparse, asyncio, json, os, sys, time

from plot import fairness_plot
from servers import Durabo, Work, build, invoked, machine, part

# Of an event, so that no hog is cut while it is measured.
CPU_PER_EVENT = "cpu_per_event=1h"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


class Connection:
    """One connection, one call at a time."""

    def __init__(self, port):
        self.port, self.turn = port, asyncio.Lock()
        self.reader = self.writer = None

    async def call(self, path, args):
        async with self.turn:
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            body = json.dumps(args).encode()
            head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            self.writer.write(head.encode() + body)
            answer = await self.reader.readuntil(b"\r\n\r\n")
            fields = answer.lower().split(b"\r\n")
            length = next(int(f.split(b":")[1]) for f in fields if f.startswith(b"content-length:"))
            return int(answer.split(b" ", 2)[1]), json.loads(await self.reader.readexactly(length))

    def close(self):
        if self.writer is not None:
            self.writer.close()


async def expect(connection, path, args):
    status, body = await connection.call(path, args)
    if status != 200:
        raise SystemExit(f"{path}: {status} {body}")
    return body


async def calls(connections, options, seconds):
    """The calls of one phase: when each was due, in seconds, and its latency."""
    done, tasks = [], []

    async def one(number, due):
        path = f"/rpc/sql/Sql/other-{number}/run"
        body = await expect(connections[number], path, [[{"query": "SELECT a FROM t"}]])
        done.append((due - begin, (time.perf_counter() - due) * 1e6))
        if body[0]["rows"] != [[number]]:
            raise SystemExit(f"object {number} answered {body}")

    begin = time.perf_counter()
    for n in range(int(seconds * options.rate)):
        due = begin + n / options.rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(n % len(connections), due)))
    await asyncio.gather(*tasks)
    return done


def summary(done):
    """What the table says of one phase."""
    ordered = sorted(latency for _, latency in done)
    return {"calls": len(ordered), "p50": round(part(ordered, 0.5)), "p90": round(part(ordered, 0.9)),
            "p99": round(part(ordered, 0.99)), "p999": round(part(ordered, 0.999)), "max": round(ordered[-1])}


async def measure(port, options):
    connections = [Connection(port) for _ in range(options.objects)]
    for number, connection in enumerate(connections):
        steps = [{"query": "CREATE TABLE t (a)"}, {"query": f"INSERT INTO t VALUES ({number})"}]
        await expect(connection, f"/rpc/sql/Sql/other-{number}/run", [steps])
    await calls(connections, options, 1)
    phases = {"alone": await calls(connections, options, options.seconds)}
    hogs = [(f"/rpc/sql/Sql/hog-{n}/run", [[{"query": ENDLESS}]]) for n in range(options.sql)]
    hogs += [(f"/rpc/faults/Faults/hog-{n}/spin", []) for n in range(options.loops)]
    hog_connections = [Connection(port) for _ in hogs]
    tasks = [asyncio.create_task(c.call(*hog)) for c, hog in zip(hog_connections, hogs)]
    await asyncio.sleep(0.5)
    phases["beside hogs"] = await calls(connections, options, options.seconds)
    hogs_at_the_end = sum(not task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    for connection in connections + hog_connections:
        connection.close()
    if hogs_at_the_end < len(hogs):
        raise SystemExit(f"only {hogs_at_the_end} of {len(hogs)} hogs were still at it")
    return phases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="length of each phase")
    parser.add_argument("--rate", type=int, default=1000, help="calls per second")
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--sql", type=int, default=2 * os.cpu_count(), help="objects in endless SQL")
    parser.add_argument("--loops", type=int, default=2, help="objects in endless loops")
    parser.add_argument("--plot", help="file for the plot")
    parser.add_argument("--no-build", action="store_true", help="use what is built")
    options = parser.parse_args()
    if not 0 < options.seconds <= 600:
        parser.error("--seconds must be at most 600: hogs are cut after an hour, and must be at it all the time")
    if not options.no_build:
        build(peer=False)
    with Work() as work, Durabo(f"{work}/data") as node:
        node.start(CPU_PER_EVENT).wait("/readyz")
        node.deploy("sql", "conformance_sql").deploy("faults", "conformance_faults")
        try:
            os.nice(-10)
        except PermissionError:
            print("the client runs at normal priority", file=sys.stderr)
        phases = asyncio.run(measure(node.port, options))
    if options.plot:
        with open(options.plot, "w") as file:
            file.write(fairness_plot(phases))
    rows = [{"what": name, **summary(done)} for name, done in phases.items()]
    hogs = {"sql": options.sql, "loops": options.loops}
    print(json.dumps({"tool": "fairness", "machine": machine(), "command": invoked(), "options": vars(options), "hogs": hogs, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
