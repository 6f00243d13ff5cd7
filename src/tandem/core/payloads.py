"""Request bodies as both services want them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Payload(BaseModel):
    """A request body: unknown fields are refused, so that a misspelt one is not silently ignored."""

    model_config = ConfigDict(extra="forbid")


class Patch(Payload):
    """A PATCH body: what it does not name stays as it is."""

    @model_validator(mode="before")
    @classmethod
    def _something(cls, data: Any) -> Any:
        if data == {}:
            raise PydanticCustomError("nothing_to_change", "Name at least one field to change")
        return data
