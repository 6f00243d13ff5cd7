"""The environment: is everything there, strong enough, and meant for production?"""

from collections.abc import Iterator
from hashlib import sha256
from urllib.parse import urlsplit

from tandem.core.settings import Settings
from tandem.ops.doctor.result import Check, Result
from tandem.ops.doctor.subject import Subject

REQUIRED = Check("settings.required", "A production start is refused without it.")
SECRET = Check("settings.secret", "Whoever guesses it can sign in as anybody; where it differs, nobody is signed in.")
ENVIRONMENT = Check("settings.environment", "Only a deployment refuses placeholders, hides its docs and sends HSTS.")
DOCS = Check("settings.docs", "The documentation tells a stranger every address to try.")
CORS = Check("settings.cors", "With credentials, an origin too many may act as your users; one too few locks them out.")
DATABASE_URL = Check("database.url", "Without a readable address there is no database.")

_ELSEWHERE = ("SESSION_HASH_SECRET", "CORS_ORIGINS", "DATABASE_URL", "DIRECT_DATABASE_URL")
_LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104 - names to find, not to bind


def check_settings(subject: Subject) -> Iterator[Result]:
    yield from _required(subject)
    yield from _secret(subject)
    if subject.settings is not None:
        yield _environment(subject.settings)
        yield _docs(subject.settings)
    yield from _cors(subject)
    yield _database_url(subject)


def _required(subject: Subject) -> Iterator[Result]:
    mine = [problem for problem in subject.deployed if not problem.startswith(_ELSEWHERE)]
    for problem in mine:
        yield REQUIRED.error(*_seen_and_fix(problem))
    if not mine:
        yield REQUIRED.ok("every variable has a value, and none is a placeholder")


def _secret(subject: Subject) -> Iterator[Result]:
    for problem in _about(subject, "SESSION_HASH_SECRET"):
        yield SECRET.error(*_seen_and_fix(problem))
        return
    if subject.settings is None:
        yield SECRET.skipped("settings that can be read")
        return
    secret = subject.settings.session_hash_secret.get_secret_value()
    if "session_hash_secret" not in subject.settings.model_fields_set:
        yield SECRET.ok("not needed: Clerk signs in")
        return
    yield SECRET.ok(
        f"{len(secret)} characters, fingerprint {fingerprint(secret)}: the auth-server's must be the same "
        '(`printf %s "$SESSION_HASH_SECRET" | sha256sum | cut -c1-8`)'
    )


def fingerprint(secret: str) -> str:
    """To compare two places by; 32 bits tell nothing about a strong secret."""
    return sha256(secret.encode()).hexdigest()[:8]


def _environment(settings: Settings) -> Result:
    if settings.environment == "production":
        return ENVIRONMENT.ok("production")
    if settings.environment == "staging":
        return ENVIRONMENT.info("staging, which is as strict as production")
    return ENVIRONMENT.error(settings.environment, "ENVIRONMENT=production (NODE_ENV is the same)")


def _docs(settings: Settings) -> Result:
    if settings.docs:
        return DOCS.error("DOCS=true serves /docs, /redoc and /openapi.json", "unset DOCS: in production they are off")
    return DOCS.ok("off in production")


def _cors(subject: Subject) -> Iterator[Result]:
    faults = [_seen_and_fix(problem) for problem in _about(subject, "CORS_ORIGINS")]
    if subject.settings is not None and not faults:
        faults = list(_origins(subject.settings.cors_origins))
    for seen, fix in faults:
        yield CORS.error(seen, fix)
    if not faults:
        yield CORS.ok(subject.settings.cors_origins) if subject.settings else CORS.skipped("settings that can be read")


def _origins(text: str) -> Iterator[tuple[str, str]]:
    """Faults of a list that Tandem itself understands, and the auth-server or a browser may not."""
    for origin in text.split(","):
        if origin != origin.strip() or not origin.strip():
            yield f"a blank around {origin.strip()!r}", "commas only: CORS_ORIGINS=https://a.example,https://b.example"
        elif origin.endswith("/"):
            yield f"{origin} ends with a slash", f"{origin.rstrip('/')}: browsers send origins without it"
        elif urlsplit(origin).hostname in _LOCAL:
            yield f"{origin} is a developer's machine", "name the front end's public origin"
        elif not origin.startswith("https://"):
            yield f"{origin} is not encrypted", "https://, or the session travels for everybody to read"


def _database_url(subject: Subject) -> Result:
    for problem in (*_about(subject, "DATABASE_URL"), *_about(subject, "DIRECT_DATABASE_URL")):
        return DATABASE_URL.error(*_seen_and_fix(problem))
    if (where := subject.database) is None:
        return DATABASE_URL.skipped("settings that can be read")
    return DATABASE_URL.ok(f"{where.url.host or 'a local socket'}, database {where.url.database}")


def _about(subject: Subject, name: str) -> Iterator[str]:
    return (problem for problem in subject.deployed if problem.startswith(name))


def _seen_and_fix(problem: str) -> tuple[str, str]:
    """`NAME is so: do this` in two; what has no second half is its own remedy."""
    seen, separator, fix = problem.partition(": ")
    if seen.isupper():  # `NAME: what is wrong`, from a value that could not be read
        return problem, f"correct {seen}; `tandem settings` says what it takes"
    return (seen, fix) if separator else (problem, problem)
