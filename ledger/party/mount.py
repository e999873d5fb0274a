"""Where use cases meet a party: each brings its routes and its pages, and finds the party under them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Mount

from ledger.party.node import Node

PAGES = "/pages"  # under a slice's own place


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One use case at a party. name: its place in addresses, as /name; routes, pages: for programs and for people."""

    name: str
    routes: Callable[[Node], Sequence[BaseRoute]]
    pages: Callable[[Node], Sequence[BaseRoute]]


SLICES: tuple[Slice, ...] = ()


def mounted(slices: Sequence[Slice], node: Node) -> list[BaseRoute]:
    """The routes of all slices, each under its name."""
    names = [each.name for each in slices]
    if len(set(names)) != len(names):
        raise AssertionError("two use cases have one name")
    return [
        Mount(f"/{each.name}", routes=[Mount(PAGES, routes=list(each.pages(node))), *each.routes(node)])
        for each in slices
    ]
