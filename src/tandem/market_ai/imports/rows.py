"""From the cells of a record to a lead or a suppression, or to what is wrong with it."""

from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from tandem.market_ai.csv_cells import unguarded
from tandem.market_ai.email_address import InvalidEmail, normalise_email
from tandem.market_ai.imports.records import MALFORMED, Record
from tandem.market_ai.imports.schemas import Kind, Options
from tandem.market_ai.leads.schemas import LeadRow, NewLead
from tandem.market_ai.suppressions.schemas import NewSuppression, SuppressionRow

MAX_MESSAGE = 1000
Row = NewLead | NewSuppression
Model = TypeVar("Model", bound=BaseModel)


class Refused(NamedTuple):
    """A row of the report. `email_key` is None where the row has no address."""

    line: int
    code: str
    message: str
    email_key: str | None
    cells: list[str]


class _Wrong(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_row(kind: Kind, record: Record, options: Options, now: datetime) -> Row | Refused:
    values: dict[str, Any] = {}
    try:
        values = _values(record, options)
        if kind == "leads":
            return _lead(record.line, values, options, now)
        return _suppression(record.line, values, options)
    except _Wrong as wrong:
        return refused(record, wrong.code, str(wrong), _key(values.get("email")))


def refused(record: Record, code: str, message: str, email_key: str | None) -> Refused:
    return Refused(record.line, code, message[:MAX_MESSAGE], email_key, record.cells)


def _values(record: Record, options: Options) -> dict[str, Any]:
    """The cells that are not empty, by what they are."""
    if record.malformed:
        raise _Wrong("malformed_row", MALFORMED)
    if len(record.cells) > len(options.columns):
        raise _Wrong("too_many_cells", f"The row has {len(record.cells)} cells, the header {len(options.columns)}")
    values: dict[str, Any] = {"attributes": {}}
    for target, cell in zip(options.columns, record.cells, strict=False):
        if target is None or not (value := unguarded(cell.strip())):
            continue
        if target.startswith("attributes."):
            values["attributes"][target.removeprefix("attributes.")] = value
        else:
            values[target] = value
    return values


def _lead(line: int, values: dict[str, Any], options: Options, now: datetime) -> NewLead:
    row = _checked(LeadRow, values)
    tags = sorted({*row.tags, *options.tags})
    consent = row.consent if "consent" in values else options.consent
    if consent == "none":
        decided: tuple[Any, ...] = ("none", None, None, None)
    elif (source := row.consent_source or options.consent_source) is None:
        raise _Wrong("source_missing", "consent_source: must say where the consent is known from")
    else:
        decided = (consent, row.consent_at or now, source, row.consent_proof or options.consent_proof)
    written, key = row.email
    return NewLead(line, written, key, row.name, row.attributes, tags, row.timezone, row.locale, *decided)


def _suppression(line: int, values: dict[str, Any], options: Options) -> NewSuppression:
    row = _checked(SuppressionRow, {"reason": options.reason, **values})
    return NewSuppression(line, normalise_email(row.email), row.reason, row.note)


def _checked(model: type[Model], values: dict[str, Any]) -> Model:
    if "email" not in values:
        raise _Wrong("email_missing", "The row has no e-mail address")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        message = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
        code = "invalid_email" if any(one["loc"][0] == "email" for one in found) else "invalid_value"
        raise _Wrong(code, message) from None


def _key(email: Any) -> str | None:
    try:
        return normalise_email(email) if isinstance(email, str) else None
    except InvalidEmail:
        return None


def now() -> datetime:
    return datetime.now(UTC)
