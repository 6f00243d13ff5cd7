"""Whether what was deployed works, seen from outside.

`Verify` is what a deploy asks; `healthy` is the least that can be asked of any deployed service.
"""

from collections.abc import Callable, Sequence

import httpx2

TIMEOUT = 15.0  # seconds; a service that wakes up takes its time

Verify = Callable[[str], Sequence[str]]
"""What is wrong with the service at this URL, each in a sentence; nothing is fine. Does not raise."""


def healthy(url: str) -> list[str]:
    """Asks `/health`."""
    address = f"{url.rstrip('/')}/health"
    try:
        answer = httpx2.get(address, timeout=TIMEOUT, follow_redirects=False)
    except httpx2.HTTPError as error:
        return [f"{address} does not answer ({type(error).__name__})"]
    if answer.status_code != 200:
        return [f"{address} answers {answer.status_code}"]
    return []


def version_of(url: str) -> str | None:
    """What `/health` calls the version, or None without a readable answer."""
    try:
        answer = httpx2.get(f"{url.rstrip('/')}/health", timeout=TIMEOUT)
        return str(answer.json()["version"])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return None
