"""UUIDv7 as of RFC 9562."""

import time
from uuid import RFC_4122

from tandem.core.ids import uuid7


def test_an_id_is_a_version_7_uuid_of_this_moment():
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= after


def test_ids_sort_in_the_order_they_were_made_and_never_repeat():
    ids = [uuid7() for _ in range(20_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_a_clock_that_goes_back_does_not_break_the_order(monkeypatch):
    first = uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000_000_000_000)
    assert uuid7() > first


def test_the_random_part_differs_between_ids():
    assert len({uuid7().int & 0x3FFF_FFFF_FFFF_FFFF for _ in range(1000)}) == 1000
