"""What is left of the `_meta` of somebody who may not say which commands run."""

from __future__ import annotations

import pytest

from acprelay.routing.meta_rules import without_orders
from acprelay.wire import peek


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (b'{"method":"x","params":{"a":1}}', b'{"method":"x","params":{"a":1}}'),
        (b'{"method":"x"}', b'{"method":"x"}'),
        (
            b'{"method":"x","params":{"_meta":{"traceparent":"00","vendor":{"run":1}}}}',
            b'{"method":"x","params":{"_meta":{"traceparent":"00"}}}',
        ),
        (
            b'{"method":"x","params":{"_meta":{"traceparent":"00"}}}',
            b'{"method":"x","params":{"_meta":{"traceparent":"00"}}}',
        ),
    ],
)
def test_only_what_traces_a_message_is_left(said: bytes, left: bytes) -> None:
    assert without_orders(peek(said)).raw == left
