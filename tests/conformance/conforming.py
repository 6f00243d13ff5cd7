"""Whether JSON is what a model says, to the last field."""

import json
from typing import Any

from pydantic import BaseModel, TypeAdapter


def conforms(model: Any, content: bytes) -> Any:
    """The parsed `content`, which has every required field and no other than the model's; nothing is converted."""
    parsed = TypeAdapter(model).validate_json(content, strict=True, extra="forbid")
    if isinstance(model, type) and issubclass(model, BaseModel):
        required = {name for name, field in model.model_fields.items() if field.is_required()}
        assert required <= json.loads(content).keys()
    return parsed
