"""Verifiable credentials as bytes and values: VC Data Model 2.0, Data Integrity, VC-JOSE-COSE, SD-JWT VC, status lists. Pure."""
