"""Which format an uploaded file is in: what its bytes, its declared type and its name all allow."""

import codecs
import re
from collections.abc import Iterable
from typing import Final

from tandem.core.errors import UnsupportedMediaType
from tandem.market_ai.knowledge.blocks import FORMATS, Format

_TEXTS: Final[tuple[Format, ...]] = ("text", "markdown", "html")
_BY_TYPE: dict[str, tuple[Format, ...]] = {
    "": FORMATS,
    "application/octet-stream": FORMATS,
    "application/pdf": ("pdf",),
    "application/x-pdf": ("pdf",),
    "application/xhtml+xml": ("html",),
    "text/html": ("html",),
    "text/markdown": ("markdown",),
    "text/plain": _TEXTS,
    "text/x-markdown": ("markdown",),
}
_BY_ENDING: dict[str, tuple[Format, ...]] = {
    "htm": ("html",),
    "html": ("html",),
    "markdown": ("markdown",),
    "md": ("markdown",),
    "pdf": ("pdf",),
    "text": ("text",),
    "txt": ("text",),
    "xhtml": ("html",),
}
_BEGINS_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,1000}?-->\s*)?<(?:!doctype\s+html|html)\b", re.I | re.S
)
_META = re.compile(rb"<meta\s[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.I)
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Encodings of text that browsers know too; Python has others, some of which take hours over a megabyte.
_CHARSET = re.compile(
    r"utf-?8|us-ascii|ascii|iso-?8859-?\d{1,2}|latin-?1|windows-125\d|cp125\d|koi8-[ru]|macintosh|"
    r"shift[-_]jis|euc-(?:jp|kr)|iso-2022-jp|gb(?:2312|k|18030)|big5",
    re.I,
)


class UnsupportedDocument(UnsupportedMediaType):
    code, title = "unsupported_document", "Documents are plain text, Markdown, HTML or PDF"


def format_of(data: bytes, declared: str, name: str) -> Format:
    """`declared` is the media type of the file's part, `name` its file name. Raises UnsupportedDocument."""
    media_type = declared.partition(";")[0].strip().lower()
    if media_type not in _BY_TYPE:
        raise UnsupportedDocument(f"A file of this type is not taken: {UnsupportedDocument.title}")
    by_name = _BY_ENDING.get(name.rpartition(".")[2].lower(), FORMATS)
    fitting = _all_allow(_by_content(data), _BY_TYPE[media_type], by_name)
    if not fitting:
        raise UnsupportedDocument("What the file contains, its declared type and its name do not go together")
    if "html" in fitting and (len(fitting) == 1 or _BEGINS_HTML.match(data)):
        return "html"
    return fitting[0]


def charset_of(data: bytes, declared: str, kind: Format) -> str:
    """A codec of Python's: a byte order mark's, else the one declared by the part or the page, else UTF-8."""
    for mark, codec in _MARKS.items():
        if data.startswith(mark):
            return codec
    named = re.search(r"charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})", declared, re.I)
    wanted = named[1] if named else ""
    if not wanted and kind == "html" and (meta := _META.search(data[:2048])):
        wanted = meta[1].decode("ascii")
    if not wanted:
        return "utf-8"
    return _codec(wanted)


def _codec(charset: str) -> str:
    if not _CHARSET.fullmatch(charset):
        raise UnsupportedDocument("Its character encoding is not supported: save it as UTF-8")
    try:
        name = codecs.lookup(charset).name
    except LookupError:
        raise UnsupportedDocument("Its character encoding is not supported: save it as UTF-8") from None
    return {"iso8859-1": "cp1252", "ascii": "utf-8"}.get(name, name)  # as browsers take them


def _by_content(data: bytes) -> tuple[Format, ...]:
    if b"%PDF-" in data[:1024]:
        return ("pdf",)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _TEXTS
    # Text has no NUL; of files without one, archives and pictures are known by how they begin.
    binary = b"\0" in data or data.startswith(
        (b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"\x1f\x8b", b"{\\rtf")
    )
    return () if binary else _TEXTS


def _all_allow(*allowed: Iterable[Format]) -> list[Format]:
    return [one for one in FORMATS if all(one in some for some in allowed)]
