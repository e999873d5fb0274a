"""Contracts: who may put which statement into the log, and the code of every refusal."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from ledger import contracts, founding, registry, rules
from ledger.contracts import STANDARD
from ledger.questions import AnchorsOf, EnrolmentsOf, PartyOf
from ledger.rules import Refused
from protocol import cbor, cose, declarations, documents, statement
from protocol.errors import BadSignature, Malformed, ProtocolError
from protocol.keys import EDDSA, SigningKey
from tests.support import chain
from tests.support.tools import REPOSITORY

LOG, ROOT, GATEWAY = chain.LOG, chain.ROOT, chain.GATEWAY
STRANGER = SigningKey.from_seed(bytes([9]) * 32)
NOW_MS = chain.NOW_MS
Make = Callable[[], bytes]


def genesis(key: SigningKey = LOG, *, log: bytes = LOG.public.x, root: bytes = ROOT.public.x) -> bytes:
    document = documents.Genesis(origin=chain.ORIGIN, epoch=1, log_key=log, registry_root=root)
    return statement.sign(
        key,
        iss=key.public.urn,
        sub=documents.log_subject(chain.ORIGIN),
        payload=document.encode(),
        content_type=documents.GENESIS,
    )


def policy(key: SigningKey = ROOT) -> bytes:
    """The policy that a log begins with."""
    return declarations.policy(key, founding.default_policy(chain.ORIGIN, STANDARD))


def admission(key: SigningKey = GATEWAY, *, signer: SigningKey = ROOT, **changed: object) -> bytes:
    values: dict[str, object] = {
        "iss": signer.public.urn,
        "sub": documents.registry_subject(key.public.thumbprint),
        "payload": documents.Admission(role="gateway", key=key.public.x, name="clinic").encode(),
        "content_type": documents.REGISTRY,
    }
    return statement.sign(signer, **{**values, **changed})


def envelope(content_type: str, subject: str, key: SigningKey = GATEWAY, **changed: object) -> bytes:
    values: dict[str, object] = {
        "iss": key.public.urn,
        "sub": subject,
        "preimage": b"document",
        "preimage_content_type": content_type,
    }
    return statement.sign_hash_envelope(key, **{**values, **changed})


def anchor(key: SigningKey = GATEWAY, **changed: object) -> bytes:
    return envelope(documents.ANCHOR, documents.anchor_subject(key.public.thumbprint), key, **changed)


def enrolment(key: SigningKey = GATEWAY, **changed: object) -> bytes:
    return envelope(documents.ENROLMENT, documents.enrolment_subject(key.public.thumbprint), key, **changed)


def by_another(raw: bytes, key: SigningKey = STRANGER) -> bytes:
    """`raw` with the signature of another key under the old name."""
    signed = cose.parse_sign1(raw, size_max=statement.SIZE_MAX)
    return cose.sign1(key, protected=dict(signed.protected), payload=signed.payload or b"")


def with_headers(raw: bytes, key: SigningKey, **changed: object) -> bytes:
    """`raw` with other protected headers, signed again."""
    signed = cose.parse_sign1(raw, size_max=statement.SIZE_MAX)
    protected = {**signed.protected, **{int(label[1:]): value for label, value in changed.items()}}
    return cose.sign1(key, protected=protected, payload=signed.payload or b"")


def state_after(*raws: bytes) -> dict[bytes, bytes]:
    state: dict[bytes, bytes] = {}
    for raw in raws:
        found = statement.parse(contracts.bare(raw))
        state.update(STANDARD.judge(state, found, NOW_MS, index=len(state))[1].puts)
    return state


def begun() -> dict[bytes, bytes]:
    return state_after(genesis(), policy(), admission())


def test_genesis_names_the_log_and_the_root() -> None:
    state = state_after(genesis())
    assert [each.key for each in registry.log_keys(state)] == [LOG.public]
    assert registry.issuer(state, ROOT.public.thumbprint, NOW_MS).role == rules.ROOT
    assert registry.issuer(state, LOG.public.thumbprint, NOW_MS).role == rules.LOG
    assert registry.genesis_of(state).origin == chain.ORIGIN


def test_the_root_gives_a_key_a_role_and_a_later_word_takes_its_place() -> None:
    state = begun()
    found = registry.issuer(state, GATEWAY.public.thumbprint, NOW_MS)
    assert (found.key, found.role, found.name) == (GATEWAY.public, "gateway", "clinic")
    again = documents.Admission(role="gateway", key=GATEWAY.public.x, name="clinic 2").encode()
    after = state_after(genesis(), policy(), admission(), admission(payload=again))
    party = STANDARD.ask(after, PartyOf(key=GATEWAY.public.thumbprint), NOW_MS)
    assert party is not None and party.name == "clinic 2"
    assert len(after) == len(state)


def test_anchors_and_enrolments_are_counted_for_each_gateway() -> None:
    thumbprint = GATEWAY.public.thumbprint
    state = state_after(genesis(), policy(), admission(), anchor(), enrolment(), anchor(preimage=b"second"))
    assert STANDARD.ask(state, AnchorsOf(gateway=thumbprint), NOW_MS) == 2
    assert STANDARD.ask(state, EnrolmentsOf(gateway=thumbprint), NOW_MS) == 1
    assert STANDARD.ask(state, AnchorsOf(gateway=STRANGER.public.thumbprint), NOW_MS) == 0
    newest = statement.parse(anchor(preimage=b"second")).payload
    assert state[b"anchors/" + thumbprint] == cbor.encode([2, newest])


def test_a_count_goes_on_over_every_length_of_number() -> None:
    state = begun()
    for n in range(300):
        state.update(STANDARD.judge(state, statement.parse(enrolment(iat_s=n)), NOW_MS, index=n)[1].puts)
    assert STANDARD.ask(state, EnrolmentsOf(gateway=GATEWAY.public.thumbprint), NOW_MS) == 300


REFUSALS: dict[str, tuple[Make, str]] = {
    "a type without a contract": (lambda: anchor(preimage_content_type="text/plain"), "content_type_not_allowed"),
    "a second genesis": (genesis, "genesis_exists"),
    "an anchor by nobody known": (lambda: anchor(STRANGER), "issuer_unknown"),
    "an enrolment by nobody known": (lambda: enrolment(STRANGER), "issuer_unknown"),
    "an admission by nobody known": (lambda: admission(signer=STRANGER), "issuer_unknown"),
    "an admission by a gateway": (lambda: admission(STRANGER, signer=GATEWAY), "issuer_not_allowed"),
    "an anchor by the root": (lambda: anchor(ROOT), "issuer_not_allowed"),
    "an anchor by the log": (lambda: anchor(LOG), "issuer_not_allowed"),
    "an enrolment by the root": (lambda: enrolment(ROOT), "issuer_not_allowed"),
    "an anchor under another name": (lambda: anchor(iss="https://clinic.example"), "issuer_mismatch"),
    "an admission under another name": (lambda: admission(iss=GATEWAY.public.urn), "issuer_mismatch"),
    "an anchor that another key signed": (lambda: by_another(anchor()), "signature_bad"),
    "an enrolment that another key signed": (lambda: by_another(enrolment()), "signature_bad"),
    "an admission that another key signed": (lambda: by_another(admission()), "signature_bad"),
    "an anchor with a subject of its own": (lambda: anchor(sub="Mrs Smith"), "subject_wrong"),
    "an anchor under the subject of enrolments": (
        lambda: anchor(sub=documents.enrolment_subject(GATEWAY.public.thumbprint)),
        "subject_wrong",
    ),
    "an enrolment about one device": (lambda: enrolment(sub=f"vigil:device:{chain.NAME}"), "subject_wrong"),
    "an admission about another key": (
        lambda: admission(sub=documents.registry_subject(STRANGER.public.thumbprint)),
        "subject_wrong",
    ),
    "an anchor that says where its document lies": (
        lambda: with_headers(anchor(), GATEWAY, _260="https://clinic.example/smith"),
        "location_not_allowed",
    ),
    "an anchor in full": (
        lambda: statement.sign(
            GATEWAY,
            iss=GATEWAY.public.urn,
            sub=documents.anchor_subject(GATEWAY.public.thumbprint),
            payload=b"document",
            content_type=documents.ANCHOR,
        ),
        "form_not_allowed",
    ),
    "an enrolment in full": (
        lambda: statement.sign(
            GATEWAY,
            iss=GATEWAY.public.urn,
            sub=documents.enrolment_subject(GATEWAY.public.thumbprint),
            payload=chain.enrolment_document(),
            content_type=documents.ENROLMENT,
        ),
        "form_not_allowed",
    ),
    "an admission as a hash": (
        lambda: envelope(documents.REGISTRY, documents.registry_subject(GATEWAY.public.thumbprint), ROOT),
        "form_not_allowed",
    ),
    "an admission of the log's key": (lambda: admission(LOG), "key_has_other_duty"),
    "an admission of the root": (lambda: admission(ROOT), "key_has_other_duty"),
    "an admission to no role": (
        lambda: admission(payload=cbor.encode({"v": 1, "role": "king", "key": bytes(32), "name": "x"})),
        "document_bad",
    ),
    "an admission that says more": (
        lambda: admission(payload=cbor.encode({"v": 1, "role": "gateway", "key": bytes(32), "name": "x", "y": 1})),
        "document_bad",
    ),
    "an admission that is no map": (lambda: admission(payload=b"\x01"), "document_bad"),
    "an anchor with another algorithm": (lambda: with_headers(anchor(), GATEWAY, _1=-7), "alg_unsupported"),
    "a statement without a payload": (
        lambda: cose.sign1(GATEWAY, protected={cose.ALG: EDDSA}, payload=b"x", detached=True),
        "statement_payload",
    ),
    "a statement without claims": (
        lambda: cose.sign1(GATEWAY, protected={cose.ALG: EDDSA}, payload=b"x"),
        "statement_headers",
    ),
    "a statement with a header that must be understood": (
        lambda: with_headers(anchor(), GATEWAY, _2=[99], _99=1),
        "statement_headers",
    ),
    "a short name of a key": (lambda: with_headers(anchor(), GATEWAY, _4=GATEWAY.public.kid), "statement_kid"),
    "claims without a subject": (lambda: with_headers(anchor(), GATEWAY, _15={1: "x"}), "statement_claims"),
    "another hash": (lambda: with_headers(anchor(), GATEWAY, _258=-44), "statement_hash"),
    "a content type beside a hash": (
        lambda: with_headers(anchor(), GATEWAY, _3="text/plain"),
        "statement_content_type",
    ),
    "no COSE": (lambda: b"\x80", "cose_tag"),
    "a COSE array of three": (lambda: b"\xd2\x83\x40\xa0\x40", "cose_shape"),
    "bytes after the end": (lambda: anchor() + b"\x00", "cbor_not_deterministic"),
    "a length that is longer than it has to be": (lambda: b"\xd2\x98\x04" + anchor()[2:], "cbor_not_deterministic"),
    "too many bytes": (lambda: anchor() + bytes(statement.SIZE_MAX * 3), "cbor_size"),
}


@pytest.mark.parametrize(("make", "code"), REFUSALS.values(), ids=REFUSALS)
def test_what_the_rules_do_not_allow_is_refused_with_its_code(make: Make, code: str) -> None:
    state = begun()
    with pytest.raises(ProtocolError) as refused:
        STANDARD.judge(state, statement.parse(contracts.bare(make())), NOW_MS, index=2)
    assert refused.value.code == code
    assert code in STANDARD.codes
    assert state == begun()


def test_every_counted_code_of_the_contracts_has_a_case_here() -> None:
    shown = {code for _, code in REFUSALS.values()}
    own = {"content_type_not_allowed", "issuer_unknown", "issuer_not_allowed", "issuer_mismatch", "form_not_allowed"}
    own |= {"location_not_allowed", "subject_wrong", "genesis_exists", "key_has_other_duty", "document_bad"}
    assert own <= shown


GENESES: dict[str, tuple[Make, type[ProtocolError], str]] = {
    "by another key": (lambda: genesis(STRANGER), Refused, "issuer_mismatch"),
    "with another's signature": (lambda: by_another(genesis()), BadSignature, "signature_bad"),
    "with one key for two duties": (lambda: genesis(root=LOG.public.x), Refused, "key_has_other_duty"),
    "without a document": (
        lambda: statement.sign(LOG, iss=LOG.public.urn, sub="x", payload=b"", content_type=documents.GENESIS),
        Malformed,
        "cbor_invalid",
    ),
}


@pytest.mark.parametrize(("make", "kind", "code"), GENESES.values(), ids=GENESES)
def test_a_wrong_genesis_begins_nothing(make: Make, kind: type[ProtocolError], code: str) -> None:
    with pytest.raises(kind) as refused:
        state_after(make())
    assert refused.value.code == code


def test_the_unprotected_header_is_not_logged() -> None:
    raw = anchor()
    signed = cose.parse_sign1(raw, size_max=statement.SIZE_MAX)
    dressed = cose.sign1(
        GATEWAY,
        protected=dict(signed.protected),
        payload=signed.payload or b"",
        unprotected={394: [b"receipt"], "note": "anything"},
    )
    assert dressed != raw
    assert contracts.bare(dressed) == contracts.bare(raw) == raw


def test_what_has_no_payload_is_refused_with_and_without_more_beside_it() -> None:
    for unprotected in ({}, {99: "beside"}):
        raw = cose.sign1(GATEWAY, protected={1: EDDSA}, payload=b"kept", detached=True, unprotected=unprotected)
        with pytest.raises(Malformed, match="statement_payload"):
            statement.parse(contracts.bare(raw))


def test_the_head_tells_every_difference_in_history_apart() -> None:
    changes = rules.Changes(puts={b"a": b"1"})
    said = {"entry": bytes(32), "contract": "anchors", "at_ms": 5, "changes": changes}
    others = [
        {"entry": bytes([1]) * 32},
        {"contract": "devices"},
        {"at_ms": 6},
        {"changes": rules.Changes(puts={b"a": b"2"})},
        {"changes": rules.Changes(puts={b"b": b"1"})},
    ]
    heads = {contracts.next_head(contracts.FIRST_HEAD, **{**said, **other}) for other in [{}, *others]}
    heads.add(contracts.next_head(bytes([1]) * 32, **said))
    assert len(heads) == len(others) + 2


REPLAY = """
import sys
from ledger import contracts
from protocol import statement
state, head = {}, contracts.FIRST_HEAD
for line in sys.stdin.read().split():
    found = statement.parse(bytes.fromhex(line))
    contract, changes = contracts.STANDARD.judge(state, found, 7, index=len(state))
    state.update(changes.puts)
    head = contracts.next_head(head, entry=found.entry, contract=contract, at_ms=7, changes=changes)
print(head.hex(), sorted((key.hex(), value.hex()) for key, value in state.items()))
"""


def test_another_process_comes_to_the_same_state_whatever_its_hash_seed() -> None:
    raws = [genesis(), policy(), admission(), admission(STRANGER), enrolment(), anchor(), anchor(STRANGER), admission()]
    found = {
        subprocess.run(
            [sys.executable, "-c", REPLAY],
            input="\n".join(raw.hex() for raw in raws),
            env={"PYTHONHASHSEED": str(seed)},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (0, 1, 2)
    }
    assert len(found) == 1 and found != {""}
