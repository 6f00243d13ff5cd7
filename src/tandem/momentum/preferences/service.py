"""A user's settings."""

from tandem.accounts.principal import Writer
from tandem.core.conditional import check_if_match
from tandem.core.db import Args
from tandem.core.saved import Saved
from tandem.momentum.changes.service import begin_write
from tandem.momentum.preferences.queries import get_preferences
from tandem.momentum.preferences.schemas import PreferencesPatch


async def patch_preferences(writer: Writer, data: PreferencesPatch, if_match: str | None) -> Saved:
    await begin_write(writer)
    current = await get_preferences(writer.connection, writer.user_id)
    check_if_match(if_match, current["version"])
    changes = data.model_dump(exclude_unset=True)
    arg = Args([writer.user_id])
    given = [f"{arg(value)}::text" for value in changes.values()]
    if current["version"] == 0:
        sql = f"INSERT INTO user_settings (user_id, {', '.join(changes)}) VALUES ($1, {', '.join(given)})"
    else:
        pairs = ", ".join(f"{column} = {value}" for column, value in zip(changes, given, strict=True))
        sql = f"UPDATE user_settings SET {pairs} WHERE user_id = $1"
    await writer.connection.execute(sql, *arg)
    return Saved.of(await get_preferences(writer.connection, writer.user_id))
