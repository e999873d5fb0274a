"""COSE Receipts: what a log's word covers, every way to bend it, and published receipts."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import cbor, cose, keys, merkle, receipt, statement
from protocol.errors import BadSignature, Malformed, VerificationFailed, VigilError
from tests.support import damage

LOG = keys.SigningKey.from_seed(bytes([1]) * 32)
OTHER = keys.SigningKey.from_seed(bytes([9]) * 32)
ENTRIES = [bytes([number]) * 32 for number in range(21)]
TREE = merkle.Tree([merkle.leaf_hash(entry) for entry in ENTRIES])
STATEMENT = statement.sign(OTHER, iss="issuer", sub="subject", payload=b"said", content_type="text/plain")


def issued(index: int, size: int) -> bytes:
    return receipt.issue(
        LOG,
        iss="log.example",
        sub="entry",
        root=TREE.root(size),
        size=size,
        index=index,
        path=TREE.path(index, size),
    )


def grown(size1: int, size2: int) -> bytes:
    return receipt.issue_consistency(
        LOG,
        iss="log.example",
        sub="growth",
        root=TREE.root(size2),
        size1=size1,
        size2=size2,
        path=TREE.consistency(size1, size2),
    )


def checked(raw: bytes) -> receipt.Inclusion:
    return receipt.check(raw, entry=ENTRIES[6], key=LOG.public, thumbprint=LOG.public.thumbprint)


def checked_growth(raw: bytes) -> receipt.Consistency:
    found = receipt.read_consistency(raw)
    receipt.verify_consistency(found, root1=TREE.root(6), key=LOG.public)
    return found


RECEIPT = issued(6, 21)
GROWTH = grown(6, 21)
HEAD: dict[object, object] = {1: -8, 4: LOG.public.thumbprint, 15: {1: "log.example", 2: "entry"}, 395: 1}
PROOF = cbor.encode([21, 6, TREE.path(6)])
GROWTH_PROOF = cbor.encode([6, 21, TREE.consistency(6)])


def test_every_entry_of_every_small_tree_gets_a_receipt_that_holds_for_it_alone() -> None:
    for size in range(2, len(ENTRIES) + 1):
        for index in range(size):
            found = receipt.read(issued(index, size))
            assert (found.size, found.index, found.iss, found.sub) == (size, index, "log.example", "entry")
            assert found.kid == LOG.public.thumbprint
            assert receipt.verify(found, entry=ENTRIES[index], key=LOG.public) == TREE.root(size)
            with pytest.raises(BadSignature):
                receipt.verify(found, entry=ENTRIES[index - 1], key=LOG.public)


def test_every_growth_of_every_small_tree_gets_a_receipt() -> None:
    for size2 in range(1, len(ENTRIES) + 1):
        for size1 in range(1, size2 + 1):
            found = receipt.read_consistency(grown(size1, size2))
            assert (found.size1, found.size2, found.root) == (size1, size2, TREE.root(size2))
            receipt.verify_consistency(found, root1=TREE.root(size1), key=LOG.public)
            with pytest.raises(VerificationFailed):
                receipt.verify_consistency(found, root1=TREE.root(size1 - 1), key=LOG.public)


def test_no_receipt_is_issued_for_a_tree_of_one_entry() -> None:
    """Its path would be empty, which some software refuses to read."""
    with pytest.raises(AssertionError):
        issued(0, 1)


def test_the_layout_is_that_of_rfc_9942() -> None:
    signed = cose.parse_sign1(RECEIPT, size_max=receipt.SIZE_MAX)
    assert signed.protected == {1: -8, 4: LOG.public.thumbprint, 15: {1: "log.example", 2: "entry"}, 395: 1}
    proof = cbor.encode([21, 6, TREE.path(6)])
    assert signed.unprotected == {396: {-1: [proof]}}
    assert signed.payload is None
    signed = cose.parse_sign1(GROWTH, size_max=receipt.SIZE_MAX)
    assert signed.unprotected == {396: {-2: [cbor.encode([6, 21, TREE.consistency(6)])]}}
    assert signed.payload == TREE.root()


def test_every_cut_is_refused_and_so_is_anything_added() -> None:
    for check, raw in ((checked, RECEIPT), (checked_growth, GROWTH)):
        assert check(raw)
        assert damage.accepted(check, damage.every_prefix(raw)) == []
        with pytest.raises(Malformed):
            check(raw + b"\x00")


@pytest.mark.parametrize("growth", [False, True])
def test_every_flipped_bit_is_refused_but_for_sizes_that_take_the_same_steps(growth: bool) -> None:
    """The proof travels outside of what is signed: it has to lead to the root that is, and sizes are no part of a root."""
    check, raw, proof, before = (checked_growth, GROWTH, GROWTH_PROOF, 2) if growth else (checked, RECEIPT, PROOF, 1)
    place = raw.index(proof) + before
    assert raw[place] == 21
    accepted = [bytes.fromhex(text) for text in damage.accepted(check, damage.every_bit_flip(raw))]
    assert {flipped[:place] + b"\x15" + flipped[place + 1 :] for flipped in accepted} == {raw}
    assert all(17 <= flipped[place] <= 32 for flipped in accepted)


def test_other_sizes_and_places_do_not_reach_the_root() -> None:
    for size in range(2, 40):
        for index in range(size):
            proof = cbor.encode([size, index, TREE.path(6)])
            found = damage.read_or_refuse(checked, laid({396: {-1: [proof]}}, payload=None))
            assert (found is not None) == (index == 6 and size in range(17, 33))


def test_the_last_entry_of_7_passes_as_the_last_of_4() -> None:
    """Not even the index is signed: who needs the place has the size from a checkpoint, as the evidence does."""
    signed = cose.parse_sign1(issued(6, 7), size_max=receipt.SIZE_MAX)
    moved = cbor.encode([4, 3, TREE.path(6, 7)])
    raw = b"\xd2" + cbor.encode([signed.protected_bytes, {396: {-1: [moved]}}, None, signed.signature])
    assert receipt.verify(receipt.read(raw), entry=ENTRIES[6], key=LOG.public) == TREE.root(7)


@given(st.binary(max_size=120))
def test_arbitrary_bytes_only_fail(data: bytes) -> None:
    for raw in (data, b"\xd2\x84" + data, laid({396: {-1: [data]}}, payload=None), laid({396: {-2: [data]}})):
        for read in (receipt.read, receipt.read_consistency, receipt.detach):
            assert damage.read_or_refuse(read, raw) is None


def test_another_key_and_another_name_of_it_are_refused() -> None:
    found = receipt.read(RECEIPT)
    with pytest.raises(BadSignature, match="signature_bad"):
        receipt.verify(found, entry=ENTRIES[6], key=OTHER.public)
    with pytest.raises(BadSignature, match="kid_mismatch"):
        receipt.check(RECEIPT, entry=ENTRIES[6], key=LOG.public, thumbprint=OTHER.public.thumbprint)
    with pytest.raises(BadSignature, match="signature_bad"):
        receipt.verify_consistency(receipt.read_consistency(GROWTH), root1=TREE.root(6), key=OTHER.public)


def laid(
    unprotected: object, *, head: dict[object, object] | None = None, payload: bytes | None = TREE.root()
) -> bytes:
    """A receipt as someone else might lay it out, signed over the whole tree's root."""
    protected = cbor.encode(HEAD if head is None else head)
    signature = LOG.sign(cose.signature_input(protected, b"", TREE.root()))
    return b"\xd2" + cbor.encode([protected, unprotected, payload, signature])


def without(label: int) -> dict[object, object]:
    return {key: value for key, value in HEAD.items() if key != label}


def test_a_layout_of_ours_is_what_these_tests_lay_out() -> None:
    assert laid({396: {-1: [PROOF]}}, payload=None) == RECEIPT


HEADS: dict[str, tuple[dict[object, object], str]] = {
    "no data structure": (without(395), "receipt_vds"),
    "another data structure": (HEAD | {395: 2}, "receipt_vds"),
    "a float as a data structure": (HEAD | {395: 1.0}, "receipt_vds"),
    "a truth as a data structure": (HEAD | {395: True}, "receipt_vds"),
    "no kid": (without(4), "receipt_headers"),
    "a kid that is a text": (HEAD | {4: "key"}, "receipt_headers"),
    "no claims": (without(15), "receipt_headers"),
    "claims that are an array": (HEAD | {15: []}, "receipt_headers"),
    "no subject": (HEAD | {15: {1: "log.example"}}, "receipt_headers"),
    "an issuer that is bytes": (HEAD | {15: {1: b"log", 2: "entry"}}, "receipt_headers"),
}


@pytest.mark.parametrize(("head", "code"), HEADS.values(), ids=HEADS.keys())
def test_another_header_is_malformed(head: dict[object, object], code: str) -> None:
    with pytest.raises(Malformed) as caught:
        receipt.read(laid({396: {-1: [PROOF]}}, head=head, payload=None))
    assert caught.value.code == code


def test_the_data_structure_counts_only_where_it_is_signed() -> None:
    with pytest.raises(Malformed, match="receipt_vds"):
        receipt.read(laid({395: 1, 396: {-1: [PROOF]}}, head=without(395), payload=None))


BESIDE: dict[str, object] = {
    "nothing": {},
    "one label more": {396: {-1: [PROOF]}, 99: 1},
    "proofs that are an array": {396: [PROOF]},
    "both kinds": {396: {-1: [PROOF], -2: [GROWTH_PROOF]}},
    "the other kind": {396: {-2: [GROWTH_PROOF]}},
    "no proof": {396: {-1: []}},
    "two proofs": {396: {-1: [PROOF, PROOF]}},
    "a proof that is no bytes": {396: {-1: [[21, 6, TREE.path(6)]]}},
    "a proof of two parts": {396: {-1: [cbor.encode([21, 6])]}},
    "a proof of four parts": {396: {-1: [cbor.encode([21, 6, TREE.path(6), 1])]}},
    "a proof that is a map": {396: {-1: [cbor.encode({1: 2})]}},
    "a size that is a truth": {396: {-1: [cbor.encode([True, 0, TREE.path(6)])]}},
    "a size that is a float": {396: {-1: [cbor.encode([21.0, 6, TREE.path(6)])]}},
    "a place that is a float": {396: {-1: [cbor.encode([21, 6.0, TREE.path(6)])]}},
    "a place at the end": {396: {-1: [cbor.encode([21, 21, TREE.path(6)])]}},
    "a place below zero": {396: {-1: [cbor.encode([21, -1, TREE.path(6)])]}},
    "a size of one": {396: {-1: [cbor.encode([1, 0, TREE.path(6)])]}},
    "no path": {396: {-1: [cbor.encode([21, 6, []])]}},
    "a path that is bytes": {396: {-1: [cbor.encode([21, 6, b"".join(TREE.path(6))])]}},
    "a path of 65": {396: {-1: [cbor.encode([21, 6, [bytes(32)] * 65])]}},
}


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE.keys())
def test_another_proof_is_malformed(beside: object) -> None:
    with pytest.raises(Malformed, match="receipt_proof"):
        receipt.read(laid(beside, payload=None))


@pytest.mark.parametrize("item", [bytes(31), bytes(33), b"", "x" * 32, 7])
def test_a_hash_of_another_size_leads_nowhere(item: object) -> None:
    with pytest.raises(VerificationFailed, match="inclusion_bad"):
        receipt.read(laid({396: {-1: [cbor.encode([21, 6, [item]])]}}, payload=None))


def test_the_root_is_detached_from_inclusion_and_attached_to_growth() -> None:
    with pytest.raises(Malformed, match="receipt_payload"):
        receipt.read(laid({396: {-1: [PROOF]}}))
    for payload in (None, b"", bytes(31), bytes(33)):
        with pytest.raises(Malformed, match="receipt_payload"):
            receipt.read_consistency(laid({396: {-2: [GROWTH_PROOF]}}, payload=payload))
    with pytest.raises(Malformed, match="receipt_proof"):
        receipt.read_consistency(RECEIPT)
    with pytest.raises(Malformed, match="receipt_proof"):
        receipt.read(GROWTH)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=receipt.RECEIPTS_MAX))
def test_a_transparent_statement_comes_apart_again(receipts: list[bytes]) -> None:
    transparent = receipt.attach(STATEMENT, receipts)
    assert receipt.detach(transparent) == (STATEMENT, tuple(receipts))
    assert cose.parse_sign1(transparent, size_max=4096).unprotected == {394: receipts}
    with pytest.raises(Malformed, match="statement_unprotected"):
        statement.parse(transparent)


def test_a_transparent_statement_has_one_to_eight_receipts_and_nothing_else() -> None:
    for receipts in ([], [b"r"] * (receipt.RECEIPTS_MAX + 1)):
        with pytest.raises(Malformed, match="transparent_shape"):
            receipt.attach(STATEMENT, receipts)
    for bare in (RECEIPT, receipt.attach(STATEMENT, [b"r"]), laid({}, payload=None)):
        with pytest.raises(Malformed, match="transparent_shape"):
            receipt.attach(bare, [b"r"])
    for beside in (
        {},
        {394: []},
        {394: [b"r"] * 9},
        {394: ["r"]},
        {394: b"r"},
        {394: {b"r": 1}},
        {394: [b"r"], 99: 1},
        {396: [b"r"]},
    ):
        with pytest.raises(Malformed, match="transparent_shape"):
            receipt.detach(laid(beside))
    with pytest.raises(Malformed, match="transparent_shape"):
        receipt.detach(laid({394: [b"r"]}, payload=None))


def test_damage_to_a_transparent_statement_never_yields_the_same_pair() -> None:
    transparent = receipt.attach(STATEMENT, [RECEIPT])
    assert damage.accepted(receipt.detach, damage.every_prefix(transparent)) == []
    for flipped in damage.every_bit_flip(transparent):
        try:
            bare, receipts = receipt.detach(flipped)
        except VigilError:
            continue
        assert (bare, receipts) != (STATEMENT, (RECEIPT,)) and receipt.attach(bare, receipts) == flipped


def test_size_is_bounded_before_anything_is_read() -> None:
    for read in (receipt.read, receipt.read_consistency):
        with pytest.raises(Malformed, match="cbor_size"):
            read(b"\xd2" + bytes(receipt.SIZE_MAX))
    with pytest.raises(Malformed, match="cbor_size"):
        receipt.detach(b"\xd2" + bytes(receipt.TRANSPARENT_SIZE_MAX))
    longest = cbor.encode([1 << 63, 1 << 62, [bytes(32)] * merkle.PATH_MAX])
    assert receipt.read(laid({396: {-1: [longest]}}, payload=None)).size == 1 << 63


VALID, TAMPERED, OTHER_STRUCTURE = "valid-eddsa", "fail-tampered-path", "fail-unsupported-vds"


@pytest.mark.parametrize("name", [VALID, TAMPERED, OTHER_STRUCTURE, "fail-bad-statement-sig"])
def test_published_receipts_lead_to_the_published_root(vectors_dir: Path, name: str) -> None:
    """Their headers are out of order and name no key, so `read` refuses them; the proof and the signed bytes are the same rules."""
    folder = vectors_dir / "scitt-cose" / "v1" / name
    expected = json.loads((folder / "expected.json").read_text())
    raw = (folder / "receipt.cose").read_bytes()
    with pytest.raises(Malformed):
        receipt.read(raw)
    parts = cbor.decode_loosely(raw[1:])
    assert isinstance(parts, list)
    head, beside, payload, signature = parts
    headers = cbor.decode_loosely(head)
    assert isinstance(headers, dict) and payload is None
    assert headers[receipt.VDS] == expected["protected_header"]["receipt"]["vds"]
    size, index, path = cbor.decode(beside[receipt.VDP][receipt.INCLUSION][0], size_max=receipt.SIZE_MAX)  # type: ignore[misc]
    assert (size, index) == (expected["tree_size"], expected["leaf_index"])
    assert [item.hex() for item in path] == expected["inclusion_path"]
    leaf = merkle.leaf_hash(bytes.fromhex(expected["leaf_entry"]))
    root = merkle.root_from_path(leaf=leaf, index=index, size=size, path=path)
    log = keys.PublicKey.from_pem((folder / "log-key.pub").read_text())
    to_sign = cose.signature_input(head, b"", root)
    if name == TAMPERED:
        with pytest.raises(BadSignature):
            log.verify(signature, to_sign)
        return
    log.verify(signature, to_sign)
    assert name == OTHER_STRUCTURE or root.hex() == expected["reconstructed_root"]
