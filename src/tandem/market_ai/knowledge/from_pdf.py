"""The text of a PDF. What it is asked to read is hostile: only ever call this in the process of `reading_process`."""

import io
import logging
import re
import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tandem.market_ai.knowledge.blocks import Block, Source
from tandem.market_ai.knowledge.refusals import Refusal

if TYPE_CHECKING:
    from pypdf import PdfReader

MAX_PAGES = 1000

_HYPHENATED = re.compile(r"(?<=[^\W\d_])[\u00ad\u2010-]\n(?=[^\W\d_A-Z])")
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_ENDS_A_SENTENCE = (".", "!", "?", ":", "…", "”", '"')


def read_pdf(data: bytes, longest: int) -> Source:
    """Stops a little after `longest` characters. Raises Refusal."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    logging.disable()  # the library tells at length what it mends
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Refusal("encrypted_document", "The PDF is protected with a password")
        return _read(reader, longest)
    except (Refusal, MemoryError, RecursionError):
        raise
    except DependencyError:
        raise Refusal("unreadable_document", "The PDF is encrypted in a way that is not supported") from None
    except Exception as error:  # a broken file makes the library raise anything
        raise Refusal("unreadable_document", f"The PDF is damaged ({type(error).__name__})") from None


def _read(reader: "PdfReader", longest: int) -> Source:
    pages = len(reader.pages)
    if pages > MAX_PAGES:
        raise Refusal("document_too_large", f"The PDF has {pages} pages; {MAX_PAGES} are the most")
    blocks: list[Block] = []
    size = 0
    for number, page in enumerate(reader.pages, 1):
        for paragraph in paragraphs_of(page.extract_text()):
            blocks.append(Block(paragraph, page=number))
            size += len(paragraph)
        if size > longest:
            break
    title = reader.metadata.title if reader.metadata else None
    return Source(blocks, title if isinstance(title, str) else None, pages)


def paragraphs_of(page: str) -> Iterator[str]:
    """A page's lines put together again: a paragraph ends at a blank line, or with a sentence that leaves room."""
    lines = [" ".join(line.split()) for line in page.translate(_LIGATURES).split("\n")]
    lengths = [len(line) for line in lines if line]
    short = 0.75 * statistics.quantiles(lengths, n=10)[-1] if len(lengths) > 1 else 0
    paragraph: list[str] = []
    for line in (*lines, ""):
        if line:
            paragraph.append(line)
        if paragraph and (not line or (len(line) < short and line.endswith(_ENDS_A_SENTENCE))):
            yield _HYPHENATED.sub("", "\n".join(paragraph)).replace("\n", " ")
            paragraph = []
