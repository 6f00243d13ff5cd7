"""The checkout itself, and copies of it that are broken once each."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tandem.ops.doctor.repository import check_dockerfile, check_repository
from tandem.ops.doctor.result import Status
from tandem.ops.doctor.variables_drift import check_drift
from tests.ops.doctor.environments import red, statuses

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_this_checkout_is_green() -> None:
    assert red(check_repository(ROOT)) == []


def test_an_installed_package_has_no_checkout() -> None:
    assert set(statuses(check_repository(None)).values()) == {Status.SKIPPED}


# ---- one truth about variables

FILES = ("render.yaml", "deploy/render-free.yaml", "compose.yaml", ".env.example", "docs/settings.md")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "deploy/kubernetes", tmp_path / "deploy/kubernetes")
    return tmp_path


DRIFT = [
    (".env.example", "LOCK_TIMEOUT=3\n", "", ".env.example does not name LOCK_TIMEOUT"),
    (".env.example", "LOCK_TIMEOUT=3", "LOCK_TIMEOUT=3\nLOK_TIMEOUT=3", "sets LOK_TIMEOUT"),
    ("docs/settings.md", "wait for a connection before a 503", "wait", "docs/settings.md is not what Momentum's"),
    ("docs/settings.md", "the model that writes", "a model", "docs/settings.md is not what Market AI's"),
    ("render.yaml", "key: SHUTDOWN_TIMEOUT", "key: STOP_TIMEOUT", "sets STOP_TIMEOUT, which Market AI does not read"),
    ("render.yaml", "key: RUN_WORKER", "key: CLERK_DOMAIN", "sets CLERK_DOMAIN, which Momentum does not read"),
    (
        "render.yaml",
        "key: BACKUP_KEY",
        "key: BACKUP_KEYS",
        "momentum-backup sets BACKUP_KEYS, which Momentum does not read",
    ),
    ("render.yaml", 'value: "10.0"', "value: ten", "MAX_BUDGET_PER_REQUEST=ten cannot be read"),
    ("deploy/render-free.yaml", 'value: "280"', "value: often", "SQLALCHEMY_POOL_RECYCLE=often cannot be read"),
    ("compose.yaml", "RUN_WORKER:", "RUN_WORKERS:", "compose.yaml, momentum sets RUN_WORKERS"),
    ("compose.yaml", 'PORT: "8000"', 'PORT: "80000"', "PORT=80000 cannot be read"),
    ("compose.yaml", "${MOMENTUM_PORT:-8000}", "${TODO_PORT:-8000}", "takes TODO_PORT from the environment"),
    ("compose.yaml", "env_file: [{path: .env, required: false}]", "env_file: []", "does not read .env"),
    ("deploy/kubernetes/config.yaml", "LOG_LEVEL: INFO", "LOG_LVL: INFO", "config.yaml sets LOG_LVL"),
    (
        "deploy/kubernetes/backup.yaml",
        "              resources:",
        "              env: [{name: BACKUP_KEP, value: x}]\n              resources:",
        "backup.yaml sets BACKUP_KEP",
    ),
    ("deploy/kubernetes/market-ai-worker.yaml", 'value: "130"', "value: long", "SHUTDOWN_TIMEOUT=long cannot be read"),
]


@pytest.mark.parametrize(("file", "old", "new", "expected"), DRIFT)
def test_a_file_that_disagrees_with_the_settings_is_red(
    checkout: Path, file: str, old: str, new: str, expected: str
) -> None:
    assert red(check_drift(checkout)) == []
    text = (checkout / file).read_text()
    assert old in text
    (checkout / file).write_text(text.replace(old, new))
    assert any(expected in line for line in red(check_drift(checkout))), red(check_drift(checkout))


# ---- the image

IMAGES = [
    (lambda t: t.replace("USER 10001:10001\n", ""), "USER is root"),
    (lambda t: t.replace("USER 10001:10001", "USER appuser"), "USER is appuser"),
    (
        lambda t: t.replace("COPY --from=build /opt/venv /opt/venv", "COPY --from=build " + "/root" + "/.local x"),
        "/root",
    ),
    (lambda t: t[: t.rfind("CMD [")] + "CMD tandem serve momentum\n", "a shell gets SIGTERM"),
    (lambda t: t[: t.rfind("CMD [")] + 'CMD ["gunicorn", "--bind", "0.0.0.0:8000"]\n', "a port of its own"),
    (lambda t: t[: t.index("HEALTHCHECK")] + 'CMD ["tandem"]\n', "no HEALTHCHECK"),
    (
        lambda t: t[: t.index("HEALTHCHECK")] + 'HEALTHCHECK CMD curl -f http://localhost/health\nCMD ["x"]\n',
        "uses curl",
    ),
    (lambda t: t.replace("ENV PATH", "ENV OPENAI_API_KEY=sk-123 PATH"), "baked into a layer"),
    (lambda t: t.replace(" --require-hashes", ""), "without hashes"),
]


@pytest.mark.parametrize(("mutate", "expected"), IMAGES)
def test_an_image_that_fails_in_production_is_red(mutate: Callable[[str], str], expected: str) -> None:
    assert red(check_dockerfile(DOCKERFILE)) == []
    assert any(expected in line for line in red(check_dockerfile(mutate(DOCKERFILE))))


GUIDE = f"""FROM python:3.13-slim as builder
RUN pip install --no-cache-dir --user -r requirements.txt
FROM python:3.13-slim
RUN apt-get update && apt-get install -y curl
COPY --from=builder {"/root"}/.local {"/root"}/.local
RUN useradd -m -u 1000 appuser
USER appuser
HEALTHCHECK CMD curl -f http://localhost:8000/health || exit 1
CMD ["gunicorn", "main:app", \\
     "--bind", "0.0.0.0:8000"]
"""


def test_the_image_of_the_guides_cannot_start_and_the_doctor_says_why() -> None:
    found = " ".join(red(check_dockerfile(GUIDE)))
    assert "only root may enter" in found
    assert "USER is appuser" in found
    assert "a port of its own" in found
    assert "without hashes" in found


# ---- git


@pytest.fixture
def repository(checkout: Path) -> Path:
    shutil.copy(ROOT / "Dockerfile", checkout)
    shutil.copy(ROOT / "build.sh", checkout)
    git(checkout, "init", "-q")
    git(checkout, "add", "-A")
    assert red(check_repository(checkout)) == []
    return checkout


def git(where: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=where, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (".env", "A=1", ".env is tracked"),
        (".env.production", "A=1", ".env.production is tracked"),
        ("deploy/server.key", "x", "server.key is tracked"),
        ("notes.md", "key: " + "sk-proj-" + "a1B2" * 10, "notes.md holds what looks like a key: sk-proj"),
        ("id.txt", "-----BEGIN RSA " + "PRIVATE KEY-----\n" + "A" * 90, "id.txt holds"),
        (
            "hook.sh",
            "https://api.render.com/deploy/" + "srv-abcdefghij0123456789?key=" + "AbCdEfGhIjK",
            "hook.sh holds",
        ),
    ],
)
def test_a_tracked_secret_is_red(repository: Path, name: str, text: str, expected: str) -> None:
    (repository / name).write_text(text)
    assert red(check_repository(repository)) == []  # not tracked yet
    git(repository, "add", "-f", name)
    found = red(check_repository(repository))
    assert len(found) == 1
    assert expected in found[0]


def test_a_build_script_that_cannot_be_run_is_red(repository: Path) -> None:
    git(repository, "update-index", "--chmod=-x", "build.sh")
    assert red(check_repository(repository)) == ["git.executable: build.sh is not executable in git"]
