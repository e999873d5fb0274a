"""The transcript that litewitness is tested with, against our witness: request by request, status by status.

Source: filippo.io/torchwood v0.6.1, cmd/litewitness/testdata/litewitness.txt (BSD-3-Clause, The Torchwood Authors).
"""

import asyncio
import contextlib
from pathlib import Path

import httpx
import pytest

from ledger.witness import app as http
from ledger.witness import witness as witnesses
from ledger.witness.metrics import Metrics
from ledger.witness.store import Store
from protocol import notes, witnessing
from protocol.errors import Malformed
from protocol.keys import PublicKey
from protocol.notes import NoteKey
from tests.support import witnesses as rig
from tests.support.witnesses import Clock

ORIGIN = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
KEY = PublicKey(bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f"))
LOG = NoteKey(name=ORIGIN, kind=notes.SIGNATURE, key=KEY)
HASHES = {number: f"Kg{letter}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" for number, letter in enumerate("AEIMQ")}
PAIR = "+fUDV+k970B4I3uKrqJM4aP1lloPZP8mvr2Z4wRw2LI="  # over the leaves 2 and 3
THIRD = "wgiIFdZfYNv6WU1OllBKsWnLYIS/DBMqt8Uh/S4OukE="  # over the leaves 0 and 1


def note(size: int, root: str, signature: str, origin: str = ORIGIN) -> str:
    return f"{origin}\n{size}\n{root}\n\n\u2014 {origin} UgIom{signature}\n"


ONE = note(1, HASHES[0], "7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=")
ROOT3 = "RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0="
SIGNED3 = "2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6g"
THREE = note(3, ROOT3, f"{SIGNED3}o=")
FIVE = note(
    5,
    "QrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY=",
    "w/EOJmWi0i1FQsOj+etB7F8IccFam/jgd6wzRns4QPVmyEZtdvl1U2KEmLOZ/ASRcWJi0tW90dJWAShei7sDww=",
)
# Two answers differ: an unknown log has been 404 since tlog-witness v1.0.0, and was 403 there; the signature that does not
# hold ends in base64 that no bytes give, so that here the note is malformed.
TRANSCRIPT = (
    ("a first checkpoint", 0, (), ONE, 200),
    ("a signature that does not hold", 1, (1, 2), note(3, ROOT3, f"{SIGNED3}x="), 400),
    ("an unknown log", 1, (1, 2), THREE.replace("9e562", "9e563"), 404),
    ("no proof", 1, (), THREE, 422),
    ("a wrong proof", 1, (1, "KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABBA="), THREE, 422),
    ("a proof", 1, (1, 2), THREE, 200),
    ("an old size that has passed", 1, (1, PAIR, 4), FIVE, 409),
    ("a proof from the size that it named", 3, (2, 3, THIRD, 4), FIVE, 200),
    ("nothing again", 0, (), FIVE, 409),
)


def body(old: int, proof: tuple[int | str, ...], whole: str) -> bytes:
    hashes = [HASHES[each] if isinstance(each, int) else each for each in proof]
    return "\n".join([f"old {old}", *hashes, "", whole]).encode()


def test_each_request_has_the_status_that_it_has_there(tmp_path: Path) -> None:
    witnesses.make(tmp_path, name=rig.NAME)
    with contextlib.closing(Store.open(tmp_path)) as store:
        store.add_log(LOG, url="", path=witnessing.checkpoint_path(ORIGIN))
    clock = Clock()

    async def talk() -> list[httpx.Response]:
        with rig.opened(tmp_path, clock) as witness:
            app = http.app(witness, Metrics(), rate_per_s=1000.0, monotonic_s=clock)
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://witness.example") as web:
                return [
                    await web.post("/add-checkpoint", content=body(old, proof, whole))
                    for _, old, proof, whole, _ in TRANSCRIPT
                ]

    answers = asyncio.run(talk())
    for (what, *_, whole, status), answer in zip(TRANSCRIPT, answers, strict=True):
        assert answer.status_code == status, what
        if status == 200:
            key = witnesses.key_of(tmp_path)
            signed = notes.verify(notes.parse(whole + answer.text), [LOG, key])
            assert [each for each, _ in signed] == [LOG, key]
    assert [answer.text for answer in answers if answer.status_code == 409] == ["3\n", "5\n"]


def test_each_request_that_is_one_reads_and_writes_back() -> None:
    for what, old, proof, whole, status in TRANSCRIPT:
        sent = body(old, proof, whole)
        if status == 400:
            with pytest.raises(Malformed):
                witnessing.Request.parse(sent)
        else:
            assert witnessing.Request.parse(sent).body() == sent, what
