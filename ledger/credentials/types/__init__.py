"""What each type of credential says: its fields, how a draft of it is made, and what cannot be as it stands. Pure."""

from ledger.credentials.types.catalogue import CATALOGUE, Field, Type, draft
from ledger.credentials.types.content import Problem, can_be, check, problems

__all__ = ["CATALOGUE", "Field", "Problem", "Type", "can_be", "check", "draft", "problems"]
