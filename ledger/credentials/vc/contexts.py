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
    "birthDate board checkedAt checkedBy claim compliance conferredAt deaNumber department employer employmentType endDate "
    "familyName givenName jurisdiction lei licenceNumber licenceType log lotNumber method nonce npi performer position "
    "privilege programme result schedules scope site source specialty startDate supervision vaccineCode"
).split()

CONTEXT: Mapping[str, object] = {
    "@context": {
        "@version": 1.1,
        "id": "@id",
        "type": "@type",
        **{name: _OURS_VOCABULARY + name for name in sorted([*_OURS_TYPES, *_OURS_TERMS])},
    }
}
"""Our own context, for whoever resolves it: every name is one under our vocabulary.

Not protected: Open Badges and Data Integrity have some of these names for themselves, within their own types.
"""
CONTEXT_BYTES = json.dumps(CONTEXT, indent=2).encode() + b"\n"

ALL = None  # of a context with a default vocabulary: it defines every term
_V2 = """
BitstringStatusList BitstringStatusListCredential BitstringStatusListEntry DataIntegrityProof EnvelopedVerifiableCredential
EnvelopedVerifiablePresentation JsonSchema JsonSchemaCredential VerifiableCredential VerifiablePresentation
... _sd _sd_alg assertionMethod aud authentication capabilityDelegation capabilityInvocation challenge cnf confidenceMethod
created credentialSchema credentialStatus credentialSubject cryptosuite description digestMultibase digestSRI domain encodedList
evidence exp expires holder iat id iss issuer jku jsonSchema jwk keyAgreement kid mediaType message name nbf nonce previousProof
proof proofPurpose proofValue refreshService relatedResource renderMethod status statusListCredential statusListIndex
statusMessage statusPurpose statusReference statusSize sub termsOfUse ttl type validFrom validUntil verifiableCredential
verificationMethod x5u
"""
_OPEN_BADGES = """
Achievement AchievementCredential AchievementSubject Address Alignment Criteria EndorsementCredential EndorsementSubject Evidence
GeoCoordinates IdentifierEntry IdentityObject Image OpenBadgeCredential Profile Related Result ResultDescription
RubricCriterionLevel
achievedLevel achievement achievementType activityEndDate activityStartDate additionalName address addressCountry
addressCountryCode addressLocality addressRegion alignment allowedValue audience awardedDate caption creator creditsAvailable
creditsEarned criteria dateOfBirth description email endorsement endorsementComment familyName familyNamePrefix fieldOfStudy
genre geo givenName hashed honorificPrefix honorificSuffix humanCode id identifier identifierType identityHash identityType
image inLanguage latitude level licenseNumber longitude name narrative official otherIdentifier parentOrg patronymicName phone
points postOfficeBoxNumber postalCode related requiredLevel requiredValue result resultDescription resultType role
rubricCriterionLevel salt source specialization status streetAddress tag targetCode targetDescription targetFramework targetName
targetType targetUrl term type url value valueMax valueMin version
"""
TERMS: Mapping[str, frozenset[str] | None] = {
    V2: frozenset(_V2.split()),
    EXAMPLES: ALL,
    UNDEFINED: ALL,
    OPEN_BADGES: frozenset(_OPEN_BADGES.split()),
    OURS: frozenset([*_OURS_TYPES, *_OURS_TERMS]),
}
"""By address; the names that a context gives within a type or a member are among them."""
