"""Requests for the operations that every service with built-in accounts has."""

import uuid

from tests.builders import User
from tests.conformance.operations import Sent
from tests.conformance.service import PASSWORD


def account_requests(user: User, session: str, scope: str = "tasks:read") -> dict[str, list[Sent]]:
    """As `Service.requests_for`; `session` is the id that /api/auth/list-sessions shows."""
    return {
        "POST /api/tokens": [Sent(body={"name": "Phone", "scopes": [scope]})],
        "GET /api/tokens": [Sent({"limit": 10})],
        "POST /api/auth/sign-up/email": [
            Sent(body={"name": "Ada", "email": f"{uuid.uuid4()}@example.com", "password": PASSWORD})
        ],
        "POST /api/auth/sign-in/email": [Sent(body={"email": user.email, "password": PASSWORD})],
        "POST /api/auth/revoke-session": [Sent(body={"token": session})],
        "POST /api/auth/change-password": [Sent(body={"currentPassword": "wrong horse", "newPassword": "right horse"})],
        "POST /api/auth/update-user": [Sent(body={"name": "Ada Lovelace"})],
        "POST /api/auth/delete-user": [Sent(body={"password": PASSWORD})],
    }
