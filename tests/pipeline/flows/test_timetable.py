"""A cron line at the door, and what was missed: pytest tests/pipeline/flows/test_timetable.py"""

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.errors import RunError
from pipeline.flows.timetable import read_timetable

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize("cron", ["", "x", "0 25 * * *", "0 3 * *", "* * * * * *", "R 3 * * *", "0 0 31 2 *", "0 3 * * *; rm -r data"])
def test_a_line_that_is_none_is_told_in_one_line_with_one_that_is(cron: str) -> None:
    with pytest.raises(RunError, match=r'^--cron is ".*expected minute, hour, day, month and weekday, for instance "0 3 \* \* \*"'):
        read_timetable(cron, "UTC")


@pytest.mark.parametrize("zone", ["Mars", "../../etc/passwd", "Europe", "/etc/localtime", " "])
def test_a_time_zone_that_is_none(zone: str) -> None:
    with pytest.raises(RunError, match=r"^--timezone is .* expected a name such as Europe/Berlin or UTC$"):
        read_timetable("0 3 * * *", zone)


def test_the_next_time_is_in_its_zone_also_when_the_clocks_change_that_night() -> None:
    nightly = read_timetable("0 3 * * *", "Europe/Berlin")
    assert nightly.next(NOON) == datetime(2026, 3, 29, 1, tzinfo=UTC), "three o'clock of summer time"
    assert nightly.next(NOON - timedelta(days=1)) == datetime(2026, 3, 28, 2, tzinfo=UTC)


def test_what_was_missed_is_the_last_time_that_nobody_kept() -> None:
    nightly = read_timetable("@daily", "UTC")
    assert nightly.missed(NOON - timedelta(days=3), NOON) == datetime(2026, 3, 28, tzinfo=UTC)
    assert nightly.missed(NOON - timedelta(hours=1), NOON) is None
    assert nightly.missed(None, NOON) is None, "the first time that it is served"
