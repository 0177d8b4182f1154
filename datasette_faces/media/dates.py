"""Dates as cameras, programs and people write them → ISO 8601, with as much as they say. Pure functions."""

from __future__ import annotations

import re
from datetime import date

FIRST_YEAR = 1000
"""Clocks and programs without a date write years from 0000 to 0001; none has left a photo before this."""
MAX_OFFSET_HOURS = 14
"""The greatest offset from UTC, of Kiribati."""
MAX_SUBSECOND_DIGITS = 9
_COMPACT_DAY = re.compile(r"(\d{4})(\d\d)(\d\d)(?=$|\D|\d{4}(?:\d\d)?(?:\D|$))", re.ASCII)
"""As in IPTC: 20250114, also with a time, 20250114T123456."""
_DAY = re.compile(
    r"(?P<year>\d{4})(?!\d)"
    r"(?:(?P<by>[:/.\-]|\s)\s?(?P<month>\d{1,2}(?!\d)|\s{0,2})"
    r"(?:(?P=by)\s?(?P<day>\d{1,2}(?!\d)|\s{0,2}))?)?",
    re.ASCII,
)
_TIME = re.compile(
    r"[T\s:]*(?P<hour>\d{1,2})(?:(?P<by>[:.])(?P<minute>\d{1,2})"
    r"(?:(?P=by)(?P<second>\d{1,2})(?:[.,](?P<fraction>\d+))?)?|(?P<compact>\d\d(?:\d\d)?))"
    r"(?!\d)(?:\s*(?P<half>[ap])\.?m\b)?",
    re.IGNORECASE | re.ASCII,
)
_OFFSET = re.compile(
    r"\s*(?:(?P<utc>Z)|([+-])(?:(\d\d)(?::?(\d\d))?|(\d):(\d\d)))(?![\d:])", re.I | re.ASCII
)
_BLANK = re.compile(r"[\s\0]")
_NO_TIME = re.compile(r"[\s:/.\-+TZ0-9]*")


def parse_date(written: str, *, subseconds: str = "", offset: str = "") -> str | None:
    """A date as ISO 8601: a year, a month, a day, or a time, as much as is said; None if it is none.

    subseconds, offset: what is said elsewhere, and counts where the date itself has none. Zeros and
    blanks stand for parts that are unknown. Of an hour 24 only the day is kept, of a second 60 the
    minute: some programs mean the day's first hour, others its end.
    """
    text = _BLANK.sub(" ", written).strip()
    match = _COMPACT_DAY.match(text) or _DAY.match(text)
    if match is None:
        return None
    day = _join_day(*(int((part or "").strip() or 0) for part in _day_parts(match)))
    rest = text[match.end() :]
    if day is None or (rest[:1].isalnum() and match.re is _DAY and rest[0] not in "tT"):
        return None
    if len(day) < len("2025-01-14"):
        return day if _NO_TIME.fullmatch(rest) else None
    time = _TIME.match(rest)
    return day if time is None else _add_time(day, time, (rest[time.end() :], subseconds, offset))


def _day_parts(match: re.Match[str]) -> tuple[str | None, ...]:
    return match.groups() if match.re is _COMPACT_DAY else match.group("year", "month", "day")


def _join_day(year: int, month: int, day: int) -> str | None:
    """A year, a month or a day; 0 for what is unknown, None where there is no such day."""
    try:
        date(year, month or 1, (month and day) or 1)
    except ValueError:
        return None
    if year < FIRST_YEAR:
        return None
    known = (f"{year:04}", f"{month:02}", f"{day:02}")
    return "-".join(known[: 1 if not month else 2 if not day else 3])


def _add_time(day: str, time: re.Match[str], more: tuple[str, str, str]) -> str | None:
    """A day with its time; more: what follows in the text, and subseconds and offset from elsewhere."""
    rest, subseconds, offset = more
    compact = time["compact"] or ""
    hour, minute = int(time["hour"]), int(time["minute"] or compact[:2])
    second_text = time["second"] or compact[2:]
    second = int(second_text or 0)
    if time["half"] and 1 <= hour <= 12:
        hour = hour % 12 + (12 if time["half"].lower() == "p" else 0)
    if hour > 24 or minute > 59 or second > 60:
        return None
    if hour == 24:
        return day
    parts = [f"{day}T{hour:02}:{minute:02}"]
    if second_text and second < 60:
        fraction = (time["fraction"] or parse_subseconds(subseconds))[:MAX_SUBSECOND_DIGITS]
        parts += [f":{second:02}", f".{fraction}" if fraction else ""]
    return "".join((*parts, parse_offset(rest) or parse_offset(offset)))


def parse_subseconds(written: str) -> str:
    """The digits of a second's fraction; "" where there are none."""
    text = written.replace("\0", " ").strip()
    return text if re.fullmatch(r"[0-9]+", text) else ""


def parse_offset(written: str) -> str:
    """An offset from UTC that a text begins with: `Z`, `+02:00`; "" where there is none."""
    match = _OFFSET.match(written)
    if match is None:
        return ""
    if match["utc"]:
        return "Z"
    _, sign, hours, minutes, hour, minute = match.groups()
    across, down = int(hours or hour), int(minutes or minute or 0)
    valid = down <= 59 and across * 60 + down <= MAX_OFFSET_HOURS * 60
    return f"{sign}{across:02}:{down:02}" if valid else ""
