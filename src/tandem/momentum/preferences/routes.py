"""HTTP of the user's settings."""

from typing import Annotated

from fastapi import APIRouter, Header, Response

from tandem.accounts.access import reading, writing
from tandem.accounts.principal import Reader, Writer
from tandem.core.responses import entity_response
from tandem.core.saved import saved_response
from tandem.momentum.preferences import queries, service
from tandem.momentum.preferences.schemas import PreferencesOut, PreferencesPatch

router = APIRouter(prefix="/api/settings", tags=["settings"])


@router.get("", response_model=PreferencesOut)
async def get_settings(
    reader: Annotated[Reader, reading("settings:read")],
    if_none_match: Annotated[str | None, Header(max_length=200, description="304 if still at this ETag.")] = None,
) -> Response:
    row = await queries.get_preferences(reader.connection, reader.user_id)
    return entity_response(row, if_none_match)


@router.patch("", response_model=PreferencesOut)
async def patch_settings(
    writer: Annotated[Writer, writing("settings:write")],
    data: PreferencesPatch,
    if_match: Annotated[str | None, Header(max_length=200)] = None,
) -> Response:
    return saved_response(await service.patch_preferences(writer, data, if_match))
