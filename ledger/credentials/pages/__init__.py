"""What people touch of the use case: pages of issuers, verifiers and holders, rendered here and readable without scripts."""
