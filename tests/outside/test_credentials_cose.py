"""cwt and pycose, which are not ours, read the credentials and presentations that we put into COSE."""

import pytest

from ledger.credentials.vc import cose_vc, jcs, presentation
from protocol.keys import SigningKey
from tests.credentials.vc.test_forms import CLAIMS, FORMS, HOLDER, ISSUER, METHOD
from tests.support.outside import ask

pytestmark = [pytest.mark.outside, pytest.mark.parametrize("library", ["cwt", "pycose"])]

EDDSA = -8


def case(raw: bytes, key: SigningKey, kid: str) -> dict[str, str]:
    named = {"raw": raw, "x": key.public.x, "kid": kid.encode(), "detached": b"", "aad": b""}
    return {"pem": key.public.pem(), **{name: value.hex() for name, value in named.items()}}


def test_they_read_a_credential_and_refuse_another_key_and_byte(library: str) -> None:
    raw = FORMS["vc+cose"]
    broken = raw[:-1] + bytes((raw[-1] ^ 1,))
    cases = [case(raw, ISSUER, METHOD), case(raw, HOLDER, METHOD), case(broken, ISSUER, METHOD)]
    found = ask("cose", "ask_cose.py", {"library": library, "cases": cases})
    assert found == [[jcs.canonical(CLAIMS).hex(), METHOD.encode().hex(), EDDSA], None, None]


def test_they_read_a_presentation(library: str) -> None:
    items = [presentation.item(FORMS["vc+cose"])]
    raw = presentation.signed_in_cose(items, HOLDER, nonce="n", audience="a", now_s=1)
    ours = cose_vc.read(raw)
    found = ask("cose", "ask_cose.py", {"library": library, "cases": [case(raw, HOLDER, ours.method)]})
    assert found == [[jcs.canonical(dict(ours.document)).hex(), ours.method.encode().hex(), EDDSA]]
