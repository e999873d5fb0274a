"""Hiring files: what a post needs, what was shown for it, whether it still counts, and what a person may do for that long."""
