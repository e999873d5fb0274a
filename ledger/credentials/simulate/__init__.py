"""Institutions, their staff and those who cheat, for years of virtual time, from a seed.

What is true (who is honest, which paper is forged, who is suspended) is known in here alone. What judges is the product as
it is: the log's engine with its contracts, issuers, wallets, verifiers and hiring files, each asked by its public names.
"""
