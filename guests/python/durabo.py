"""What stands between a Python class and the contract: SQL in Python's values, methods as RPC, exceptions
as failures.

`export` makes the handlers of a class; componentize-py finds them under their names in the module of the
class. A method is public unless its name starts with `_`, and may be async. Whatever a method raises reaches
the caller as a failure, and what it wrote before stays written: an error is an answer (LC-6).
"""

import inspect
import io
from dataclasses import dataclass, field

import cbor2
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import http, log as host_log, sql as host_sql, timer
from wit_world.imports.types import Failure, FailureFlags, FailureKind

ROWS_AT_ONCE = 100


class SqlError(Exception):
    """A statement failed; `name` is SQLite's, such as `SQLITE_CONSTRAINT_CHECK`."""

    def __init__(self, error: host_sql.Error):
        super().__init__(error.message)
        self.code, self.name, self.offset = error.code, error.name, error.offset


@dataclass
class Request:
    """A request with its whole body."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Response:
    """A response; a text is sent as UTF-8."""

    status: int
    body: str | bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)


def sql(query: str, *bindings) -> list[tuple]:
    """Runs a statement and returns all its rows."""
    try:
        result = host_sql.exec(query, [_to_sql(value) for value in bindings], ROWS_AT_ONCE)
        values = list(result.rows)
        if result.rest is not None:
            with result.rest as cursor:
                while more := cursor.next(ROWS_AT_ONCE):
                    values += more
    except Err as error:
        raise SqlError(error.value) from None
    width = len(result.columns)
    flat = [_of_sql(value) for value in values]
    return [tuple(flat[start : start + width]) for start in range(0, len(flat), width or 1)]


async def sleep(ms: int) -> None:
    """Returns after `ms` milliseconds. The turn ends: what was written is committed, others may run."""
    await timer.sleep(ms)


def log(message: str, **fields) -> None:
    """Writes a line of the node's log, with the object and its event."""
    host_log.write(host_log.Level.INFO, message, [(name, str(value)) for name, value in fields.items()])


def export(cls):
    """The handlers `Lifecycle`, `HttpHandler` and `RpcHandler` of a component with one class."""
    # One instance of the component is one object, so there is one of the class.
    object_of_class = None

    class Lifecycle(exports.Lifecycle):
        async def start(self, info):
            nonlocal object_of_class
            with _Failures():
                object_of_class = cls()

    class HttpHandler(exports.HttpHandler):
        async def fetch(self, request):
            with _Failures():
                body = await http.collect(request.body, 32 * 1024 * 1024)
                asked = Request(request.method, request.url, request.headers, body)
                answer = await _finish(object_of_class.fetch(asked))
                body = answer.body.encode() if isinstance(answer.body, str) else answer.body
                return http.Response(answer.status, answer.headers, http.Body_Bytes(body), None)

    class RpcHandler(exports.RpcHandler):
        async def call(self, method, args):
            function = None if method.startswith("_") else getattr(cls, method, None)
            if not inspect.isfunction(function):
                raise Err(_no_such_method(method))
            with _Failures():
                # Arguments beyond those of the method are ignored (RP-11).
                taken = len(inspect.signature(function).parameters) - 1
                values = cbor2.load(io.BytesIO(args))[:taken]
                return cbor2.dumps(await _finish(function(object_of_class, *values)))

    return Lifecycle, HttpHandler, RpcHandler


async def _finish(result):
    return await result if inspect.isawaitable(result) else result


def _to_sql(value) -> host_sql.Value:
    match value:
        case None:
            return host_sql.Value_Null()
        case int():
            return host_sql.Value_Integer(int(value))
        case float():
            return host_sql.Value_Real(value)
        case str():
            return host_sql.Value_Text(value)
        case bytes():
            return host_sql.Value_Blob(value)
    raise TypeError(f"`{type(value).__name__}` is no value of SQL")


def _of_sql(value: host_sql.Value):
    return None if isinstance(value, host_sql.Value_Null) else value.value


class _Failures:
    """Turns what is raised within it into the contract's failure."""

    def __enter__(self):
        return self

    def __exit__(self, _type, error, _traceback):
        match error:
            case SqlError():
                code = error.name.lower().replace("_", "-")
                raise Err(_failure(FailureKind.STORAGE, code, "Error", str(error))) from None
            case Err():
                return False
            case Exception():
                name = type(error).__name__
                raise Err(_failure(FailureKind.APPLICATION, "", name, str(error))) from None
        return False


def _no_such_method(method: str) -> Failure:
    text = f'The RPC receiver does not implement the method "{method}".'
    return _failure(FailureKind.NOT_FOUND, "method-not-found", "TypeError", text)


def _failure(kind: FailureKind, code: str, name: str, message: str) -> Failure:
    return Failure(kind, code, name, message, None, FailureFlags(0), None)
