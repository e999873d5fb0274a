"""Proofs in files: they come back, hold against a policy, and are refused when anything in them is changed."""

import base64
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import keys, merkle, notes, policy, tlog_proof
from protocol.errors import BadSignature, Malformed, VerificationFailed
from protocol.tlog_proof import Proof
from tests.support import damage

LOG = keys.SigningKey.from_seed(bytes([1]) * 32)
WITNESS = keys.SigningKey.from_seed(bytes([2]) * 32)
ORIGIN, AT_S = "log.example/one", 1_700_000_000
ENTRIES = [bytes([n]) * 32 for n in range(11)]
TREE = merkle.Tree([merkle.leaf_hash(entry) for entry in ENTRIES])
LOG_LINE = f"log {notes.NoteKey(name=ORIGIN, kind=notes.SIGNATURE, key=LOG.public).vkey()}\n"
WITNESS_KEY = notes.NoteKey(name="witness.example", kind=notes.COSIGNATURE, key=WITNESS.public)
ALONE = policy.parse(f"{LOG_LINE}quorum none\n")
WITNESSED = policy.parse(f"{LOG_LINE}witness w {WITNESS_KEY.vkey()}\nquorum w\n")


def checkpoint(size: int, *, cosigned: bool = False) -> str:
    """The note over the first `size` entries."""
    text = notes.Checkpoint(origin=ORIGIN, size=size, root=TREE.root(size)).text()
    lines = [notes.sign(text, name=ORIGIN, key=LOG)]
    if cosigned:
        lines.append(notes.cosign(text, name="witness.example", key=WITNESS, at_s=AT_S))
    return notes.Note(text=text, lines=tuple(lines)).whole()


def proof(at: int, size: int, **changed: object) -> Proof:
    """The proof of an entry in the tree of `size`."""
    values: dict[str, object] = {"index": at, "path": tuple(TREE.path(at, size)), "checkpoint": checkpoint(size)}
    return Proof(**{**values, **changed})  # type: ignore[arg-type]


PROOF = proof(6, 11)


def test_the_file_is_laid_out_as_the_specification_says() -> None:
    extra = dataclasses.replace(PROOF, extra=b"more")
    hashes = "".join(base64.b64encode(item).decode() + "\n" for item in PROOF.path)
    body = f"index 6\n{hashes}\n{PROOF.checkpoint}"
    assert PROOF.encode().decode() == f"c2sp.org/tlog-proof@v1\n{body}"
    assert extra.encode().decode() == f"c2sp.org/tlog-proof@v1\nextra bW9yZQ==\n{body}"


def test_every_entry_is_proved_in_every_tree_that_has_it() -> None:
    for size in range(1, len(ENTRIES) + 1):
        for index in range(size):
            found = Proof.decode(proof(index, size).encode())
            assert found == proof(index, size)
            head = tlog_proof.verify(found, entry=ENTRIES[index], policy=ALONE)
            assert (head.origin, head.size, head.root) == (ORIGIN, size, TREE.root(size))


@pytest.mark.parametrize(
    "changed",
    [
        {"index": 7},
        {"index": 11},
        {"index": 10**18},
        {"path": PROOF.path[:-1]},
        {"path": (*PROOF.path, bytes(32))},
        {"path": PROOF.path[::-1]},
        {"path": ()},
        {"checkpoint": checkpoint(10)},
    ],
)
def test_a_path_that_does_not_lead_to_the_root_proves_nothing(changed: dict[str, object]) -> None:
    with pytest.raises(VerificationFailed) as failed:
        tlog_proof.verify(Proof.decode(proof(6, 11, **changed).encode()), entry=ENTRIES[6], policy=ALONE)
    assert failed.value.code == "inclusion_bad"


def test_another_entry_is_not_proved() -> None:
    for entry in (ENTRIES[7], b"", merkle.leaf_hash(ENTRIES[6])):
        with pytest.raises(VerificationFailed):
            tlog_proof.verify(PROOF, entry=entry, policy=ALONE)


def test_a_proof_needs_the_witnesses_that_the_policy_asks_for() -> None:
    with pytest.raises(BadSignature) as missed:
        tlog_proof.verify(PROOF, entry=ENTRIES[6], policy=WITNESSED)
    assert missed.value.code == "quorum_missed"
    cosigned = proof(6, 11, checkpoint=checkpoint(11, cosigned=True))
    assert tlog_proof.verify(Proof.decode(cosigned.encode()), entry=ENTRIES[6], policy=WITNESSED).size == 11
    stranger = f"log {notes.NoteKey(name=ORIGIN, kind=notes.SIGNATURE, key=WITNESS.public).vkey()}\nquorum none\n"
    with pytest.raises(BadSignature) as unknown:
        tlog_proof.verify(cosigned, entry=ENTRIES[6], policy=policy.parse(stranger))
    assert unknown.value.code == "log_unsigned"


def test_every_cut_and_every_flipped_bit_is_refused() -> None:
    def read(raw: bytes) -> object:
        return tlog_proof.verify(Proof.decode(raw), entry=ENTRIES[6], policy=ALONE)

    data = PROOF.encode()
    assert damage.accepted(read, damage.every_prefix(data)) == []
    assert damage.accepted(read, damage.every_bit_flip(data)) == []
    read(data)


def test_extra_data_comes_back_and_changes_no_verdict() -> None:
    for extra in (b"", b"more", bytes(tlog_proof.EXTRA_MAX)):
        found = Proof.decode(proof(6, 11, extra=extra).encode())
        assert found.extra == extra
        tlog_proof.verify(found, entry=ENTRIES[6], policy=ALONE)


TEXT = PROOF.encode().decode()
HASH = base64.b64encode(PROOF.path[0]).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.replace("@v1", "@v2"),
        TEXT.replace("\n", "\r\n"),
        "\n" + TEXT,
        TEXT + "\n",
        TEXT.replace("index 6\n", ""),
        TEXT.replace("index 6", "index"),
        TEXT.replace("index 6", "index "),
        TEXT.replace("index 6", "index 06"),
        TEXT.replace("index 6", "index +6"),
        TEXT.replace("index 6", "index -6"),
        TEXT.replace("index 6", "index 6 "),
        TEXT.replace("index 6", "index \u0666"),
        TEXT.replace("index 6", "index " + "1" * 20),
        TEXT.replace("index 6", "index 6\nextra bW9yZQ=="),
        TEXT.replace("index 6", "extra\nindex 6"),
        TEXT.replace("index 6", "extra bW9yZQ\nindex 6"),
        TEXT.replace("index 6", "extra bW9yZR==\nindex 6"),
        TEXT.replace("index 6", "extra bW9yZQ==\nextra bW9yZQ==\nindex 6"),
        TEXT.replace(HASH, HASH[:-4]),
        TEXT.replace(HASH, HASH.rstrip("=")),
        TEXT.replace(HASH, HASH + " "),
        TEXT.replace(HASH, HASH + HASH),
        TEXT.replace(HASH, "\n".join([HASH] * 62)),
        TEXT.replace(HASH, HASH + "\n\n"),
        TEXT.replace(f"\n\n{ORIGIN}", f"\n{ORIGIN}"),
        TEXT.replace("\n11\n", "\n011\n"),
        TEXT.replace("\n\n\u2014", "\nan extension line\n\n\u2014"),
    ],
)
def test_another_text_is_malformed(text: str) -> None:
    assert text != TEXT
    with pytest.raises(Malformed):
        Proof.decode(text.encode())


def test_bounds_are_exact() -> None:
    most = proof(6, 11, path=tuple([bytes(32)] * merkle.PATH_MAX))
    assert Proof.decode(most.encode()) == most
    for changed, code in (
        ({"path": tuple([bytes(32)] * (merkle.PATH_MAX + 1))}, "proof_bad"),
        ({"extra": bytes(tlog_proof.EXTRA_MAX + 1)}, "proof_size"),
    ):
        with pytest.raises(Malformed) as wrong:
            Proof.decode(proof(6, 11, **changed).encode())
        assert wrong.value.code == code
    with pytest.raises(Malformed) as wrong:
        Proof.decode(bytes(tlog_proof.SIZE_MAX + 1))
    assert wrong.value.code == "proof_size"


@given(
    st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: f"{tlog_proof.MAGIC}\n{text}".encode()))
)
def test_any_bytes_are_refused_or_come_back(data: bytes) -> None:
    try:
        found = Proof.decode(data)
    except Malformed:
        return
    assert found.encode() == data


@given(
    index=st.integers(min_value=0, max_value=10**18),
    path=st.lists(st.binary(min_size=32, max_size=32), max_size=merkle.PATH_MAX),
    extra=st.none() | st.binary(max_size=100),
)
def test_a_proof_comes_back(index: int, path: list[bytes], extra: bytes | None) -> None:
    made = Proof(index=index, path=tuple(path), checkpoint=PROOF.checkpoint, extra=extra)
    assert Proof.decode(made.encode()) == made
