"""The short-lived process in which a document is read: `python -m … FORMAT CHARSET MEMORY SECONDS`, bytes on stdin.

A file from outside can make its reader run for hours or fill the memory (400 kB of `<!--` keep the HTML parser of
Python 3.11 busy for 80 s). Here it meets limits of the kernel, finds no secret in the environment, and is the first to
go when memory runs out. It answers with a line of JSON, what the document is or `{"error", "detail"}`, and then the
chunks as a JSON array that goes to Postgres as it is.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from tandem.core.ids import uuid7
from tandem.market_ai.knowledge.blocks import MAX_CHARACTERS, Source, clean, one_line
from tandem.market_ai.knowledge.chunking import Chunk, chunks
from tandem.market_ai.knowledge.from_html import read_html
from tandem.market_ai.knowledge.from_pdf import read_pdf
from tandem.market_ai.knowledge.from_text import read_markdown, read_text
from tandem.market_ai.knowledge.languages import guess_language
from tandem.market_ai.knowledge.refusals import Refusal

MAX_CHUNKS = 5000
MAX_TITLE = 200
_READERS = {"text": read_text, "markdown": read_markdown, "html": read_html}


def main() -> None:
    kind, charset, memory, seconds = sys.argv[1:]
    restrict(int(memory), int(seconds))
    try:
        header, rows = read(sys.stdin.buffer.read(), kind, charset)
        answer = f"{json.dumps(header)}\n{json.dumps(rows)}"
    except Refusal as refusal:
        answer = json.dumps({"error": refusal.code, "detail": refusal.detail})
    except (MemoryError, RecursionError):
        answer = json.dumps({"error": "document_too_complex", "detail": "Reading it takes too much memory"})
    sys.stdout.buffer.write(answer.encode("ascii"))


def restrict(memory: int, seconds: int) -> None:
    """Bytes of address space, and seconds of processor time after which the kernel kills this process."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(ImportError, OSError, ValueError):  # not every system knows every limit
        import resource

        os.nice(5)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def read(data: bytes, kind: str, charset: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the document is, and its chunks. Raises Refusal."""
    source = read_pdf(data, MAX_CHARACTERS) if kind == "pdf" else _READERS[kind](_decoded(data, charset))
    blocks = [block._replace(text=clean(block.text)) for block in source.blocks]
    characters = sum(len(block.text) for block in blocks)
    if characters > MAX_CHARACTERS:
        raise Refusal("document_too_large", f"The document has more than {MAX_CHARACTERS} characters of text")
    found = list(chunks(blocks))
    if not found:
        pictures = "; a scanned PDF has only pictures of it" if kind == "pdf" else ""
        raise Refusal("no_text", f"There is no text in the document{pictures}")
    if len(found) > MAX_CHUNKS:
        detail = f"The document makes {len(found)} chunks; {MAX_CHUNKS} are the most. Fewer headings make fewer"
        raise Refusal("document_too_large", detail)
    return _header(source, characters, found), [_row(chunk) for chunk in found]


def _decoded(data: bytes, charset: str) -> str:
    try:
        text = data.decode(charset)
    except UnicodeDecodeError:
        raise Refusal("undecodable_text", f"The text is not {charset.upper()}: save it as UTF-8") from None
    return clean(text)


def _header(source: Source, characters: int, found: list[Chunk]) -> dict[str, Any]:
    sample = " ".join(chunk.text for chunk in found[:20])
    return {
        "title": one_line(source.title or "", MAX_TITLE) or None,
        "language": guess_language(sample),
        "pages": source.pages,
        "characters": characters,
        "chunks": len(found),
    }


def _row(chunk: Chunk) -> dict[str, Any]:
    return {"id": str(uuid7()), "heading": chunk.heading, "page": chunk.page, "text": chunk.text}


if __name__ == "__main__":
    main()
