"""The order of conversations, however they come and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acprelay.routing.recency import Recency
from acprelay.session.models import SessionKey

keys = st.builds(SessionKey, st.sampled_from("abc"), st.sampled_from(["x", "y"]))
times = st.sampled_from([0.0, 1.5, 2.0, 1e9])


@given(st.lists(st.tuples(keys, st.none() | times), max_size=30), keys, times)
def test_what_changed_last_comes_first_and_a_page_begins_behind_any_place(
    changes: list[tuple[SessionKey, float | None]], key: SessionKey, at: float
) -> None:
    recency = Recency()
    known: dict[SessionKey, float] = {}
    for changed, updated_at in changes:
        if updated_at is None:
            recency.drop(changed)
            known.pop(changed, None)
        else:
            recency.put(changed, updated_at)
            known[changed] = updated_at
    expected = sorted((-updated_at, str(each)) for each, updated_at in known.items())
    assert [str(each) for each in recency.after(None)] == [name for _, name in expected]
    place = (-at, str(key))
    behind = [name for each, name in expected if (each, name) > place]
    assert [str(each) for each in recency.after(place)] == behind
