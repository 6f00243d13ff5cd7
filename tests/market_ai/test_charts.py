"""Charts: valid and safe SVG with a title, a description and a table, in colors that can be told apart."""

import base64
import hashlib
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx2
import pytest
from fastapi import FastAPI

from tandem.market_ai.charts.drawing import DARK, DASHES, LIGHT, PAPER
from tandem.market_ai.metrics.schemas import MAX_LINES
from tests.market_ai.conftest import MakeMember, Member
from tests.market_ai.making import make_campaign, problem
from tests.market_ai.measuring import day, put, row, url

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "<script>alert(\"1\")</script> & 'x' ]]> --> é 漢 </svg>"


@pytest.fixture
async def ada(member: MakeMember) -> Member:
    return await member()


@pytest.fixture
async def campaign(market: httpx2.AsyncClient, ada: Member) -> dict[str, str]:
    """Two variants, one with a name that means harm, over five days with a hole."""
    campaign = await make_campaign(market, ada)
    rows = [
        row(at, variant=name, impressions=1000, clicks=at * 7 + len(name), cost="12.50")
        for at in (0, 1, 2, 4)
        for name in ("B", NASTY)
    ]
    await put(market, ada, campaign, rows)
    return campaign


async def drawn(market: httpx2.AsyncClient, who: Member, campaign: dict[str, str], **query: str) -> ElementTree.Element:
    answer = await market.get(url(campaign, "chart.svg"), params=query, headers=who.headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert_policy_names_every_style(answer)
    return ElementTree.fromstring(answer.text)  # noqa: S314 - our own


def assert_policy_names_every_style(answer: httpx2.Response) -> None:
    """A browser applies them then, and nothing else that somebody got in."""
    policies = answer.headers.get_list("Content-Security-Policy")
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; style-src 'sha256-")
    styles = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    for style in styles:
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policies[0]
    assert styles
    assert not re.search(r"""<[^>]*\s(style|on\w+|href|src)=""", answer.text)
    assert "<script" not in answer.text


async def test_a_chart_is_an_image_with_a_title_a_description_and_a_line_for_each_variant(
    market: httpx2.AsyncClient, ada: Member, campaign: dict[str, str]
) -> None:
    svg = await drawn(market, ada, campaign, metric="ctr", by="variant")
    assert (svg.tag, svg.get("role")) == (f"{SVG}svg", "img")
    labels = [svg.find(f"*[@id='{name}']") for name in (svg.get("aria-labelledby") or "").split()]
    title, description = [(one.tag, one.text) for one in labels if one is not None]
    assert title == (f"{SVG}title", "Click-through rate by day and variant")
    assert description[0] == f"{SVG}desc"
    assert f"B: from 0.10 % on {day(0)} to 2.90 % on {day(4)}; lowest 0.10 %" in (description[1] or "")
    assert NASTY in (description[1] or "")
    texts = [one.text or "" for one in svg.iter(f"{SVG}text")]
    assert day(0) in texts
    assert [text for text in texts if text.startswith(("B", "<scr"))] == ['<script>alert("1")</script>…', "B"]
    lines = {
        (group.get("class") or "").split()[1]
        for group in svg.iter(f"{SVG}g")
        for path in group.findall(f"{SVG}path")
        if "series" in (group.get("class") or "") and "line" in (path.get("class") or "")
    }
    assert lines == {"serie-0", "serie-1"}
    ids = [one.get("id") for one in svg.iter() if one.get("id")]
    assert sorted(ids) == sorted(set(ids))
    assert {one.tag for one in svg.iter()} <= {
        f"{SVG}{tag}"
        for tag in ("svg", "g", "title", "desc", "style", "defs", "rect", "path", "line", "circle", "text")
    }


async def test_its_table_has_the_same_numbers(
    market: httpx2.AsyncClient, ada: Member, campaign: dict[str, str]
) -> None:
    query = {"metric": "clicks", "by": "variant"}
    picture = await market.get(url(campaign, "chart.svg"), params=query, headers=ada.headers)
    link = re.fullmatch(r'<(chart\.html\?.+)>; rel="alternate"; type="text/html"', picture.headers["Link"])
    assert link is not None
    answer = await market.get(url(campaign, link[1]), headers=ada.headers)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert_policy_names_every_style(answer)
    table = answer.text[answer.text.index("<table>") :]
    assert re.findall(r"<tr><th scope=\"row\">([\d-]+)</th><td>(\d*)</td><td>(\d*)</td></tr>", table) == [
        (day(at), *("" if at == 3 else str(at * 7 + len(name)) for name in (NASTY, "B"))) for at in range(5)
    ]
    assert "&lt;script&gt;" in table
    series = (await market.get(url(campaign, "series"), params=query, headers=ada.headers)).json()
    assert [[point["value"] for point in line["points"]] for line in series["lines"]] == [
        [None if at == 3 else at * 7 + len(name) for at in range(5)] for name in (NASTY, "B")
    ]


async def test_its_link_stays_one_whatever_is_asked_for(
    market: httpx2.AsyncClient, market_app: FastAPI, ada: Member, campaign: dict[str, str]
) -> None:
    plain = await market.get(url(campaign, "chart.svg"), headers=ada.headers)
    assert plain.headers["Link"] == '<chart.html>; rel="alternate"; type="text/html"'
    path, query = (
        url(campaign, "chart.svg"),
        b'variant=a>b"&variant=%C3%9C&variant=\xc3\xa9',
    )  # some of it as no client sends it
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in ada.headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": headers, "root_path": ""}
    server = {
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "state": {},
    }
    await market_app(scope | server | {"server": ("testserver", 80), "raw_path": path.encode()}, receive, send)
    assert sent[0]["status"] == 200
    link = dict(sent[0]["headers"])[b"link"]
    assert link.startswith(b"<chart.html?variant=a%3Eb%22&variant=%C3%9C&variant=%C3%A9>; rel=")


async def test_money_is_drawn_in_the_campaigns_currency_and_no_data_say_so(
    market: httpx2.AsyncClient, ada: Member
) -> None:
    campaign = await make_campaign(market, ada, budget={"amount": "1", "currency": "EUR"})
    for query in ({}, {"metric": "ctr", "by": "channel"}):
        empty = await drawn(market, ada, campaign, **query)
        assert "There are no data" in "".join(empty.itertext())
        page = await market.get(url(campaign, "chart.html"), params=query, headers=ada.headers)
        assert page.status_code == 200
    await put(market, ada, campaign, [row(0, cost="1234.5"), row(9, cost="0.25")])
    svg = await drawn(market, ada, campaign, metric="cost", interval="week")
    assert "Cost in EUR by week" in "".join(svg.itertext())
    assert "From 1,234.50 on 2026-08-31 to 0.25 on 2026-09-07" in "".join(svg.itertext())


async def test_a_chart_is_light_or_dark_or_as_the_reader_has_it(
    market: httpx2.AsyncClient, ada: Member, campaign: dict[str, str]
) -> None:
    styles = {}
    for theme in ("light", "dark", "auto"):
        styles[theme] = (await drawn(market, ada, campaign, theme=theme)).findtext(f"{SVG}style") or ""
    assert (PAPER["light"] in styles["light"], PAPER["dark"] in styles["light"]) == (True, False)
    assert (PAPER["light"] in styles["dark"], PAPER["dark"] in styles["dark"]) == (False, True)
    assert "@media (prefers-color-scheme:dark)" in styles["auto"]
    assert await problem(market.get(url(campaign, "chart.svg?theme=pink"), headers=ada.headers)) == (
        422, "invalid_payload",
    )  # fmt: skip


async def test_a_thousand_days_of_six_lines_are_still_a_small_picture(market: httpx2.AsyncClient, ada: Member) -> None:
    campaign = await make_campaign(market, ada)
    for name in "abcdef":
        await put(market, ada, campaign, [row(at, variant=name, clicks=at % 50, impressions=1) for at in range(1100)])
    answer = await market.get(url(campaign, "chart.svg?by=variant"), headers=ada.headers)
    assert answer.status_code == 200
    assert len(answer.content) < 400_000


def test_colors_can_be_told_from_the_paper_and_lines_without_color() -> None:
    assert len(LIGHT) == len(DARK) == len(DASHES) == len(set(DASHES)) == MAX_LINES
    for theme, colors in (("light", LIGHT), ("dark", DARK)):
        assert all(contrast(color, PAPER[theme]) >= 3 for color in colors)  # WCAG 2.2, 1.4.11


@pytest.mark.parametrize("colors", [LIGHT, DARK])
@pytest.mark.parametrize("lacking", ["protan", "deutan", "tritan"])
def test_colors_differ_for_who_lacks_one_kind_of_cone(colors: tuple[str, ...], lacking: str) -> None:
    """Simulated after Machado, Oliveira & Fernandes (2009); a difference of 10 in CIE76 is seen at a glance."""
    for one, other in combinations(colors, 2):
        seen = [lab(simulated(linear(color), lacking)) for color in (one, other)]
        distance = sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5
        assert distance >= 10, (one, other, distance)


def test_the_library_is_loaded_by_the_first_picture_and_not_before() -> None:
    code = "import sys, tandem.market_ai.main as m; m.app; print('pygal' in sys.modules)"
    environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


MACHADO = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
Triple = tuple[float, ...]


def linear(color: str) -> Triple:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def contrast(one: str, other: str) -> float:
    lights = sorted(
        sum(w * part for w, part in zip((0.2126, 0.7152, 0.0722), linear(c), strict=True)) for c in (one, other)
    )
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def simulated(rgb: Triple, lacking: str) -> Triple:
    return tuple(
        min(1.0, max(0.0, sum(m * part for m, part in zip(line, rgb, strict=True)))) for line in MACHADO[lacking]
    )


def lab(rgb: Triple) -> Triple:
    matrix = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    white = (0.9505, 1.0, 1.089)
    xyz = [sum(m * part for m, part in zip(line, rgb, strict=True)) / w for line, w in zip(matrix, white, strict=True)]
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)
