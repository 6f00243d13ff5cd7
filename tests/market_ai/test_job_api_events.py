"""A job's events as they come: every one, once, in order, whatever happens to connections in between."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from tandem.core.jobs import operate, store
from tandem.core.postgres_url import parse_database_url
from tandem.market_ai.job_api import hub as hubs
from tandem.market_ai.job_api import stream as streams
from tests.market_ai.job_making import begin, failed_job, finished_job, following, progress, queue_job
from tests.market_ai.making import problem


@pytest.fixture
async def database(market_url):
    connection = await asyncpg.connect(**parse_database_url(market_url).asyncpg_args)
    yield connection
    await connection.close()


async def read(client, who, job_id, after=None, **query):
    headers = who.headers if after is None else who.headers | {"Last-Event-ID": str(after)}
    return await client.get(f"/api/jobs/{job_id}/events", headers=headers, params=query)


async def test_the_stream_of_an_ended_job_tells_all_and_ends(market, member, database):
    ada = await member()
    job_id = await finished_job(database, ada.org_id)
    answer = await read(market, ada, job_id)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
    first, *blocks = answer.text.removesuffix("\n\n").split("\n\n")
    assert first == "retry: 2000"
    assert [block.split("\n")[:2] for block in blocks] == [
        ["id: 1", "event: running"],
        ["id: 2", "event: progress"],
        ["id: 3", "event: progress"],
        ["id: 4", "event: succeeded"],
    ]
    async with following(market._transport.app, ada, job_id) as stream:
        await stream.until(lambda s: s.received and s.received[-1].kind == "succeeded")
        second = stream.received[1]
        assert second.data | {"at": ""} == {"id": 2, "kind": "progress", "at": "", "data": {"fraction": 0.25}}


async def test_a_client_resumes_where_it_was_and_is_sent_away_at_the_end(market, member, database):
    ada = await member()
    job_id = await finished_job(database, ada.org_id)
    assert "id: 2\n" not in (rest := (await read(market, ada, job_id, after=2)).text)
    assert "id: 3\n" in rest
    assert (await read(market, ada, job_id, after=3)).text.count("id: ") == 1
    assert (await read(market, ada, job_id, **{"after": "3"})).text.count("id: ") == 1
    assert (await read(market, ada, job_id, after=2, **{"organization": "someone-else"})).status_code == 200
    for gone in (await read(market, ada, job_id, after=4), await market.get(f"/api/jobs/{job_id}/events?after=4", headers=ada.headers),
                 await read(market, ada, job_id, after=10**12)):  # fmt: skip
        assert (gone.status_code, gone.content) == (204, b"")
    for wrong in ("x", "-1", str(2**63)):
        assert await problem(read(market, ada, job_id, after=wrong)) == (422, "invalid_payload")
    assert await problem(market.get(f"/api/jobs/{job_id}/events?afer=1", headers=ada.headers)) == (
        422,
        "invalid_payload",
    )


async def test_a_job_that_is_tried_again_can_be_followed_again(market, member, database):
    ada = await member()
    job_id = await failed_job(database, ada.org_id)
    assert (await read(market, ada, job_id, after=2)).status_code == 204
    async with database.transaction():
        await operate.retry(database, job_id)
    await store.succeed(database.fetch, job_id, await begin(database, job_id), None)
    whole = (await read(market, ada, job_id)).text
    kinds = [line.removeprefix("event: ") for line in whole.split("\n") if line.startswith("event: ")]
    assert kinds == ["running", "failed", "queued", "running", "succeeded"]


async def test_a_browser_names_the_organization_in_the_address(market, member, database):
    ada = await member()
    grace = await member(org=ada.org_id)
    job_id = await finished_job(database, ada.org_id)
    path = f"/api/jobs/{job_id}/events"
    assert (await market.get(path, headers=grace.user.headers)).status_code == 404
    answer = await market.get(path, headers=grace.user.headers, params={"organization": ada.org_id})
    assert answer.text.count("id: ") == 4


async def test_a_listener_waits_without_a_connection_and_hears_at_once(
    market, market_app, member, database, monkeypatch
):
    monkeypatch.setattr(streams, "HEARTBEAT", 0.05)
    ada = await member()
    job_id = await queue_job(database, ada.org_id)
    pool, hub = market_app.state.database.pool, market_app.state.job_events
    async with following(market_app, ada, job_id) as stream:
        await stream.until(lambda s: s.alive >= 2)
        assert (stream.retry, stream.received, pool.checkedout()) == (2000, [], 0)
        attempt = await begin(database, job_id)
        await progress(database, job_id, 0.5)
        await stream.until(lambda s: s.ids == [1, 2])
        assert pool.checkedout() == 0
        assert not stream.ended
        await store.succeed(database.fetch, job_id, attempt, None)
        await stream.until(lambda s: s.ended)
        assert stream.ids == [1, 2, 3]
    assert not hub._listeners


async def test_many_listeners_share_their_queries(market, market_app, member, database, monkeypatch):
    asked = []
    real = hubs.read_events

    async def counted(connection, places):
        asked.append(places)
        return await real(connection, places)

    monkeypatch.setattr(hubs, "read_events", counted)
    ada = await member()
    job_id = await queue_job(database, ada.org_id)
    async with AsyncExitStack() as stack:
        everyone = [await stack.enter_async_context(following(market_app, ada, job_id)) for _ in range(40)]
        hub = market_app.state.job_events
        while not hub._listening.up:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        asked.clear()
        await begin(database, job_id)
        await progress(database, job_id, 0.5)
        for one in everyone:
            await one.until(lambda s: s.ids == [1, 2])
        assert len(asked) <= 6, asked
        listening = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tandem job events'"
        assert await database.fetchval(listening + " AND datname = current_database()") == 1
    assert market_app.state.database.pool.checkedout() == 0


async def test_long_stories_are_read_in_pages(market, member, database):
    ada = await member()
    job_id = await queue_job(database, ada.org_id)
    attempt = await begin(database, job_id)
    await database.execute(
        "INSERT INTO job_events (job_id, seq, kind) SELECT $1, n, 'progress' FROM generate_series(2, 500) n", job_id
    )
    await database.execute("UPDATE jobs SET events = 500 WHERE id = $1", job_id)
    await store.succeed(database.fetch, job_id, attempt, None)
    text = (await read(market, ada, job_id)).text
    assert [int(line[4:]) for line in text.split("\n") if line.startswith("id: ")] == list(range(1, 502))


async def test_events_are_found_where_nobody_can_listen(market_settings, member, database, monkeypatch):
    from tandem.market_ai.main import build

    monkeypatch.setattr(hubs, "POLL", 0.05)
    pooled = SecretStr(market_settings.database_url.get_secret_value() + "&pgbouncer=true")
    app = build(market_settings.model_copy(update={"database_url": pooled}))
    ada = await member()
    job_id = await queue_job(database, ada.org_id)
    async with app.router.lifespan_context(app), following(app, ada, job_id) as stream:
        assert not app.state.job_events._can_listen
        await begin(database, job_id)
        await stream.until(lambda s: s.ids == [1])


async def test_a_lost_listening_connection_loses_no_event(market, market_app, member, database):
    ada = await member()
    job_id = await queue_job(database, ada.org_id)
    async with following(market_app, ada, job_id) as stream:
        await begin(database, job_id)
        await stream.until(lambda s: s.ids == [1])
        killed = await database.fetchval(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tandem job events' AND datname = current_database()"
        )
        assert killed
        await progress(database, job_id, 0.5)
        await stream.until(lambda s: s.ids == [1, 2])


async def test_a_stream_outlives_a_database_that_does_not_answer(market, market_app, member, database, monkeypatch):
    monkeypatch.setattr(hubs, "AGAIN", 0.05)
    real, failures = hubs.read_events, [OSError("gone"), OSError("still gone")]

    async def sometimes(connection, places):
        if failures:
            raise failures.pop()
        return await real(connection, places)

    monkeypatch.setattr(hubs, "read_events", sometimes)
    ada = await member()
    async with following(market_app, ada, await finished_job(database, ada.org_id)) as stream:
        await stream.until(lambda s: s.ended)
    assert (stream.ids, failures) == ([1, 2, 3, 4], [])


async def test_streams_end_after_their_time_when_their_job_goes_and_when_the_process_leaves(
    market, market_app, member, database, monkeypatch
):
    ada = await member()
    job_id = await queue_job(database, ada.org_id)
    monkeypatch.setattr(streams, "LIFE", 0.1)
    async with following(market_app, ada, job_id) as short:
        await short.until(lambda s: s.ended)
    monkeypatch.undo()
    doomed = await queue_job(database, ada.org_id)
    async with following(market_app, ada, doomed) as purged:
        await database.execute("DELETE FROM jobs WHERE id = $1", doomed)
        await database.execute("SELECT pg_notify('tandem_job_events', 'no uuid')")
        await database.execute("SELECT pg_notify('tandem_job_events', $1)", str(doomed))
        await purged.until(lambda s: s.ended)
    handled = []
    before = signal.signal(signal.SIGTERM, lambda number, _: handled.append(number))
    try:
        from tandem.core.leaving import on_leaving

        async with following(market_app, ada, job_id) as open_stream:
            with on_leaving(market_app.state.job_events.leave):
                os.kill(os.getpid(), signal.SIGTERM)
                await open_stream.until(lambda s: s.ended)
        assert handled == [signal.SIGTERM]
        async with following(market_app, ada, job_id) as late:
            await late.until(lambda s: s.ended)
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(handled) == 2, "whoever handled the signal before does so again"
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_user_has_so_many_streams_at_most(market, market_app, member, database, monkeypatch):
    monkeypatch.setattr(hubs, "MAX_STREAMS", 2)
    ada = await member()
    grace = await member(org=ada.org_id)
    job_id = await queue_job(database, ada.org_id)
    async with AsyncExitStack() as stack:
        everyone = (ada, ada, ada, grace)
        streams = [await stack.enter_async_context(following(market_app, one, job_id)) for one in everyone]
        assert [stream.status for stream in streams] == [200, 200, 429, 200]
        assert b"too_many_streams" in streams[2].body
    async with following(market_app, ada, job_id) as again:
        assert again.status == 200


async def test_who_may_not_read_jobs_hears_nothing(market, member, database):
    ada = await member()
    path = f"/api/jobs/{await queue_job(database, ada.org_id)}/events"
    assert await problem(market.get(path)) == (401, "unauthorized")
    assert await problem(market.get(f"/api/jobs/{uuid4()}/events", headers=ada.headers)) == (404, "not_found")
    head = await market.head(path, headers=ada.headers)
    assert (head.status_code, head.content) == (200, b"")
