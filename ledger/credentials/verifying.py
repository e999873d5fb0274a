"""Asking for credentials and judging what comes: a question is good once and for five minutes, and each credential has a verdict.

What is known of issuers comes from whoever keeps it: the same verifier works at a party and on a laptop without a network.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger.credentials import types
from ledger.credentials.vc import cose_vc, datamodel, jcs, presentation, secured
from ledger.credentials.vc.did import DidTable
from ledger.credentials.vc.presentation import Presentation
from ledger.credentials.vc.secured import Secured
from ledger.credentials.verdict import Ages, Brought, Known, Possession, Verdict, check, unreadable
from ledger.credentials.verdict.steps import NO_DOCUMENTS, Content
from protocol import base64text
from protocol.errors import Malformed, NotFound, ProtocolError, Unavailable
from protocol.policy import Policy

CHALLENGE_MS = 300_000  # so long a question may be answered
CHALLENGES_MAX = 10_000  # questions without an answer; another one is refused: whoever asks so much waits five minutes
NONCE_SIZE = 16  # bytes
NORMAL = Ages()


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A question. nonce, audience: what the answer is signed over; until_ms: when it is too late."""

    nonce: str
    audience: str
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One credential. found: None when it cannot be read."""

    found: Secured | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was shown. holder: the DID whose key signed for the very question; None when nobody did, or nobody was asked."""

    judged: tuple[Judged, ...]
    holder: str | None

    @property
    def valid(self) -> bool:
        """Whether every credential is; never without one."""
        return bool(self.judged) and all(each.verdict.valid for each in self.judged)


class Verifier:
    """known: of issuers and credentials; audience: our name, for which holders sign; pinned: DIDs of issuers that the ledger does
    not know; prepare: told of what is about to be judged, and as of which time, so that lists are there: it may block;
    policy: of the trust file, for who believes receipts that are brought along.

    Serves any number of threads.
    """

    def __init__(
        self,
        known: Known,
        *,
        audience: str,
        now_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        content: Content = types.problems,
        ages: Ages = NORMAL,
        pinned: DidTable = NO_DOCUMENTS,
        prepare: Callable[[Sequence[Secured], int | None], None] = lambda _found, _at_ms: None,
        policy: Policy | None = None,
    ) -> None:
        self._known, self._audience, self._now_ms, self._random = known, audience, now_ms, random_bytes
        self._content, self._ages, self._pinned, self._prepare = content, ages, pinned, prepare
        self._policy = policy
        self._open: dict[str, int] = {}
        self._lock = threading.Lock()

    def request(self) -> Challenge:
        """A question for one holder. Raises Unavailable: challenges_full."""
        now_ms = self._now_ms()
        nonce = base64text.encode_url(self._random(NONCE_SIZE))
        with self._lock:
            self._forget(now_ms)
            if len(self._open) >= CHALLENGES_MAX:
                raise Unavailable("challenges_full", f"{CHALLENGES_MAX} questions wait for an answer: ask again later")
            self._open[nonce] = now_ms + CHALLENGE_MS
        return Challenge(nonce=nonce, audience=self._audience, until_ms=now_ms + CHALLENGE_MS)

    def answered(self, raw: bytes, *, nonce: str) -> Answer:
        """Judge what came for a question of ours, which is spent with it, whatever it is worth. It may block.

        The holder step fails with challenge_unknown when we did not ask, asked too long ago, or were answered already.
        """
        with self._lock:
            self._forget(self._now_ms())
            ours = self._open.pop(nonce, None) is not None
        return self._judge(raw, nonce=nonce if ours else None, audience=self._audience, code="challenge_unknown")

    def shown(self, raw: bytes, *, nonce: str, audience: str) -> Answer:
        """Judge what came for a question that the caller asked, and saw to it that it is answered once. It may block."""
        return self._judge(raw, nonce=nonce, audience=audience, code="")

    def check(self, raw: bytes, *, at_ms: int | None = None, brought: Sequence[bytes] = ()) -> Answer:
        """Judge a credential, or those in a presentation, without asking who brings them. It may block.

        at_ms: as it was then; brought: transparent statements beside it, of commitments that are newer than what is known here,
        which say nothing of the past. Raises Malformed: time_future, brought_*; what else `verdict.brought.read` does.
        """
        now_ms = self._now_ms()
        if at_ms is not None and at_ms > now_ms:
            raise Malformed("time_future", "nobody knows yet how it will be")
        try:
            found = _read(raw)
        except ProtocolError as error:
            return _unreadable(error.code, now_ms if at_ms is None else at_ms)
        credentials = found.credentials if isinstance(found, Presentation) else (found,)
        known = self._known
        if brought and self._policy is not None and at_ms is None:
            known = Brought(known, brought, policy=self._policy)
        return self._verdicts(credentials, None, now_ms=now_ms, at_ms=at_ms, known=known)

    def _judge(self, raw: bytes, *, nonce: str | None, audience: str, code: str) -> Answer:
        """nonce: None: no question of ours, which is said with `code`."""
        now_ms = self._now_ms()
        try:
            found = _read(raw)
        except ProtocolError as error:
            return _unreadable(error.code, now_ms)
        if not isinstance(found, Presentation):
            return self._verdicts((found,), Possession(holder=None, code="presentation_missing"), now_ms=now_ms)
        if nonce is None:
            return self._verdicts(found.credentials, Possession(holder=None, code=code), now_ms=now_ms)
        return self._verdicts(found.credentials, _possession(found, nonce, audience, now_ms), now_ms=now_ms)

    def _verdicts(
        self,
        found: Sequence[Secured],
        possession: Possession | None,
        *,
        now_ms: int,
        at_ms: int | None = None,
        known: Known | None = None,
    ) -> Answer:
        self._prepare(found, at_ms)
        judged = tuple(
            Judged(
                found=each,
                verdict=check(
                    each,
                    known or self._known,
                    now_ms=now_ms,
                    at_ms=at_ms,
                    content=self._content,
                    possession=possession,
                    ages=self._ages,
                    pinned=self._pinned,
                ),
            )
            for each in found
        )
        return Answer(judged=judged, holder=None if possession is None else possession.holder)

    def _forget(self, now_ms: int) -> None:
        """The oldest are the first ones: all live as long."""
        for nonce, until_ms in list(self._open.items()):
            if now_ms < until_ms:
                return
            del self._open[nonce]


def _read(raw: bytes) -> Presentation | Secured:
    """What came: a presentation, or a credential alone. Raises ProtocolError."""
    if raw[:1] == b"\xd2":
        typ = cose_vc.read(raw, size_max=presentation.SIZE_MAX).typ
        return presentation.read(raw) if typ == cose_vc.VP_COSE else secured.read(raw)
    if raw[:1] == b"{" or raw[:1].isspace():
        if datamodel.PRESENTATION.encode() not in raw:
            return secured.read(raw)
        named = datamodel.types_of(jcs.parse(raw, size_max=presentation.SIZE_MAX))
        return presentation.read(raw) if datamodel.PRESENTATION in named else secured.read(raw)
    return presentation.read(raw)  # an SD-JWT is both: with a binding, or without


def _possession(found: Presentation, nonce: str, audience: str, now_ms: int) -> Possession:
    try:
        return Possession(holder=presentation.check(found, nonce=nonce, audience=audience, now_ms=now_ms))
    except (ProtocolError, NotFound) as error:
        return Possession(holder=None, code=error.code)


def _unreadable(code: str, at_ms: int) -> Answer:
    return Answer(judged=(Judged(found=None, verdict=unreadable(code, at_ms=at_ms)),), holder=None)
