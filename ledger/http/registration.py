"""Registering over HTTP: one statement, many in one request, and those whose clients do not wait. SCRAPI, RFC 7240.

One statement is answered by this module alone, without the router's request and response: that is most of what a busy
ledger does. What is registered depends on bodies only, never on a field of a request.
"""

import asyncio
import time
from collections.abc import Awaitable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ledger.http import bodies, problems
from ledger.http.operations import Operations
from ledger.http.problems import RETRY_AFTER_S, Unwanted
from ledger.http.source import Source
from ledger.log.registering import Registered
from ledger.metrics import Metrics
from protocol import cbor, statement
from protocol.errors import Malformed, Unavailable, VigilError

COSE, CBOR = "application/cose", "application/cbor"
STATEMENT_TYPES = frozenset({COSE, "application/scitt-statement+cose"})
ANSWER_WITHIN_S = 5.0  # a statement that is not in the log by then is answered 303 and goes on
BATCH_WITHIN_S = 30.0  # a batch that is not in the log by then is answered 503 and goes on: sent again, it is found
BATCH_MAX = 256  # statements in one request; more are refused as a whole
BATCH_SIZE_MAX = 4 * 1024 * 1024  # bytes of one request, likewise
BATCHES_MAX = (
    16  # requests that are read or under way at once, for their memory; who comes beyond is asked to come back
)

_COSE = (b"content-type", COSE.encode())
_ARRAY, _BYTES = 0x80, 0x40  # what their first byte begins with in CBOR


class Registration:
    """The handlers. `operations`: statements that are being registered and whose clients ask later.

    answer_within_s: how long a client waits for its receipt, at most; with 0 all of them ask later.
    """

    def __init__(self, source: Source, metrics: Metrics, *, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._source, self._metrics, self._answer_within_s = source, metrics, answer_within_s
        self._seconds = metrics.request_seconds.labels("register")
        self._batches = 0
        self.operations = Operations(first=time.time_ns() // 1000)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /entries: 201 with the receipt of a new statement, 200 of one that was there, 303 while it runs."""
        began_s = time.perf_counter()
        try:
            status, headers, body = await self._register(scope, receive)
        except ClientDisconnect:
            return
        except VigilError as error:
            answer = problems.problem(problems.verdict_of(error), error.code, error.detail)
            await answer(scope, receive, send)
            return
        finally:
            self._seconds.observe(time.perf_counter() - began_s)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _register(self, scope: Scope, receive: Receive) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        try:
            bodies.check_media(scope, STATEMENT_TYPES, f"send a signed statement as {COSE}")
            raw = await bodies.read(scope, receive, size_max=statement.SIZE_MAX, code="statement_size")
            self.operations.check_room()
        except VigilError as error:
            self._metrics.refused(error.code)
            raise
        patience_s = patience(bodies.field(scope, b"prefer"), self._answer_within_s)
        running = asyncio.ensure_future(self._counted(self._source.intake.register(raw)))
        if patience_s > 0:
            await asyncio.wait((running,), timeout=patience_s)
        if not running.done():
            name = self.operations.add(running)
            headers = [(b"location", f"/entries/{name}".encode()), (b"retry-after", b"%d" % RETRY_AFTER_S)]
            if patience_s < self._answer_within_s:
                headers.append((b"preference-applied", b"respond-async"))
            return 303, headers, b""
        found = running.result()
        location = (b"location", f"/entries/{found.entry_id}".encode())
        return (201 if found.new else 200), [_COSE, location], found.receipt

    async def _counted(self, running: Awaitable[Registered]) -> Registered:
        try:
            found = await running
        except VigilError as error:
            self._metrics.refused(error.code)
            raise
        if found.new:
            self._metrics.entries.inc()
        return found

    async def batch(self, request: Request) -> Response:
        """POST /batches: a verdict for each statement of a CBOR array, in its order. Raises Unwanted, Malformed, Unavailable."""
        bodies.check_media(request.scope, (CBOR,), f"send an array of signed statements as {CBOR}")
        if self._batches >= BATCHES_MAX:
            raise Unavailable("too_many", "too many batches are being registered: come back")
        self._batches += 1
        released = False
        try:
            body = await bodies.read(request.scope, request.receive, size_max=BATCH_SIZE_MAX, code="batch_size")
            raws = statements_of(body)
            running = asyncio.ensure_future(self._judged(raws))
            running.add_done_callback(self._release)  # who gives up waiting leaves its batch in memory until it is done
            released = True
            done, _ = await asyncio.wait((running,), timeout=BATCH_WITHIN_S)
        finally:
            self._batches -= not released
        if not done:
            raise Unavailable("batch_slow", "the batch is still being registered: send it again later, and it is found")
        verdicts = running.result()
        return Response(cbor.encode_text(verdicts), media_type=CBOR)

    def _release(self, running: "asyncio.Future[list[dict[str, object]]]") -> None:
        self._batches -= 1
        if not running.cancelled():
            running.exception()  # looked at, though its client may be gone

    async def _judged(self, raws: list[bytes]) -> list[dict[str, object]]:
        """Each statement's verdict. Raises Unavailable, when none could be judged."""
        fit = [raw for raw in raws if len(raw) <= statement.SIZE_MAX]
        found = iter(await self._source.intake.register_many(fit) if fit else ())
        return [self._verdict(next(found) if len(raw) <= statement.SIZE_MAX else _too_long()) for raw in raws]

    def _verdict(self, found: Registered | VigilError) -> dict[str, object]:
        if isinstance(found, VigilError):
            self._metrics.refused(found.code)
            status = problems.verdict_of(found)
            return {"status": status, "problem": problems.facts(status, found.code, found.detail)}
        if found.new:
            self._metrics.entries.inc()
        return {"status": 201 if found.new else 200, "entry": found.entry_id, "receipt": found.receipt}


def statements_of(body: bytes) -> list[bytes]:
    """The statements of a batch, not looked at. Raises Malformed: cbor_invalid, cbor_not_deterministic, batch_shape.

    Nothing is made of a body of another shape: four mebibytes of empty maps, decoded, would hold up everybody for seconds.
    """
    count, at = _counted(body, 0, _ARRAY)
    if not 0 < count <= BATCH_MAX:
        raise Malformed("batch_shape", f"a batch is an array of 1 to {BATCH_MAX} statements")
    raws: list[bytes] = []
    for _ in range(count):
        size, at = _counted(body, at, _BYTES)
        raws.append(body[at : at + size])
        at += size
    if at > len(body):
        raise Malformed("cbor_invalid", "cut short")
    if cbor.encode(raws) != body:
        raise Malformed("cbor_not_deterministic", "not the one encoding of RFC 8949 section 4.2.1")
    return raws


def _counted(body: bytes, at: int, kind: int) -> tuple[int, int]:
    """(count, end) of the head of an array or a byte string at `at`; one that is cut short ends behind the body."""
    if at >= len(body):
        raise Malformed("cbor_invalid", "cut short")
    if body[at] & 0xE0 != kind:
        raise Malformed("batch_shape", "a batch is an array of statements, each a byte string")
    count, end = body[at] & 0x1F, at + 1
    if count < 24:
        return count, end
    if count > 27:
        raise Malformed("cbor_invalid", "a length that is not definite")
    size = 1 << (count - 24)
    return int.from_bytes(body[end : end + size], "big"), end + size


def patience(preference: str, answer_within_s: float = ANSWER_WITHIN_S) -> float:
    """For how many seconds a client wants to wait, by its field `Prefer`: never longer than we do. Source: RFC 7240 §4.

    What cannot be read is no preference.
    """
    if not preference:
        return answer_within_s
    said = {part.strip().lower() for part in preference.replace(";", ",").split(",")}
    if "respond-async" not in said:
        return answer_within_s
    for word in said:
        name, _, value = word.partition("=")
        if name.strip() == "wait" and value.strip().isascii() and value.strip().isdecimal():
            return min(float(value.strip()[:9]), answer_within_s)
    return 0.0


def _too_long() -> Unwanted:
    return Unwanted("statement_size", f"a statement has at most {statement.SIZE_MAX} bytes")
