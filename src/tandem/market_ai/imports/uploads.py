"""From a request to a file that can be imported: what the POST routes depend on before their transaction begins."""

import asyncio
import codecs
import hashlib
from collections.abc import AsyncIterator
from typing import Any, BinaryIO

from fastapi import Depends, Request

from tandem.core.errors import InvalidPayload, UnsupportedMediaType
from tandem.core.ratelimit import Limit
from tandem.market_ai.access import Organization, caller
from tandem.market_ai.forms import form_fields, is_form, read_form
from tandem.market_ai.imports.columns import columns_of
from tandem.market_ai.imports.records import DELIMITERS, MAX_RECORD, RecordParser, detect_delimiter
from tandem.market_ai.imports.schemas import (
    ImportFields,
    Incoming,
    Kind,
    Options,
)

IMPORTS = Limit("10/minute", name="import")
MAX_BYTES = 50_000_000
MAX_FILENAME = 200
_MAX_FIELD = 65_536  # bytes; a mapping of 200 columns fits
_BLOCK = 262_144
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF_8 = "save it as UTF-8 (in Excel: CSV UTF-8)"


def upload_body(model: type[ImportFields]) -> dict[str, Any]:
    """For `openapi_extra`: the form is read here, FastAPI would do so without limits and before the caller is known."""
    file = {"type": "string", "format": "binary", "description": "CSV in UTF-8, its first line the names; up to 50 MB."}
    fields = model.model_json_schema()["properties"]
    for name, field in fields.items():  # a field that may be null is one that may be left out: a form has no null
        if "anyOf" in field and name != "mapping":
            fields[name] = {**field.pop("anyOf")[0], "description": field.get("description", "")}
    fields["tags"] = {"type": "string", "description": fields["tags"]["description"]} if "tags" in fields else None
    schema = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": file, **{name: field for name, field in fields.items() if field is not None}},
        "additionalProperties": False,
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def uploading(kind: Kind, model: type[ImportFields]) -> Any:
    """Dependency: a file, open until the request has ended."""

    async def dependency(request: Request, organization: Organization = None) -> AsyncIterator[Incoming]:
        if not is_form(request):
            raise UnsupportedMediaType("Send the file as multipart/form-data, in a field named `file`")
        async with caller(request, organization, f"{kind}:write", "member") as reader:
            await IMPORTS.hit(request, reader.user_id)
        form = await read_form(request, max_fields=len(model.model_fields), max_field=_MAX_FIELD)
        try:
            fields, upload = form_fields(form, model)
            name = (upload.filename or "").replace("\\", "/").rpartition("/")[2]
            found = await asyncio.to_thread(inspect_file, kind, upload.file, _printable(name) or None, fields)
            request.scope["tandem.upload"] = found.sha256 + fields.model_dump_json().encode()
            yield found
        finally:
            await form.close()

    return Depends(dependency)


def _printable(name: str) -> str:
    return "".join(character for character in name if character.isprintable())[:MAX_FILENAME]


def inspect_file(kind: Kind, file: BinaryIO, filename: str | None, fields: ImportFields) -> Incoming:
    """Raises InvalidPayload."""
    size, sha256 = _read_through(file)
    file.seek(0)
    first = file.read(2 * MAX_RECORD)
    bom = len(codecs.BOM_UTF8) if first.startswith(codecs.BOM_UTF8) else 0
    delimiter = DELIMITERS.get(fields.delimiter) or detect_delimiter(first[bom:])
    record = next(RecordParser(delimiter, end=bom, lines=0).feed(first[bom:], last=True), None)
    if record is None:
        raise InvalidPayload.of("file", "is empty: its first line has the names of the columns", "empty")
    if record.malformed:
        raise InvalidPayload.of("file", "has a quotation mark in its first line that is not closed", "malformed")
    told = fields.model_dump(exclude={"delimiter", "mapping"})
    options = Options(delimiter=delimiter, columns=columns_of(kind, record.cells, fields.mapping), **told)
    return Incoming(file, filename, size, sha256, record.cells, options, record.end, record.lines)


def _read_through(file: BinaryIO) -> tuple[int, bytes]:
    """Size and SHA-256 of what is UTF-8 throughout."""
    decoder, digest, size, lines = codecs.getincrementaldecoder("utf-8")(), hashlib.sha256(), 0, 1
    file.seek(0)
    while True:
        block = file.read(_BLOCK)
        if size == 0 and block.startswith(_WIDE):
            raise InvalidPayload.of("file", f"is UTF-16: {_UTF_8}", "not_utf_8")
        size += len(block)
        if size > MAX_BYTES:
            raise InvalidPayload.of("file", f"has more than {MAX_BYTES // 1_000_000} MB: divide it", "too_large")
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line = lines + error.object[: error.start].count(b"\n")
            byte = error.object[error.start]
            problem = f"is not UTF-8, as byte 0x{byte:02X} in line {line} shows: {_UTF_8}"
            raise InvalidPayload.of("file", problem, "not_utf_8") from None
        if (nul := block.find(b"\0")) >= 0:
            line = lines + block.count(b"\n", 0, nul)
            raise InvalidPayload.of("file", f"is no text: there is a NUL in line {line}", "nul_character")
        if not block:
            return size, digest.digest()
        digest.update(block)
        lines += block.count(b"\n")
