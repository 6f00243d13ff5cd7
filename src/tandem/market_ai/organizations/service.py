"""What may happen to an organization, its members and its invitations."""

import hashlib
import json
import secrets
from datetime import timedelta
from uuid import UUID

from tandem.accounts.principal import Writer
from tandem.core.db import Connection, fetch_one
from tandem.core.errors import Conflict, Forbidden, NotFound
from tandem.core.ids import uuid7
from tandem.market_ai.audit.service import record
from tandem.market_ai.organizations.queries import INVITATION, member_role, organization
from tandem.market_ai.organizations.schemas import InvitationCreate, MemberPatch, OrganizationCreate
from tandem.market_ai.tenancy import OrgWriter, in_organization

INVITATION_LIFE = timedelta(days=7)
MAX_ORGANIZATIONS = 50  # of one user
MAX_MEMBERS = 1000


class LastAdmin(Conflict):
    code, title = "last_admin", "An organization needs an admin"


class PersonalOrganization(Conflict):
    code, title = "personal_organization", "Your own organization stays yours"


class TooManyOrganizations(Conflict):
    code, title = "too_many_organizations", f"{MAX_ORGANIZATIONS} organizations are the most one can be in"


class TooManyMembers(Conflict):
    code, title = "too_many_members", f"{MAX_MEMBERS} members are the most an organization can have"


class InvitationForAnother(Forbidden):
    code, title = "invitation_for_another", "This invitation is for another e-mail address"


async def create_organization(writer: Writer, data: OrganizationCreate) -> str:
    """Whoever makes it is its first admin; as JSON."""
    await _check_room_for_another(writer.connection, writer.user_id)
    org_id = str(uuid7())
    await writer.connection.execute("INSERT INTO organizations (id, name) VALUES ($1, $2)", org_id, data.name)
    await _join(writer, org_id, "admin", "organization.created", name=data.name)
    return await organization(writer.connection, org_id, "admin")


async def rename(writer: OrgWriter, data: OrganizationCreate) -> str:
    await writer.connection.execute("UPDATE organizations SET name = $2 WHERE id = $1", writer.org_id, data.name)
    await record(writer, "organization.renamed", "organization", writer.org_id, name=data.name)
    return await organization(writer.connection, writer.org_id, writer.role)


async def change_role(writer: OrgWriter, user_id: str, data: MemberPatch) -> None:
    await _lock(writer.connection, writer.org_id)
    before = await member_role(writer.connection, writer.org_id, user_id)
    if data.role != "admin":
        await _refuse_without(writer, user_id)
    await writer.connection.execute(
        "UPDATE memberships SET role = $3 WHERE org_id = $1 AND user_id = $2", writer.org_id, user_id, data.role
    )
    await record(writer, "member.role_changed", "member", user_id, before=before, after=data.role)


async def remove_member(writer: OrgWriter, user_id: str) -> None:
    """An admin removes anyone, everybody else only themselves."""
    if user_id != writer.user_id:
        writer.require("admin")
    await _lock(writer.connection, writer.org_id)
    await member_role(writer.connection, writer.org_id, user_id)
    await _refuse_without(writer, user_id)
    await writer.connection.execute(
        "DELETE FROM memberships WHERE org_id = $1 AND user_id = $2", writer.org_id, user_id
    )
    await record(writer, "member.removed", "member", user_id)


async def invite(writer: OrgWriter, data: InvitationCreate) -> str:
    """As JSON with the `code`, of which only the hash is kept."""
    code, invitation_id = secrets.token_urlsafe(24), uuid7()
    row = await fetch_one(
        writer.connection,
        f"""WITH i AS (INSERT INTO invitations (org_id, id, role, email, code_hash, invited_by, expires_at)
                       VALUES ($1, $2, $3, lower($4), $5, $6, now() + $7) RETURNING *)
            SELECT row_to_json(q)::text AS json FROM (SELECT {INVITATION} FROM i) q""",
        writer.org_id,
        invitation_id,
        data.role,
        data.email,
        _hash(code),
        writer.user_id,
        INVITATION_LIFE,
    )
    await record(writer, "member.invited", "invitation", invitation_id, role=data.role, email=data.email)
    return json.dumps(json.loads(row["json"]) | {"code": code})


async def revoke_invitation(writer: OrgWriter, invitation_id: UUID) -> None:
    gone = await writer.connection.fetchval(
        "DELETE FROM invitations WHERE org_id = $1 AND id = $2 RETURNING id", writer.org_id, invitation_id
    )
    if gone is None:
        raise NotFound("This organization has no invitation with this id")
    await record(writer, "invitation.revoked", "invitation", invitation_id)


async def accept_invitation(writer: Writer, code: str) -> str:
    """The organization as JSON. A member who accepts keeps the role they have; raises NotFound for a dead code."""
    invitation = await writer.connection.fetchrow(
        """SELECT org_id, id, role, email FROM invitations
            WHERE code_hash = $1 AND accepted_at IS NULL AND expires_at > now() FOR UPDATE""",
        _hash(code),
    )
    if invitation is None:
        raise NotFound("This invitation is unknown, used, revoked or expired")
    email = await writer.connection.fetchval('SELECT lower(email) FROM "user" WHERE id = $1', writer.user_id)
    if invitation["email"] is not None and invitation["email"] != email:
        raise InvitationForAnother()
    await _check_room_for_another(writer.connection, writer.user_id)
    await _lock(writer.connection, invitation["org_id"])
    if await _count(writer.connection, "memberships WHERE org_id = $1", invitation["org_id"]) >= MAX_MEMBERS:
        raise TooManyMembers()
    await writer.connection.execute(
        "UPDATE invitations SET accepted_at = now(), accepted_by = $3 WHERE org_id = $1 AND id = $2",
        invitation["org_id"],
        invitation["id"],
        writer.user_id,
    )
    await _join(writer, invitation["org_id"], invitation["role"], "member.joined", invitation_id=invitation["id"])
    role = await member_role(writer.connection, invitation["org_id"], writer.user_id)
    return await organization(writer.connection, invitation["org_id"], role)


async def _join(writer: Writer, org_id: str, role: str, action: str, **details: object) -> None:
    await writer.connection.execute(
        "INSERT INTO memberships (org_id, user_id, role) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        org_id,
        writer.user_id,
        role,
    )
    inside = OrgWriter(in_organization(writer.principal, org_id, "admin"), writer.connection, org_id, "admin")
    await record(inside, action, "organization", org_id, **details)


async def _check_room_for_another(connection: Connection, user_id: str) -> None:
    if await _count(connection, "memberships WHERE user_id = $1", user_id) >= MAX_ORGANIZATIONS:
        raise TooManyOrganizations()


async def _refuse_without(writer: OrgWriter, user_id: str) -> None:
    """Raises LastAdmin, or PersonalOrganization for the user whose own one it is. The organization must be locked."""
    own = await writer.connection.fetchval("SELECT personal_of FROM organizations WHERE id = $1", writer.org_id)
    if own == user_id:
        raise PersonalOrganization()
    others = "memberships WHERE org_id = $1 AND role = 'admin' AND user_id <> $2"
    if not await _count(writer.connection, others, writer.org_id, user_id):
        raise LastAdmin()


async def _lock(connection: Connection, org_id: str) -> None:
    """So that two admins cannot leave at the same moment."""
    await connection.execute("SELECT FROM organizations WHERE id = $1 FOR UPDATE", org_id)


async def _count(connection: Connection, rows: str, *args: str) -> int:
    return int(await connection.fetchval(f"SELECT count(*) FROM {rows}", *args))


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
