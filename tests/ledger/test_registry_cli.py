"""The commands of whoever holds the registry root: admit, revoke, list parties, show and sign policies."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given
from hypothesis import strategies as st

import vigil
from ledger import policyfile
from ledger.log import fsck
from ledger.policy import GIVEN
from protocol import declarations, documents
from protocol.documents import Policy, Rule
from protocol.documents.policy import REGISTRANTS
from protocol.errors import ConfigError, ProtocolError
from tests.support import ledgers, registrants

MAKER = registrants.MAKER
NAME = MAKER.public.thumbprint.hex()
TEXTS = """
[rules."text/plain"]
roles = ["auditor", "maker"]
readers = "members"
"""


def ran(*words: str, state: Path) -> Result:
    """A command in this process."""
    return CliRunner().invoke(
        vigil.cli, ["ledger", *words, "--state", str(state)], env={"VIGIL_STATE": None, "VIGIL_CONFIG": None}
    )


def told(*words: str, state: Path) -> dict[str, object]:
    """The object that a command prints."""
    result = ran(*words, "--json", state=state)
    assert result.exit_code == 0, result.output
    value: dict[str, object] = json.loads(result.stdout)
    return value


def failed(*words: str, state: Path) -> tuple[int, str]:
    """The exit code and the code of the error."""
    result = ran(*words, "--json", state=state)
    return result.exit_code, json.loads(result.stdout)["error"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A ledger with one maker, at rest; whole in the end."""
    state = tmp_path / "ledger"
    with ledgers.checked(state) as log:
        out = tmp_path / "maker"
        admit = ["admit", "--role", "maker", "--key", MAKER.public.x.hex(), "--name", "Maker", "--out", str(out)]
        told(*admit, state=state)
        log.register(out.read_bytes())
    yield state
    fsck.check(state)


def registered(folder: Path, file: Path) -> None:
    with ledgers.checked(folder) as log:
        log.register(file.read_bytes())


def test_parties_are_listed_with_their_keys_and_what_ended(folder: Path, tmp_path: Path) -> None:
    new = registrants.key(20)
    with ledgers.checked(folder) as log:
        log.register(
            declarations.party_key(
                MAKER, new, log=ledgers.ORIGIN, party=MAKER.public.thumbprint, until_ms=ledgers.NOW_MS
            )
        )
    (party,) = told("parties", state=folder)["parties"]  # type: ignore[misc]
    assert (party["party"], party["name"], party["role"]) == (NAME, "Maker", "maker")
    assert (party["standing"], party["revoked_from"]) == ("acting", None)
    keys = {each["key"]: (each["acting"], each["until_ms"]) for each in party["keys"]}
    assert keys == {MAKER.public.x.hex(): (False, ledgers.NOW_MS), new.public.x.hex(): (True, None)}
    assert ran("parties", state=folder).stdout.split() == [NAME, "acting", "maker", "Maker"]


def test_a_log_without_parties_lists_none(tmp_path: Path) -> None:
    with ledgers.checked(tmp_path):
        pass
    assert told("parties", state=tmp_path) == {"parties": []}
    assert ran("parties", state=tmp_path).stdout == "no party is admitted yet\n"


def test_a_party_is_revoked_from_the_next_entry_on_when_nothing_else_is_said(folder: Path, tmp_path: Path) -> None:
    found = told("revoke", "--party", NAME, "--out", str(tmp_path / "out"), state=folder)
    assert (found["from"], found["key"]) == ("1.3", None)
    registered(folder, tmp_path / "out")
    (party,) = told("parties", state=folder)["parties"]  # type: ignore[misc]
    assert (party["standing"], party["revoked_from"]) == ("ended", 3)
    with ledgers.checked(folder) as log, pytest.raises(ProtocolError, match="issuer_revoked"):
        log.register(
            declarations.party_key(MAKER, registrants.key(20), log=ledgers.ORIGIN, party=bytes(32), until_ms=0)
        )


def test_one_key_is_revoked_from_an_entry_of_the_past_on(folder: Path, tmp_path: Path) -> None:
    words = ["revoke", "--party", NAME, "--key", NAME, "--from", "1.2", "--out", str(tmp_path / "out")]
    assert told(*words, state=folder)["from"] == "1.2"
    registered(folder, tmp_path / "out")
    (party,) = told("parties", state=folder)["parties"]  # type: ignore[misc]
    assert party["keys"][0]["revoked_from"] == 2 and party["revoked_from"] is None


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (["--party", "12"], 2, "thumbprint_bad"),
        (["--party", "x" * 64], 2, "thumbprint_bad"),
        (["--party", "0" * 64], 3, "party_unknown"),
        (["--party", NAME, "--key", "0 " * 32], 2, "thumbprint_bad"),
        (["--party", NAME, "--from", "5"], 2, "entry_bad"),
        (["--party", NAME, "--from", "1.-5"], 2, "entry_bad"),
        (["--party", NAME, "--from", "1.4"], 3, "entry_unknown"),
        (["--party", NAME, "--from", "2.0"], 3, "entry_unknown"),
        (["--party", NAME, "--key", "0" * 64], 2, "party_other"),
    ],
)
def test_a_revocation_that_could_not_be_registered_is_not_signed(
    folder: Path, tmp_path: Path, words: list[str], exit_code: int, code: str
) -> None:
    out = tmp_path / "out"
    assert failed("revoke", *words, "--out", str(out), state=folder) == (exit_code, code)
    assert not out.exists()


def test_the_policy_is_shown_as_a_file_that_can_be_changed_and_signed(folder: Path, tmp_path: Path) -> None:
    shown = ran("policy", state=folder).stdout
    assert shown.startswith(f"# policy 1 of {ledgers.ORIGIN}\n")
    assert tomllib.loads(shown)["rules"]["application/vigil-anchor+cbor"] == {"roles": ["gateway"], "readers": "public"}
    assert not GIVEN.keys() & tomllib.loads(shown)["rules"].keys()
    (tmp_path / "policy.toml").write_text(shown + TEXTS)
    words = ["policy", "--sign", str(tmp_path / "policy.toml"), "--out", str(tmp_path / "out")]
    assert told(*words, state=folder)["n"] == 2
    registered(folder, tmp_path / "out")
    found = told("policy", state=folder)
    assert found["n"] == 2 and found["log"] == ledgers.ORIGIN
    assert found["rules"]["text/plain"] == {"roles": ["auditor", "maker"], "readers": "members"}  # type: ignore[index]
    with ledgers.checked(folder) as log:
        assert log.register(registrants.text(MAKER)).new
    again = ran("policy", state=folder).stdout
    assert tomllib.loads(again) == tomllib.loads(shown + TEXTS)


def test_a_policy_can_be_json_and_have_a_number_of_its_own(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "policy").write_text(json.dumps({"rules": {"text/plain": {"roles": ["member"]}}}))
    words = ["policy", "--sign", str(tmp_path / "policy"), "--out", str(tmp_path / "out"), "--number", "9"]
    assert told(*words, state=folder)["n"] == 9
    registered(folder, tmp_path / "out")
    assert told("policy", state=folder)["rules"]["text/plain"]["readers"] == "public"  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "policy_file_shape"),
        ("rules = 7", "policy_file_shape"),
        ("[rules]\n[more]\n", "policy_file_shape"),
        ("n = 3\n[rules]\n", "policy_file_shape"),
        ("[rules", "policy_file_syntax"),
        ("{", "policy_file_syntax"),
        ('{"rules": {}, "rules": {}}', "policy_file_syntax"),
        ('{"rules": {"a/b": {"roles": []}, "a/b": {"roles": ["maker"]}}}', "policy_file_syntax"),
        ("{" * 100_000, "policy_file_syntax"),
        ('[rules."text/plain"]\n', "policy_file_rule"),
        ('[rules."text/plain"]\nroles = "maker"\n', "policy_file_rule"),
        ('[rules."text/plain"]\nroles = ["king"]\n', "policy_file_rule"),
        ('[rules."text/plain"]\nroles = []\nreaders = "all"\n', "policy_file_rule"),
        ('[rules."text/plain"]\nroles = []\nwriters = "all"\n', "policy_file_rule"),
        (f'[rules."{"x" * 129}"]\nroles = []\n', "policy_file_shape"),
        ("[rules]\n" + "".join(f'"text/{n}" = {{roles = []}}\n' for n in range(65)), "policy_file_shape"),
        ('[rules."application/vigil-policy+cbor"]\nroles = ["maker"]\n', "policy_file_given"),
        ('[rules."application/vigil-policy+cbor"]\nroles = ["root"]\nreaders = "members"\n', "policy_file_given"),
    ],
)
def test_a_file_that_is_no_policy_is_not_signed(folder: Path, tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "policy").write_text(text)
    out = tmp_path / "out"
    assert failed("policy", "--sign", str(tmp_path / "policy"), "--out", str(out), state=folder) == (2, code)
    assert not out.exists()


def test_a_policy_that_the_log_would_refuse_is_not_signed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "policy").write_text(TEXTS)
    words = ["policy", "--sign", str(tmp_path / "policy"), "--out", str(tmp_path / "out"), "--number", "1"]
    assert failed(*words, state=folder) == (2, "policy_old")
    assert not (tmp_path / "out").exists()


def test_what_is_revoked_is_not_revoked_again(folder: Path, tmp_path: Path) -> None:
    words = ["revoke", "--party", NAME, "--out", str(tmp_path / "out")]
    told(*words, "--from", "1.2", state=folder)
    registered(folder, tmp_path / "out")
    assert failed(*words, state=folder) == (2, "revocation_exists")


def test_signing_needs_a_place_and_a_place_needs_signing(folder: Path, tmp_path: Path) -> None:
    assert failed("policy", "--out", str(tmp_path / "out"), state=folder) == (2, "policy_out")
    assert failed("policy", "--sign", str(tmp_path / "in"), state=folder) == (2, "policy_out")
    words = ["policy", "--sign", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert failed(*words, state=folder) == (5, "file_unreadable")
    (tmp_path / "in").write_bytes(b"\xff")
    assert failed(*words, state=folder) == (2, "policy_file_syntax")


def test_where_there_is_no_ledger_nothing_is_told(tmp_path: Path) -> None:
    for words in (["parties"], ["policy"], ["revoke", "--party", NAME, "--out", str(tmp_path / "out")]):
        assert failed(*words, state=tmp_path / "nowhere") == (3, "state_missing")


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=documents.NAME_MAX).filter(lambda name: name not in GIVEN),
        st.builds(
            Rule,
            roles=st.frozensets(st.sampled_from(sorted(REGISTRANTS))),
            readers=st.sampled_from(sorted(documents.READERS)),
        ),
        max_size=4,
    )
)
@example({'a "b"\\c\n\x7f\U0001f600': Rule(roles=frozenset({"maker"}))})
def test_every_policy_comes_back_from_its_file(rules: dict[str, Rule]) -> None:
    whole = Policy(
        log="log.example", n=4, rules={**{name: Rule(roles=roles) for name, roles in GIVEN.items()}, **rules}
    )
    assert policyfile.read(policyfile.write(whole), log="log.example", n=4) == whole


def test_given_rules_may_be_written_as_they_are() -> None:
    text = '[rules."application/vigil-policy+cbor"]\nroles = ["root"]\n'
    assert policyfile.read(text, log="log.example", n=1).rules[documents.POLICY] == Rule(roles=frozenset({"root"}))
    with pytest.raises(ConfigError):
        policyfile.read(text.replace("root", "log"), log="log.example", n=1)
