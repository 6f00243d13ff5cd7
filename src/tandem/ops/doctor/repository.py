"""The checkout: its image, its secrets, its scripts, its Blueprints."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tandem.ops.doctor.blueprint.check import check_file
from tandem.ops.doctor.result import Check, Result
from tandem.ops.doctor.variables_drift import BLUEPRINTS, DRIFT, check_drift

IMAGE = Check(
    "image.dockerfile", "An image that runs as root, ignores PORT or hides SIGTERM from the server fails in production."
)
SECRETS = Check("git.secrets", "A secret that was committed once is out, also when it is deleted later.")
SCRIPTS = Check("git.executable", "The build ends with `Permission denied: ./build.sh`.")

_SECRET_FILES = re.compile(
    r"(?:^|/)(?:\.env(?:\.(?!example$)[\w.-]+)?|[\w.-]+\.(?:pem|key|p12|pfx)|id_(?:rsa|ed25519|ecdsa))$"
)
_SECRET_TEXT = re.compile(
    r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----[\s\S]{80}"
    r"|\bsk-(?:proj-|ant-|live-)?[A-Za-z0-9_-]{32,}|\bsk_live_[A-Za-z0-9]{20,}|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,}"
    r"|\bhooks\.slack\.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/\w{20,}|\bapi\.render\.com/deploy/srv-[a-z0-9]{16,}\?key=[\w-]{8,}"
)
LARGEST = 1_000_000  # bytes of a file that is searched
_SCRIPT = re.compile(r"^(?:build\.sh|\.ci/[^/.]+|scripts/[^/]+)$")


def check_repository(checkout: Path | None) -> Iterator[Result]:
    if checkout is None:
        for check in (DRIFT, IMAGE, SECRETS, SCRIPTS):
            yield check.skipped("a checkout: Tandem runs from an installed package")
        return
    for name in (name for name in BLUEPRINTS if (checkout / name).is_file()):
        yield from (replace(result, seen=f"{name}: {result.seen}") for result in check_file(checkout / name))
    yield from check_drift(checkout)
    if (checkout / "Dockerfile").is_file():
        yield from check_dockerfile((checkout / "Dockerfile").read_text())
        yield from _hadolint(checkout)
    tracked = _tracked(checkout)
    if tracked is None:
        yield SECRETS.skipped("a git repository")
        yield SCRIPTS.skipped("a git repository")
        return
    yield from _secrets(checkout, tracked)
    yield from _scripts(tracked)


def check_dockerfile(text: str) -> Iterator[Result]:
    """What no linter knows: what this image has to do on a platform."""
    lines = re.sub(r"\\\n\s*", " ", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    last = lines[lines.rfind("\nFROM ") + 1 :]
    user = re.findall(r"^USER\s+(\S+)", last, re.MULTILINE)[-1:]
    faults = []
    if not user or not re.fullmatch(r"[1-9]\d*(?::[1-9]\d*)?", user[0]):
        faults.append((f"USER is {user[0] if user else 'root'}", "a number other than 0, as in `USER 10001:10001`"))
    if re.search(r"/root\b", last):
        faults.append(
            ("the image takes files from /root, which only root may enter", "a virtual environment in /opt/venv")
        )
    command = re.findall(r"^(?:CMD|ENTRYPOINT)\s+(.*)$", last, re.MULTILINE)[-1:] or [""]
    if not command[0].startswith("["):
        faults.append(
            (f"CMD is {command[0]!r}: a shell gets SIGTERM, not the server", 'the exec form: `CMD ["tandem", …]`')
        )
    if re.search(r":8\d{3}\b|--port", command[0]):
        faults.append(("CMD names a port of its own", "let `tandem serve` read PORT"))
    if not re.search(r"^HEALTHCHECK\s", last, re.MULTILINE):
        faults.append(("there is no HEALTHCHECK", "ask /health in Python; the image has no curl"))
    elif "curl" in last and not re.search(r"install[^\n]*\bcurl\b", last):
        faults.append(("HEALTHCHECK uses curl, which is not in the image", "ask /health in Python"))
    if re.search(r"^(?:ENV|ARG)\s[^\n]*(?:SECRET|PASSWORD|TOKEN|API_KEY)\w*=\S", lines, re.MULTILINE):
        faults.append(("a secret is baked into a layer", "give it to the container when it starts"))
    if "--require-hashes" not in lines:
        faults.append(("packages are installed without hashes", "`pip install --require-hashes -r requirements.txt`"))
    for seen, fix in faults:
        yield IMAGE.error(seen, fix)
    if not faults:
        yield IMAGE.ok("numeric user, exec form, PORT obeyed, a health check, hashes")


def _hadolint(checkout: Path) -> Iterator[Result]:
    program = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        yield IMAGE.skipped("hadolint, which `make test` installs, for the rest of its lint")
        return
    command = [program, "--no-color", "Dockerfile"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)  # noqa: S603 - found above
    for line in done.stdout.splitlines():
        yield IMAGE.error(line, "hadolint explains each rule by its number")
    if done.returncode == 0:
        yield IMAGE.ok("hadolint finds nothing")


def _tracked(checkout: Path) -> dict[str, str] | None:
    """Mode by name of every file in git's index; None where there is no git."""
    git = shutil.which("git")
    if git is None or not (checkout / ".git").exists():
        return None
    command = [git, "ls-files", "--stage", "-z"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)  # noqa: S603
    entries = (line.split("\t", 1) for line in done.stdout.split("\0") if "\t" in line)
    return {name: stage.split(" ", 1)[0] for stage, name in entries} if done.returncode == 0 else None


def _secrets(checkout: Path, tracked: dict[str, str]) -> Iterator[Result]:
    faults = []
    for name in tracked:
        if _SECRET_FILES.search(name):
            faults.append(f"{name} is tracked")
            continue
        path = checkout / name
        if not path.is_file() or path.is_symlink() or path.stat().st_size > LARGEST:
            continue
        if found := _SECRET_TEXT.search(path.read_text(errors="replace")):
            faults.append(f"{name} holds what looks like a key: {found[0][:7]}…")
    for seen in faults:
        yield SECRETS.error(seen, "`git rm --cached` it, and change the secret at its provider: it is out")
    if not faults:
        yield SECRETS.ok(f"none in {len(tracked)} tracked files")


def _scripts(tracked: dict[str, str]) -> Iterator[Result]:
    scripts = {name: mode for name, mode in tracked.items() if _SCRIPT.match(name)}
    broken = sorted(name for name, mode in scripts.items() if mode != "100755")
    for name in broken:
        yield SCRIPTS.error(f"{name} is not executable in git", f"`git update-index --chmod=+x {name}`, and commit")
    if not broken:
        yield SCRIPTS.ok(", ".join(sorted(scripts)))
