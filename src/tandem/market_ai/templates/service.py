"""What may happen to a template. Every one that is kept can be rendered, and lets its readers unsubscribe."""

from typing import Any
from uuid import UUID

from asyncpg import UniqueViolationError

from tandem.core.conditional import check_if_match
from tandem.core.db import Args, Connection
from tandem.core.errors import Conflict, InvalidPayload, NotFound
from tandem.core.ids import uuid7
from tandem.core.saved import Saved
from tandem.market_ai.audit.service import record
from tandem.market_ai.mail.language import TemplateFault
from tandem.market_ai.mail.writing import NoUnsubscribeLink, check_layout
from tandem.market_ai.templates.queries import FOR_UPDATE, get_template, owned
from tandem.market_ai.templates.schemas import TemplateCreate, TemplatePatch
from tandem.market_ai.templates.sql import JSON
from tandem.market_ai.tenancy import OrgWriter


class TemplateExists(Conflict):
    code, title = "template_exists", "There is a template with this name already"


async def layout_of(connection: Connection, org_id: str, template_id: UUID | None) -> str:
    """Its HTML; empty for None, which is the built-in layout. Raises NotFound."""
    if template_id is None:
        return ""
    html: str = (await get_template(connection, org_id, template_id))["html"]
    return html


async def create_template(writer: OrgWriter, data: TemplateCreate) -> Saved:
    _check(data.html)
    template_id = uuid7()
    sql = f"""INSERT INTO email_templates AS t (org_id, id, name, html) VALUES ($1, $2, $3, $4)
              RETURNING {JSON} AS json, t.version"""
    row = await _named(writer.connection.fetchrow(sql, writer.org_id, template_id, data.name, data.html))
    await record(writer, "template.created", "template", template_id, name=data.name)
    return Saved.of(row, created=True)


async def patch_template(writer: OrgWriter, template_id: UUID, data: TemplatePatch, if_match: str | None) -> Saved:
    changes = data.model_dump(exclude_unset=True)
    if "html" in changes:
        _check(changes["html"])
    await _lock(writer, template_id, if_match)
    arg = Args([writer.org_id, template_id])
    given = ", ".join(f"{column} = {arg(value)}" for column, value in changes.items())
    sql = f"""UPDATE email_templates t SET {given}, version = t.version + 1, updated_at = now() {owned("t.id = $2")}
              RETURNING {JSON} AS json, t.version"""
    row = await _named(writer.connection.fetchrow(sql, *arg))
    await record(writer, "template.updated", "template", template_id, fields=sorted(changes))
    return Saved.of(row)


async def delete_template(writer: OrgWriter, template_id: UUID, if_match: str | None) -> None:
    """Mails that were ordered with it have a copy."""
    template = await _lock(writer, template_id, if_match)
    await writer.connection.execute(f"DELETE FROM email_templates t {owned('t.id = $2')}", writer.org_id, template_id)
    await record(writer, "template.deleted", "template", template_id, name=template["name"])


def _check(html: str) -> None:
    """Raises InvalidPayload."""
    try:
        check_layout(html)
    except TemplateFault as fault:
        raise InvalidPayload.of("html", str(fault), "invalid_template") from None
    except NoUnsubscribeLink as fault:
        raise InvalidPayload.of("html", str(fault), "unsubscribe_link_missing") from None


async def _lock(writer: OrgWriter, template_id: UUID, if_match: str | None) -> Any:
    row = await writer.connection.fetchrow(FOR_UPDATE, writer.org_id, template_id)
    if row is None:
        raise NotFound("You have no template with this id")
    check_if_match(if_match, row["version"])
    return row


async def _named(statement: Any) -> Any:
    try:
        return await statement
    except UniqueViolationError:
        raise TemplateExists() from None
