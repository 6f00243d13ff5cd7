"""Page and keyset paging: what a list accepts, and the headers and cursor it answers with."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from tandem.core.errors import BadRequest, Problem
from tandem.core.requests import parse_json
from tandem.core.responses import json_response

MAX_LIMIT = 200
DEFAULT_LIMIT = 50


class InvalidCursor(BadRequest):
    code, title = "invalid_cursor", "This cursor is not one of ours, or belongs to another sort order"


class PageQuery(BaseModel):
    """A numbered page, from 1."""

    model_config = ConfigDict(extra="forbid")
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Items per page.")
    page: int = Field(1, ge=1, le=1_000_000, description="Page number, from 1. Ignored when `cursor` is given.")


class KeysetQuery(PageQuery):
    """A numbered page with a total, or a place in the order, equally fast at any depth."""

    cursor: str | None = Field(
        None,
        max_length=2000,
        description="Keyset paging: empty for the first page, then each answer's `next_cursor`. "
        "`total`, `page` and `pages` are null.",
    )


def encode_cursor(sort: str, *values: Any) -> str:
    """The place after a row: the sort's name and the row's sort values, JSON in URL-safe base64."""
    text = json.dumps([sort, *values], ensure_ascii=False)  # escapes would triple the length of a title in emoji
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, sort: str, width: int) -> list[Any]:
    """The row's sort values; raises InvalidCursor unless the cursor was made for `sort` and has `width` values."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        values = parse_json(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, Problem):
        raise InvalidCursor() from None
    if not isinstance(values, list) or len(values) != width + 1 or values[0] != sort:
        raise InvalidCursor()
    return values[1:]


@dataclass(frozen=True, slots=True)
class Page:
    """A page as Postgres wrote it: `items` is a JSON array; `total` is None with a cursor, and `page` is then too."""

    items: str
    total: int | None
    next_cursor: str | None = None

    def response(self, query: PageQuery) -> Response:
        """`{items,total,page,limit,pages}`, with the headers X-Total-Count and X-Page-Number.

        A list that can be paged by cursor has `next_cursor` too.
        """
        rest: dict[str, Any] = {"total": self.total, "page": None, "limit": query.limit, "pages": None}
        headers = {}
        if self.total is not None:
            rest |= {"page": query.page, "pages": -(-self.total // query.limit)}
            headers = {"X-Total-Count": str(self.total), "X-Page-Number": str(query.page)}
        if isinstance(query, KeysetQuery):
            rest["next_cursor"] = self.next_cursor
        return json_response(f'{{"items":{self.items},{json.dumps(rest)[1:]}', headers=headers)
