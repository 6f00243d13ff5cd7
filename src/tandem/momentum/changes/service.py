"""Opening the change log. The trigger `momentum_track` writes it (migration 0002); nothing can go around that."""

from tandem.accounts.principal import Writer
from tandem.core.errors import Unauthorized

BEGIN_WRITE = "SELECT momentum_begin_write($1, $2)"


class AccountDeleted(Unauthorized):
    """The account went between the look-up of the credential and the write."""

    title = "This account has been deleted"


async def begin_write(writer: Writer) -> None:
    """Make this transaction its user's only writer until it ends, and name who acts; raises AccountDeleted.

    Whatever a write decides by reading must be read after this. Statements that need no such reading fold the call in
    (`… FROM momentum_begin_write($1, $2)`) and save the round trip.
    """
    if await writer.connection.fetchval(BEGIN_WRITE, writer.user_id, writer.principal.actor) is None:
        raise AccountDeleted()
