"""What is read of one entry over HTTP: its receipt, its statement for who may read it, its proof; and keys."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ledger import contracts, signing
from ledger.http import app as http
from ledger.log import custody
from ledger.log.engine import Engine
from ledger.metrics import Metrics
from protocol import cbor, documents, merkle, notes, policy, receipt, statement, tlog_proof
from protocol.documents import ISSUER, MEMBERS
from protocol.errors import Unavailable
from protocol.keys import SigningKey
from protocol.notes import Checkpoint
from tests.support import ledgers
from tests.support.policies import read_by, signed
from tests.support.web import Web, problem

OTHER = SigningKey.from_seed(bytes([5]) * 32)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with ledgers.checked(tmp_path) as found:
        yield found


@pytest.fixture
def web(engine: Engine) -> Web:
    return Web(http.app(engine, Metrics(contracts.CODES)))


@pytest.fixture
def admitted(web: Web, tmp_path: Path) -> bytes:
    """A gateway's admission, posted."""
    raw = ledgers.admission(tmp_path)
    web.register(raw)
    return raw


def test_an_entry_is_answered_with_its_receipt_for_the_newest_tree(tmp_path: Path, web: Web, admitted: bytes) -> None:
    name = web.register(admitted, 200)
    web.register(ledgers.anchor(1))
    answer = web.get(f"/entries/{name}?api-version=2026-03-26")
    assert (answer.status_code, answer.headers["location"]) == (200, f"/entries/{name}")
    assert answer.headers["content-type"] == "application/cose"
    key = ledgers.log_key(tmp_path)
    found = receipt.check(answer.content, entry=statement.entry(admitted), key=key, thumbprint=key.thumbprint)
    assert (f"1.{found.index}", found.size) == (name, found.index + 2)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/entries/", "http_404"),
        ("/entries/1.99", "entry_unknown"),
        ("/entries/2.0", "entry_unknown"),
        ("/entries/x", "entry_unknown"),
        ("/entries/1.0%0A", "entry_unknown"),
        ("/entries/..%2fcheckpoint", "http_404"),
        ("/entries/1.99/statement", "entry_unknown"),
        ("/entries/1.99/transparent", "entry_unknown"),
        ("/entries/1.99/proof", "entry_unknown"),
        ("/entries/1.0/body", "http_404"),
        ("/consistency/0", "size_unknown"),
        ("/consistency/99", "size_unknown"),
        ("/consistency/01", "size_unknown"),
        ("/consistency/-1", "size_unknown"),
        ("/consistency/" + "9" * 19, "size_unknown"),
        ("/consistency/" + "9" * 5000, "size_unknown"),
        ("/consistency/", "http_404"),
        ("/.well-known/scitt-keys/AAAA", "key_unknown"),
        ("/.well-known/scitt-keys/A", "key_unknown"),
        ("/.well-known/scitt-keys/", "http_404"),
        ("/.well-known/scitt-keys/%F0%9F%94%91", "key_unknown"),
        ("/metrics", "http_404"),
        ("/healthz", "http_404"),
    ],
)
def test_what_is_not_there_is_answered_404(web: Web, path: str, code: str) -> None:
    assert problem(web.get(path)) == (404, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/entries"),
        ("GET", "/batches"),
        ("DELETE", "/entries/1.0"),
        ("POST", "/entries/1.0/statement"),
        ("PUT", "/checkpoint"),
        ("POST", "/tile/0/0"),
        ("POST", "/"),
    ],
)
def test_another_method_is_answered_405_with_those_that_there_are(web: Web, method: str, path: str) -> None:
    answer = web.request(method, path)
    assert problem(answer) == (405, "http_405")
    assert answer.headers["allow"]


def test_a_statement_that_is_public_is_given_as_the_log_keeps_it(web: Web, tmp_path: Path, admitted: bytes) -> None:
    name = web.register(admitted, 200)
    answer = web.get(f"/entries/{name}/statement")
    assert (answer.status_code, answer.content) == (200, admitted)
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("application/cose", "no-store")
    whole = web.get(f"/entries/{name}/transparent")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "application/cose")
    bare, receipts = receipt.detach(whole.content)
    key = ledgers.log_key(tmp_path)
    assert bare == admitted
    receipt.check(receipts[0], entry=statement.entry(bare), key=key, thumbprint=key.thumbprint)


def test_what_is_attached_unsigned_is_not_kept(web: Web, admitted: bytes) -> None:
    name = web.register(admitted, 200)
    transparent = web.get(f"/entries/{name}/transparent").content
    assert web.register(transparent, 200) == name
    assert web.get(f"/entries/{name}/statement").content == admitted


class TestStatementsForMembers:
    """The policy of these logs lets members read anchors, and nobody else."""

    @pytest.fixture
    def name(self, web: Web, engine: Engine, tmp_path: Path, admitted: bytes) -> str:
        """An entry whose statement is for members."""
        web.register(read_by(tmp_path, engine, MEMBERS))
        return web.register(ledgers.anchor(1))

    @pytest.mark.parametrize("part", ["statement", "transparent"])
    def test_a_stranger_is_asked_to_sign(self, web: Web, name: str, part: str) -> None:
        answer = web.get(f"/entries/{name}/{part}")
        assert problem(answer) == (401, "signature_missing")
        assert answer.headers["accept-signature"] == signing.ACCEPT
        assert answer.headers["www-authenticate"] == "Signature"

    @pytest.mark.parametrize("part", ["statement", "transparent"])
    def test_a_member_who_signs_reads(self, web: Web, name: str, part: str) -> None:
        path = f"/entries/{name}/{part}"
        answer = web.request("GET", path, headers=signed(path, ledgers.GATEWAY))
        assert answer.status_code == 200, answer.content
        assert ledgers.anchor(1)[3:40] in answer.content

    def test_a_key_that_nobody_admitted_does_not(self, web: Web, name: str) -> None:
        path = f"/entries/{name}/statement"
        answer = web.request("GET", path, headers=signed(path, ledgers.STRANGER))
        assert problem(answer) == (401, "signature_key_unknown")

    def test_a_request_counts_once_for_one_address_and_one_time(self, web: Web, name: str) -> None:
        path = f"/entries/{name}/statement"
        fields = signed(path, ledgers.GATEWAY, nonce="A" * 22)
        assert web.request("GET", path, headers=fields).status_code == 200
        assert problem(web.request("GET", path, headers=fields)) == (401, "signature_replayed")
        elsewhere = signed(path, ledgers.GATEWAY, url="http://other.example")
        assert problem(web.request("GET", path, headers=elsewhere)) == (401, "signature_elsewhere")
        late = signed(path, ledgers.GATEWAY, now_s=int(time.time()) - 3600)
        assert problem(web.request("GET", path, headers=late)) == (401, "signature_expired")
        stolen = signed("/checkpoint", ledgers.GATEWAY)
        assert problem(web.request("GET", path, headers=stolen)) == (401, "signature_bad")
        half = {"signature-input": signed(path, ledgers.GATEWAY)["signature-input"]}
        assert problem(web.request("GET", path, headers=half)) == (401, "signature_missing")

    def test_the_page_does_not_say_what_it_says(self, web: Web, name: str) -> None:
        text = web.get(f"/log/entries/{name}").text
        assert "Not everybody may read what it says" in text
        assert documents.ANCHOR not in text and "clinic" not in text and ledgers.GATEWAY.public.urn not in text
        assert "/statement" not in text

    def test_a_proxy_in_front_has_a_name_of_its_own(self, engine: Engine, name: str) -> None:
        web = Web(http.app(engine, Metrics(contracts.CODES), addresses=("log.example.org",)))
        path = f"/entries/{name}/statement"
        fields = signed(path, ledgers.GATEWAY, url="http://log.example.org")
        assert web.request("GET", path, headers=fields).status_code == 200
        inside = signed(path, ledgers.GATEWAY)
        assert problem(web.request("GET", path, headers=inside)) == (401, "signature_elsewhere")


def test_a_statement_that_is_the_issuers_alone_is_not_anothers(
    web: Web, engine: Engine, tmp_path: Path, admitted: bytes
) -> None:
    web.register(ledgers.admission(tmp_path, OTHER, "other"))
    web.register(read_by(tmp_path, engine, ISSUER))
    path = f"/entries/{web.register(ledgers.anchor(1))}/statement"
    assert web.request("GET", path, headers=signed(path, ledgers.GATEWAY)).status_code == 200
    answer = web.request("GET", path, headers=signed(path, OTHER))
    assert problem(answer) == (403, "statement_not_for_you")


def test_a_statement_that_was_taken_away_is_gone(web: Web, engine: Engine, tmp_path: Path, admitted: bytes) -> None:
    name = web.register(ledgers.anchor(1))
    root = ledgers.keyring.load(tmp_path, ledgers.keyring.REGISTRY_KEY)
    custody.redact(engine, root, index=engine.find(name), reason="court-order")
    for part in ("statement", "transparent"):
        answer = web.get(f"/entries/{name}/{part}")
        assert problem(answer) == (410, "statement_redacted")
        assert cbor.decode(answer.content, size_max=1000)[-1] == "Gone"  # type: ignore[index]
    key = ledgers.log_key(tmp_path)
    entry = statement.entry(ledgers.anchor(1))
    receipt.check(web.get(f"/entries/{name}").content, entry=entry, key=key, thumbprint=key.thumbprint)
    assert "taken away" in web.get(f"/log/entries/{name}").text


def test_a_proof_is_a_file_that_leads_to_the_published_checkpoint(web: Web, engine: Engine, admitted: bytes) -> None:
    engine.register_many([ledgers.anchor(n) for n in range(300)])
    trusted = policy.parse(str(engine.trust()["policy"]))
    for index in (0, 1, 255, 256, engine.size - 1):
        answer = web.get(f"/entries/1.{index}/proof")
        assert answer.headers["content-disposition"] == f'attachment; filename="1.{index}.tlog-proof"'
        proof = tlog_proof.Proof.decode(answer.content)
        entry = statement.entry(engine.statement(index))
        assert tlog_proof.verify(proof, entry=entry, policy=trusted).size == engine.size
        assert proof.checkpoint == web.get("/checkpoint").text


def test_an_entry_beyond_the_published_checkpoint_has_no_proof_yet(
    web: Web, engine: Engine, admitted: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = engine.checkpoint()
    name = web.register(ledgers.anchor(1))
    monkeypatch.setattr(engine.shelf(1), "cosigned", older)
    answer = web.get(f"/entries/{name}/proof")
    assert problem(answer) == (503, "proof_too_early")
    assert answer.headers["retry-after"] == "1"


def test_a_receipt_of_consistency_leads_from_an_older_tree(web: Web, engine: Engine, tmp_path: Path, admitted) -> None:
    older = Checkpoint.from_text(notes.parse(engine.checkpoint()).text)
    for n in range(3):
        web.register(ledgers.anchor(n))
    answer = web.get(f"/consistency/{older.size}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cose")
    found = receipt.read_consistency(answer.content)
    receipt.verify_consistency(found, root1=older.root, key=ledgers.log_key(tmp_path))
    assert (found.size1, found.size2) == (older.size, engine.size)


def test_keys_are_found_as_a_set_and_by_thumbprint(tmp_path: Path, web: Web) -> None:
    key = ledgers.log_key(tmp_path)
    answer = web.get("/.well-known/scitt-keys")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cbor")
    assert cbor.decode(answer.content, size_max=1000) == [key.cose_key()]
    answer = web.get(f"/.well-known/scitt-keys/{_name(key.thumbprint)}")
    assert (answer.status_code, cbor.decode(answer.content, size_max=1000)) == (200, key.cose_key())


def test_a_key_has_one_address(tmp_path: Path, web: Web) -> None:
    name = _name(ledgers.log_key(tmp_path).thumbprint)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = letters[letters.index(name[-1]) | 1]
    for other in (f"{name}=", f"{name[:9]}!{name[9:]}", f"{name}%0A", f"%20{name}", f"{name[:-1]}{spare}"):
        answer = web.get(f"/.well-known/scitt-keys/{other}")
        assert problem(answer) == (404, "key_unknown"), other
        assert cbor.decode(answer.content, size_max=1000)[-1] == "No such key"  # type: ignore[index]


def test_a_damaged_file_is_answered_503(web: Web, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object, **__: object) -> bytes:
        raise Unavailable("node_missing", "the database lacks a node of the tree")

    monkeypatch.setattr(engine.shelf(1), "receipt", damaged)
    answer = web.get("/entries/1.0")
    assert problem(answer) == (503, "node_missing")
    assert answer.headers["retry-after"] == "1"
    assert "immutable" not in answer.headers.get("cache-control", "")


def test_two_proofs_of_one_entry_agree(web: Web, tmp_path: Path, admitted: bytes) -> None:
    name = web.register(admitted, 200)
    proof = tlog_proof.Proof.decode(web.get(f"/entries/{name}/proof").content)
    found = receipt.read(web.get(f"/entries/{name}").content)
    leaf = merkle.leaf_hash(statement.entry(admitted))
    head = Checkpoint.from_text(notes.parse(proof.checkpoint).text)
    assert (proof.index, proof.path, head.size) == (found.index, found.path, found.size)
    merkle.verify_inclusion(leaf=leaf, index=proof.index, size=head.size, path=proof.path, root=head.root)


def _name(kid: bytes) -> str:
    return base64.urlsafe_b64encode(kid).rstrip(b"=").decode()


def test_answers_for_members_are_read_by_no_other_page(web: Web, admitted: bytes) -> None:
    answer: httpx.Response = web.get(f"/entries/{web.register(admitted, 200)}/statement")
    assert "access-control-allow-origin" not in answer.headers
