"""A physician's hiring file of twelve credentials, issued, logged and judged for real."""

import contextlib
import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from ledger.credentials import types
from ledger.credentials.hiring.exclusions import Person
from ledger.credentials.hiring.posts import PRESCRIBER, SIGN, usual
from ledger.credentials.hiring.service import Hiring
from ledger.credentials.hiring.store import Store
from ledger.credentials.issuing import Issuer
from ledger.credentials.vc import secured
from ledger.credentials.verdict import Possession, check
from ledger.credentials.verifying import Answer, Judged, Verifier
from ledger.questions import MayAct
from tests.credentials.test_types import DRAFTS
from tests.support.vouching import HOLDER, World

SOURCED = ("StateLicence", "BoardCertification", "DEARegistration")
PLAIN = ("Degree", "Privilege", "ImmunisationRecord", "ComplianceRecord", "EmploymentRecord")


@dataclass
class Ward:
    """An institution that vouches for everything, and another one that hires."""

    world: World
    issuer: Issuer
    hiring: Hiring
    issued: dict[str, bytes] = field(default_factory=dict)
    raws: list[bytes] = field(default_factory=list)
    news: list[str] = field(default_factory=list)

    def issue(self, kind: str, **said: str) -> None:
        """A credential of the physician, of today."""
        day = datetime.datetime.fromtimestamp(self.world.now_ms // 1000, datetime.UTC).date().isoformat()
        fields = {**DRAFTS[kind], **said}
        fields |= {name: day for name in ("conferredAt", "checkedAt") if name in fields}
        made = self.issuer.issue(types.draft(kind, fields), holder=HOLDER.public)
        self.issued[kind] = made.id
        self.raws.append(made.raw)

    def follow(self, *issuers: Issuer) -> None:
        """The lists come out, and the other institution reads the ledger, and the lists of these."""
        self.issuer.publish()
        self.world.follow(*issuers)
        self.news.append("read")

    def shown(self) -> Answer:
        """What the physician shows, all at once."""
        found = [secured.read(raw) for raw in self.raws]
        possession = Possession(holder=found[0].subject)
        judged = [
            Judged(
                found=each,
                verdict=check(
                    each,
                    self.world.facts,
                    now_ms=self.world.now_ms,
                    content=types.problems,
                    possession=possession,
                ),
            )
            for each in found
        ]
        return Answer(judged=tuple(judged), holder=found[0].subject)

    def may(self, capability: str) -> tuple[bool, str]:
        """What the physician may."""
        holder = secured.read(self.raws[0]).subject
        assert holder is not None
        answer = self.hiring.may(MayAct(holder=holder, capability=capability))
        return answer.allowed, answer.code


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    world, news = World(tmp_path), list[str]()
    with world.issuer("board", *types.CATALOGUE, where="*") as issuer:
        verifier = Verifier(world.facts, audience="ward", now_ms=lambda: world.now_ms, random_bytes=Random(1).randbytes)
        with contextlib.closing(Store.open(tmp_path)) as store:
            hiring = Hiring(
                store,
                verifier,
                world.facts,
                mark=lambda: f"{len(news)}",
                now_ms=lambda: world.now_ms,
                random_bytes=Random(2).randbytes,
            )
            found = Ward(world, issuer, hiring, news=news)
            found.issue("StateLicence", licenceType="Physician")
            for kind in ("BoardCertification", "DEARegistration", *PLAIN):
                found.issue(kind)
            found.issue("Training", programme="Advanced life support")
            for kind in SOURCED:
                found.issue("PrimarySourceVerification", claim=kind)
            found.follow(issuer)
            yield found


def test_twelve_credentials_make_a_physician_until_one_of_them_is_suspended(ward: Ward) -> None:
    file = ward.hiring.open(usual("US-CA")["physician"], Person(given="Ada", family="Lovelace"), by="hr")
    taken = ward.hiring.receive(file, ward.shown(), by="hr")
    assert [each.code for each in taken] == ["taken"] * 12
    assert ward.hiring.verify(file, by="hr").causes == ()
    assert ward.hiring.hire(file, by="hr").causes == ()
    assert ward.may(PRESCRIBER) == ward.may(SIGN) == (True, "allowed")
    ward.issuer.change(ward.issued["DEARegistration"], "suspend", reason="audit")
    ward.follow()
    assert ward.may(PRESCRIBER) == (False, "status_stale"), "the log has a newer list than is held"
    ward.follow(ward.issuer)
    assert ward.may(PRESCRIBER) == (False, "suspended")
    assert ward.hiring.row(file).file.state == "suspended"


def test_what_the_ledger_does_not_have_yet_fills_no_need(ward: Ward) -> None:
    ward.raws.clear()
    ward.issue("StateLicence", licenceType="Physician")
    file = ward.hiring.open(usual("US-CA")["physician"], Person(given="Ada", family="Lovelace"), by="hr")
    ward.hiring.receive(file, ward.shown(), by="hr")
    (gap,) = [each for each in ward.hiring.review(file).gaps if each.need.name == "licence"]
    assert gap.code == "not_logged"
    ward.follow(ward.issuer)
    ward.hiring.round()
    (gap,) = [each for each in ward.hiring.review(file).gaps if each.need.name == "licence"]
    assert gap.code == "source_not_asked"
