"""CSV (RFC 4180) in pieces, with the place in the file after each record, so that reading can go on from there."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass

MAX_RECORD = 128 * 1024  # bytes; a longer one is a quote that is never closed
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
MALFORMED = "A quotation mark is opened and not closed as it should be"


@dataclass(frozen=True, slots=True)
class Record:
    """`line` is where it begins, from 1. `end` and `lines` are the bytes and lines of the file up to its end.

    Of a malformed record `cells` is the text of its first line, and reading goes on with the next line.
    """

    line: int
    end: int
    lines: int
    cells: list[str]
    malformed: bool = False


class RecordParser:
    """Give it the bytes after place `end`, `lines` lines into the file, in pieces; they are UTF-8."""

    def __init__(self, delimiter: str, *, end: int, lines: int) -> None:
        self._delimiter, self._end, self._lines = delimiter, end, lines
        self._rest = b""

    def feed(self, data: bytes, *, last: bool) -> Iterator[Record]:
        """The records that are complete now, blank lines left out."""
        lines = (self._rest + data).splitlines(keepends=True)
        held = b""
        if lines and not last:  # the last one may go on, and a \\r may be half of a line's end
            held = lines.pop()
        at = 0
        while at < len(lines):
            record, after = self._next(lines, at, last=last)
            if record is None:
                break
            at = after
            if record.cells:
                yield record
        self._rest = b"".join(lines[at:]) + held

    def _next(self, lines: list[bytes], at: int, *, last: bool) -> tuple[Record | None, int]:
        """The record at line `at` and the index after it; None when its end is still to come."""
        source = _Source(lines, at)
        try:
            cells = next(csv.reader(source, delimiter=self._delimiter, strict=True))
        except csv.Error:
            if source.at == len(lines) and not last and source.size <= MAX_RECORD:
                return None, at
            text = lines[at].decode().rstrip("\r\n")
            return self._record(lines, at, at + 1, [text], malformed=True), at + 1
        return self._record(lines, at, source.at, cells), source.at

    def _record(self, lines: list[bytes], at: int, after: int, cells: list[str], *, malformed: bool = False) -> Record:
        line = self._lines + 1
        self._end += sum(map(len, lines[at:after]))
        self._lines += after - at
        return Record(line, self._end, self._lines, cells, malformed)


class _Source:
    """Lines as csv wants them, which says how far it has been read."""

    def __init__(self, lines: list[bytes], at: int) -> None:
        self._lines, self.at, self.size = lines, at, 0

    def __iter__(self) -> "_Source":
        return self

    def __next__(self) -> str:
        if self.at == len(self._lines):
            raise StopIteration
        line = self._lines[self.at]
        self.at += 1
        self.size += len(line)
        return line.decode()


def detect_delimiter(first: bytes) -> str:
    """What cuts the first record of a file into the most cells."""

    def cells(delimiter: str) -> int:
        record = next(RecordParser(delimiter, end=0, lines=0).feed(first, last=True), None)
        return len(record.cells) if record and not record.malformed else 0

    return max(DELIMITERS.values(), key=cells)
