"""Imports of leads: every row is taken or told of, once, whatever the file looks like and whatever dies meanwhile."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from tandem.market_ai.imports import jobs as import_jobs
from tandem.market_ai.imports.schemas import ImportPage
from tests.market_ai.conftest import Member
from tests.market_ai.lead_making import GRANTED, IMPORTS, counts, finished, imported, make_lead, report, upload
from tests.market_ai.making import audited, connected, post, problem
from tests.market_ai.working import a_worker


async def leads(market: Any, who: Member) -> dict[str, dict[str, Any]]:
    page = await market.get("/api/leads", params={"limit": 200, "sort": "email"}, headers=who.headers)
    return {lead["email"]: lead for lead in page.json()["items"]}


@pytest.fixture
async def worker(market_settings):
    async with a_worker(market_settings) as worker:
        yield worker


FILE = """E-Mail;Full name;Tags;Time zone;Locale;Consent;Consent at;Consent source;Kundennr.;2024 Umsatz;Notiz\r
ada@bücher.example;"Lovelace; Ada";"VIP, early";Europe/London;en-GB;granted;2026-10-01;fair;'-1;12,50;"two
lines"\r
 Grace@Example.com ;Grace;;;;;;;;'=1+1;\r
\r
ada@XN--BCHER-KVA.example;Twice;;;;;;;;;\r
nobody;;;;;;;;;;\r
;No address;;;;;;;;;\r
eve@example.com;Eve;;Mars/Olympus;english;granted;;;;;\r
too@example.com;;;;;;;;;;;many\r
"open@example.com;x\r
last@example.com\r
"""


async def test_every_row_of_a_file_is_taken_or_told_of(market, member, worker):
    ada = await member()
    one = await imported(market, ada, b"\xef\xbb\xbf" + FILE.encode())
    assert counts(one) == (3, 0, 0, 6)
    assert one["columns"] == {
        "E-Mail": "email", "Full name": "name", "Tags": "tags", "Time zone": "timezone", "Locale": "locale",
        "Consent": "consent", "Consent at": "consent_at", "Consent source": "consent_source",
        "Kundennr.": "attributes.kundennr", "2024 Umsatz": "attributes.x_2024_umsatz", "Notiz": "attributes.notiz",
    }  # fmt: skip
    assert (one["progress"], one["error"], one["filename"], one["created_by"]) == (1, None, "leads.csv", ada.user_id)
    found = await leads(market, ada)
    assert list(found) == ["ada@xn--bcher-kva.example", "Grace@example.com", "last@example.com"]
    lead = found["ada@xn--bcher-kva.example"]
    assert (lead["name"], lead["tags"], lead["timezone"]) == ("Lovelace; Ada", ["early", "vip"], "Europe/London")
    assert lead["attributes"] == {"kundennr": "-1", "x_2024_umsatz": "12,50", "notiz": "two\nlines"}
    assert (lead["consent"], lead["consent_at"], lead["consent_source"]) == (
        "granted", "2026-10-01T00:00:00+00:00", "fair",
    )  # fmt: skip
    assert found["Grace@example.com"]["attributes"] == {"x_2024_umsatz": "=1+1"}
    rows = await report(market, ada, one)
    assert [(row[0], row[1]) for row in rows] == [
        ("6", "repeated_email"), ("7", "invalid_email"), ("8", "email_missing"), ("9", "invalid_value"),
        ("10", "too_many_cells"), ("11", "malformed_row"),
    ]  # fmt: skip
    assert rows[0][2:5] == ["The file has this address in line 2 already", "ada@XN--BCHER-KVA.example", "Twice"]
    assert "timezone" in rows[3][2]
    assert "locale" in rows[3][2]
    assert rows[5][3] == '"open@example.com;x'
    assert await audited(market, ada, one["id"]) == ["import.started", "import.finished"]


async def test_the_same_file_twice_changes_nothing(market, member, worker):
    ada = await member()
    first = await imported(market, ada, FILE)
    before = await leads(market, ada)
    again = await imported(market, ada, FILE)
    assert (counts(first), counts(again)) == ((3, 0, 0, 6), (0, 0, 3, 6))
    assert await leads(market, ada) == before
    page = await market.get(IMPORTS, params={"status": "succeeded"}, headers=ada.headers)
    ImportPage.model_validate_json(page.content, strict=True, extra="forbid")
    assert [one["id"] for one in page.json()["items"]] == [again["id"], first["id"]]


async def test_a_repeated_request_starts_one_import(market, member):
    ada = await member()
    first, again = [await upload(market, ada, FILE, key="once", tags="a, b") for _ in range(2)]
    assert (first.status_code, again.json()) == (202, first.json())
    other = await upload(market, ada, FILE + "x@example.com", key="once", tags="a, b")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await market.get(IMPORTS, headers=ada.headers)).json()["total"] == 1


async def test_who_is_there_gets_what_the_row_has_besides(market, member, worker):
    ada = await member()
    await make_lead(
        market, ada, "ada@example.com", name="Ada", tags=["old"], attributes={"a": 1, "b": "x"}, locale="en"
    )
    await make_lead(market, ada, "kept@example.com", consent=GRANTED | {"status": "withdrawn"})
    file = "email,name,tags,a,locale\nADA@example.com,,new,2,\nkept@example.com,Kept,,,de\nnew@example.com,New,,,\n"
    told = {"consent": "granted", "consent_source": "fair", "consent_proof": "list of 3 May", "tags": "import"}
    skipped = await imported(market, ada, file, on_existing="skip", **told)
    assert counts(skipped) == (1, 0, 2, 0)
    assert (await leads(market, ada))["ada@example.com"]["version"] == 1
    updated = await imported(market, ada, file, **told)
    assert counts(updated) == (0, 2, 1, 0)
    found = await leads(market, ada)
    lead = found["ada@example.com"]
    assert (lead["name"], lead["tags"], lead["locale"], lead["version"]) == ("Ada", ["import", "new", "old"], "en", 2)
    assert lead["attributes"] == {"a": "2", "b": "x"}
    assert (lead["consent"], lead["consent_source"]) == ("granted", "fair")
    history = (await market.get(f"/api/leads/{lead['id']}/consents", headers=ada.headers)).json()["items"]
    assert [(one["proof"], one["actor"]) for one in history] == [("list of 3 May", f"job:{updated['id']}")]
    assert (found["kept@example.com"]["consent"], found["kept@example.com"]["name"]) == ("withdrawn", "Kept")
    withdrawn = await imported(market, ada, "email,consent,consent source\nada@example.com,withdrawn,letter\n")
    assert counts(withdrawn) == (0, 1, 0, 0)
    assert (await leads(market, ada))["ada@example.com"]["consent"] == "withdrawn"


async def test_a_lead_without_room_for_more_is_told_of_and_stays(market, member, worker):
    ada = await member()
    full = await make_lead(market, ada, "full@example.com", tags=[f"t{n:02}" for n in range(50)])
    one = await imported(market, ada, "email,name\nfull@example.com,Full\n", tags="one,more")
    assert counts(one) == (0, 0, 0, 1)
    assert [row[1] for row in await report(market, ada, one)] == ["too_many_values"]
    assert (await leads(market, ada))["full@example.com"] == full


async def test_columns_can_be_named(market, member, worker):
    ada = await member()
    mapping = {"Adresse": "email", "Wer": "name", "Stadt": "attributes.city", "Geheim": None}
    one = await imported(
        market,
        ada,
        "Wer|Adresse|Stadt|Geheim\nAda|ada@example.com|London|x\n",
        mapping=json.dumps(mapping),
        delimiter="pipe",
    )
    assert one["columns"] == mapping
    lead = (await leads(market, ada))["ada@example.com"]
    assert (lead["name"], lead["attributes"]) == ("Ada", {"city": "London"})


@pytest.mark.parametrize(
    ("data", "fields", "code"),
    [
        (b"", {}, "empty"),
        (b"\xef\xbb\xbf\r\n\n", {}, "empty"),
        ("email,name\nä@example.com,Jürgen\n".encode("latin-1"), {}, "not_utf_8"),
        ("email\nada@example.com\n".encode("utf-16"), {}, "not_utf_8"),
        (b"email\nada@example.com\n\xc3", {}, "not_utf_8"),
        (b"email\nada\0@example.com\n", {}, "nul_character"),
        (b"name,city\nAda,London\n", {}, "no_email_column"),
        (b"email,E-Mail\na@example.com,b@example.com\n", {}, "repeated_column"),
        (b'"email,name\nada@example.com,Ada\n', {}, "malformed"),
        (b"email," + b"x," * 200, {}, "too_many_columns"),
        (b"email\n" + b"\n" * 1_000_000, {}, "too_large"),
        (b"email\n", {"mapping": "{"}, "invalid_json"),
        (b"email\n", {"mapping": '{"x": "name"}'}, "unknown_column"),
        (b"email,x\n", {"mapping": '{"x": "password"}'}, "unknown_field"),
        (b"email,x\n", {"mapping": '{"x": "attributes.X"}'}, "unknown_field"),
        (b"email\n", {"delimiter": "x"}, "literal_error"),
        (b"email\n", {"consent": "granted"}, "source_missing"),
        (b"email\n", {"on_existing": "replace"}, "literal_error"),
        (b"email\n", {"colour": "red"}, "extra_forbidden"),
        (b"email\n", {"tags": "x" * 51}, "string_too_long"),
    ],
)
async def test_a_file_that_cannot_be_imported_is_refused_at_once(market, member, data, fields, code):
    ada = await member()
    answer = await upload(market, ada, data, **fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_payload"), answer.text
    assert [error["code"] for error in answer.json()["errors"]] == [code]
    assert (await market.get(IMPORTS, headers=ada.headers)).json()["total"] == 0


async def test_the_line_that_is_not_utf_8_is_named(market, member):
    ada = await member()
    filler = "x@example.com,Ü\n" * 30_000  # so that it is in a later block, behind a character that two blocks share
    answer = await upload(market, ada, b"email,name\n" + filler.encode() + b"a@example.com,J\xfcrgen\n")
    assert "0xFC in line 30002" in answer.json()["detail"]


async def test_what_is_no_form_with_a_file_is_refused(market, member, monkeypatch):
    ada = await member()
    other = market.post(IMPORTS, content=FILE, headers=ada.headers | {"Content-Type": "text/csv"})
    assert await problem(other) == (415, "unsupported_media_type")
    no_file = market.post(IMPORTS, data={"file": "x"}, files={"other": ("", b"")}, headers=ada.headers)
    assert (await no_file).status_code in {400, 422}
    large = await upload(market, ada, b"email\n" + b"x" * 51_000_000)
    assert (large.status_code, large.json()["code"]) == (413, "content_too_large")


async def test_an_import_goes_on_where_a_killed_worker_left_it(
    market, member, market_settings, market_url, monkeypatch
):
    """The first run dies in the middle of a batch, which leaves no trace; the second one goes on."""
    ada = await member()
    monkeypatch.setattr(import_jobs, "BATCH", 10)
    rows = "".join(f"lead{number}@example.com,{number}\n" + "\n" * (number % 3) for number in range(95))
    started = (await upload(market, ada, "email,number\n" + rows + "lead7@example.com,again\nbad,\n")).json()
    batches = []

    async def dying(connection, target, records, start):
        so_far = await write_batch(connection, target, records, start)
        batches.append(records[0].line)
        if len(batches) == 4:
            raise ConnectionError("killed")
        return so_far

    write_batch = import_jobs.write_batch
    monkeypatch.setattr(import_jobs, "write_batch", dying)
    async with a_worker(market_settings):
        one = await finished(market, ada, started["id"])
    assert (one["status"], counts(one)) == ("succeeded", (95, 0, 0, 2))
    assert (len(batches), batches[3], len(set(batches))) == (11, batches[4], 10)
    assert {row[1] for row in await report(market, ada, one)} == {"repeated_email", "invalid_email"}
    assert {lead["attributes"]["number"] for lead in (await leads(market, ada)).values()} == set(map(str, range(95)))
    async with connected(market_url) as connection:
        for table in ("import_chunks", "import_emails"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_two_imports_of_one_file_at_a_time_are_both_right(market, member, worker):
    ada = await member()
    rows = [f"lead{number}@example.com,{number}\n" for number in range(3000)]
    one, other = await asyncio.gather(
        imported(market, ada, "email,number\n" + "".join(rows)),
        imported(market, ada, "email,number\n" + "".join(reversed(rows))),
    )
    assert one["created"] + other["created"] == 3000
    assert (one["errors"], other["errors"], one["rows"], other["rows"]) == (0, 0, 3000, 3000)


async def test_an_import_can_be_followed_and_cancelled(market, member, market_settings, monkeypatch):
    ada = await member()
    queued = (await upload(market, ada, FILE)).json()
    assert (queued["status"], queued["progress"] < 0.5) == ("queued", True)
    cancelled = await post(market, ada, f"{IMPORTS}/{queued['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    again = post(market, ada, f"{IMPORTS}/{queued['id']}/cancel")
    assert await problem(again) == (409, "job_ended")
    monkeypatch.setattr(import_jobs, "BATCH", 1)
    running = (await upload(market, ada, FILE)).json()
    async with a_worker(market_settings):
        await finished(market, ada, running["id"])
    stream = await market.get(f"{IMPORTS}/{running['id']}/events", headers=ada.headers)
    kinds = [line.removeprefix("event: ") for line in stream.text.splitlines() if line.startswith("event: ")]
    assert (kinds[0], set(kinds[1:-1]), kinds[-1]) == ("running", {"progress"}, "succeeded")
    over = await market.get(
        f"{IMPORTS}/{running['id']}/events", headers=ada.headers | {"Last-Event-ID": str(len(kinds))}
    )
    assert over.status_code == 204
    jobs = (await market.get("/api/jobs", headers=ada.headers)).json()
    assert jobs["total"] == 0


async def test_tidying_up_is_not_quadratic_in_a_table_without_statistics(member, market_url):
    """The plan, not the time: joined by address it took longer than a statement may at 10,000 rows."""
    ada = await member()
    async with connected(market_url) as connection:
        await connection.execute("ALTER TABLE import_emails SET (autovacuum_enabled = false)")
        import_id = uuid4()
        await connection.execute(
            """INSERT INTO imports (org_id, id, kind, size, sha256, options, header, created_by, read_bytes, read_lines)
               VALUES ($1, $2, 'leads', 1, '', '{}', '{}', 'x', 1, 1)""",
            *(ada.org_id, import_id),
        )
        await connection.execute(
            "INSERT INTO import_emails SELECT $1, $2, 'lead' || n, n FROM generate_series(1, 30000) n",
            ada.org_id,
            import_id,
        )
        plan = await connection.fetch(f"EXPLAIN {import_jobs._FORGET_EMAILS}", ada.org_id, import_id)
        text = "\n".join(row[0] for row in plan)
        assert "Tid Scan" in text, text
        assert "Join" not in text, text
        assert "Nested Loop" not in text, text
        removed = [len(await connection.fetch(import_jobs._FORGET_EMAILS, ada.org_id, import_id)) for _ in range(3)]
        assert removed == [20_000, 10_000, 0]


async def test_old_imports_are_purged_with_what_belongs_to_them(market, member, market_settings, market_url):
    ada = await member()
    started = (await upload(market, ada, FILE)).json()
    kept = (await upload(market, ada, FILE)).json()
    await post(market, ada, f"{IMPORTS}/{started['id']}/cancel")
    async with connected(market_url) as connection:
        await connection.execute("UPDATE imports SET created_at = now() - interval '31 days'")
        assert len(await connection.fetch(import_jobs._PURGE, import_jobs.KEPT)) == 1
        assert [row["id"] for row in await connection.fetch("SELECT id::text FROM imports")] == [kept["id"]]
        assert await connection.fetchval("SELECT count(*) FROM import_chunks") == 1


async def test_an_export_is_a_file_that_can_be_imported(market, member, worker):
    ada, eve = await member(), await member()
    await make_lead(market, ada, "ada@example.com", name="=SUM(A1)", tags=["vip", "x"], attributes={"n": -1.5, "t": True},
                    timezone="Europe/Rome", locale="it", consent=GRANTED)  # fmt: skip
    await make_lead(market, ada, "bob@example.com", name="'-quoted", attributes={"phone": "+49 30 1", "x": 'a "b"\nc'})
    await post(market, ada, f"/api/leads/{(await make_lead(market, ada))['id']}/erase")
    exported = await market.get("/api/leads/export", headers=ada.headers)
    assert exported.headers["content-disposition"].startswith('attachment; filename="leads-')
    assert "'=SUM(A1)" in exported.text
    assert "'+49 30 1" in exported.text
    assert counts(await imported(market, eve, exported.text)) == (2, 0, 0, 0)
    same = ("email", "name", "tags", "timezone", "locale", "consent", "consent_at", "consent_source")
    ours, theirs = await leads(market, ada), await leads(market, eve)
    assert [[lead[name] for name in same] for lead in ours.values()] == [
        [lead[name] for name in same] for lead in theirs.values()
    ]
    assert theirs["bob@example.com"]["attributes"] == {"phone": "+49 30 1", "x": 'a "b"\nc'}
    assert theirs["ada@example.com"]["attributes"] == {"n": "-1.5", "t": "true"}
    as_json = await market.get(
        "/api/leads/export", params={"format": "json", "filter": "consent = granted"}, headers=ada.headers
    )
    assert as_json.json() == [ours["ada@example.com"]]
    nobody = await market.get("/api/leads/export", params={"format": "json"}, headers=(await member()).headers)
    assert nobody.json() == []


async def test_an_export_pages_through_all_and_says_when_a_table_is_too_small(market, member, worker, monkeypatch):
    from tandem.market_ai.leads import export

    ada = await member()
    await imported(market, ada, "email\n" + "".join(f"row{number}@example.com\n" for number in range(25)))
    monkeypatch.setattr(export, "PAGE", 10)
    table = await market.get("/api/leads/export", headers=ada.headers)
    assert len(set(table.text.splitlines())) == 26
    monkeypatch.setattr(export, "MAX_ATTRIBUTE_COLUMNS", 1)
    await make_lead(market, ada, attributes={"a": 1, "b": 2})
    refused = market.get("/api/leads/export", headers=ada.headers)
    assert await problem(refused) == (409, "too_many_columns")
    everything = await market.get("/api/leads/export", params={"format": "json"}, headers=ada.headers)
    assert len({lead["id"] for lead in everything.json()}) == 26


async def test_a_report_of_thousands_of_rows_is_whole(market, member, worker):
    ada = await member()
    one = await imported(market, ada, "email\n" + "nobody\n" * 2500)
    assert counts(one) == (0, 0, 0, 2500)
    assert [row[0] for row in await report(market, ada, one)] == [str(line) for line in range(2, 2502)]


async def test_who_is_erased_is_in_no_report_any_more(market, member, worker, market_url):
    ada = await member()
    file = 'email,name\nadA@example.com,Ada\nada@example.com,Twice\nada@example.com,x,y\n"ADA@example.com,z\nb@example.com,x,y\n'
    one = await imported(market, ada, file)
    assert counts(one) == (1, 0, 0, 4)
    lead = (await leads(market, ada))["adA@example.com"]
    async with connected(market_url) as connection:
        await connection.execute("INSERT INTO import_emails SELECT org_id, id, 'ada@example.com', 2 FROM imports")
        await post(market, ada, f"/api/leads/{lead['id']}/erase")
        assert await connection.fetchval("SELECT count(*) FROM import_emails") == 0
    assert [row[0] for row in await report(market, ada, one)] == ["6"]


async def test_a_row_and_its_import_have_no_more_tags_together_than_a_lead_may_have(market, member, worker):
    ada = await member()
    many = ",".join(f"t{number}" for number in range(40))
    one = await imported(
        market, ada, f'email;tags\na@example.com;{many}\nb@example.com;"x"\n', tags=f"{many},u,v,w"[3:]
    )
    assert counts(one) == (2, 0, 0, 0)
    other = ",".join(f"u{number}" for number in range(40))
    two = await imported(market, ada, f"email;tags\nc@example.com;{many}\n", tags=other)
    assert [row[1] for row in await report(market, ada, two)] == ["too_many_values"]


async def test_another_organizations_import_is_not_there(market, member):
    ada, eve = await member(), await member()
    one = (await upload(market, ada, FILE)).json()
    url = f"{IMPORTS}/{one['id']}"
    for request in (
        market.get(url, headers=eve.headers),
        market.get(f"{url}/report", headers=eve.headers),
        market.get(f"{url}/events", headers=eve.headers),
        post(market, eve, f"{url}/cancel"),
        market.get(f"/api/suppressions/imports/{one['id']}", headers=ada.headers),
        market.get(f"{IMPORTS}/{uuid4()}", headers=ada.headers),
    ):
        assert await problem(request) == (404, "not_found")
    viewer = await member(role="viewer", org=ada.org_id)
    assert (await market.get(url, headers=viewer.headers)).json() == one
    refused = await upload(market, viewer, FILE)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_role")
