"""What a filter is once it has been read, and which comparisons make sense."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias

TEXTS = ("email", "domain", "name", "locale", "timezone", "consent_source")
TIMES = ("created_at", "updated_at", "consent_at")
FLAGS = ("suppressed", "mailable")
CONSENTS = ("none", "granted", "withdrawn")
FIELDS = (*TEXTS, *TIMES, *FLAGS, "consent", "tags")
ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]{0,39}")

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "contains", "starts", "ends", "in", "has", "empty", "true"]
ORDERED = ("<", "<=", ">", ">=")


@dataclass(frozen=True)
class Ago:
    """So long before whenever it is asked."""

    time: timedelta


Value: TypeAlias = str | Decimal | bool | date | datetime | Ago


@dataclass(frozen=True)
class Comparison:
    """`field` is one of FIELDS, or `attributes.` with a name. No values for `empty` and `true`."""

    field: str
    operator: Operator
    values: tuple[Value, ...] = ()

    @property
    def attribute(self) -> str | None:
        return self.field.removeprefix("attributes.") if self.field.startswith("attributes.") else None


@dataclass(frozen=True)
class Not:
    part: "Node"


@dataclass(frozen=True)
class And:
    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Or:
    parts: tuple["Node", ...]


Node: TypeAlias = Comparison | Not | And | Or


def mismatch(found: Comparison) -> str | None:
    """Why the field, the operator and the values do not go together, if they do not."""
    if found.operator == "empty":
        return None
    allowed: tuple[str, ...] = ("=", "!=", "in", "contains", "starts", "ends")
    types: tuple[type, ...] = (str,)
    if found.field in TIMES:
        whole_day = type(found.values[0]) is date
        allowed, types = ORDERED + (("=", "!=") if whole_day else ()), (date, Ago)
    elif found.field == "tags":
        allowed = ("has",)
    elif found.field == "consent":
        allowed = ("=", "!=", "in")
        if wrong := [value for value in found.values if str(value).lower() not in CONSENTS]:
            return f"consent is {', '.join(CONSENTS)}, not {str(wrong[0])[:40]!r}"
    elif found.attribute is not None:
        return _attribute_mismatch(found)
    if found.operator not in allowed:
        return f"{found.field} cannot be compared in this way"
    if not all(isinstance(value, types) for value in found.values):
        return f"{found.field} is compared with {'a day or a time' if found.field in TIMES else 'text'}"
    return None


def _attribute_mismatch(found: Comparison) -> str | None:
    if found.operator == "has":
        return "Only tags have something; compare an attribute with =, contains …"
    if any(isinstance(value, datetime) for value in found.values):
        return "An attribute is compared with a day, not with a time of day"
    if found.operator in ORDERED and isinstance(found.values[0], bool):
        return "true and false have no order"
    if found.operator in {"contains", "starts", "ends"} and not isinstance(found.values[0], str):
        return f"{found.operator} needs text"
    return None
