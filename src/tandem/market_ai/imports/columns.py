"""Which column of a file is what."""

import re
from collections.abc import Mapping, Sequence

from tandem.core.errors import InvalidPayload

MAX_COLUMNS = 200
ATTRIBUTE = re.compile(r"attributes\.[a-z][a-z0-9_]{0,39}")
FIELDS = {
    "leads": (
        "email", "name", "tags", "timezone", "locale", "consent", "consent_at", "consent_source", "consent_proof",
    ),
    "suppressions": ("email", "reason", "note"),
}  # fmt: skip
_ALIASES = {
    "e_mail": "email", "mail": "email", "email_address": "email", "e_mail_address": "email", "full_name": "name",
    "time_zone": "timezone", "tag": "tags",
}  # fmt: skip
# Columns of an export that are ours to say.
_OURS = {"id", "version", "suppressed", "erased", "erased_at", "created_at", "updated_at", "source"}


def columns_of(kind: str, header: Sequence[str], mapping: Mapping[str, str | None]) -> list[str | None]:
    """What each column is, None for one that is left out; raises InvalidPayload."""
    names = [name.strip() for name in header]
    if len(names) > MAX_COLUMNS:
        raise InvalidPayload.of("file", f"has more than {MAX_COLUMNS} columns", "too_many_columns")
    if unknown := sorted(set(mapping) - set(names)):
        raise InvalidPayload.of("mapping", f"the file has no column {unknown[0][:100]!r}", "unknown_column")
    for target in mapping.values():
        if target is not None and not _is_target(kind, target):
            raise InvalidPayload.of("mapping", f"a column cannot become {target[:100]!r}", "unknown_field")
    found = [mapping[name] if name in mapping else _by_name(kind, name, number) for number, name in enumerate(names, 1)]
    targets = [target for target in found if target is not None]
    if twice := sorted({target for target in targets if targets.count(target) > 1}):
        raise InvalidPayload.of("file", f"two columns are {twice[0]}: leave one out in `mapping`", "repeated_column")
    if "email" not in targets:
        problem = "has no column of e-mail addresses: call it `email`, or say in `mapping` which one it is"
        raise InvalidPayload.of("file", problem, "no_email_column")
    return found


def _is_target(kind: str, target: str) -> bool:
    return target in FIELDS[kind] or (kind == "leads" and ATTRIBUTE.fullmatch(target) is not None)


def _by_name(kind: str, name: str, number: int) -> str | None:
    """What is no field of a lead becomes an attribute."""
    prefix, dot, rest = name.lower().partition(".")
    slug = re.sub(r"[^a-z0-9]+", "_", (rest if dot and prefix == "attributes" else name).lower()).strip("_")
    if not (dot and prefix == "attributes"):
        if (known := _ALIASES.get(slug, slug)) in FIELDS[kind]:
            return known
        if slug in _OURS or not name or kind != "leads":
            return None
    if not slug:
        slug = f"column_{number}"
    return f"attributes.{slug if slug[0].isalpha() else 'x_' + slug}"[:51]
