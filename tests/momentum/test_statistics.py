"""Statistics: days are the user's, streaks are of days, projects are counted."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.momentum.making import make_project, make_task, problem

NEW_YORK, BERLIN = "America/New_York", "Europe/Berlin"


async def done_at(client, database, *moments, **fields):
    """Completed tasks, at moments that only the database can set."""
    for moment in moments:
        task = await make_task(client, completed=True, **fields)
        await database.execute("UPDATE tasks SET completed_at = $1 WHERE id = $2", moment, task["id"])


async def statistics(client, **query):
    response = await client.get("/api/statistics", params=query)
    assert response.status_code == 200, response.text
    return response.json()


async def live_in(client, zone):
    """Noon of today there."""
    await client.patch("/api/settings", json={"timezone": zone})
    return datetime.now(ZoneInfo(zone)).replace(hour=12, minute=0, second=0, microsecond=0)


async def test_nobody_did_anything_yet(client, ada):
    body = await statistics(client)
    assert body["totals"] == {"open": 0, "completed": 0, "overdue": 0}
    assert body["streak"] == {"current": 0, "longest": 0}
    assert body["by_project"] == []
    assert [d["completed"] for d in body["days"]] == [0] * 30
    assert body["days"][-1]["date"] == body["today"]


async def test_days_are_consecutive_and_end_today(client, ada):
    for zone in (NEW_YORK, "Pacific/Kiritimati", "America/Santiago", "Africa/Cairo"):
        noon = await live_in(client, zone)
        body = await statistics(client, days=366)  # a year has both clock changes in it
        expected = [str(noon.date() - timedelta(days=n)) for n in reversed(range(366))]
        assert [d["date"] for d in body["days"]] == expected
        assert (body["today"], body["timezone"]) == (expected[-1], zone)


async def test_the_number_of_days_is_bounded(client, ada):
    assert len((await statistics(client, days=1))["days"]) == 1
    for days in ("0", "367", "-1", "x", "1e3", "99999999999999999999"):
        assert await problem(client.get("/api/statistics", params={"days": days})) == (422, "invalid_payload")


async def test_a_day_begins_at_the_users_midnight(client, ada, database):
    noon = await live_in(client, NEW_YORK)
    midnight = noon.replace(hour=0)
    await done_at(client, database, midnight, midnight - timedelta(seconds=1))
    counts = {d["date"]: d["completed"] for d in (await statistics(client))["days"]}
    assert counts[str(midnight.date())] == 1
    assert counts[str(midnight.date() - timedelta(days=1))] == 1


async def test_the_hour_that_happens_twice_belongs_to_its_day(client, ada, database):
    noon = await live_in(client, BERLIN)
    zone = ZoneInfo(BERLIN)
    changes = [
        day
        for day in (noon.date() - timedelta(days=n) for n in range(2, 364))
        if datetime.combine(day, noon.time(), zone).utcoffset()
        != datetime.combine(day - timedelta(days=1), noon.time(), zone).utcoffset()
    ]
    assert len(changes) in {1, 2}
    for day in changes:
        start, end = (datetime.combine(d, datetime.min.time(), zone) for d in (day, day + timedelta(days=1)))
        hour, second = timedelta(hours=2, minutes=30), timedelta(seconds=1)
        await done_at(
            client,
            database,
            start,
            start + hour,
            (start + hour).replace(fold=1),
            end.astimezone(ZoneInfo("UTC")) - second,
        )
    counts = {d["date"]: d["completed"] for d in (await statistics(client, days=366))["days"]}
    assert {day: n for day, n in counts.items() if n} == {str(day): 4 for day in changes}


async def test_a_streak_counts_days_in_a_row(client, ada, database):
    noon = await live_in(client, BERLIN)
    days_ago = [0, 0, 1, 2, 10, 11, 12, 13, 14, 20]
    await done_at(client, database, *[noon - timedelta(days=n) for n in days_ago])
    assert (await statistics(client))["streak"] == {"current": 3, "longest": 5}


async def test_a_streak_is_alive_until_a_day_has_passed(client, ada, database):
    noon = await live_in(client, BERLIN)
    await done_at(client, database, noon - timedelta(days=1), noon - timedelta(days=2))
    assert (await statistics(client))["streak"] == {"current": 2, "longest": 2}
    await database.execute("UPDATE tasks SET completed_at = completed_at - interval '1 day'")
    assert (await statistics(client))["streak"] == {"current": 0, "longest": 2}


async def test_a_completion_in_the_future_is_no_streak(client, ada, database):
    noon = await live_in(client, BERLIN)
    await done_at(client, database, noon, *[noon + timedelta(days=n) for n in (1, 2, 40, 41, 42)])
    assert (await statistics(client))["streak"] == {"current": 1, "longest": 1}


async def test_tasks_are_counted_by_project(client, ada, bob):
    home, away = await make_project(client, "Home"), await make_project(client, "Away")
    for fields in ({}, {}, {"completed": True}):
        await make_task(client, project_id=home["id"], **fields)
    await make_task(client, project_id=away["id"], due_date=str(date(2000, 1, 1)))
    await make_task(client, completed=True)
    gone = await make_task(client, "gone", project_id=home["id"])
    await client.delete(f"/api/tasks/{gone['id']}")
    await client.post("/api/tasks", json={"title": "bob's"}, headers=bob.headers)
    body = await statistics(client)
    assert body["by_project"] == [
        {"project_id": None, "name": None, "open": 0, "completed": 1},
        {"project_id": away["id"], "name": "Away", "open": 1, "completed": 0},
        {"project_id": home["id"], "name": "Home", "open": 2, "completed": 1},
    ]
    assert body["totals"] == {"open": 3, "completed": 2, "overdue": 1}


async def test_reopening_takes_a_task_out_of_its_day(client, ada):
    task = await make_task(client, completed=True)
    assert (await statistics(client, days=1))["days"][0]["completed"] == 1
    await client.post(f"/api/tasks/{task['id']}/reopen")
    assert (await statistics(client, days=1))["days"][0]["completed"] == 0
