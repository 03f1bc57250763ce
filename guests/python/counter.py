"""A number that survives everything: a class of durabo in Python.

`increment`, `add`, `get`, `wait_for` and `waiting` over RPC, the number as text over HTTP.
"""

from durabo import Request, Response, export, log, sleep, sql


class Counter:
    """A counter that never goes below zero."""

    def __init__(self):
        self.waits = 0
        sql(
            "CREATE TABLE IF NOT EXISTS counter "
            "(id INTEGER PRIMARY KEY CHECK (id = 1), n INTEGER NOT NULL CHECK (n >= 0))"
        )
        sql("INSERT OR IGNORE INTO counter (id, n) VALUES (1, 0)")

    def increment(self):
        """Adds one and returns the new count."""
        return self.add(1)

    def add(self, by):
        """Adds `by` and returns the new count. The database refuses to go below zero."""
        if not isinstance(by, int) or isinstance(by, bool):
            raise TypeError(f"`add` takes an integer, not `{by!r}`")
        [(n,)] = sql("UPDATE counter SET n = n + ? RETURNING n", by)
        log(f"counted to {n}")
        return n

    def get(self):
        """Returns the count."""
        [(n,)] = sql("SELECT n FROM counter")
        return n

    async def wait_for(self, count, ms):
        """Waits `ms` milliseconds at most until the count is reached; says whether it was.

        Others may call the object meanwhile, since this method is async: whoever counts ends the wait.
        """
        self.waits += 1
        try:
            for _ in range(0, ms, 10):
                if self.get() >= count:
                    break
                await sleep(10)
        finally:
            self.waits -= 1
        return self.get() >= count

    def waiting(self):
        """Returns how many calls wait."""
        return self.waits

    def fetch(self, request: Request) -> Response:
        """Answers with the count."""
        if request.method != "GET":
            return Response(405, headers=[("allow", "GET")])
        return Response(200, f"{self.get()}\n")


Lifecycle, HttpHandler, RpcHandler = export(Counter)
