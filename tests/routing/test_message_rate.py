"""Buckets let a rate pass, and a burst."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acprelay.routing.message_rate import MessageRates, TokenBucket


def test_a_burst_passes_at_once_and_then_the_rate() -> None:
    bucket = TokenBucket(per_s=2.0, burst=3)
    assert [bucket.take(0.0) for _ in range(5)] == [True, True, True, False, False]
    assert [bucket.take(0.5) for _ in range(2)] == [True, False]
    assert [bucket.take(100.0) for _ in range(5)] == [True, True, True, False, False]


def test_a_time_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(per_s=1.0, burst=1)
    assert bucket.take(10.0)
    assert not bucket.take(5.0)
    assert not bucket.take(10.5)
    assert bucket.take(11.0)


@given(
    per_s=st.floats(0.5, 100.0),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0.0, 2.0), min_size=1, max_size=200),
)
def test_no_more_pass_than_the_burst_and_what_the_rate_gives_in_the_time(
    per_s: float, burst: int, pauses: list[float]
) -> None:
    bucket = TokenBucket(per_s=per_s, burst=burst)
    now, passed = 0.0, 0
    for pause in pauses:
        now += pause
        passed += bucket.take(now)
        assert passed <= burst + now * per_s + 1e-6


def test_connections_of_one_principal_share_a_bucket() -> None:
    rates = MessageRates(per_s=1.0, burst=1)
    assert rates.bucket("ann", 0.0).take(0.0)
    assert not rates.bucket("ann", 0.0).take(0.0)
    assert rates.bucket("bob", 0.0).take(0.0)


def test_full_buckets_are_forgotten() -> None:
    rates = MessageRates(per_s=1.0, burst=2)
    for name in ("ann", "bob"):
        rates.bucket(name, 0.0).take(0.0)
    rates.bucket("cat", 0.5)
    assert len(rates) == 3
    rates.bucket("dan", 1.0)
    assert len(rates) == 1
    assert rates.bucket("ann", 1.0).take(1.0)


def test_a_bucket_that_a_connection_still_has_is_its_principals_for_good() -> None:
    rates = MessageRates(per_s=1.0, burst=2)
    of_connections = [rates.bucket("ann", 0.0)]
    rates.bucket("bob", 100.0)
    of_connections.append(rates.bucket("ann", 100.0))
    assert [bucket.take(100.0) for bucket in of_connections * 2] == [True, True, False, False]
    of_connections.clear()
    rates.bucket("cat", 100.0)
    assert not rates.bucket("ann", 100.0).take(100.0)


def test_a_burst_lets_at_least_one_pass() -> None:
    assert MessageRates(per_s=0.1, burst=0.5).bucket("ann", 0.0).take(0.0)
