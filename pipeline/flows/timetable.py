"""A cron line in a time zone: checked at the door, the next time, and the last one that was missed."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from prefect._vendor.croniter import CroniterBadDateError, croniter

from pipeline.errors import RunError

_ALIASES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")


@dataclass(frozen=True, slots=True)
class Timetable:
    """When a flow runs."""

    cron: str
    zone: ZoneInfo

    def next(self, now: datetime) -> datetime:
        """The first time after `now` (with a zone)."""
        return self._from(now).get_next(datetime).replace(tzinfo=self.zone)

    def missed(self, seen: datetime | None, now: datetime) -> datetime | None:
        """The last time between `seen`, when somebody was there to keep it, and `now`; None: there was none."""
        last = self._from(now).get_prev(datetime).replace(tzinfo=self.zone)
        return last if seen is not None and seen < last else None

    def _from(self, now: datetime) -> croniter:
        """By the clock on the wall, as Prefect counts: over a change of the clocks an aware time would come out an hour off."""
        return croniter(self.cron, now.astimezone(self.zone).replace(tzinfo=None))


def read_timetable(cron: str, zone: str | None) -> Timetable:
    """Check what the command line says.

    Args:
        cron: five fields, or @daily and its like.
        zone: IANA name; None: this machine's.

    Raises:
        RunError: no cron line, one that never comes, no time zone.
    """
    example = 'expected minute, hour, day, month and weekday, for instance "0 3 * * *" (every night at three)'
    if not (cron in _ALIASES or len(cron.split()) == 5) or not croniter.is_valid(cron) or {"r", "h"} & set(cron.lower().split()):
        raise RunError(f'--cron is "{cron}", {example}')
    name = zone or _zone_of_this_machine()
    try:
        timetable = Timetable(cron, ZoneInfo(name))
    except (ValueError, OSError, KeyError):  # a name with .. in it, a folder, an unknown name
        raise RunError(f'--timezone is "{name}", expected a name such as Europe/Berlin or UTC') from None
    try:
        timetable.next(datetime.now(timetable.zone))
    except CroniterBadDateError:
        raise RunError(f'--cron is "{cron}", a time that never comes; {example}') from None
    return timetable


def _zone_of_this_machine() -> str:
    """From TZ or /etc/localtime; UTC where neither names a zone."""
    named = os.environ.get("TZ", "").removeprefix(":")
    if named and not named.startswith("/"):
        return named
    parts = Path("/etc/localtime").resolve().parts
    return "/".join(parts[parts.index("zoneinfo") + 1:]) if "zoneinfo" in parts else "UTC"
