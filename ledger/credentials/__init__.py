"""Staff credentials: institutions vouch for people, others check in seconds, and what was taken back counts no more."""
