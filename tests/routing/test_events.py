"""What is said of what went nowhere."""

from __future__ import annotations

import pytest

from acprelay.routing.events import Oddities


@pytest.mark.parametrize(
    ("oddities", "odd"),
    [
        (Oddities(), False),
        (Oddities(noise_lines=1), True),
        (Oddities(dropped_answers=1), True),
    ],
)
def test_there_is_something_odd_once_anything_went_nowhere(oddities: Oddities, odd: bool) -> None:
    assert bool(oddities) is odd


def test_the_description_counts_and_shows_how_the_last_noise_began() -> None:
    oddities = Oddities(noise_lines=2, last_noise=b"Loading" + b"." * 100, dropped_answers=3)
    assert oddities.describe() == (
        "its agent wrote lines that are no messages: 2, of which the last began "
        f"b'Loading{'.' * 73}'; answers that nobody waited for: 3"
    )
    assert Oddities(dropped_answers=1).describe() == (
        "its agent wrote answers that nobody waited for: 1"
    )
