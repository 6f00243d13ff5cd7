"""The user's settings: time zone and first day of the week."""

from tests.momentum.making import problem


async def test_nothing_set_means_the_defaults(client, ada):
    response = await client.get("/api/settings")
    assert response.json() == {"timezone": "UTC", "week_start": "monday", "version": 0, "updated_at": None}
    assert response.headers["etag"] == '"0"'


async def test_patch_touches_only_what_was_sent(client, ada):
    first = (await client.patch("/api/settings", json={"timezone": "Europe/Berlin"})).json()
    second = (await client.patch("/api/settings", json={"week_start": "sunday"})).json()
    assert (first["timezone"], first["week_start"]) == ("Europe/Berlin", "monday")
    assert (second["timezone"], second["week_start"]) == ("Europe/Berlin", "sunday")
    assert second["version"] > first["version"] > 0
    assert (await client.get("/api/settings")).json() == second
    for version, status in ((first["version"], 200), (second["version"], 304)):
        answer = await client.get("/api/settings", headers={"If-None-Match": f'"{version}"'})
        assert answer.status_code == status


async def test_each_user_has_their_own(client, ada, bob):
    await client.patch("/api/settings", json={"timezone": "Asia/Tokyo"})
    assert (await client.get("/api/settings", headers=bob.headers)).json()["timezone"] == "UTC"


async def test_what_is_no_zone_or_weekday_is_refused(client, ada):
    for body in (
        {}, {"timezone": None}, {"timezone": ""}, {"timezone": "Berlin"}, {"timezone": "europe/berlin"},
        {"timezone": "UTC+2"}, {"timezone": "../etc/passwd"}, {"timezone": "localtime"}, {"timezone": 1},
        {"week_start": "friday"}, {"week_start": 1}, {"week_start": None}, {"theme": "dark"},
    ):  # fmt: skip
        assert await problem(client.patch("/api/settings", json=body)) == (422, "invalid_payload"), body
    assert (await client.get("/api/settings")).json()["version"] == 0


async def test_a_change_can_depend_on_the_version_even_the_first(client, ada):
    first = await client.patch("/api/settings", json={"timezone": "Asia/Tokyo"}, headers={"If-Match": '"0"'})
    assert first.status_code == 200
    late = client.patch("/api/settings", json={"timezone": "UTC"}, headers={"If-Match": '"0"'})
    assert await problem(late) == (412, "precondition_failed")
    assert (await client.get("/api/settings")).json() == first.json()


async def test_writing_what_is_already_set_makes_no_new_version(client, ada):
    first = await client.patch("/api/settings", json={"timezone": "Asia/Tokyo"})
    again = await client.patch("/api/settings", json={"timezone": "Asia/Tokyo"})
    assert again.json() == first.json()
