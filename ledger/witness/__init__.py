"""Witnessing, both sides: cosigning the checkpoints of other logs, and asking others to cosign ours."""
