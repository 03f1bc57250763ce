#!/usr/bin/env python3
"""Measures what neighbours of hogs suffer: latencies of small calls, first alone, then beside endless SQL and loops.

  fairness.py [options] BINARY GUESTS

BINARY is `durabo`, built for release; GUESTS the folder with conformance_sql.wasm and conformance_faults.wasm.
Starts a node of its own on loopback and ends it. Calls go out at fixed moments, whether or not earlier ones
were answered, and their latency counts from that moment. Prints JSON; latencies in microseconds. Every call
must be answered correctly. The client raises its own priority where it may, so that its waits do not count.
"""
import argparse, asyncio, json, os, shutil, socket, subprocess, sys, tempfile, time

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


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
    """Latencies of the calls of one phase."""
    latencies, tasks = [], []

    async def one(number, due):
        path = f"/rpc/sql/Sql/other-{number}/run"
        body = await expect(connections[number], path, [[{"query": "SELECT a FROM t"}]])
        latencies.append((time.perf_counter() - due) * 1e6)
        if body[0]["rows"] != [[number]]:
            raise SystemExit(f"object {number} answered {body}")

    begin = time.perf_counter()
    for n in range(int(seconds * options.rate)):
        due = begin + n / options.rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(n % len(connections), due)))
    await asyncio.gather(*tasks)
    latencies.sort()
    part = lambda p: round(latencies[min(len(latencies) - 1, int(len(latencies) * p))])
    return {"calls": len(latencies), "p50": part(0.5), "p90": part(0.9), "p99": part(0.99), "max": round(latencies[-1])}


async def measure(port, options):
    connections = [Connection(port) for _ in range(options.objects)]
    for number, connection in enumerate(connections):
        steps = [{"query": "CREATE TABLE t (a)"}, {"query": f"INSERT INTO t VALUES ({number})"}]
        await expect(connection, f"/rpc/sql/Sql/other-{number}/run", [steps])
    await calls(connections, options, 1)
    result = {"alone": await calls(connections, options, options.seconds)}
    hogs = [(f"/rpc/sql/Sql/hog-{n}/run", [[{"query": ENDLESS}]]) for n in range(options.sql)]
    hogs += [(f"/rpc/faults/Faults/hog-{n}/spin", []) for n in range(options.loops)]
    hog_connections = [Connection(port) for _ in hogs]
    tasks = [asyncio.create_task(c.call(*hog)) for c, hog in zip(hog_connections, hogs)]
    await asyncio.sleep(0.5)
    result["beside_hogs"] = await calls(connections, options, options.seconds)
    result["hogs_at_the_end"] = sum(not task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    for connection in connections + hog_connections:
        connection.close()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("guests")
    parser.add_argument("--seconds", type=float, default=10, help="length of each phase; hogs are cut after 30")
    parser.add_argument("--rate", type=int, default=1000, help="calls per second")
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--sql", type=int, default=2 * os.cpu_count(), help="objects in endless SQL")
    parser.add_argument("--loops", type=int, default=2, help="objects in endless loops")
    options = parser.parse_args()
    work = tempfile.mkdtemp()
    port, control = free_port(), free_port()
    with open(os.path.join(work, "log"), "w") as log:
        node = subprocess.Popen(
            [options.binary, "serve", "--data", f"{work}/data", "--listen", f"127.0.0.1:{port}",
             "--control", f"127.0.0.1:{control}"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if node.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(open(os.path.join(work, "log")).read())
            time.sleep(0.05)
        for app in ("sql", "faults"):
            subprocess.run([options.binary, "deploy", f"{options.guests}/conformance_{app}.wasm", "--app", app,
                            "--data", f"{work}/data", "--control", f"127.0.0.1:{control}"],
                           check=True, stdout=subprocess.DEVNULL)
        try:
            os.nice(-10)
        except PermissionError:
            print("the client runs at normal priority", file=sys.stderr)
        print(json.dumps(asyncio.run(measure(port, options)), indent=1))
    finally:
        node.kill()
        node.wait()
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
