"""SELECTs of user settings; $1 is their owner. Who never set any has the defaults."""

from typing import Any

from tandem.core.db import Connection
from tandem.momentum.preferences.sql import DEFAULTS

ONE = f"""
SELECT row_to_json(r)::text AS json, r.version
  FROM (SELECT {DEFAULTS}, coalesce(s.version, 0) AS version, s.updated_at
          FROM (SELECT $1::text AS user_id) u LEFT JOIN user_settings s ON s.user_id = u.user_id) r"""


async def get_preferences(connection: Connection, user_id: str) -> Any:
    """A record of `json` and `version`."""
    return await connection.fetchrow(ONE, user_id)
