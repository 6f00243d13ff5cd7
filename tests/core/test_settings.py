"""Both spellings of every name, and one message with everything a first deployment forgot."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tandem.core.settings import DEVELOPMENT_SECRET, Settings, SettingsError, environment_names, load_settings

URL = "postgresql://ada:k3PzV9wQ@db.internal:5432/app"
SECRET = "b7f1d3a9c5e8042667d9f0a1b2c3d4e5"
PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": URL,
    "SESSION_HASH_SECRET": SECRET,
    "CORS_ORIGINS": "https://app.netlify.app",
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for field in Settings.model_fields.values():
        for name in environment_names(field):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # a developer's .env is not the tests' business


def _load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings(Settings)


def _problems(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        _load(monkeypatch, **environment)
    return raised.value.problems


def test_development_needs_nothing() -> None:
    settings = load_settings(Settings)
    assert (settings.environment, settings.deployed, settings.docs_enabled) == ("development", False, True)
    assert settings.database is None
    assert settings.session_hash_secret.get_secret_value() == DEVELOPMENT_SECRET
    assert "http://localhost:5173" in settings.origins


def test_a_complete_production_environment_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(monkeypatch, **PRODUCTION)
    assert settings.deployed
    assert not settings.docs_enabled
    assert settings.database is not None
    assert settings.database.url.host == "db.internal"
    assert settings.origins == ["https://app.netlify.app"]


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("ENVIRONMENT", "test", "environment", "test"),
        ("NODE_ENV", "test", "environment", "test"),
        ("ENVIRONMENT", " Test ", "environment", "test"),
        ("CORS_ORIGINS", "https://a.dev", "origins", ["https://a.dev"]),
        ("ALLOWED_ORIGINS", "https://a.dev/ , https://b.dev", "origins", ["https://a.dev", "https://b.dev"]),
        ("SQLALCHEMY_POOL_SIZE", "7", "pool_size", 7),
        ("SQLALCHEMY_POOL_OVERFLOW", "0", "pool_overflow", 0),
        ("SQLALCHEMY_POOL_TIMEOUT", "1.5", "pool_timeout", 1.5),
        ("SQLALCHEMY_POOL_RECYCLE", "-1", "pool_recycle", -1),
        ("SQLALCHEMY_ECHO", "true", "sql_echo", True),
        ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("APP_VERSION", "1.2.3", "app_version", "1.2.3"),
        ("PORT", "9000", "port", 9000),
        ("WEB_CONCURRENCY", "4", "web_concurrency", 4),
        ("DOCS", "false", "docs_enabled", False),
        ("AUTH_BUILTIN", "false", "auth_builtin", False),
        ("SESSION_TOKENS", "plain", "session_tokens", "plain"),
        ("RATE_LIMIT", "5/minute", "rate_limit", "5/minute"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.0/8", "forwarded_allow_ips", "10.0.0.0/8"),
        ("MAX_BODY_BYTES", "2000000", "max_body_bytes", 2_000_000),
    ],
)
def test_names_of_the_deployment_guides_are_read(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, expected: Any
) -> None:
    assert getattr(_load(monkeypatch, **{name: value}), field) == expected


@pytest.mark.parametrize("name", ["REDIS_URL", "SENTRY_DSN", "HEALTH_TOKEN"])
def test_secrets_are_read_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    settings = _load(monkeypatch, **{name: "very-secret-value"})
    assert getattr(settings, name.lower()).get_secret_value() == "very-secret-value"
    assert "very-secret-value" not in repr(settings)


def test_the_preferred_spelling_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(
        monkeypatch,
        ENVIRONMENT="test",
        NODE_ENV="development",
        CORS_ORIGINS="https://a.dev",
        ALLOWED_ORIGINS="https://b.dev",
    )
    assert (settings.environment, settings.origins) == ("test", ["https://a.dev"])


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(monkeypatch, ENVIRONMENT="", NODE_ENV="test", DATABASE_URL="", PORT="", SENTRY_DSN="")
    assert (settings.environment, settings.database, settings.port, settings.sentry_dsn) == ("test", None, 8000, None)


def test_a_dotenv_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=WARNING\nPORT=9001\nUNKNOWN=1\n")
    settings = _load(monkeypatch, PORT="9002")
    assert (settings.log_level, settings.port) == ("WARNING", 9002)


@pytest.mark.parametrize("environment", ["production", "staging", "PRODUCTION"])
@pytest.mark.parametrize("name", ["ENVIRONMENT", "NODE_ENV"])
def test_everything_missing_is_listed_at_once(monkeypatch: pytest.MonkeyPatch, environment: str, name: str) -> None:
    with pytest.raises(SettingsError) as raised:
        _load(monkeypatch, **{name: environment})
    message = str(raised.value)
    for missing in ("DATABASE_URL", "SESSION_HASH_SECRET", "CORS_ORIGINS"):
        assert f"{missing} is not set" in message
    assert "openssl rand -hex 32" in message
    assert message.startswith("3 settings")


def test_unreadable_and_missing_values_are_listed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = _problems(monkeypatch, ENVIRONMENT="production", PORT="http", DATABASE_URL="mysql://u:hunter22@h/db")
    text = "\n".join(problems)
    assert "PORT" in text
    assert "DATABASE_URL: has the scheme 'mysql'" in text
    assert "SESSION_HASH_SECRET is not set" in text
    assert "CORS_ORIGINS is not set" in text
    assert "hunter22" not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://user:password@host:5432/db"),
        ("DATABASE_URL", "postgresql://user:pass@localhost/db"),
        ("DATABASE_URL", "postgresql://postgres:change-me@db.internal/app"),
        ("DATABASE_URL", "postgresql://app:x@db.example.com/app"),
        ("SESSION_HASH_SECRET", "change-me"),
        ("SESSION_HASH_SECRET", "your-secret-key-here-at-least-32-characters"),
        ("SESSION_HASH_SECRET", "short"),
        ("SESSION_HASH_SECRET", "a" * 64),
        ("SESSION_HASH_SECRET", DEVELOPMENT_SECRET),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://*.netlify.app"),
        ("CORS_ORIGINS", "app.netlify.app"),
        ("CORS_ORIGINS", "https://your-app.netlify.app"),
        ("CORS_ORIGINS", "https://app.netlify.app/path"),
        ("CORS_ORIGINS", "https://ok.dev, https://your-frontend.dev"),
    ],
)
def test_placeholders_are_refused_in_production(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    problems = _problems(monkeypatch, **(PRODUCTION | {name: value}))
    assert len(problems) == 1
    assert problems[0].startswith(name)
    if name == "DATABASE_URL":
        assert value not in problems[0]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://todo:k3PzV9wQ@db.internal/app",
        "postgresql://neondb_owner:npg_xxXx9@ep-cool-123-pooler.eu.aws.neon.tech/neondb?sslmode=require",
        "postgresql://momentum_todo:k3PzV9wQ@dpg-abc-a.frankfurt-postgres.render.com/momentum_todo_db",
    ],
)
def test_real_database_urls_are_not_taken_for_placeholders(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert _load(monkeypatch, **(PRODUCTION | {"DATABASE_URL": url})).database is not None


@pytest.mark.parametrize(
    "origin", ["https://momentum-todo.netlify.app", "https://app.example-corp.com", "http://10.0.0.4:3000"]
)
def test_real_origins_are_not_taken_for_placeholders(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    assert _load(monkeypatch, **(PRODUCTION | {"CORS_ORIGINS": origin})).origins == [origin]


def test_placeholders_are_fine_in_development(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not _load(
        monkeypatch, SESSION_HASH_SECRET="change-me", DATABASE_URL="postgresql://user:pass@localhost/db"
    ).deployed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENVIRONMENT", "prod"),
        ("SQLALCHEMY_POOL_SIZE", "0"),
        ("SQLALCHEMY_POOL_SIZE", "many"),
        ("SQLALCHEMY_POOL_TIMEOUT", "0"),
        ("SQLALCHEMY_POOL_TIMEOUT", "nan"),
        ("PORT", "70000"),
        ("WEB_CONCURRENCY", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("SESSION_TOKENS", "hash"),
        ("DIRECT_DATABASE_URL", "nonsense"),
        ("MAX_BODY_BYTES", "1"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    problems = _problems(monkeypatch, **{name: value})
    assert len(problems) == 1
    assert problems[0].startswith(f"{name}: ")


def test_docs_can_be_served_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _load(monkeypatch, **PRODUCTION, DOCS="true").docs_enabled


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load_settings(Settings).port = 1  # type: ignore[misc]


def test_every_setting_has_an_environment_name_and_a_description() -> None:
    for name, field in Settings.model_fields.items():
        assert environment_names(field), name
        assert field.description, name


def test_a_development_secret_is_never_accepted_in_a_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "SESSION_HASH_SECRET" in _problems(monkeypatch, **(PRODUCTION | {"SESSION_HASH_SECRET": ""}))[0]
