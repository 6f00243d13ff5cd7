"""Forms with a file, read within limits and only once somebody asks for it; FastAPI's own reading has neither."""

from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from tandem.core.errors import BadRequest, InvalidPayload

MAX_FIELD = 4096  # bytes of a field that is no file

Fields = TypeVar("Fields", bound=BaseModel)


def is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data"


async def read_form(request: Request, *, max_fields: int, max_field: int = MAX_FIELD) -> FormData:
    """One file at most; close it. Raises BadRequest."""
    async with aclosing(request.stream()) as stream:
        parser = _Parser(request.headers, stream, max_files=1, max_fields=max_fields, max_part_size=max_field)
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise BadRequest(error.message) from None
    if not parser.ended:
        parser.discard()
        raise BadRequest("The form breaks off before its last boundary")
    return form


def form_fields(form: FormData, model: type[Fields]) -> tuple[Fields, UploadFile]:
    """Of a form with a part `file`. An empty field is one that was left out, as forms send them.

    Raises InvalidPayload or RequestValidationError.
    """
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise InvalidPayload.of("file", "Field required, with a file name", "missing")
    given: dict[str, Any] = {name: value for name, value in form.items() if name != "file" and value != ""}
    try:
        return model.model_validate(given), file
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in found]) from None


class _Parser(MultiPartParser):
    """Starlette's, which would take a form that breaks off for a whole one, and fields of any bytes for Latin-1."""

    ended = False

    def on_part_end(self) -> None:
        self._charset = "utf-8"
        if self._current_part.file is None:
            try:
                self._current_part.data.decode()
            except UnicodeDecodeError:
                raise MultiPartException("The fields of the form are not UTF-8") from None
        super().on_part_end()

    def on_end(self) -> None:
        self.ended = True

    def discard(self) -> None:
        for file in self._files_to_close_on_error:
            file.close()
