"""What a browser's form sends: fields, and one file. RFC 1866 forms and RFC 7578 multipart, bounded before they are parsed."""

import asyncio
import email.parser
import email.policy
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import parse_qsl

from starlette.requests import Request

from ledger.credentials import paper
from protocol.errors import Malformed

FIELDS_MAX = 128  # of one form; more are refused
FORM_MAX = 65_536  # bytes of a form without a file; more is refused, read no further
UPLOAD_MAX = paper.PHOTO_MAX + FORM_MAX  # bytes of a form with one
WITHIN_S = 60  # a form that is not all there by then is not waited for
PLAIN, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form. fields: the last value of each name, without space around it; files: contents by name, none of them empty."""

    fields: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)

    def text(self, name: str, *, most: int = 512) -> str:
        """A field, empty when it is not there. most: characters. Raises Malformed: form_field."""
        found = self.fields.get(name, "")
        if len(found) > most:
            raise Malformed("form_field", f"{name} has at most {most} characters")
        return found


async def read(request: Request) -> Form:
    """The form of a request. Raises Malformed: form_type, form_size, form_slow, form_bad."""
    media = request.headers.get("content-type", "")
    kind = media.partition(";")[0].strip().lower()
    if kind not in (PLAIN, MULTIPART):
        raise Malformed("form_type", "this address takes what a form sends")
    most = FORM_MAX if kind == PLAIN else UPLOAD_MAX
    body = bytearray()
    try:
        async with asyncio.timeout(WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise Malformed("form_size", f"a form has at most {most} bytes")
    except TimeoutError as error:
        raise Malformed("form_slow", f"a form is sent within {WITHIN_S} seconds") from error
    if kind == PLAIN:
        return _plain(bytes(body))
    return await asyncio.to_thread(_multipart, media, bytes(body))


def _plain(body: bytes) -> Form:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict", encoding="utf-8"
        )
    except ValueError as error:
        raise Malformed("form_bad", f"a form has at most {FIELDS_MAX} fields, in UTF-8") from error
    return Form(fields={name: value.strip() for name, value in pairs})


def _multipart(media: str, body: bytes) -> Form:
    if body.count(b"\r\n--") > FIELDS_MAX:
        raise Malformed("form_bad", f"a form has at most {FIELDS_MAX} fields")
    head = f"content-type: {media}\r\n\r\n".encode("latin-1")
    whole = email.parser.BytesParser(EmailMessage, policy=email.policy.HTTP).parsebytes(head + body)
    if not whole.is_multipart():
        raise Malformed("form_bad", "a form with a file has parts")
    fields, files = {}, {}
    for part in whole.iter_parts():
        name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes):
            raise Malformed("form_bad", "each part of a form has a name")
        if part.get_filename() is None:
            fields[name] = _said(content).strip()
        elif content:
            files[name] = content
    return Form(fields=fields, files=files)


def _said(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Malformed("form_bad", "a form is in UTF-8") from error
