"""Where use cases meet a party: each brings its routes, its pages and its commands, and finds the party under them.

The log knows a use case by its contract alone, in `ledger/contracts.py`, and never by its slice: what a party serves may load
what a log must not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click
from starlette.routing import BaseRoute, Mount

from ledger.party.node import Node
from ledger.rules import Contract

PAGES = "/pages"  # under a slice's own place


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One use case at a party. name: its place in addresses, as /name; routes, pages: for programs and for people.

    contract: what the log judges its statements by, and None when the log just keeps them; cli: its commands, as
    `vigil party NAME`.
    """

    name: str
    routes: Callable[[Node], Sequence[BaseRoute]]
    pages: Callable[[Node], Sequence[BaseRoute]]
    contract: Contract | None = None
    cli: click.Command | None = None


SLICES: tuple[Slice, ...] = ()


def commands(slices: Sequence[Slice]) -> dict[str, click.Command]:
    """The commands of all slices, each under its name."""
    return {each.name: each.cli for each in slices if each.cli is not None}


def mounted(slices: Sequence[Slice], node: Node) -> list[BaseRoute]:
    """The routes of all slices, each under its name."""
    names = [each.name for each in slices]
    if len(set(names)) != len(names):
        raise AssertionError("two use cases have one name")
    return [
        Mount(f"/{each.name}", routes=[Mount(PAGES, routes=list(each.pages(node))), *each.routes(node)])
        for each in slices
    ]
