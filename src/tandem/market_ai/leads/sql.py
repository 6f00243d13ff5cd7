"""What statements about leads `l` have in common: their columns, which may be written to, which a filter selects."""

from datetime import date, datetime
from decimal import Decimal

from tandem.core.db import Args
from tandem.market_ai.email_address import InvalidEmail, normalise_email
from tandem.market_ai.leads.filter_syntax import TIMES, Ago, And, Comparison, Node, Not, Or, Value, parse_filter

SUPPRESSED = "EXISTS (SELECT FROM suppressions s WHERE s.org_id = l.org_id AND s.email_key = l.email_key)"
# Whoever sends evaluates this in the very transaction that hands a mail over.
MAILABLE = f"(l.consent = 'granted' AND l.erased_at IS NULL AND NOT {SUPPRESSED})"
# What the API shows of a row.
COLUMNS = f"""l.id, l.email, l.name, l.attributes, l.tags, l.consent, l.consent_at, l.consent_source, l.timezone,
  l.locale, {SUPPRESSED} AS suppressed, l.erased_at, l.version, l.created_at, l.updated_at"""
JSON = f"row_to_json((SELECT r FROM (SELECT {COLUMNS}) r))::text"

_TEXTS = {
    "email": "l.email_key",
    "domain": "split_part(l.email_key, '@', 2)",
    "name": "l.name",
    "locale": "l.locale",
    "timezone": "l.timezone",
    "consent_source": "l.consent_source",
    "consent": "l.consent",
}
_FLAGS = {"suppressed": SUPPRESSED, "mailable": MAILABLE}
# A number may come as one from the API, or as text from a CSV file.
_NUMBER = r"'^-?[0-9]{1,40}(\.[0-9]{1,40})?$'"
_DAY = "'^[0-9]{4}-[0-9]{2}-[0-9]{2}($|[T ])'"


def compile_filter(text: str, arg: Args | None = None) -> tuple[str, Args]:
    """A condition over leads `l` that is true or false, never NULL, and the arguments of the statement so far.

    Values of the filter only ever become arguments: they are added to `arg`. Raises FilterError.
    """
    arg = Args() if arg is None else arg
    return _condition(parse_filter(text), arg), arg


def _condition(node: Node, arg: Args) -> str:
    match node:
        case And(parts):
            return "(" + " AND ".join(_condition(part, arg) for part in parts) + ")"
        case Or(parts):
            return "(" + " OR ".join(_condition(part, arg) for part in parts) + ")"
        case Not(part):
            return f"(NOT {_condition(part, arg)})"
        case Comparison(_, "!=", values):
            return f"(NOT {_condition(Comparison(node.field, '=', values), arg)})"
    return f"coalesce({_comparison(node, arg)}, false)"


def _comparison(node: Comparison, arg: Args) -> str:
    if node.field in _FLAGS:
        return _FLAGS[node.field]
    if node.field == "tags":
        return _tags(node, arg)
    if node.field in TIMES:
        return _moment(f"l.{node.field}", node, arg)
    if (attribute := node.attribute) is not None:
        value = f"(l.attributes->>{arg(attribute)}::text)"
        return _empty(value) if node.operator == "empty" else _attribute(value, node, arg)
    column = _TEXTS[node.field]
    return _empty(column) if node.operator == "empty" else _text(column, node, arg)


def _empty(value: str) -> str:
    return f"({value} IS NULL OR {value} = '')"


def _tags(node: Comparison, arg: Args) -> str:
    if node.operator == "empty":
        return "(cardinality(l.tags) = 0)"
    return f"(l.tags && {arg([str(value).strip().lower() for value in node.values])}::text[])"


def _moment(column: str, node: Comparison, arg: Args) -> str:
    """A day is compared with the day that the instant was in, in UTC."""
    if node.operator == "empty":
        return f"({column} IS NULL)"
    match node.values[0]:
        case Ago(time):
            return f"({column} {node.operator} now() - {arg(time)}::interval)"
        case datetime() as instant:
            return f"({column} {node.operator} {arg(instant)}::timestamptz)"
    return f"(({column} AT TIME ZONE 'UTC')::date {node.operator} {arg(node.values[0])}::date)"


def _text(column: str, node: Comparison, arg: Args) -> str:
    """Whatever its case."""
    values = [_as_key(str(value)) if node.field == "email" else str(value) for value in node.values]
    if node.operator in {"=", "in"}:
        return f"(lower({column}) = ANY(SELECT lower(v) FROM unnest({arg(values)}::text[]) v))"
    wanted = f"lower({arg(values[0])}::text)"
    match node.operator:
        case "contains":
            return f"(strpos(lower({column}), {wanted}) > 0)"
        case "starts":
            return f"starts_with(lower({column}), {wanted})"
        case "ends":
            return f"(right(lower({column}), length({wanted})) = {wanted})"
    return f'(lower({column}) COLLATE "C" {node.operator} {wanted})'


def _as_key(value: str) -> str:
    """Part of an address, which `contains` looks for, is compared as it is."""
    try:
        return normalise_email(value)
    except InvalidEmail:
        return value


def _attribute(value: str, node: Comparison, arg: Args) -> str:
    if node.operator == "in":
        return "(" + " OR ".join(_attribute_is(value, "=", wanted, arg) for wanted in node.values) + ")"
    if node.operator in {"contains", "starts", "ends"}:
        return _text(value, node, arg)
    return _attribute_is(value, node.operator, node.values[0], arg)


def _attribute_is(value: str, operator: str, wanted: Value, arg: Args) -> str:
    match wanted:
        case bool():
            return f"(lower({value}) = {arg(str(wanted).lower())}::text)"
        case Decimal():
            return f"(CASE WHEN {value} ~ {_NUMBER} THEN {value}::numeric {operator} {arg(wanted)}::numeric END)"
        case Ago(time):
            day = f"to_char((now() - {arg(time)}::interval) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
            return _of_day(value, operator, day)
        case date():
            return _of_day(value, operator, f"{arg(wanted.isoformat())}::text")
    compared = f"lower({arg(wanted)}::text)"
    return f'(lower({value}) COLLATE "C" {operator} {compared})'


def _of_day(value: str, operator: str, day: str) -> str:
    """Days in ISO 8601 order as text does."""
    return f'(CASE WHEN {value} ~ {_DAY} THEN left({value}, 10) COLLATE "C" {operator} {day} END)'
