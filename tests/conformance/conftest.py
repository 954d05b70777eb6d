"""What these tests share: an ear for what a relay in this process says of its own accord."""

from __future__ import annotations

from tests.conformance.authored import ear, tapped_wire  # noqa: F401  # fixtures of every test here
