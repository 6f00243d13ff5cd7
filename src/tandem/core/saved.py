"""What a write gives back to its route, and the response it becomes."""

from typing import Any, NamedTuple

from starlette.responses import Response

from tandem.core.responses import json_response


class Saved(NamedTuple):
    """An entity as the API's JSON, its version, and whether this request made it."""

    json: str
    version: int
    created: bool = False

    @classmethod
    def of(cls, row: Any, *, created: bool = False) -> "Saved":
        """From a row of `json` and `version`."""
        return cls(row["json"], row["version"], created)


def saved_response(saved: Saved) -> Response:
    """201 for what was made, else 200; the version is the ETag."""
    return json_response(saved.json, status=201 if saved.created else 200, version=saved.version)
