"""Which web origins may act with a browser's cookies: those named in the settings, and our own."""

import re
from collections.abc import MutableMapping
from typing import Any, Literal
from urllib.parse import urlsplit

from tandem.core.settings import Settings

# A path of this site; `//host`, `/\host` and their escapes lead elsewhere.
_LOCAL_PATH = re.compile(r"/(?!/|\\|%2f|%5c)[\w\-.+/@]*(?:\?[\w\-.+/=&%@]*)?", re.IGNORECASE | re.ASCII)

Distrust = Literal["missing", "untrusted"]


def distrusted(scope: MutableMapping[str, Any], settings: Settings) -> Distrust | None:
    """Why the request's Origin (else its Referer) is not trusted; None when it is.

    `Origin: null` that the browser itself calls same-origin (a page with `Referrer-Policy: no-referrer`) is ours.
    """
    headers = read_headers(scope, b"origin", b"referer", b"sec-fetch-site", b"host")
    origin, own = headers.get(b"origin", ""), f"{scope['scheme']}://{headers.get(b'host', '')}"
    if origin == "null" and headers.get(b"sec-fetch-site") == "same-origin":
        origin = own
    claimed = origin or headers.get(b"referer", "")
    if not claimed or claimed == "null":
        return "missing"
    return None if _trusted(claimed, own, settings) else "untrusted"


def trusted_target(url: str, scope: MutableMapping[str, Any], settings: Settings) -> bool:
    """Whether a browser may be sent to `url`: a path of its own site, or a page of a trusted origin."""
    own = f"{scope['scheme']}://{read_headers(scope, b'host').get(b'host', '')}"
    return _LOCAL_PATH.fullmatch(url) is not None or _trusted(url, own, settings)


def read_headers(scope: MutableMapping[str, Any], *names: bytes) -> dict[bytes, str]:
    """The named headers that are present; of repeated ones the first."""
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in names:
            found.setdefault(name, value.decode("latin-1"))
    return found


def _trusted(url: str, own: str, settings: Settings) -> bool:
    origin = _origin(url)
    return origin is not None and (origin == _origin(own) or any(origin == _origin(o) for o in settings.origins))


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)
