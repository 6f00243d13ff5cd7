"""What may happen to a lead."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from asyncpg import ForeignKeyViolationError, UniqueViolationError

from tandem.core.conditional import check_if_match
from tandem.core.db import Args, Connection, fetch_one
from tandem.core.errors import Conflict, InvalidPayload, NotFound
from tandem.core.ids import uuid7
from tandem.core.paging import Page
from tandem.core.saved import Saved
from tandem.market_ai.audit.service import record
from tandem.market_ai.email_address import normalise_email
from tandem.market_ai.leads import bulk, queries
from tandem.market_ai.leads.fields import MAX_ATTRIBUTES
from tandem.market_ai.leads.queries import BY_KEY, FOR_UPDATE, NOT_FOUND, owned
from tandem.market_ai.leads.schemas import ConsentIn, LeadCreate, LeadFilter, LeadPatch, NewLead
from tandem.market_ai.leads.sql import JSON, MAILABLE, compile_filter
from tandem.market_ai.suppressions.service import forget
from tandem.market_ai.tenancy import OrgWriter

_INSERT = """
INSERT INTO leads (org_id, id, email, email_key, name, attributes, tags, timezone, locale)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9)
    ON CONFLICT (org_id, email_key) DO NOTHING RETURNING id"""
_CONSENT = """
INSERT INTO lead_consents (org_id, id, lead_id, status, source, proof, at, actor)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
_CONSENTED = f"""
UPDATE leads l SET consent = $3, consent_at = $4, consent_source = $5, version = l.version + $6, updated_at = now()
{owned("l.id = $2")} RETURNING {JSON} AS json, l.version"""
_ERASE = f"""
UPDATE leads l SET email = NULL, email_key = NULL, name = NULL, attributes = '{{}}', tags = '{{}}', timezone = NULL,
    locale = NULL, erased_at = now(), version = l.version + 1, updated_at = now()
{owned("l.id = $2")} RETURNING {JSON} AS json, l.version"""
_ERASE_PROOFS = "UPDATE lead_consents SET proof = NULL WHERE org_id = $1 AND lead_id = $2 AND proof IS NOT NULL"
# A row without a key is one whose address could not be told; it may still be in its text.
_ERASE_REPORTS = """
DELETE FROM import_errors WHERE org_id = $1 AND (email_key = $2
    OR (email_key IS NULL AND strpos(lower(array_to_string(cells, ' ')), $2) > 0))"""
_ERASE_IMPORTS = "DELETE FROM import_emails WHERE org_id = $1 AND email_key = $2"
# Answers that are kept for a day, should their request be repeated.
_ERASE_ANSWERS = """
DELETE FROM idempotency_keys WHERE org_id = $1 AND strpos(lower(convert_from(body, 'UTF8')), $2) > 0"""
_COUNT = "SELECT count(*) AS leads, count(*) FILTER (WHERE {mailable}) AS mailable FROM leads l {where}"


class LeadExists(Conflict):
    """`lead_id` is the one that has the address."""

    code, title = "lead_exists", "There is a lead with this address already"


class LeadErased(Conflict):
    code, title = "lead_erased", "This person was erased, and nothing can be added"


class LeadInUse(Conflict):
    code, title = "lead_in_use", "Something refers to this lead; erase it instead"


async def list_leads(connection: Connection, org_id: str, query: LeadFilter, *, also: str) -> Page:
    """Those that `query` asks for and the filter `also` selects; for other features."""
    return await queries.list_leads(connection, org_id, query, also=also)


async def count_leads(connection: Connection, org_id: str, text: str) -> Any:
    """How many `leads` a filter selects, and how many of them are `mailable`."""
    condition, arg = compile_filter(text, Args([org_id]))
    where = owned("l.erased_at IS NULL", condition)
    return await fetch_one(connection, _COUNT.format(mailable=MAILABLE, where=where), *arg)


async def add_leads(
    connection: Connection, org_id: str, rows: Sequence[NewLead], *, actor: str, update: bool
) -> bulk.Outcome:
    """Many at once, for imports; each address once. See `bulk.add`."""
    return await bulk.add(connection, org_id, rows, actor=actor, update=update)


async def create_lead(writer: OrgWriter, data: LeadCreate) -> Saved:
    """Raises LeadExists."""
    lead_id, key = uuid7(), normalise_email(data.email)
    what = (data.email, key, data.name, json.dumps(data.attributes), data.tags, data.timezone, data.locale)
    if await writer.connection.fetchval(_INSERT, writer.org_id, lead_id, *what) is None:
        raise LeadExists(lead_id=str(await writer.connection.fetchval(BY_KEY, writer.org_id, key)))
    if data.consent is not None:
        await _consent(writer, lead_id, data.consent, step=0)
    await record(writer, "lead.created", "lead", lead_id, consent=data.consent.status if data.consent else "none")
    # Read anew: a suppression may have come back with the address.
    return Saved.of(await queries.get_lead(writer.connection, writer.org_id, lead_id), created=True)


async def patch_lead(writer: OrgWriter, lead_id: UUID, data: LeadPatch, if_match: str | None) -> Saved:
    """Raises LeadErased or LeadExists."""
    before = await _lock(writer, lead_id, if_match)
    columns = data.model_dump(exclude_unset=True)
    if "attributes" in columns:
        columns["attributes"] = json.dumps(_merged(json.loads(before["attributes"]), columns["attributes"]))
    if "email" in columns:
        columns["email_key"] = normalise_email(data.email)
    arg = Args([writer.org_id, lead_id])
    given = [f"{name} = {arg(value)}{'::jsonb' * (name == 'attributes')}" for name, value in columns.items()]
    if columns.get("email_key", before["email_key"]) != before["email_key"] and before["consent"] == "granted":
        given.append("consent = 'none', consent_at = NULL, consent_source = NULL")  # it was given for the other address
    sql = f"UPDATE leads l SET {', '.join(given)}, version = l.version + 1, updated_at = now() {owned('l.id = $2')}"
    try:
        await writer.connection.execute(sql, *arg)
    except UniqueViolationError:
        raise LeadExists() from None
    await record(writer, "lead.updated", "lead", lead_id, fields=sorted(data.model_fields_set))
    return Saved.of(await queries.get_lead(writer.connection, writer.org_id, lead_id))


async def delete_lead(writer: OrgWriter, lead_id: UUID, if_match: str | None) -> None:
    """With its history of consent; raises LeadInUse for one that statistics need."""
    row = await writer.connection.fetchrow(FOR_UPDATE, writer.org_id, lead_id)
    if row is None:
        raise NotFound(NOT_FOUND)
    check_if_match(if_match, row["version"])
    try:
        await writer.connection.execute(f"DELETE FROM leads l {owned('l.id = $2')}", writer.org_id, lead_id)
    except ForeignKeyViolationError:
        raise LeadInUse() from None
    await record(writer, "lead.deleted", "lead", lead_id)


async def record_consent(writer: OrgWriter, lead_id: UUID, data: ConsentIn, if_match: str | None) -> Saved:
    """The latest word of the person counts, also after a withdrawal; raises LeadErased."""
    await _lock(writer, lead_id, if_match)
    row = await _consent(writer, lead_id, data, step=1)
    await record(writer, f"lead.consent_{data.status}", "lead", lead_id)
    return Saved.of(row)


async def erase_lead(writer: OrgWriter, lead_id: UUID, if_match: str | None) -> Saved:
    """All that tells who the person is goes; the row stays for statistics, and a digest so that nobody writes again.

    An erased lead stays as it is.
    """
    try:
        before = await _lock(writer, lead_id, if_match)
    except LeadErased:
        return Saved.of(await queries.get_lead(writer.connection, writer.org_id, lead_id))
    row = await writer.connection.fetchrow(_ERASE, writer.org_id, lead_id)
    await forget(writer.connection, writer.org_id, before["email_key"])
    await writer.connection.execute(_ERASE_PROOFS, writer.org_id, lead_id)
    for statement in (_ERASE_REPORTS, _ERASE_IMPORTS, _ERASE_ANSWERS):
        await writer.connection.execute(statement, writer.org_id, before["email_key"])
    await record(writer, "lead.erased", "lead", lead_id)
    return Saved.of(row)


async def _lock(writer: OrgWriter, lead_id: UUID, if_match: str | None) -> Any:
    row = await writer.connection.fetchrow(FOR_UPDATE, writer.org_id, lead_id)
    if row is None:
        raise NotFound(NOT_FOUND)
    check_if_match(if_match, row["version"])
    if row["erased_at"] is not None:
        raise LeadErased()
    return row


async def _consent(writer: OrgWriter, lead_id: UUID, data: ConsentIn, *, step: int) -> Any:
    """`step` is what it adds to the lead's version."""
    at = data.at or datetime.now(UTC)
    told = (uuid7(), lead_id, data.status, data.source, data.proof, at, writer.principal.actor)
    await writer.connection.execute(_CONSENT, writer.org_id, *told)
    return await writer.connection.fetchrow(_CONSENTED, writer.org_id, lead_id, data.status, at, data.source, step)


def _merged(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Raises InvalidPayload when there are too many in the end."""
    merged = {name: value for name, value in (before | changes).items() if value is not None}
    if len(merged) > MAX_ATTRIBUTES:
        raise InvalidPayload.of("attributes", f"a lead has at most {MAX_ATTRIBUTES}", "too_many")
    return merged
