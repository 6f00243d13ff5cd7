"""Why a document cannot be taken."""

from typing import Literal

Code = Literal[
    "document_too_complex",
    "document_too_large",
    "encrypted_document",
    "no_text",
    "undecodable_text",
    "unreadable_document",
]


class Refusal(Exception):
    """Raised where documents are read, in a process that knows nothing of HTTP."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail
