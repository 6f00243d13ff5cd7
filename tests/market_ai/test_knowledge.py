"""Knowledge: what is taken in, what is refused, and to whom it belongs."""

import asyncio
import io
import subprocess
import sys
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pypdf
import pytest

from tandem.core.postgres_url import parse_database_url
from tandem.market_ai.knowledge import reading, service
from tests.market_ai.conftest import MakeMember, Member

DOCUMENTS = "/api/knowledge/documents"
SHOES = """# Running shoes

Our trail shoes last for 800 kilometres. They are made of recycled nylon.

## Returns

Send shoes back within 100 days, even when you wore them. We pay the postage.
"""


def pdf(*pages: list[str]) -> bytes:
    """A PDF whose pages show these lines."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for lines in pages:
        shown = b" ".join(b"(%s) Tj T*" % line.encode("latin-1") for line in lines)
        drawn = b"BT /F1 12 Tf 14 TL 72 720 Td %s ET" % shown
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(kids))
    written, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return (
        written
        + b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (
            size,
            table,
            size,
            len(written),
        )
    )


def locked(data: bytes, user_password: str) -> bytes:
    writer = pypdf.PdfWriter(clone_from=pypdf.PdfReader(io.BytesIO(data)))
    writer.encrypt(user_password=user_password, owner_password="owner", algorithm="AES-256")
    into = io.BytesIO()
    writer.write(into)
    return into.getvalue()


async def upload(
    market: httpx2.AsyncClient,
    who: Member,
    data: bytes,
    name: str = "shoes.md",
    kind: str = "text/markdown",
    *,
    key: str | None = None,
    **fields: str,
) -> httpx2.Response:
    headers = who.headers | ({"Idempotency-Key": key} if key else {})
    return await market.post(DOCUMENTS, headers=headers, files={"file": (name, data, kind)}, data=fields)


async def added(market: httpx2.AsyncClient, who: Member, text: str = SHOES, **fields: Any) -> dict[str, Any]:
    body = {"title": "Shoes", "text": text, "format": "markdown"} | fields
    answer = await market.post(f"{DOCUMENTS}/text", headers=who.headers, json=body)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def passages(market: httpx2.AsyncClient, who: Member, document: dict[str, Any]) -> list[Any]:
    answer = await market.get(f"{DOCUMENTS}/{document['id']}/chunks", headers=who.headers)
    items = answer.json()["items"]
    assert [one["position"] for one in items] == list(range(1, len(items) + 1))
    return [(one["heading"], one["page"], one["text"]) for one in items]


async def new_brand(url: str, who: Member, name: str) -> str:
    brand_id = uuid4()
    await run(url, "INSERT INTO brands (org_id, id, name) VALUES ($1, $2, $3)", who.org_id, brand_id, name)
    return str(brand_id)


async def run(url: str, sql: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(**parse_database_url(url).asyncpg_args)
    try:
        return list(await connection.fetch(sql, *values))
    finally:
        await connection.close()


def refused(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_an_uploaded_file_becomes_chunks_under_its_headings(
    market: httpx2.AsyncClient, member: MakeMember
) -> None:
    ada = await member(role="member")
    made = await upload(market, ada, SHOES.encode())
    assert made.status_code == 201, made.text
    document = made.json()
    read = await market.get(f"{DOCUMENTS}/{document['id']}", headers=ada.headers)
    assert (read.json(), read.headers["etag"]) == (document, '"1"')
    kept = ("title", "format", "language", "filename", "size", "chunks", "pages", "brand_id")
    assert [document[name] for name in kept] == [
        *("Running shoes", "markdown", "english", "shoes.md", len(SHOES), 2, None, None)
    ]
    assert await passages(market, ada, document) == [
        (["Running shoes"], None, "Our trail shoes last for 800 kilometres. They are made of recycled nylon."),
        (
            ["Running shoes", "Returns"],
            None,
            "Send shoes back within 100 days, even when you wore them. We pay the postage.",
        ),
    ]


async def test_every_format_is_read(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada = await member()
    page = b"""<!DOCTYPE html><html><head><title>Care &amp; repair</title><style>p {}</style></head>
      <body><nav>Menu</nav><h1>Care</h1><p>Wash <b>cold</b>.<script>alert(1)</script></p></body></html>"""
    book = pdf(["Our stollen ripens for eight weeks in a cool cellar be-", "fore we sell it."], ["Second page."])
    for data, name, kind, title, expected in [
        (page, "care.html", "text/html", "Care & repair", [(["Care"], None, "Wash cold.")]),
        (page + b" ", "page", "application/octet-stream", "Care & repair", [(["Care"], None, "Wash cold.")]),
        (b"\xef\xbb\xbfPlain\r\ntext.\0"[:-1], "C:\\notes\\plan.txt", "text/plain", "plan.txt", [([], None, "Plain\ntext.")]),
        ("Größe".encode("utf-16"), "a.txt", "text/plain", "a.txt", [([], None, "Größe")]),
        ("Größe".encode("latin-1"), "b.txt", "text/plain; charset=ISO-8859-1", "b.txt", [([], None, "Größe")]),
        (b"a\x01\x7fb", "c.txt", "text/plain", "c.txt", [([], None, "ab")]),
        (book, "stollen.pdf", "application/pdf", "stollen.pdf", [
            ([], 1, "Our stollen ripens for eight weeks in a cool cellar before we sell it.\n\nSecond page.")]),
    ]:  # fmt: skip
        answer = await upload(market, ada, data, name, kind)
        assert answer.status_code == 201, (name, answer.text)
        assert answer.json()["title"] == title
        assert await passages(market, ada, answer.json()) == expected
    assert answer.json()["pages"] == 2


async def test_what_cannot_be_read_is_refused_and_leaves_nothing(
    market: httpx2.AsyncClient, member: MakeMember
) -> None:
    ada = await member()
    page = pdf(["Secret"])
    for data, name, kind, expected in [
        (b"PK\x03\x04...", "offer.docx", "application/octet-stream", (415, "unsupported_document")),
        (b"\x89PNG\r\n", "logo.txt", "text/plain", (415, "unsupported_document")),
        (b"text", "logo.png", "image/png", (415, "unsupported_document")),
        (b"no pdf at all", "offer.pdf", "application/pdf", (415, "unsupported_document")),
        (page, "offer.txt", "text/plain", (415, "unsupported_document")),
        (page, "offer.html", "application/pdf", (415, "unsupported_document")),
        (b"a\0b", "a.txt", "text/plain", (415, "unsupported_document")),
        (b"x", "a.txt", "text/plain; charset=unicode_escape", (415, "unsupported_document")),
        ("Größe".encode("latin-1"), "a.txt", "text/plain", (422, "undecodable_text")),
        (b"", "a.txt", "text/plain", (422, "no_text")),
        (b" \n\x02 ", "a.txt", "text/plain", (422, "no_text")),
        (b"<title>x</title><script>y</script>", "a.html", "text/html", (422, "no_text")),
        (pdf([]), "scan.pdf", "application/pdf", (422, "no_text")),
        (locked(page, "user"), "a.pdf", "application/pdf", (422, "encrypted_document")),
        (page[: len(page) // 2], "a.pdf", "application/pdf", (422, "unreadable_document")),
        (b"# x\n" * 5001, "a.md", "text/markdown", (422, "document_too_large")),
        (b"x" * 2_000_001, "a.txt", "text/plain", (422, "document_too_large")),
    ]:
        assert refused(await upload(market, ada, data, name, kind)) == expected, (name, data[:20])
    assert (await market.get(DOCUMENTS, headers=ada.headers)).json()["total"] == 0
    open_to_all = await upload(market, ada, locked(page, ""), "a.pdf", "application/pdf")
    assert open_to_all.status_code == 201, open_to_all.text  # only printing or the like is forbidden


async def test_a_form_says_what_is_wrong_with_it(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada = await member()
    file = {"file": ("a.txt", b"text", "text/plain")}
    for form, field in [
        ({"data": {"title": "x"}, "files": {"other": ("a.txt", b"x")}}, "file"),
        ({"files": {"file": (None, b"text")}}, "file"),
        ({"files": file, "data": {"brand_id": "x"}}, "brand_id"),
        ({"files": file, "data": {"language": "klingon"}}, "language"),
        ({"files": file, "data": {"title": "x" * 201}}, "title"),
        ({"files": file, "data": {"title": "a\0b"}}, "title"),
        ({"files": file, "data": {"owner": "x"}}, "owner"),
    ]:
        answer = await market.post(DOCUMENTS, headers=ada.headers, **form)
        assert refused(answer) == (422, "invalid_payload"), form
        assert answer.json()["errors"][0]["field"] == field
    two = [("file", ("a.txt", b"a", "text/plain")), ("file", ("b.txt", b"b", "text/plain"))]
    assert refused(await market.post(DOCUMENTS, headers=ada.headers, files=two)) == (400, "malformed_request")
    unbounded = ada.headers | {"Content-Type": "multipart/form-data"}
    assert refused(await market.post(DOCUMENTS, headers=unbounded, content=b"x")) == (400, "malformed_request")
    assert refused(await market.post(DOCUMENTS, headers=ada.headers, json={})) == (415, "unsupported_document")
    whole = httpx2.Request("POST", DOCUMENTS, files=file, data={"title": "x"})
    typed = ada.headers | {"Content-Type": whole.headers["content-type"]}
    for broken in (b"", whole.read()[:-10], whole.read().replace(b"\r\n", b"")):
        answer = await market.post(DOCUMENTS, headers=typed, content=broken)
        assert refused(answer) == (400, "malformed_request"), broken
    odd = typed | {"Content-Type": typed["Content-Type"] + "; charset=zlib"}
    assert (await market.post(DOCUMENTS, headers=odd, content=whole.read())).json()["title"] == "x"
    for bad in ("x" * 5000, b"\xff"):
        answer = await market.post(DOCUMENTS, headers=ada.headers, files=file, data={"title": bad})
        assert refused(answer) == (400, "malformed_request")
    empty = {"title": "", "brand_id": "", "language": ""}
    answer = await market.post(DOCUMENTS, headers=ada.headers, files=file, data=empty)
    assert (answer.status_code, answer.json()["title"]) == (200, "x")


async def test_text_in_json_is_a_document_too(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada = await member()
    document = await added(market, ada, language="german")
    assert (document["title"], document["language"], document["filename"], document["chunks"]) == (
        *("Shoes", "german", None, 2),
    )
    good = {"title": "x", "text": "y"}
    for bad in ({"title": ""}, {"text": ""}, {"text": 7}, {"text": "x" * 2_000_001}, {"format": "pdf"}, {"size": 1},
                {"language": "auto"}, {"brand_id": "x"}, {"text": "a\0b"}):  # fmt: skip
        answer = await market.post(f"{DOCUMENTS}/text", headers=ada.headers, json=good | bad)
        assert refused(answer) == (422, "invalid_payload"), str(bad)[:80]
    unknown = await market.post(f"{DOCUMENTS}/text", headers=ada.headers, json=good | {"brand_id": str(uuid4())})
    assert refused(unknown) == (404, "not_found")


async def test_the_same_bytes_are_kept_once(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada, eve = await member(), await member()
    first, second = await asyncio.gather(
        upload(market, ada, SHOES.encode(), title="One"), upload(market, ada, SHOES.encode(), title="Two")
    )
    assert {first.status_code, second.status_code} == {200, 201}
    assert first.json() == second.json()
    again = await market.post(f"{DOCUMENTS}/text", headers=ada.headers, json={"title": "Three", "text": SHOES})
    assert (again.status_code, again.json()) == (200, first.json())
    others = await upload(market, eve, SHOES.encode())
    assert others.status_code == 201
    assert others.json()["id"] != first.json()["id"]


async def test_an_upload_that_is_repeated_with_its_key_is_answered_as_before(
    market: httpx2.AsyncClient, member: MakeMember
) -> None:
    ada = await member()
    first, again = [await upload(market, ada, SHOES.encode(), key="k1") for _ in range(2)]
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    for other in (upload(market, ada, b"# Other", key="k1"), upload(market, ada, SHOES.encode(), key="k1", title="x")):
        assert refused(await other) == (422, "idempotency_key_reused")


async def test_documents_are_listed_by_brand_and_title(
    market: httpx2.AsyncClient, member: MakeMember, market_url: str
) -> None:
    ada = await member()
    brand = await new_brand(market_url, ada, "Bakery")
    await added(market, ada, "Bread", title="Bread prices", brand_id=brand)
    await added(market, ada, "Shoes", title="Shoe PRICES")
    for query, titles in [
        ({}, ["Shoe PRICES", "Bread prices"]),
        ({"brand_id": brand}, ["Bread prices"]),
        ({"brand_id": "none"}, ["Shoe PRICES"]),
        ({"q": "e prices"}, ["Shoe PRICES"]),
        ({"limit": 1, "page": 2}, ["Bread prices"]),
    ]:
        answer = await market.get(DOCUMENTS, headers=ada.headers, params=query)
        assert [one["title"] for one in answer.json()["items"]] == titles, query
    assert refused(await market.get(DOCUMENTS, headers=ada.headers, params={"brand_id": "x"})) == (
        422,
        "invalid_payload",
    )
    assert (await market.delete(f"/api/brands/{brand}", headers=ada.headers)).status_code in {204, 404}
    await run(market_url, "DELETE FROM brands")
    freed = await market.get(DOCUMENTS, headers=ada.headers, params={"brand_id": "none"})
    assert freed.json()["total"] == 2


async def test_a_document_is_changed_and_deleted_at_its_version(
    market: httpx2.AsyncClient, member: MakeMember, market_url: str
) -> None:
    ada = await member(role="member")
    brand = await new_brand(market_url, ada, "Bakery")
    url = f"{DOCUMENTS}/{(await added(market, ada))['id']}"
    stale = ada.headers | {"If-Match": '"1"'}
    changed = await market.patch(url, headers=stale, json={"title": "Boots", "brand_id": brand})
    assert (changed.status_code, changed.json()["title"], changed.json()["version"]) == (200, "Boots", 2)
    found = await market.get("/api/knowledge/search", headers=ada.headers, params={"q": "boots postage"})
    assert [hit["title"] for hit in found.json()["items"]] == ["Boots"]
    assert refused(await market.patch(url, headers=stale, json={"title": "x"})) == (412, "precondition_failed")
    assert refused(await market.delete(url, headers=stale)) == (412, "precondition_failed")
    for bad in ({}, {"title": None}, {"language": None}, {"chunks": 1}):
        assert refused(await market.patch(url, headers=ada.headers, json=bad)) == (422, "invalid_payload")
    assert refused(await market.patch(url, headers=ada.headers, json={"brand_id": str(uuid4())})) == (404, "not_found")
    assert (await market.patch(url, headers=ada.headers, json={"brand_id": None})).json()["brand_id"] is None
    assert (await market.delete(url, headers=ada.headers)).status_code == 204
    assert refused(await market.get(f"{url}/chunks", headers=ada.headers)) == (404, "not_found")
    actions = await run(market_url, "SELECT action FROM audit_events WHERE object_type = 'document' ORDER BY id")
    assert [row["action"] for row in actions] == [
        *("document.created", "document.updated", "document.updated", "document.deleted")
    ]


async def test_viewers_read_and_others_see_nothing(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada, eve = await member(), await member()
    viewer = await member(role="viewer", org=ada.org_id)
    url = f"{DOCUMENTS}/{(await added(market, ada))['id']}"
    assert (await market.get(url, headers=viewer.headers)).status_code == 200
    found = await market.get("/api/knowledge/search", headers=viewer.headers, params={"q": "postage"})
    assert len(found.json()["items"]) == 1
    attempts = [
        await upload(market, viewer, b"text"),
        await market.post(f"{DOCUMENTS}/text", headers=viewer.headers, json={"title": "x", "text": "y"}),
        await market.patch(url, headers=viewer.headers, json={"title": "x"}),
        await market.delete(url, headers=viewer.headers),
    ]
    assert [refused(answer) for answer in attempts] == [(403, "insufficient_role")] * 4
    foreign = [
        await market.get(url, headers=eve.headers),
        await market.get(f"{url}/chunks", headers=eve.headers),
        await market.patch(url, headers=eve.headers, json={"title": "x"}),
        await market.delete(url, headers=eve.headers),
    ]
    assert [refused(answer) for answer in foreign] == [(404, "not_found")] * 4
    assert refused(await market.post(DOCUMENTS, files={"file": ("a.txt", b"x")})) == (401, "unauthorized")


async def test_an_organization_has_room_for_so_much(
    market: httpx2.AsyncClient, member: MakeMember, market_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await member()
    await added(market, ada)
    monkeypatch.setattr(service, "MAX_DOCUMENTS", 2)
    both = await asyncio.gather(*(upload(market, ada, text, "a.txt", "text/plain") for text in (b"one", b"two")))
    assert sorted(answer.status_code for answer in both) == [201, 409]
    assert refused(await upload(market, ada, b"three", "a.txt", "text/plain")) == (409, "too_many_documents")
    monkeypatch.setattr(service, "MAX_DOCUMENTS", 9)
    monkeypatch.setattr(service, "MAX_CHUNKS", 3)
    assert refused(await upload(market, ada, b"three", "a.txt", "text/plain")) == (409, "knowledge_full")
    (row,) = await run(market_url, "SELECT count(*) FROM knowledge_documents")
    assert row["count"] == 2


async def test_a_file_may_have_ten_megabytes(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada = await member()
    comment = b"<!-- " + b"x" * 9_900_000 + b" --><p>small</p>"
    assert (await upload(market, ada, comment, "a.html", "text/html")).status_code == 201
    assert refused(await upload(market, ada, comment + b" " * 700_000, "a.html", "text/html")) == (
        *(413, "content_too_large"),
    )


@pytest.mark.parametrize(("limit", "value"), [("SECONDS", 0.001), ("MEMORY", 1_000_000)])
async def test_reading_that_takes_too_much_is_given_up(
    market: httpx2.AsyncClient, member: MakeMember, monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    ada = await member()
    monkeypatch.setattr(reading, limit, value)
    answer = await upload(market, ada, b"x" * 2_000_000, "a.txt", "text/plain")
    assert refused(answer) == (422, "document_too_complex")


def test_the_kernel_ends_what_reads_for_too_long() -> None:
    code = (
        "from tandem.market_ai.knowledge.reading_process import restrict; import resource as r; restrict(10**9, 7);"
        "print(r.getrlimit(r.RLIMIT_AS), r.getrlimit(r.RLIMIT_CPU), r.getrlimit(r.RLIMIT_FSIZE))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split("\n")[0] == "(1000000000, 1000000000) (7, 7) (0, 0)"


async def test_a_reader_that_breaks_is_a_refusal_and_a_crowd_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(reading.UnreadableDocument):
        await reading.read_document(b"x", "text", "no-such-codec")
    monkeypatch.setattr(reading, "_MAX_WAITING", 0)
    with pytest.raises(reading.ReadingBusy):
        await reading.read_document(b"x", "text")
