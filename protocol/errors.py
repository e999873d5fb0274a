"""The one tree of errors that may leave this project's code on purpose; anything else is a bug.

Every error has a stable `code` (for counters, tests and other programs), a sentence for people, and the
exit code that the command line gives for it.
"""

from typing import ClassVar


class VigilError(Exception):
    """Base of the tree. code: lower-case words joined by `_`, stable between releases; detail: one sentence."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class ProtocolError(VigilError):
    """A peer is wrong: count it and keep running."""


class Malformed(ProtocolError):
    """Bytes that do not parse, or that parse but are not the one canonical encoding of what they say."""


class BadSignature(ProtocolError):
    """A signature, tag or commitment that does not hold."""


class ConfigError(VigilError):
    """The operator is wrong: the sentence names the key and the fix."""

    exit_code: ClassVar[int] = 2


class NotFound(VigilError):
    """What was asked for by name does not exist here."""

    exit_code: ClassVar[int] = 3


class VerificationFailed(VigilError):
    """A check was made and it failed."""

    exit_code: ClassVar[int] = 4


class Unavailable(VigilError):
    """A check or a job could not be made now: a file, a peer or a network is missing."""

    exit_code: ClassVar[int] = 5
