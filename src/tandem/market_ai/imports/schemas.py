"""Shapes of the imports' API, what an import is told, and its job."""

from datetime import datetime
from typing import Annotated, Any, BinaryIO, Literal, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from tandem.core.errors import Problem
from tandem.core.jobs.payload import JobPayload
from tandem.core.paging import PageQuery
from tandem.core.payloads import Payload
from tandem.core.requests import parse_json
from tandem.market_ai.leads.fields import ConsentStatus, Proof, Source, Tags
from tandem.market_ai.leads.schemas import split_tags
from tandem.market_ai.suppressions.schemas import Reason

Kind = Literal["leads", "suppressions"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled", "held"]
Delimiter = Literal["auto", "comma", "semicolon", "tab", "pipe"]


def _from_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value.encode())
    except (Problem, UnicodeEncodeError):
        raise PydanticCustomError("invalid_json", "must be a JSON object") from None


Mapping = Annotated[dict[str, str | None], BeforeValidator(_from_json), Field(max_length=200)]


class ImportFields(Payload):
    """What may come with any file."""

    delimiter: Delimiter = Field("auto", description="By default the one that fits the first line.")
    mapping: Mapping = Field(
        {},
        description="JSON: what a column is, by its name in the file; null leaves it out. By default columns are "
        "recognized by their names.",
        examples=[{"Kundin": "name", "Ort": "attributes.city", "Notes": None}],
    )


class LeadImportFields(ImportFields):
    on_existing: Literal["update", "skip"] = Field(
        "update", description="`update` adds what the row has to the lead that is there; `skip` leaves that as it is."
    )
    tags: Annotated[Tags, BeforeValidator(split_tags)] = Field([], description="For all of them, between commas.")
    consent: ConsentStatus = Field("none", description="Of rows that do not say it themselves.")
    consent_source: Source | None = Field(None, description="Needed with a `consent`.")
    consent_proof: Proof | None = None

    @model_validator(mode="after")
    def _consent_has_a_source(self) -> Self:
        if self.consent != "none" and self.consent_source is None:
            raise PydanticCustomError("source_missing", "consent_source must say where the consent is known from")
        return self


class SuppressionImportFields(ImportFields):
    reason: Reason = Field("manual", description="Of rows that do not say it themselves.")


class Options(BaseModel):
    """What an import was told, and what was found in its first line; kept with it."""

    delimiter: str
    columns: list[str | None]
    on_existing: Literal["update", "skip"] = "update"
    tags: list[str] = []
    consent: ConsentStatus = "none"
    consent_source: str | None = None
    consent_proof: str | None = None
    reason: Reason = "manual"


class Incoming(NamedTuple):
    """A file whose encoding and first line are right. `end` and `lines` are where its rows begin."""

    file: BinaryIO
    filename: str | None
    size: int
    sha256: bytes
    header: list[str]
    options: Options
    end: int
    lines: int


class ImportRows(JobPayload, job_type="import_rows"):
    org_id: str
    import_id: UUID


class PurgeImports(JobPayload, job_type="purge_imports"):
    pass


class ImportFailure(BaseModel):
    """Why the import as a whole failed; what was wrong with single rows is in its report."""

    code: str
    detail: str


class ImportOut(BaseModel):
    """`rows` is the sum of `created`, `updated`, `unchanged` and `errors`."""

    id: UUID
    status: Status
    filename: str | None
    size: int = Field(description="Bytes.")
    columns: dict[str, str | None] = Field(description="What each column of the file became; null: left out.")
    progress: float = Field(description="From 0 to 1.")
    rows: int
    created: int
    updated: int
    unchanged: int
    errors: int = Field(description="Rows that were refused: see its report.")
    error: ImportFailure | None
    last_event_id: int = Field(description="Follow the import from here: `GET …/events?after=`.")
    created_by: str
    created_at: datetime
    finished_at: datetime | None


class ImportPage(BaseModel):
    items: list[ImportOut]
    total: int
    page: int
    limit: int
    pages: int


class ImportFilter(PageQuery):
    status: list[Status] = Field([], max_length=6, description="Any of these.")
