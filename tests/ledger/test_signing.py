"""Signed requests: the RFC's own example, our profile, and everything that is refused."""

import base64
import dataclasses
import string
import threading
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import signing
from ledger.signing import Memory, Message, NotSigned
from protocol.errors import Malformed, Unavailable
from protocol.keys import PublicKey, SigningKey

NOW_S = 1_700_000_000
KEY = SigningKey.from_seed(bytes([1]) * 32)
OTHER = SigningKey.from_seed(bytes([2]) * 32)
KNOWN = {key.public.thumbprint: key.public for key in (KEY, OTHER)}
NONCE = "nonce-nonce-nonce"
HERE = "party.example:8091"
POSTED = Message(
    method="POST",
    url=f"https://{HERE}/statements?sub=a%20b",
    fields=(("Content-Type", "application/json"), ("X-Other", "1")),
    body=b'{"a": 1}',
)
ASKED = Message(method="GET", url=f"https://{HERE}/whoami")


def signed(message: Message, key: SigningKey = KEY, **changed: object) -> Message:
    """The message with its signature."""
    values: dict[str, object] = {"now_s": NOW_S, "nonce": NONCE, **changed}
    added = signing.sign(message, key, **values)
    return dataclasses.replace(message, fields=(*message.fields, *added.items()))


def verified(message: Message, *, now_s: int = NOW_S, memory: Memory | None = None) -> bytes:
    """Whose it is."""
    return signing.verify(
        message,
        key_of=KNOWN.get,
        authorities={HERE},
        memory=Memory(started_s=0) if memory is None else memory,
        now_s=now_s,
    )


def refused(message: Message, code: str, **more: object) -> None:
    with pytest.raises(NotSigned) as caught:
        verified(message, **more)
    assert caught.value.code == code
    assert code in signing.CODES


def changed(message: Message, name: str, old: str, new: str) -> Message:
    """The message with a text in one of its fields replaced."""
    assert any(key == name and old in value for key, value in message.fields)
    fields = tuple((key, value.replace(old, new) if key == name else value) for key, value in message.fields)
    return dataclasses.replace(message, fields=fields)


# RFC 9421, appendices B.1.4, B.2 and B.2.6: facts as published.
RFC_SEED = base64.urlsafe_b64decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU=")
RFC_PUBLIC = base64.urlsafe_b64decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs=")
RFC_INPUT = (
    'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
    ';created=1618884473;keyid="test-key-ed25519"'
)
RFC_SIGNATURE = "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
RFC_MESSAGE = Message(
    method="POST",
    url="https://example.com/foo?param=Value&Pet=dog",
    fields=(
        ("Host", "example.com"),
        ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("Content-Type", "application/json"),
        ("Content-Length", "18"),
        ("Signature-Input", RFC_INPUT),
        ("Signature", RFC_SIGNATURE),
    ),
    body=b'{"hello": "world"}',
)


def test_the_example_of_the_rfc_holds() -> None:
    assert SigningKey.from_seed(RFC_SEED).public.x == RFC_PUBLIC
    names: list[str] = []

    def key_of(name: str) -> PublicKey:
        names.append(name)
        return PublicKey(RFC_PUBLIC)

    found = signing.authenticate(RFC_MESSAGE, key_of=key_of, tag=None, check=lambda parameters: None)
    assert names == ["test-key-ed25519"]
    assert found.parameters["created"] == 1618884473
    assert found.covered_components['"@path"'] == "/foo"


@pytest.mark.parametrize("change", [{"method": "PUT"}, {"url": "https://example.com/fo"}])
def test_the_example_of_the_rfc_does_not_hold_for_another_request(change: dict[str, str]) -> None:
    with pytest.raises(NotSigned, match="signature_bad"):
        signing.authenticate(
            dataclasses.replace(RFC_MESSAGE, **change),
            key_of=lambda name: PublicKey(RFC_PUBLIC),
            tag=None,
            check=lambda parameters: None,
        )


def test_the_example_of_the_rfc_is_not_enough_for_us() -> None:
    refused(dataclasses.replace(RFC_MESSAGE, url=f"https://{HERE}/foo?param=Value&Pet=dog"), "signature_malformed")


@pytest.mark.parametrize("message", [POSTED, ASKED], ids=["body", "no body"])
def test_a_signed_request_says_whose_it_is(message: Message) -> None:
    assert verified(signed(message)) == KEY.public.thumbprint
    assert verified(signed(message, OTHER)) == OTHER.public.thumbprint


def test_a_request_looks_as_the_rfcs_ask() -> None:
    added = dict(signed(POSTED).fields)
    assert added["content-digest"].startswith("sha-256=:")
    assert added["signature-input"] == (
        'vigil=("@method" "@authority" "@path" "@query" "content-type" "content-digest")'
        f';created={NOW_S};keyid="{signing.name_of(KEY.public.thumbprint)}"'
        f';expires={NOW_S + 60};nonce="{NONCE}";tag="vigil"'
    )


def test_the_scheme_may_change_on_the_way_and_case_of_names_too() -> None:
    made = signed(POSTED)
    behind = dataclasses.replace(
        made,
        url=made.url.replace("https:", "http:"),
        fields=tuple((name.upper(), value) for name, value in made.fields),
    )
    assert verified(behind) == KEY.public.thumbprint


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "PUT"}, "signature_bad"),
        ({"url": f"https://{HERE}/statements?sub=a"}, "signature_bad"),
        ({"url": f"https://{HERE}/statement?sub=a%20b"}, "signature_bad"),
        ({"url": "https://other.example:8091/statements?sub=a%20b"}, "signature_elsewhere"),
        ({"body": b'{"a": 2}'}, "digest_wrong"),
        ({"body": b""}, "digest_wrong"),
    ],
)
def test_an_altered_request_is_refused(change: dict[str, object], code: str) -> None:
    refused(dataclasses.replace(signed(POSTED), **change), code)


def test_a_body_that_was_added_is_refused() -> None:
    refused(dataclasses.replace(signed(ASKED), body=b"more"), "signature_components")


def test_another_type_of_the_body_is_refused() -> None:
    refused(changed(signed(POSTED), "Content-Type", "json", "cbor"), "signature_bad")
    made = signed(POSTED)
    refused(dataclasses.replace(made, fields=(*made.fields, ("content-type", "text/html"))), "signature_bad")


def test_a_digest_that_was_exchanged_with_the_body_is_refused() -> None:
    other = dict(signed(dataclasses.replace(POSTED, body=b"other")).fields)["content-digest"]
    made = signed(POSTED)
    fields = tuple((name, other if name == "content-digest" else value) for name, value in made.fields)
    refused(dataclasses.replace(made, fields=fields, body=b"other"), "signature_bad")


def test_a_request_to_another_that_is_handed_on_is_refused() -> None:
    elsewhere = signed(dataclasses.replace(ASKED, url="https://other.example/whoami"))
    refused(elsewhere, "signature_elsewhere")
    refused(dataclasses.replace(elsewhere, url=ASKED.url), "signature_bad")


def test_a_request_without_a_signature_is_refused() -> None:
    refused(POSTED, "signature_missing")
    made = signed(POSTED)
    for name in ("signature", "signature-input"):
        kept = tuple(line for line in made.fields if line[0] != name)
        refused(dataclasses.replace(made, fields=kept), "signature_missing")


def test_a_key_that_nobody_knows_is_refused() -> None:
    refused(signed(POSTED, SigningKey.from_seed(bytes([3]) * 32)), "signature_key_unknown")


def test_a_signature_by_another_key_than_it_names_is_refused() -> None:
    names = [signing.name_of(key.public.thumbprint) for key in (KEY, OTHER)]
    refused(changed(signed(POSTED), "signature-input", *names), "signature_bad")


@pytest.mark.parametrize(
    ("now_s", "code"),
    [
        (NOW_S - signing.SKEW_S, None),
        (NOW_S - signing.SKEW_S - 1, "signature_early"),
        (NOW_S + signing.LIFETIME_S + signing.SKEW_S, None),
        (NOW_S + signing.LIFETIME_S + signing.SKEW_S + 1, "signature_expired"),
    ],
)
def test_a_signature_holds_for_its_time_and_as_much_as_clocks_may_differ(now_s: int, code: str | None) -> None:
    if code is None:
        assert verified(signed(POSTED), now_s=now_s) == KEY.public.thumbprint
    else:
        refused(signed(POSTED), code, now_s=now_s)


@pytest.mark.parametrize("lifetime_s", [signing.LIFETIME_MAX_S + 1, -1, 10**9])
def test_a_signature_that_holds_too_long_is_refused(lifetime_s: int) -> None:
    refused(signed(POSTED, lifetime_s=lifetime_s), "signature_parameters")


@pytest.mark.parametrize("nonce", ["", "short", "a b" * 8, "x" * 65])
def test_a_nonce_that_is_none_is_refused(nonce: str) -> None:
    refused(signed(POSTED, nonce=nonce), "signature_parameters")


@pytest.mark.parametrize("name", ["created", "expires", "nonce", "keyid", "tag"])
def test_a_signature_without_one_of_its_parameters_is_refused(name: str) -> None:
    made = signed(POSTED)
    given_ = dict(made.fields)["signature-input"]
    kept = ";".join(part for part in given_.split(";") if not part.startswith(f"{name}="))
    assert kept != given_
    fields = tuple((key, kept if key == "signature-input" else value) for key, value in made.fields)
    with pytest.raises(NotSigned) as caught:
        verified(dataclasses.replace(made, fields=fields))
    assert caught.value.code in ("signature_parameters", "signature_malformed")


@dataclasses.dataclass
class Plain:
    """A request as the library takes it."""

    method: str
    url: str
    headers: dict[str, str]


class Resolver(signing.HTTPSignatureKeyResolver):
    """Signs with KEY."""

    def resolve_private_key(self, key_id: str) -> SigningKey:
        return KEY


@pytest.mark.parametrize("name", [*signing.COVERED, *signing.COVERED_BODY])
def test_a_signature_that_leaves_something_out_is_refused(name: str) -> None:
    """Made by other software, it holds over what it covers, which is not enough."""
    digest = signing.ContentDigest.create(POSTED.body)
    for left_out in (None, name):
        request = Plain(POSTED.method, POSTED.url, {"content-type": "application/json", "content-digest": digest})
        signing.HTTPMessageSigner(signature_algorithm=signing.Ed25519, key_resolver=Resolver()).sign(
            request,
            key_id=signing.name_of(KEY.public.thumbprint),
            created=datetime.fromtimestamp(NOW_S, UTC),
            expires=datetime.fromtimestamp(NOW_S + 5, UTC),
            nonce=NONCE,
            tag="vigil",
            use_existing_digest=True,
            covered_component_ids=[each for each in (*signing.COVERED, *signing.COVERED_BODY) if each != left_out],
        )
        made = dataclasses.replace(POSTED, fields=tuple(request.headers.items()))
        if left_out is None:
            assert verified(made) == KEY.public.thumbprint
        else:
            refused(made, "signature_components")


def test_a_replayed_request_is_refused_for_as_long_as_it_would_hold() -> None:
    memory = Memory(started_s=0)
    made = signed(POSTED)
    assert verified(made, memory=memory) == KEY.public.thumbprint
    for now_s in (NOW_S, NOW_S + signing.LIFETIME_S + signing.SKEW_S):
        refused(made, "signature_replayed", memory=memory, now_s=now_s)
    refused(made, "signature_expired", memory=memory, now_s=NOW_S + signing.LIFETIME_S + signing.SKEW_S + 1)


def test_another_key_may_use_the_same_nonce() -> None:
    memory = Memory(started_s=0)
    assert verified(signed(POSTED), memory=memory) == KEY.public.thumbprint
    assert verified(signed(POSTED, OTHER), memory=memory) == OTHER.public.thumbprint


def test_a_forgery_uses_up_no_nonce() -> None:
    memory = Memory(started_s=0)
    made = signed(POSTED)
    refused(dataclasses.replace(made, body=b"x"), "digest_wrong", memory=memory)
    refused(dataclasses.replace(made, method="PUT"), "signature_bad", memory=memory)
    assert memory.count == 0
    assert verified(made, memory=memory) == KEY.public.thumbprint


def test_a_request_from_before_the_start_is_refused_because_nobody_remembers_it() -> None:
    refused(signed(POSTED), "signature_expired", memory=Memory(started_s=NOW_S + 1))
    assert verified(signed(POSTED), memory=Memory(started_s=NOW_S)) == KEY.public.thumbprint


def test_a_clock_that_is_set_back_brings_no_replay_back() -> None:
    memory, made = Memory(started_s=0), signed(POSTED)
    assert verified(made, memory=memory) == KEY.public.thumbprint
    later = NOW_S + 3600
    assert verified(signed(ASKED, now_s=later), memory=memory, now_s=later) == KEY.public.thumbprint
    assert memory.count == 1, "what expired is forgotten"
    refused(made, "signature_expired", memory=memory, now_s=NOW_S)


def test_a_memory_forgets_what_has_expired_and_holds_no_more_than_its_bounds() -> None:
    memory = Memory(started_s=0)
    for n in range(signing.NONCES_PER_KEY_MAX):
        memory.take(b"a", str(n), until_s=10, now_s=5)
    with pytest.raises(Unavailable, match="signatures_too_many"):
        memory.take(b"a", "one more", until_s=10, now_s=10)
    memory.take(b"b", "another key", until_s=10, now_s=10)
    memory.take(b"a", "one more", until_s=20, now_s=11)
    assert memory.count == 1


def test_a_memory_of_many_keys_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "NONCES_MAX", 8)
    memory = Memory(started_s=0)
    for n in range(8):
        memory.take(bytes([n]), "x", until_s=10, now_s=5)
    with pytest.raises(Unavailable, match="signatures_too_many"):
        memory.take(b"new", "x", until_s=10, now_s=5)
    memory.take(b"new", "x", until_s=20, now_s=11)


def test_of_many_threads_with_one_request_one_is_believed() -> None:
    memory, made, told = Memory(started_s=0), signed(POSTED), []

    def ask() -> None:
        try:
            told.append(verified(made, memory=memory))
        except NotSigned as error:
            told.append(error.code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, told)) == sorted([str(KEY.public.thumbprint), *["signature_replayed"] * 7])


def test_two_signatures_for_us_are_refused() -> None:
    made = signed(POSTED)
    found = dict(made.fields)
    twice = {
        "signature": f"{found['signature']}, {found['signature'].replace('vigil=', 'b=')}",
        "signature-input": f"{found['signature-input']}, {found['signature-input'].replace('vigil=', 'b=', 1)}",
    }
    fields = tuple((name, twice.get(name, value)) for name, value in made.fields)
    refused(dataclasses.replace(made, fields=fields), "signature_malformed")


def test_a_signature_for_somebody_else_may_stand_beside_ours() -> None:
    made = signed(POSTED)
    beside = {"signature": ", b=:YWJj:", "signature-input": ', b=("@method");created=1;tag="other"'}
    fields = tuple((name, value + beside.get(name, "")) for name, value in made.fields)
    assert verified(dataclasses.replace(made, fields=fields)) == KEY.public.thumbprint


@pytest.mark.parametrize(
    "text",
    ["", "vigil", "vigil=()", "vigil=::", 'vigil=("@method")', "\u00e4", "x" * 5000, 'vigil=("@foo");tag="vigil"'],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    made = signed(POSTED)
    fields = tuple((name, text if name == "signature-input" else value) for name, value in made.fields)
    with pytest.raises(NotSigned):
        verified(dataclasses.replace(made, fields=fields))


def _flipped(text: str, place: int, bit: int) -> str:
    raw = bytearray(text.encode("latin-1"))
    raw[place] ^= 1 << bit
    return raw.decode("latin-1")


@pytest.mark.parametrize("name", ["signature", "signature-input", "content-digest", "Content-Type"])
def test_every_flipped_bit_of_a_field_that_counts_is_refused(name: str) -> None:
    """But for spellings that mean the same: the label, the type of letters in it, and what base64 leaves unused."""
    made = signed(POSTED)
    value = dict(made.fields)[name]
    believed = []
    for place in range(len(value)):
        for bit in range(8):
            fields = tuple((each, _flipped(text, place, bit) if each == name else text) for each, text in made.fields)
            try:
                verified(dataclasses.replace(made, fields=fields))
            except NotSigned:
                continue
            believed.append(_flipped(value, place, bit))
    assert all(_same(name, each, value) for each in believed), believed


def _same(name: str, text: str, value: str) -> bool:
    """Whether a spelling says the same bytes as another."""
    if name not in ("signature", "content-digest"):
        return False
    bodies = [base64.b64decode(each.split(":")[1].encode()) for each in (text, value)]
    return bodies[0] == bodies[1] and text.split(":")[0] == value.split(":")[0]


TOKEN = st.text(string.ascii_letters + string.digits + "-._~", min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=st.lists(TOKEN, max_size=4),
    query=st.lists(st.tuples(TOKEN, TOKEN), max_size=3),
    body=st.binary(max_size=64),
    skew_s=st.integers(-signing.SKEW_S, signing.LIFETIME_S + signing.SKEW_S),
)
def test_what_was_signed_holds_and_nothing_else_does(
    method: str, path: list[str], query: list[tuple[str, str]], body: bytes, skew_s: int
) -> None:
    asked = "&".join(f"{name}={value}" for name, value in query)
    url = f"http://{HERE}/{'/'.join(path)}" + (f"?{asked}" if asked else "")
    message = Message(method=method, url=url, fields=(("content-type", "text/plain"),), body=body)
    made = signed(message)
    assert verified(made, now_s=NOW_S + skew_s) == KEY.public.thumbprint
    for other in (f"{url}x", f"{url}/", f"http://{HERE}/"):
        if other != url:
            refused(dataclasses.replace(made, url=other), "signature_bad")
    with pytest.raises(NotSigned):
        verified(dataclasses.replace(made, body=body + b"\0"))


def test_an_httpx_client_signs_each_request_anew() -> None:
    memory = Memory(started_s=0)
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        message = Message(
            method=request.method,
            url=str(request.url),
            fields=tuple(request.headers.multi_items()),
            body=request.read(),
        )
        seen.append(verified(message, memory=memory))
        return httpx.Response(200)

    auth = signing.Signed(KEY, now_s=lambda: NOW_S)
    with httpx.Client(transport=httpx.MockTransport(answer), auth=auth, base_url=f"http://{HERE}") as client:
        client.get("/a b", params={"x": "ä&="})
        client.post("/statements", json={"a": 1})
        client.post("/statements", json={"a": 1})
    assert seen == [KEY.public.thumbprint] * 3


def test_an_asgi_request_is_the_one_that_was_sent() -> None:
    sent = signed(dataclasses.replace(POSTED, url=f"http://{HERE}/a%2Fb?c=%20"))
    scope = {
        "method": "POST",
        "scheme": "http",
        "raw_path": b"/a%2Fb",
        "path": "/a/b",
        "query_string": b"c=%20",
        "headers": [
            (b"host", HERE.encode()),
            *((name.lower().encode(), value.encode()) for name, value in sent.fields),
        ],
    }
    assert verified(signing.received(scope, POSTED.body)) == KEY.public.thumbprint
    for host in ([], [b"a", b"b"], [b"\xff"], [b"a b"]):
        odd = {**scope, "headers": [(b"host", each) for each in host]}
        with pytest.raises(NotSigned):
            verified(signing.received(odd, b""))


def test_what_has_no_url_or_no_type_cannot_be_signed() -> None:
    for message in (
        dataclasses.replace(ASKED, url="http://a b/"),
        dataclasses.replace(ASKED, method="get"),
        dataclasses.replace(POSTED, fields=()),
    ):
        with pytest.raises(Malformed, match="request_unsignable"):
            signed(message)
