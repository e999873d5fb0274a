"""What our statements say, each a CBOR map with text keys; by noun, and all of them under this name.

Genesis, admission and the like travel in full. Enrolment and anchor stay with the gateway, and the ledger has their hash; an
enrolment is salted, so that nobody can guess it from there.
"""

from protocol.documents.anchors import ANCHOR, ENTRY_SIZE_MAX, FIRST_PREV, Anchor, BatchEntry, anchor_subject
from protocol.documents.devices import ENROLMENT, Enrolment, enrolment_subject
from protocol.documents.fields import NAME_MAX, SIZE_MAX, TIME_MAX_MS
from protocol.documents.log import GENESIS, Genesis
from protocol.documents.registry import REGISTRY, ROLES, Admission, registry_subject

__all__ = [
    "ANCHOR",
    "ENROLMENT",
    "ENTRY_SIZE_MAX",
    "FIRST_PREV",
    "GENESIS",
    "NAME_MAX",
    "REGISTRY",
    "ROLES",
    "SIZE_MAX",
    "TIME_MAX_MS",
    "Admission",
    "Anchor",
    "BatchEntry",
    "Enrolment",
    "Genesis",
    "anchor_subject",
    "enrolment_subject",
    "registry_subject",
]
