"""The JSON-LD contexts that are known here, by address: which terms each defines. Nothing is fetched; another one is refused.

The terms are facts of the published contexts; the documents themselves are not here, but for our own, which a party serves.
"""

import json
from collections.abc import Mapping

V2 = "https://www.w3.org/ns/credentials/v2"
EXAMPLES = "https://www.w3.org/ns/credentials/examples/v2"
UNDEFINED = "https://www.w3.org/ns/credentials/undefined-terms/v2"
OPEN_BADGES = "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json"
OURS = "https://vigil.example/contexts/credentials/v1"

_OURS_VOCABULARY = "https://vigil.example/credentials#"
_OURS_TYPES = (
    "BoardCertification ComplianceRecord DEARegistration Degree EmploymentRecord ImmunisationRecord LedgerCommitment "
    "PrimarySourceVerification Privilege StateLicence Training"
).split()
_OURS_TERMS = (
    "birthDate checkedAt checkedBy claim compliance country department deaNumber employer employmentType endDate "
    "familyName givenName jurisdiction legalName lei licenceNumber licenceType log lotNumber nonce npi occupation outcome "
    "performer position privilege programme role schedules scope site source specialty startDate supervision vaccineCode "
    "conferredAt board method organisation result"
).split()

CONTEXT: Mapping[str, object] = {
    "@context": {
        "@version": 1.1,
        "@protected": True,
        "id": "@id",
        "type": "@type",
        **{name: _OURS_VOCABULARY + name for name in sorted([*_OURS_TYPES, *_OURS_TERMS])},
    }
}
"""Our own context, for whoever resolves it: every name is one under our vocabulary."""
CONTEXT_BYTES = json.dumps(CONTEXT, indent=2).encode() + b"\n"

ALL = None  # of a context with a default vocabulary: it defines every term
TERMS: Mapping[str, frozenset[str] | None] = {
    V2: frozenset(
        "VerifiableCredential EnvelopedVerifiableCredential VerifiablePresentation EnvelopedVerifiablePresentation "
        "JsonSchemaCredential JsonSchema BitstringStatusListCredential BitstringStatusList BitstringStatusListEntry "
        "DataIntegrityProof id type description digestMultibase digestSRI mediaType name confidenceMethod credentialSchema "
        "credentialStatus credentialSubject evidence issuer proof refreshService relatedResource renderMethod termsOfUse "
        "validFrom validUntil holder verifiableCredential".split()
    ),
    EXAMPLES: ALL,
    UNDEFINED: ALL,
    OPEN_BADGES: frozenset(
        "Achievement AchievementCredential AchievementSubject Address Alignment Criteria EndorsementCredential "
        "EndorsementSubject Evidence GeoCoordinates IdentifierEntry IdentityObject Image OpenBadgeCredential Profile "
        "Related Result ResultDescription RubricCriterionLevel VerifiableCredential".split()
    ),
    OURS: frozenset([*_OURS_TYPES, *_OURS_TERMS]),
}
