"""What logs and witnesses say to each other: the published example, round trips, and everything else refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import keys, merkle, notes, witnessing
from protocol.errors import Malformed
from protocol.witnessing import Request
from tests.support import damage

# The example request of C2SP tlog-witness.
PUBLISHED = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
"""
# The example answer there: three cosignatures.
ANSWERED = """\
— witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pWh6Up69HVOw==
— witness.example/w1 I7rEps0pvK2UqkS2gSpVUDhrhVtQV9lgF6pRrWAvjJHjyWpW7VcE3SiOlVlbQNt64vWhO+DlkL0+UfzuOBMh9ChdMkP1vi/lCAsmlw==
— witness.example/w2 AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3HNJhm/kWl7oJlqU3rXXvpysAdyP3wQ==
"""
LOG = keys.SigningKey.from_seed(bytes([1]) * 32)
TEXT = notes.Checkpoint(origin="log.example/one", size=12, root=bytes(range(32))).text()
NOTE = notes.Note(text=TEXT, lines=(notes.sign(TEXT, name="log.example/one", key=LOG),)).whole()
PROOF = tuple(bytes([number]) * 32 for number in range(3))
GOOD = Request.make(old=7, proof=PROOF, note=NOTE)


def test_the_published_example_reads_and_writes_back() -> None:
    found = Request.parse(PUBLISHED.encode())
    assert (found.old, len(found.proof)) == (20852014, 4)
    assert found.proof[0] == base64.b64decode("PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=")
    assert (found.checkpoint.origin, found.checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert found.body().decode() == PUBLISHED


def test_the_published_answer_reads_and_writes_back() -> None:
    found = witnessing.parse_cosignatures(ANSWERED.encode())
    assert [(line.name, len(line.blob)) for line in found] == [
        ("witness.example/w1", 72),
        ("witness.example/w1", 72),
        ("witness.example/w2", 72),
    ]
    assert witnessing.cosignatures_body(found).decode() == ANSWERED


def test_the_monitoring_path_is_the_hash_of_the_origin() -> None:
    """As `printf example.com/foo | sha256sum` has it."""
    digest = "76f699faa11e8fbe9a70d933651df90f4bf2b47301f4e924ba3dc6fd395d1d33"
    assert witnessing.checkpoint_path("example.com/foo") == f"{digest}/checkpoint"


@given(
    old=st.integers(0, witnessing.TREE_SIZE_MAX),
    proof=st.lists(st.binary(min_size=32, max_size=32), max_size=witnessing.PROOF_MAX).map(tuple),
)
def test_a_request_reads_back(old: int, proof: tuple[bytes, ...]) -> None:
    made = Request.make(old=old, proof=proof, note=NOTE)
    assert Request.parse(made.body()) == made


@given(size=st.integers(0, witnessing.TREE_SIZE_MAX))
def test_a_size_reads_back(size: int) -> None:
    assert witnessing.parse_size(witnessing.size_body(size)) == size


def test_the_largest_request_fits_the_bound() -> None:
    long = Request.make(old=witnessing.TREE_SIZE_MAX, proof=(bytes(32),) * witnessing.PROOF_MAX, note=NOTE)
    assert len(long.body()) - len(NOTE) + notes.NOTE_SIZE_MAX <= witnessing.BODY_SIZE_MAX
    with pytest.raises(Malformed, match="request_bad"):
        Request.make(old=1, proof=(bytes(32),) * (witnessing.PROOF_MAX + 1), note=NOTE)
    over = GOOD.body().replace(b"old 7\n", b"old 7\n" + _lines(61))
    with pytest.raises(Malformed, match="request_bad"):
        Request.parse(over)


def _lines(count: int) -> bytes:
    return (base64.b64encode(bytes(32)) + b"\n") * count


def test_every_prefix_is_refused() -> None:
    assert damage.accepted(Request.parse, damage.every_prefix(GOOD.body())) == []
    assert damage.accepted(witnessing.parse_size, damage.every_prefix(b"120\n")) == []
    line = ANSWERED.split("\n")[0].encode() + b"\n"
    assert damage.accepted(witnessing.parse_cosignatures, damage.every_prefix(line)) == []


def test_a_flipped_bit_is_refused_or_reads_as_something_else() -> None:
    """The format has no checksum of its own: signature and proof are what damage breaks. Nothing reads in two ways."""
    for damaged in damage.every_bit_flip(GOOD.body()):
        found = damage.read_or_refuse(Request.parse, damaged)
        assert found is None or (found != GOOD and isinstance(found, Request) and found.body() == damaged)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old\n\n" + NOTE.encode(),
        b"old 07\n\n" + NOTE.encode(),
        b"old -1\n\n" + NOTE.encode(),
        b"old +1\n\n" + NOTE.encode(),
        b"old 7 \n\n" + NOTE.encode(),
        b"OLD 7\n\n" + NOTE.encode(),
        b"old 7\r\n\r\n" + NOTE.encode(),
        "old ٧\n\n".encode() + NOTE.encode(),
        b"old 9223372036854775808\n\n" + NOTE.encode(),
        b"old 7\nAAAA\n\n" + NOTE.encode(),
        b"old 7\n" + base64.b64encode(bytes(31)) + b"\n\n" + NOTE.encode(),
        b"old 7\n" + base64.urlsafe_b64encode(b"\xff" * 32) + b"\n\n" + NOTE.encode(),
        b"old 7\n" + base64.b64encode(bytes(32)).replace(b"A=", b"B=") + b"\n\n" + NOTE.encode(),
        "old 7\né\n\n".encode() + NOTE.encode(),
        b"old 7\n\n" + NOTE.encode() + b"\n",
        b"old 7\n\n" + NOTE.replace("\n12\n", "\n9999999999999999999\n").encode(),
        b"old 7\n\n" + NOTE.replace("\n\n", "\nextension\n\n", 1).encode(),
        b"old 7\n\n\xff",
        b"old 7\n\n" + b"a" * witnessing.BODY_SIZE_MAX,
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        Request.parse(body)


@pytest.mark.parametrize(
    "body", [b"", b"1", b"01\n", b"-1\n", b"1\n\n", b" 1\n", b"9223372036854775808\n", b"1\n" + b"x" * 99]
)
def test_what_is_no_size_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed, match="answer_bad"):
        witnessing.parse_size(body)


@pytest.mark.parametrize(
    "body", ["", "\n", "\n" + ANSWERED, ANSWERED + "\n", ANSWERED[:-1], "old 1\n", "—\n", ANSWERED * 30]
)
def test_what_is_no_answer_is_refused(body: str) -> None:
    with pytest.raises(Malformed):
        witnessing.parse_cosignatures(body.encode())


@given(st.binary(max_size=300))
def test_nothing_but_our_errors_escapes(data: bytes) -> None:
    for read in (Request.parse, witnessing.parse_size, witnessing.parse_cosignatures):
        damage.read_or_refuse(read, data)
        damage.read_or_refuse(read, GOOD.body()[:40] + data)


def test_a_proof_of_a_real_tree_travels() -> None:
    tree = merkle.Tree([merkle.leaf_hash(b"%d" % number) for number in range(12)])
    made = Request.make(old=7, proof=tuple(tree.consistency(7)), note=NOTE)
    found = Request.parse(made.body())
    merkle.verify_consistency(size1=7, size2=12, root1=tree.root(7), root2=tree.root(), path=found.proof)
