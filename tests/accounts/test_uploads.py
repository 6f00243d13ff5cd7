"""A path that accepts more than others reads a body of signed-in callers only."""

import httpx2
import pytest

from tests.accounts.service import accounts_app

UPLOAD = "/api/probe/upload"


@pytest.fixture
def app(settings):
    return accounts_app(settings.model_copy(update={"rate_limit": "3/minute"}))


class Upload:
    """A JSON array of two megabytes, in parts; `sent` counts those that the server asked for."""

    def __init__(self):
        self.sent = 0

    async def parts(self):
        for part in [b"[", *[b'"%s",' % (b"x" * 100_000)] * 20, b'"x"]']:
            self.sent += 1
            yield part


@pytest.fixture
def send(client):
    async def send(headers, **more) -> tuple[httpx2.Response, int]:
        upload = Upload()
        json = {"Content-Type": "application/json"}
        response = await client.post(UPLOAD, content=upload.parts(), headers=json | headers | more)
        return response, upload.sent

    return send


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Bearer nonsense", "Content-Length": "2000000"}],
)
async def test_a_strangers_upload_is_not_read_and_is_counted(send, headers):
    answers = [await send(headers) for _ in range(4)]
    assert [response.status_code for response, _ in answers] == [401, 401, 401, 429]
    assert [sent for _, sent in answers] == [0, 0, 0, 0]
    assert answers[0][0].json()["code"] == "unauthorized"
    assert answers[0][0].headers["connection"] == "close"


async def test_an_upload_of_a_user_is_read_and_counts_once(send, sign_up):
    user = await sign_up()
    answers = [await send(user.headers) for _ in range(4)]
    assert [response.status_code for response, _ in answers] == [200, 200, 200, 429]
    assert [sent for _, sent in answers] == [22, 22, 22, 0]
    assert answers[0][0].json() == {"items": 21}
    assert answers[0][0].headers["ratelimit"].startswith('"default";r=2;')


async def test_a_session_that_ends_while_its_upload_is_sent_stores_nothing(client, sign_up, db):
    user, upload = await sign_up(), Upload()

    async def parts():
        await db.execute('DELETE FROM "session"')
        async for part in upload.parts():
            yield part

    headers = user.headers | {"Content-Type": "application/json"}
    assert (await client.post(UPLOAD, content=parts(), headers=headers)).status_code == 401
    assert upload.sent == 22
