"""An issuer and a holder at their command lines."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import vigil
from ledger.credentials.vc import secured
from ledger.party import node
from tests.support import staffing

WORDS = (
    "--field givenName=Ada --field familyName=Byron --field jurisdiction=US-CA --field licenceNumber=RN-123456".split()
)
LICENCE = ["--type", "StateLicence", *WORDS, "--field", "licenceType=Registered nurse"]
Run = Callable[..., Awaitable[dict[str, Any]]]


def ran(*words: str, code: int = 0) -> dict[str, Any]:
    """What a command says with --json."""
    result = CliRunner(env={"VIGIL_CONFIG": ""}).invoke(vigil.cli, ["credentials", *words, "--json"])
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_an_issuer_is_made_once_and_says_how_it_is_accredited(tmp_path: Path) -> None:
    with node.opened(tmp_path / "party"):
        pass
    made = ran("issuer", "init", "--state", str(tmp_path / "party"))
    assert (
        made["did"].startswith("did:key:z6Mk") and made["did"] in made["accredit"] and made["party"] in made["accredit"]
    )
    assert ran("issuer", "init", "--state", str(tmp_path / "party")) == made


def test_a_credential_is_issued_kept_suspended_and_revoked(tmp_path: Path) -> None:
    purse = ["--wallet", str(tmp_path / "wallet")]
    holder = ran("wallet", "init", *purse)["did"]
    file = tmp_path / "licence.json"

    async def run() -> None:
        async with staffing.world(tmp_path) as world, world.party("board", accredited=["StateLicence"]) as party:
            where = ["--state", str(tmp_path / "board"), "--party", party.url]

            async def at_issuer(*words: str, code: int = 0) -> dict[str, Any]:
                return await asyncio.to_thread(ran, "issuer", words[0], *where, *words[1:], code=code)

            made = await at_issuer("issue", *LICENCE, "--holder", holder, "--out", str(file))
            assert made["state"] == "valid"
            assert (await at_issuer("issue", *LICENCE[:-2], "--holder", holder, code=1))["error"] == "field_missing"
            assert (await at_issuer("suspend", made["id"], "--reason", "audit"))["state"] == "suspended"
            assert (await at_issuer("reinstate", made["id"], "--reason", "over"))["state"] == "valid"
            new = await at_issuer("refresh", made["id"], "--days", "10")
            assert (await at_issuer("revoke", new["id"], "--reason", "fraud"))["state"] == "revoked"
            every = await at_issuer("list")
            assert {one["state"] for one in every["issued"]} == {"revoked"} and len(every["issued"]) == 2
            assert (await at_issuer("publish", "--again"))["published"] == 2
            assert (await at_issuer("rotate", code=1))["error"] == "did_key"
            assert (await at_issuer("compromised", "--since", "1.4"))["method"]
            assert (await at_issuer("compromised", "--since", "lately", code=2))["error"] == "since_bad"

    asyncio.run(run())
    assert secured.read(file.read_bytes()).subject == holder
    assert ran("wallet", "receive", str(file), *purse)["type"] == "StateLicence"
    assert [one["type"] for one in ran("wallet", "show", *purse)["credentials"]] == ["StateLicence"]
    shown = tmp_path / "shown"
    ran(
        "wallet",
        "present",
        *purse,
        "--credential",
        "0",
        "--nonce",
        "n" * 16,
        "--audience",
        "clinic",
        "--out",
        str(shown),
    )
    assert json.loads(shown.read_text())["type"] == ["VerifiablePresentation"]
    assert ran("wallet", "history", *purse) == {"history": []}
    assert ran("wallet", "present", *purse, code=2)["error"] == "present_what"


def test_a_party_that_does_not_answer_is_said_to_be_away(tmp_path: Path) -> None:
    with node.opened(tmp_path):
        pass
    words = ["--state", str(tmp_path), "--party", "http://127.0.0.1:9"]
    assert ran("issuer", "list", *words, code=5)["error"] == "peer_unreachable"


@pytest.mark.parametrize("field", ["givenName", "a=b"])
def test_a_field_has_a_name_and_a_value_and_stands_once(tmp_path: Path, field: str) -> None:
    words = ["--type", "StateLicence", "--holder", "x", "--field", field, "--field", "a=c", "--state", str(tmp_path)]
    assert ran("issuer", "issue", *words, code=2)["error"] == "field_bad"
