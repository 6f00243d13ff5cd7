"""From a request to a document that has been read: what the POST routes depend on before their transaction begins.

The caller is looked up, the bytes are taken in, and a process of its own reads them, while no connection is held.
"""

import hashlib
from typing import Annotated, Any

from fastapi import Depends, Request

from tandem.core.ratelimit import Limit
from tandem.market_ai.access import Organization, caller
from tandem.market_ai.forms import form_fields, is_form, read_form
from tandem.market_ai.knowledge import queries
from tandem.market_ai.knowledge.blocks import Format, one_line
from tandem.market_ai.knowledge.formats import UnsupportedDocument, charset_of, format_of
from tandem.market_ai.knowledge.reading import read_document
from tandem.market_ai.knowledge.schemas import Incoming, TextDocument, UploadFields

UPLOADS = Limit("60/minute", name="knowledge-upload")
MAX_FILENAME = 200

_FILE = {
    "type": "string",
    "format": "binary",
    "description": "Plain text, Markdown, HTML or PDF; up to 10 MB, 1000 pages and 2,000,000 characters of text.",
}
# A field that may be null is one that may be left out: a form has no null.
_FIELDS = {
    name: {**field["anyOf"][0], "description": field.get("description", "By default its own, else the file's name.")}
    for name, field in UploadFields.model_json_schema()["properties"].items()
}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": _FILE, **_FIELDS},
    "additionalProperties": False,
}
# The form is read by `uploaded` itself: FastAPI would do so without limits, and before the caller is known.
UPLOAD_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}


async def uploaded(request: Request, organization: Organization = None) -> Incoming:
    """A file of a form, read."""
    if not is_form(request):
        raise UnsupportedDocument("Send the file as multipart/form-data, in a field named `file`")
    form = await read_form(request, max_fields=len(UploadFields.model_fields))
    try:
        fields, file = form_fields(form, UploadFields)
        data = await file.read()
        name, declared = file.filename or "", file.content_type or ""
    finally:
        await form.close()
    name = one_line(name.replace("\\", "/").rpartition("/")[2], MAX_FILENAME)
    sha256 = hashlib.sha256(data).digest()
    request.scope["tandem.upload"] = sha256 + fields.model_dump_json().encode()
    known = await _known(request, organization, sha256)
    kind = format_of(data, declared, name)
    reading = None if known else await read_document(data, kind, charset_of(data, declared, kind))
    return Incoming(fields, kind, name or None, len(data), sha256, reading)


async def written(request: Request, data: TextDocument, organization: Organization = None) -> Incoming:
    """A text of a JSON body, read."""
    text = data.text.encode()
    sha256 = hashlib.sha256(text).digest()
    kind: Format = data.format
    known = await _known(request, organization, sha256)
    reading = None if known else await read_document(text, kind)
    return Incoming(data, kind, None, len(text), sha256, reading)


Uploaded = Annotated[Incoming, Depends(uploaded)]
Written = Annotated[Incoming, Depends(written)]


async def _known(request: Request, organization: str | None, sha256: bytes) -> bool:
    """Whether the organization has these bytes; raises unless the caller may add to its knowledge now."""
    async with caller(request, organization, "knowledge:write", "member") as reader:
        await UPLOADS.hit(request, reader.user_id)
        return await queries.has_digest(reader.connection, reader.org_id, sha256)
