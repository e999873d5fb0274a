"""A credential goes over paper: QR codes drawn, photographed and read again."""

import io
import json
import random
import zlib

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ledger.credentials import paper
from protocol.errors import Malformed

CREDENTIAL = json.dumps({"type": ["VerifiableCredential"], "proof": random.Random(1).randbytes(600).hex()}).encode()


def photo(*codes: str) -> bytes:
    """Codes side by side as a PNG."""
    pictures = []
    for code in codes:
        kept = io.BytesIO()
        segno.make(code, error="l").save(kept, kind="png", scale=3, border=4)
        pictures.append(Image.open(kept).convert("L"))
    sheet = Image.new("L", (sum(one.width for one in pictures), max(one.height for one in pictures)), 255)
    at = 0
    for one in pictures:
        sheet.paste(one, (at, 0))
        at += one.width
    kept = io.BytesIO()
    sheet.save(kept, format="PNG")
    return kept.getvalue()


@given(st.binary(max_size=300))
def test_base45_comes_back(data: bytes) -> None:
    assert paper.from_base45(paper.base45(data)) == data


@pytest.mark.parametrize(("data", "said"), [(b"AB", "BB8"), (b"Hello!!", "%69 VD92EX0"), (b"base-45", "UJCLQE7W581")])
def test_base45_is_that_of_rfc_9285(data: bytes, said: str) -> None:
    assert paper.base45(data) == said and paper.from_base45(said) == data


@pytest.mark.parametrize("said", ["GGW", ":::", "A", "::", "ab8", "BB8A"])
def test_what_is_no_base45_is_refused(said: str) -> None:
    with pytest.raises(Malformed, match="code_bad"):
        paper.from_base45(said)


def test_a_credential_comes_back_from_a_photo_of_its_code() -> None:
    assert paper.carried(paper.read(photo(paper.text(CREDENTIAL)))) == CREDENTIAL


def test_a_file_is_opened_whatever_it_is() -> None:
    code = paper.text(CREDENTIAL)
    for content in (CREDENTIAL, b" " + CREDENTIAL, code.encode() + b"\n", photo(code)):
        assert paper.opened(content).strip() == CREDENTIAL
    for content in (b"eyJ.x.y~", b"\xd2\x84"):
        assert paper.opened(content) == content


def test_what_others_print_is_taken_as_it_stands() -> None:
    assert paper.carried(paper.read(photo("eyJ.x.y~"))) == b"eyJ.x.y~"


def test_a_code_that_unpacks_to_more_than_a_credential_is_refused() -> None:
    bomb = paper.PREFIX + paper.base45(zlib.compress(bytes(10_000_000), 9))
    with pytest.raises(Malformed, match="code_bad"):
        paper.carried(bomb)


def test_a_code_cut_short_or_with_something_after_it_is_refused() -> None:
    packed = zlib.compress(CREDENTIAL)
    for changed in (packed[:-1], packed + b"x", b"", b"no deflate"):
        with pytest.raises(Malformed, match="code_bad"):
            paper.carried(paper.PREFIX + paper.base45(changed))


def test_what_no_code_holds_is_said_before_it_is_printed() -> None:
    with pytest.raises(Malformed, match="code_size"):
        paper.text(random.Random(2).randbytes(4000))


@pytest.mark.parametrize(
    ("given_", "code"),
    [
        (b"no picture", "photo_bad"),
        (bytes(paper.PHOTO_MAX + 1), "photo_size"),
        (photo("one", "another"), "photo_many_codes"),
    ],
)
def test_a_photo_that_says_nothing_is_refused_with_the_fix(given_: bytes, code: str) -> None:
    with pytest.raises(Malformed, match=code):
        paper.read(given_)


def test_a_photo_of_too_many_pixels_is_not_unpacked() -> None:
    kept = io.BytesIO()
    Image.new("1", (20_000, 2500)).save(kept, format="PNG")
    with pytest.raises(Malformed, match="photo_size"):
        paper.read(kept.getvalue())


def test_a_photo_without_a_code_says_how_to_take_a_better_one() -> None:
    kept = io.BytesIO()
    Image.new("L", (200, 200), 255).save(kept, format="JPEG")
    with pytest.raises(Malformed, match="go nearer"):
        paper.read(kept.getvalue())


def test_a_drawn_code_is_said_to_who_does_not_see_it() -> None:
    assert "<title>The credential &lt;1&gt;</title>" in paper.drawn("x", label="The credential <1>")
