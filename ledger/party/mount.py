"""Where use cases meet a party: each brings its routes, its pages and its commands, and finds the party under them.

The log knows a use case by its contract alone, in `ledger/contracts.py`, and never by its slice: what a party serves may load
what a log must not.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import click
from starlette.routing import BaseRoute, Mount

from ledger.party.node import Node
from ledger.questions import Question
from ledger.rules import Contract

PAGES = "/pages"  # under a slice's own place
WELL_KNOWN = "/.well-known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """What a use case shows at a party. routes, pages: for programs and for people; well_known: under /.well-known, where
    standards look (RFC 8615); answers: to questions that other use cases of the same party ask through `Node.ask`, by their
    class; each may block."""

    routes: Sequence[BaseRoute] = ()
    pages: Sequence[BaseRoute] = ()
    well_known: Sequence[BaseRoute] = ()
    answers: Mapping[type[Question[Any]], Callable[[Any], object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One use case at a party. name: its place in addresses, as /name; opened: its stores and duties at a party, for as long as
    the block runs.

    contract: what the log judges its statements by, and None when the log just keeps them; cli: its commands, as
    `vigil party NAME`.
    """

    name: str
    opened: Callable[[Node], AbstractAsyncContextManager[Face]]
    contract: Contract | None = None
    cli: click.Command | None = None


def commands(slices: Sequence[Slice]) -> dict[str, click.Command]:
    """The commands of all slices, each under its name."""
    return {each.name: each.cli for each in slices if each.cli is not None}


@contextlib.asynccontextmanager
async def mounted(slices: Sequence[Slice], node: Node) -> AsyncIterator[list[BaseRoute]]:
    """The routes of all slices, each under its name, while the block runs; the node asks them from then on."""
    names = [each.name for each in slices]
    if len(set(names)) != len(names):
        raise AssertionError("two use cases have one name")
    async with contextlib.AsyncExitStack() as held:
        found: list[BaseRoute] = []
        known: list[BaseRoute] = []
        for each in slices:
            face = await held.enter_async_context(each.opened(node))
            node.answered_by(face.answers)
            found.append(Mount(f"/{each.name}", routes=[Mount(PAGES, routes=list(face.pages)), *face.routes]))
            known += face.well_known
        yield [*found, Mount(WELL_KNOWN, routes=known)]
