"""When a task is due: wall time and zone are stored, the instant is derived, a day is a day in every zone."""

from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tandem.momentum.fields import instant
from tests.momentum.making import make_task, problem, titles

# `zone local UTC`, one a line: clock changes in both directions, in both hemispheres, and far from UTC.
INSTANTS = (Path(__file__).parent.parent / "data" / "instants.txt").read_text().splitlines()
EARLIEST, LATEST = "Etc/GMT+12", "Pacific/Kiritimati"  # 26 hours apart: never the same day


def cases():
    for line in INSTANTS:
        if line and not line.startswith("#"):
            zone, local, utc = line.split()
            yield zone, datetime.fromisoformat(local), datetime.fromisoformat(utc)


def test_a_wall_time_becomes_the_instant_that_its_zone_means():
    for zone, local, utc in cases():
        assert instant(local.date(), local.time(), zone) == utc, (zone, local)


async def test_the_api_answers_that_instant_and_keeps_the_wall_time(client, ada):
    chosen = [case for case in cases() if case[1].second == 0][-12:]
    operations = [
        {"op": "create", "data": {"title": "x", "due_date": f"{local:%F}", "due_time": f"{local:%R}", "timezone": zone}}
        for zone, local, _ in chosen
    ]
    results = (await client.post("/api/tasks/bulk", json={"operations": operations})).json()["results"]
    for (zone, local, utc), result in zip(chosen, results, strict=True):
        task = result["task"]
        assert datetime.fromisoformat(task["due_at"]) == utc, (zone, local)
        assert (task["due_date"], task["due_time"], task["timezone"]) == (f"{local:%F}", f"{local:%T}", zone)


async def test_a_skipped_wall_time_moves_on_by_the_gap(client, ada):
    task = await make_task(client, due_date="2026-03-29", due_time="02:30", timezone="Europe/Berlin")
    assert task["due_at"] == "2026-03-29T01:30:00+00:00"  # 03:30 summer time
    assert task["due_time"] == "02:30:00"


async def test_a_wall_time_that_happens_twice_means_the_first(client, ada):
    task = await make_task(client, due_date="2026-10-25", due_time="02:30", timezone="Europe/Berlin")
    assert task["due_at"] == "2026-10-25T00:30:00+00:00"


async def test_a_day_is_the_same_day_in_every_zone(client, ada):
    task = await make_task(client, due_date="2026-12-24")
    assert (task["due_date"], task["due_at"]) == ("2026-12-24", None)
    for zone in (EARLIEST, LATEST, "Asia/Kathmandu"):
        await client.patch("/api/settings", json={"timezone": zone})
        assert (await client.get(f"/api/tasks/{task['id']}")).json() == task
        assert await titles(client, due_before="2026-12-24") == []
        assert await titles(client, due_before="2026-12-25") == [task["title"]]


async def test_the_users_zone_is_the_default_when_the_time_is_set(client, ada):
    before = await make_task(client, due_date="2026-07-01", due_time="09:00")
    await client.patch("/api/settings", json={"timezone": "America/New_York"})
    after = await make_task(client, due_date="2026-07-01", due_time="09:00")
    explicit = await make_task(client, due_date="2026-07-01", due_time="09:00", timezone="Asia/Tokyo")
    assert (before["timezone"], before["due_at"]) == ("UTC", "2026-07-01T09:00:00+00:00")
    assert (after["timezone"], after["due_at"]) == ("America/New_York", "2026-07-01T13:00:00+00:00")
    assert (explicit["timezone"], explicit["due_at"]) == ("Asia/Tokyo", "2026-07-01T00:00:00+00:00")
    unchanged = await client.get(f"/api/tasks/{before['id']}")
    assert unchanged.json() == before  # moving house does not move appointments


async def test_patching_one_of_day_time_and_zone_keeps_the_others(client, ada):
    task = await make_task(client, due_date="2026-07-01", due_time="09:00", timezone="Europe/Berlin")
    url = f"/api/tasks/{task['id']}"
    await client.patch("/api/settings", json={"timezone": "America/New_York"})
    steps = [
        ({"due_date": "2026-12-01"}, ("2026-12-01", "09:00:00", "Europe/Berlin", "2026-12-01T08:00:00+00:00")),
        ({"due_time": "10:30"}, ("2026-12-01", "10:30:00", "Europe/Berlin", "2026-12-01T09:30:00+00:00")),
        ({"timezone": "Asia/Tokyo"}, ("2026-12-01", "10:30:00", "Asia/Tokyo", "2026-12-01T01:30:00+00:00")),
        ({"timezone": None}, ("2026-12-01", "10:30:00", "America/New_York", "2026-12-01T15:30:00+00:00")),
        ({"due_time": None}, ("2026-12-01", None, "America/New_York", None)),
        ({"due_time": "08:00"}, ("2026-12-01", "08:00:00", "America/New_York", "2026-12-01T13:00:00+00:00")),
        ({"title": "other"}, ("2026-12-01", "08:00:00", "America/New_York", "2026-12-01T13:00:00+00:00")),
        ({"due_date": None}, (None, None, "America/New_York", None)),
        ({"due_date": "2026-01-01", "due_time": "00:00", "timezone": "UTC"},
         ("2026-01-01", "00:00:00", "UTC", "2026-01-01T00:00:00+00:00")),
    ]  # fmt: skip
    for body, expected in steps:
        patched = (await client.patch(url, json=body)).json()
        assert tuple(patched[k] for k in ("due_date", "due_time", "timezone", "due_at")) == expected, body


async def test_a_time_without_a_day_is_refused(client, ada):
    task = await make_task(client)
    for request in (
        client.post("/api/tasks", json={"title": "x", "due_time": "09:00"}),
        client.patch(f"/api/tasks/{task['id']}", json={"due_time": "09:00"}),
        client.put(f"/api/tasks/{task['id']}", json={"title": "x", "due_time": "09:00"}),
    ):
        assert await problem(request) == (422, "invalid_payload")
    timed = await make_task(client, due_date="2026-12-24", due_time="09:00")
    body = {"due_date": None, "due_time": "10:00"}
    assert await problem(client.patch(f"/api/tasks/{timed['id']}", json=body)) == (422, "invalid_payload")
    assert (await client.get(f"/api/tasks/{timed['id']}")).json() == timed


async def test_what_is_no_day_time_or_zone_is_refused(client, ada):
    for field, values in {
        "due_date": ["2026-02-30", "24.12.2026", "2026-12-24T00:00:00", "2026-12-24T00:00:00Z", 20261224, "1899-12-31",
                     "3000-01-01", "0000-00-00", "٢٠٢٦-12-24", True],
        "due_time": ["9:00", "24:00", "09:60", "09:00Z", "09:00+02:00", 540, "0900", "09:00:00.5"],
        "timezone": ["CET+1", "berlin", "Europe/Atlantis", "../UTC", 2, ""],
        "due_at": ["2026-12-24T09:00:00Z"],
    }.items():  # fmt: skip
        for value in values:
            body = {"title": "x", "due_date": "2026-12-24", field: value}
            assert await problem(client.post("/api/tasks", json=body)) == (422, "invalid_payload"), body
    assert await titles(client) == []


async def test_overdue_goes_by_the_users_clock(client, ada):
    today = {zone: datetime.now(ZoneInfo(zone)).date() for zone in (EARLIEST, LATEST)}
    await make_task(client, "today in the west", due_date=str(today[EARLIEST]))
    await make_task(client, "today in the east", due_date=str(today[LATEST]))
    await make_task(client, "long ago", due_date="2000-01-01")
    await make_task(client, "long ago, done", due_date="2000-01-01", completed=True)
    await make_task(client, "never")
    for zone, overdue in ((EARLIEST, {"long ago"}), (LATEST, {"long ago", "today in the west"})):
        await client.patch("/api/settings", json={"timezone": zone})
        assert set(await titles(client, overdue="true")) == overdue, zone
        assert set(await titles(client, overdue="false")) == set(await titles(client)) - overdue


async def test_a_timed_task_is_overdue_from_its_instant_on_wherever_the_user_is(client, ada):
    now = datetime.now(UTC)
    for minutes, zone in product((-5, 5), (EARLIEST, "UTC", LATEST)):
        local = (now + timedelta(minutes=minutes)).astimezone(ZoneInfo(zone))
        await make_task(client, f"{minutes} {zone}", due_date=f"{local:%F}", due_time=f"{local:%T}", timezone=zone)
    for home in (EARLIEST, LATEST):
        await client.patch("/api/settings", json={"timezone": home})
        assert set(await titles(client, overdue="true")) == {f"-5 {zone}" for zone in (EARLIEST, "UTC", LATEST)}


@pytest.mark.parametrize("day", [date(1900, 1, 1), date(2999, 12, 31)])
async def test_the_calendar_works_to_its_ends(client, ada, day):
    for zone in (EARLIEST, LATEST):
        task = await make_task(client, due_date=str(day), due_time="23:59:59", timezone=zone)
        assert datetime.fromisoformat(task["due_at"]) == instant(day, datetime(1, 1, 1, 23, 59, 59).time(), zone)  # noqa: DTZ001
    assert len(await titles(client, sort="due")) == 2
