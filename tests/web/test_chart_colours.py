"""The lines of charts can be distinguished by all eyes: distances between the colours of the style sheet, computed.

Colours are seen as people without one kind of cone see them (Machado, Oliveira and Fernandes 2009, severity 1), and compared
in CIELAB, where 2.3 is a difference that is just noticed.
"""

import re
from itertools import combinations
from math import dist
from pathlib import Path

import pytest

from esimhooks.server.dashboard.charts import STATUSES

CSS = Path("src/esimhooks/server/dashboard/static/app.css").read_text()
SCRIPT = Path("src/esimhooks/server/dashboard/static/app.js").read_text()
TOKEN = re.compile(r"--([\w-]+): light-dark\((#\w{3,6}), (#\w{3,6})\)")
TOKENS = {name: (light, dark) for name, light, dark in TOKEN.findall(CSS)}
LINES = {name.removeprefix("line-"): colours for name, colours in TOKENS.items() if name.startswith("line-")}
LEAST_DISTANCE = 18
LEAST_CONTRAST = 3
"""Of graphics against what is around them (WCAG 2.1, 1.4.11)."""
Colour = tuple[float, float, float]
EYES: dict[str, tuple[Colour, Colour, Colour]] = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no long ones": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "no middle ones": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "no short ones": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
TO_XYZ: tuple[Colour, Colour, Colour] = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
WHITE = (0.95047, 1.0, 1.08883)


def linear(text: str) -> Colour:
    digits = text[1:] if len(text) == 7 else "".join(one * 2 for one in text[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return red, green, blue


def times(matrix: tuple[Colour, Colour, Colour], colour: Colour) -> Colour:
    first, second, third = (sum(a * b for a, b in zip(row, colour, strict=True)) for row in matrix)
    return first, second, third


def lab(colour: Colour) -> Colour:
    scaled = [one / white for one, white in zip(times(TO_XYZ, colour), WHITE, strict=True)]
    x, y, z = (one ** (1 / 3) if one > 0.008856 else 7.787 * one + 16 / 116 for one in scaled)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(text: str, eyes: str) -> Colour:
    red, green, blue = (min(1.0, max(0.0, one)) for one in times(EYES[eyes], linear(text)))
    return lab((red, green, blue))


def brightness(text: str) -> float:
    return times(TO_XYZ, linear(text))[1]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", EYES)
def test_any_two_lines_of_a_chart_are_far_apart_for_all_eyes(eyes: str, scheme: int) -> None:
    close = {
        (one, other): round(distance)
        for one, other in combinations(LINES, 2)
        if (distance := dist(seen(LINES[one][scheme], eyes), seen(LINES[other][scheme], eyes))) < LEAST_DISTANCE
    }
    assert close == {}


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_a_line_stands_out_from_the_card_that_it_is_drawn_on(scheme: int) -> None:
    for colours in LINES.values():
        low, high = sorted((brightness(colours[scheme]), brightness(TOKENS["card"][scheme])))
        assert (high + 0.05) / (low + 0.05) >= LEAST_CONTRAST


def test_every_status_has_a_line_and_a_dash_of_its_own() -> None:
    assert set(LINES) == {"events", *STATUSES}
    dashes = dict(re.findall(r"^  (\w+): (\[[^\]]*\]),$", SCRIPT, re.MULTILINE))
    assert set(LINES) <= set(dashes)
    assert len({dashes[line] for line in LINES}) == len(LINES)
