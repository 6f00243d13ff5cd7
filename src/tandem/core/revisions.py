"""Which migration a service's code expects, read from its migration files without loading Alembic (30 MB a process)."""

import ast
from functools import cache
from pathlib import Path

import tandem

_PACKAGE = Path(tandem.__file__).parent


def project_dir() -> Path | None:
    """The root of the source checkout, or None when Tandem runs from an installed wheel."""
    root = _PACKAGE.parent.parent
    return root if (root / "migrations" / "env.py").exists() else None


def migrations_dir() -> Path:
    """The checkout's `migrations`, else the copy inside the wheel."""
    root = project_dir()
    return root / "migrations" if root else _PACKAGE / "_migrations"


@cache
def expected_heads(service: str) -> frozenset[str]:
    """Revisions of `migrations/<service>/versions` that no other one follows; empty when there is no such folder.

    Reads files: call it in a thread.
    """
    revisions: set[str] = set()
    followed: set[str] = set()
    for file in (migrations_dir() / service / "versions").glob("*.py"):
        names = _assignments(file)
        if isinstance(revision := names.get("revision"), str):
            revisions.add(revision)
            before = names.get("down_revision") or ()
            followed.update([before] if isinstance(before, str) else before)
    return frozenset(revisions - followed)


def _assignments(file: Path) -> dict[str, str | tuple[str, ...] | None]:
    found: dict[str, str | tuple[str, ...] | None] = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        if isinstance(target, ast.Name) and target.id in {"revision", "down_revision"}:
            found[target.id] = ast.literal_eval(node.value)
    return found
