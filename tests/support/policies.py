"""Policies by which some statements are not for everybody, and requests that say who asks."""

import secrets
import time
from pathlib import Path

from ledger import founding, signing
from ledger.log import keyring
from ledger.log.engine import Engine
from protocol import declarations, documents
from protocol.documents import Policy, Rule
from protocol.keys import SigningKey
from tests.support.web import BASE


def read_by(folder: Path, engine: Engine, readers: str) -> bytes:
    """The next policy of the log in `folder`, by which anchors are for `readers`."""
    rules = founding.default_policy(engine.origin, engine.contracts).rules
    anchors = Rule(roles=rules[documents.ANCHOR].roles, readers=readers)
    found = Policy(log=engine.origin, n=2, rules={**rules, documents.ANCHOR: anchors})
    return declarations.policy(keyring.load(folder, keyring.REGISTRY_KEY), found)


def signed(path: str, key: SigningKey, *, nonce: str = "", now_s: int | None = None, url: str = BASE) -> dict[str, str]:
    """The fields that sign a GET of `path`."""
    authority = url.removeprefix("http://")
    message = signing.Message(method="GET", url=f"{url}{path}", fields=(("host", authority),))
    at_s = int(time.time()) if now_s is None else now_s
    return {"host": authority, **signing.sign(message, key, now_s=at_s, nonce=nonce or secrets.token_urlsafe(16))}
