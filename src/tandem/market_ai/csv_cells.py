"""Cells of CSV files that people open in a spreadsheet.

A spreadsheet runs a cell that begins in certain ways as a formula (OWASP, CSV injection); what we write has an
apostrophe before it, and what we read loses that apostrophe.
"""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_PLAIN_NUMBER = re.compile(r"[+-]?\d{1,20}([.,]\d{1,20})?", re.ASCII)


def guarded(text: str) -> str:
    if _FORMULA.match(text) and not _PLAIN_NUMBER.fullmatch(text):
        return "'" + text
    return text


def unguarded(cell: str) -> str:
    """What `guarded` made the cell of."""
    if cell.startswith("'") and _FORMULA.match(cell, 1):
        return cell[1:]
    return cell
