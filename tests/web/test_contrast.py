"""The style sheet's colours against each other, by WCAG 2: what can be read is told by the numbers, in light and in dark."""

import re
from importlib.resources import files

import pytest

from tests.support.contrast import GRAPHIC_LEAST, TEXT_LEAST, contrast

STYLE = files("gateway.web").joinpath("static/style.css").read_text()
TEXTS = (
    *(("ink", ground) for ground in ("ground", "panel", "paper", "edge")),
    *(("soft", ground) for ground in ("ground", "panel", "paper")),
    *((sign, "panel") for sign in ("good", "heart", "oxygen", "breath", "warmth", "pressure")),
    ("high-ink", "high"),
    ("dark-ink", "medium"),
    ("dark-ink", "medium-lit"),
    ("dark-ink", "low"),
    ("panel", "ink"),  # the number of alarms
)
GRAPHICS = (("heart", "paper"), ("oxygen", "paper"), ("focus", "panel"), ("focus", "ground"), ("high-ink", "high-lit"))


def colours(scheme: str) -> dict[str, str]:
    """The custom properties of a scheme; dark ones stand over light ones."""
    blocks = re.findall(r":root \{([^}]*)\}", STYLE)
    assert len(blocks) == 2
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", "".join(blocks[: 1 + (scheme == "dark")])))


def test_the_ratio_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(scheme: str) -> None:
    known = colours(scheme)
    faint = {pair: contrast(known[pair[0]], known[pair[1]]) for pair in TEXTS}
    assert {pair: ratio for pair, ratio in faint.items() if ratio < TEXT_LEAST} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_line_and_mark_stands_out_from_its_ground(scheme: str) -> None:
    known = colours(scheme)
    faint = {pair: contrast(known[pair[0]], known[pair[1]]) for pair in GRAPHICS}
    assert {pair: ratio for pair, ratio in faint.items() if ratio < GRAPHIC_LEAST} == {}


def test_no_colour_of_a_text_is_outside_the_table() -> None:
    literal = re.findall(
        r"^\s+(?:color|background|background-color): (?!var|transparent|inherit|currentColor)(\S+?);", STYLE, re.M
    )
    assert {colour for colour in literal if colour.startswith("#")} == {"#ffffff", "#10181c", "#e8eef1", "#4a5459"}
    for ground in ("#ffffff", "#e8eef1"):
        assert contrast("#10181c", ground) > TEXT_LEAST
    assert contrast("#4a5459", "#e8eef1") > TEXT_LEAST


def test_priorities_differ_without_their_colour_too() -> None:
    """Marks of one, two and three signs and a word; a test of the page holds that they are there."""
    from gateway.web.page import MARKS

    assert {name: len(mark) for name, mark in MARKS.items()} == {"high": 3, "medium": 2, "low": 1}
