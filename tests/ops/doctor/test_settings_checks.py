from collections.abc import Callable

import pytest

from tandem.ops.doctor.result import Status
from tandem.ops.doctor.settings import check_settings, fingerprint
from tandem.ops.doctor.subject import Subject
from tests.ops.doctor.environments import GOOD, red, statuses

Make = Callable[..., Subject]


@pytest.mark.parametrize("service", sorted(GOOD))
def test_a_good_environment_is_green(subject: Make, service: str) -> None:
    assert set(statuses(check_settings(subject(service))).values()) == {Status.OK}


BROKEN = [
    ("momentum", {"DATABASE_URL": None}, "database.url: DATABASE_URL is not set"),
    ("momentum", {"DATABASE_URL": "mysql://a@b/c"}, "database.url: DATABASE_URL: has the scheme 'mysql'"),
    ("momentum", {"DATABASE_URL": "postgresql://user:password@host/db"}, "still the example value"),
    ("momentum", {"DIRECT_DATABASE_URL": "postgresql://a@b"}, "database.url: DIRECT_DATABASE_URL: names no database"),
    ("momentum", {"SESSION_HASH_SECRET": None}, "settings.secret: SESSION_HASH_SECRET is not set"),
    ("momentum", {"SESSION_HASH_SECRET": "short"}, "settings.secret: SESSION_HASH_SECRET is a placeholder or shorter"),
    ("momentum", {"SESSION_HASH_SECRET": "a" * 64}, "settings.secret: "),
    ("momentum", {"ENVIRONMENT": None}, "settings.environment: development"),
    ("momentum", {"ENVIRONMENT": "prod"}, "settings.required: ENVIRONMENT: Input should be"),
    ("momentum", {"DOCS": "true"}, "settings.docs: DOCS=true"),
    ("momentum", {"CORS_ORIGINS": None}, "settings.cors: CORS_ORIGINS is not set"),
    ("momentum", {"CORS_ORIGINS": "*"}, "settings.cors: CORS_ORIGINS contains '*'"),
    ("momentum", {"CORS_ORIGINS": "https://a.acme.dev, https://b.acme.dev"}, "a blank around 'https://b.acme.dev'"),
    ("momentum", {"CORS_ORIGINS": "https://a.acme.dev,"}, "a blank around ''"),
    ("momentum", {"CORS_ORIGINS": "https://a.acme.dev/"}, "ends with a slash"),
    ("momentum", {"CORS_ORIGINS": "https://a.acme.dev,http://localhost:3000"}, "a developer's machine"),
    ("momentum", {"CORS_ORIGINS": "http://a.acme.dev"}, "not encrypted"),
    ("momentum", {"RATE_LIMIT": "many"}, "settings.required: RATE_LIMIT: 'many' is not a rate"),
    ("market-ai", {"OPENAI_API_KEY": None}, "settings.required: OPENAI_API_KEY is not set"),
    ("market-ai", {"OPENAI_API_KEY": "sk-..."}, "settings.required: OPENAI_API_KEY is still the example value"),
    ("market-ai", {"CLERK_DOMAIN": None, "SESSION_HASH_SECRET": None}, "settings.required: CLERK_DOMAIN is not set"),
]


@pytest.mark.parametrize(("service", "changes", "expected"), BROKEN)
def test_one_broken_variable_is_one_red_line(
    subject: Make, service: str, changes: dict[str, str | None], expected: str
) -> None:
    found = red(check_settings(subject(service, **changes)))
    assert any(expected in line for line in found), found


def test_all_faults_are_told_at_once_and_no_secret_is(subject: Make) -> None:
    results = list(
        check_settings(subject(DATABASE_URL="postgresql://u:hunter2secret@/x", LOG_LEVEL="LOUD", CORS_ORIGINS=None))
    )
    assert {line.split(":")[0] for line in red(results)} == {"database.url", "settings.required", "settings.cors"}
    assert "hunter2secret" not in str(results)


def test_two_places_compare_secrets_by_a_fingerprint(subject: Make) -> None:
    secret = GOOD["momentum"]["SESSION_HASH_SECRET"]
    (result,) = [r for r in check_settings(subject()) if r.check == "settings.secret"]
    assert fingerprint(secret) in result.seen
    assert secret not in result.seen
    assert fingerprint(secret) != fingerprint(secret + "0")
