"""better-auth's official JavaScript client against this server."""

import re

import pytest

from tests.conformance.better_auth.node import run_client

pytestmark = pytest.mark.timeout(600)  # the first of them installs the packages
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def is_date(value):
    return set(value) == {"date"} and DATE.fullmatch(value["date"]) is not None


def failed(step, status, code):
    return step["data"] is None and (step["error"]["status"], step["error"]["code"]) == (status, code)


@pytest.fixture(params=["bearer", "cookie"])
def transcript(request, node, uvicorn_url):
    return run_client(uvicorn_url, request.param)


def test_the_client_does_everything_it_can(transcript):
    said = transcript
    assert said["no session yet"] == {"data": None, "error": None}
    assert failed(said["a bad e-mail"], 400, "VALIDATION_ERROR")
    assert failed(said["a short password"], 400, "PASSWORD_TOO_SHORT")

    user = said["sign up"]["data"]["user"]
    assert said["sign up"]["error"] is None
    assert (user["name"], user["emailVerified"], user["image"]) == ("Ada", False, None)
    assert is_date(user["createdAt"])

    session = said["the session"]["data"]["session"]
    assert said["the session"]["data"]["user"] == user
    assert session["token"] == said["sign up"]["data"]["token"]
    assert all(is_date(session[name]) for name in ("createdAt", "updatedAt", "expiresAt"))
    assert session["expiresAt"]["date"] > session["createdAt"]["date"]

    assert said["another user"]["error"] is None
    assert failed(said["sign up again"], 422, "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL")
    assert failed(said["a wrong password"], 401, "INVALID_EMAIL_OR_PASSWORD")
    assert said["sign in"]["data"]["redirect"] is False
    assert said["sign in"]["data"]["user"] == user
    assert len(said["both sessions"]["data"]) == 2
    assert all(is_date(s["expiresAt"]) for s in said["both sessions"]["data"])

    assert said["update user"]["data"] == {"status": True}
    updated = said["the updated user"]["data"]["user"]
    assert (updated["name"], updated["image"]) == ("Countess", "https://example.com/a.png")

    assert said["revoke the other"]["data"] == {"status": True}
    assert said["the other is gone"] == {"data": None, "error": None}
    assert said["sign in once more"]["error"] is None
    assert said["revoke others"]["data"] == {"status": True}
    assert said["the other is gone again"] == {"data": None, "error": None}

    assert failed(said["a wrong current password"], 400, "INVALID_PASSWORD")
    changed = said["change password"]["data"]
    assert changed["user"]["id"] == user["id"]
    assert changed["token"] != session["token"]
    assert said["the new session"]["data"]["session"]["token"] == changed["token"]
    assert failed(said["the old password"], 401, "INVALID_EMAIL_OR_PASSWORD")

    assert said["sign out"]["data"] == {"success": True}
    assert said["signed out"] == {"data": None, "error": None}
    assert failed(said["no sessions to list"], 401, "UNAUTHORIZED")
    assert said["cookies after signing out"] == []

    assert said["the new password"]["data"]["user"]["id"] == user["id"]
    assert failed(said["delete without the right password"], 400, "INVALID_PASSWORD")
    assert said["delete user"]["data"] == {"success": True, "message": "User deleted"}
    assert said["deleted"] == {"data": None, "error": None}
