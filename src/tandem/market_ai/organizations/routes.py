"""HTTP of organizations. With Clerk only the current one is shown: members and roles are Clerk's."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from tandem.accounts.access import reading as signed_in_reading
from tandem.accounts.access import writing as signed_in_writing
from tandem.accounts.principal import Reader, Writer
from tandem.core.errors import NotFound
from tandem.core.openapi import responses
from tandem.core.responses import json_response
from tandem.market_ai.access import creating, reading, writing
from tandem.market_ai.organizations import queries, service
from tandem.market_ai.organizations.schemas import (
    InvitationAccept,
    InvitationCreate,
    InvitationMade,
    InvitationPage,
    MemberPage,
    MemberPatch,
    OrganizationCreate,
    OrganizationFilter,
    OrganizationOut,
    OrganizationPage,
    OrganizationPatch,
)
from tandem.market_ai.organizations.service import (
    InvitationForAnother,
    LastAdmin,
    PersonalOrganization,
    TooManyMembers,
    TooManyOrganizations,
)
from tandem.market_ai.tenancy import InsufficientRole, OrgReader, OrgWriter

router = APIRouter(prefix="/api/organizations", tags=["organizations"])
management = APIRouter(prefix="/api/organizations", tags=["organizations"])
invitations = APIRouter(prefix="/api/invitations", tags=["organizations"])

SignedInRead = Annotated[Reader, signed_in_reading("organizations:read")]
SignedInWrite = Annotated[Writer, signed_in_writing("organizations:write")]
Read = Annotated[OrgReader, reading("organizations:read")]
Write = Annotated[OrgWriter, writing("organizations:write", role="viewer")]
Admin = Annotated[OrgWriter, writing("organizations:write", role="admin")]
Invite = Annotated[OrgWriter, creating("organizations:write", role="admin")]
AdminRead = Annotated[OrgReader, reading("organizations:read", role="admin")]
MemberId = Annotated[str, Path(min_length=1, max_length=200)]


@router.get("/current", response_model=OrganizationOut)
async def get_current_organization(reader: Read) -> Response:
    """The one this request is for, and your role in it."""
    return json_response(await queries.organization(reader.connection, reader.org_id, reader.role))


@management.get("", response_model=OrganizationPage)
async def list_organizations(reader: SignedInRead, query: Annotated[OrganizationFilter, Query()]) -> Response:
    """Those you are a member of. Name one in `X-Organization-Id` to work in it."""
    return (await queries.list_mine(reader.connection, reader.user_id, query)).response(query)


@management.post("", response_model=OrganizationOut, status_code=201, responses=responses(TooManyOrganizations))
async def create_organization(writer: SignedInWrite, data: OrganizationCreate) -> Response:
    """You become its first admin."""
    return json_response(await service.create_organization(writer, data), status=201)


@management.patch("/current", response_model=OrganizationOut, responses=responses(InsufficientRole))
async def rename_organization(writer: Admin, data: OrganizationPatch) -> Response:
    return json_response(await service.rename(writer, data))


@management.get("/current/members", response_model=MemberPage)
async def list_members(reader: Read, query: Annotated[OrganizationFilter, Query()]) -> Response:
    return (await queries.list_members(reader.connection, reader.org_id, query)).response(query)


@management.patch(
    "/current/members/{user_id}",
    status_code=204,
    responses=responses(InsufficientRole, LastAdmin, PersonalOrganization),
)
async def change_member_role(writer: Admin, user_id: MemberId, data: MemberPatch) -> None:
    await service.change_role(writer, user_id, data)


@management.delete(
    "/current/members/{user_id}",
    status_code=204,
    responses=responses(InsufficientRole, LastAdmin, PersonalOrganization),
)
async def remove_member(writer: Write, user_id: MemberId) -> None:
    """Admins remove anyone; everybody may leave."""
    await service.remove_member(writer, user_id)


@management.get("/current/invitations", response_model=InvitationPage, responses=responses(InsufficientRole))
async def list_invitations(reader: AdminRead, query: Annotated[OrganizationFilter, Query()]) -> Response:
    return (await queries.list_invitations(reader.connection, reader.org_id, query)).response(query)


@management.post(
    "/current/invitations", response_model=InvitationMade, status_code=201, responses=responses(InsufficientRole)
)
async def invite_member(writer: Invite, data: InvitationCreate) -> Response:
    """The `code` is shown this once and works for a week, for one person."""
    return await writer.answer(json_response(await service.invite(writer, data), status=201))


@management.delete("/current/invitations/{invitation_id}", status_code=204, responses=responses(InsufficientRole))
async def revoke_invitation(writer: Admin, invitation_id: UUID) -> None:
    await service.revoke_invitation(writer, invitation_id)


@invitations.post(
    "/accept",
    response_model=OrganizationOut,
    responses=responses(NotFound, InvitationForAnother, TooManyMembers, TooManyOrganizations),
)
async def accept_invitation(writer: SignedInWrite, data: InvitationAccept) -> Response:
    """Join the organization that the code is for."""
    return json_response(await service.accept_invitation(writer, data.code))
