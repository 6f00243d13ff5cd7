"""CLERK_DOMAIN: who issues the tokens that this server believes."""

import re

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}(?::\d{{1,5}})?(?:/[\w.-]+)*", re.ASCII)
_LOOPBACK = re.compile(r"http://(?:127\.0\.0\.1|localhost)(?::\d{1,5})?", re.ASCII)


class ClerkDomainError(ValueError):
    """The domain cannot be a Clerk instance's. The message is the remedy; it does not repeat the value."""


def issuer_of(domain: str, *, deployed: bool = True) -> str:
    """The `iss` of its tokens, as in https://clerk.example.com; takes the domain with or without its https://.

    Plain `http://127.0.0.1:<port>` is for tests and local set-ups: whoever answers there decides who signs in, so it is
    refused when `deployed`. Raises ClerkDomainError.
    """
    text = domain.strip().rstrip("/")
    if _LOOPBACK.fullmatch(text):
        if deployed:
            raise ClerkDomainError("a deployment takes no http:// address: name the domain of your Clerk instance")
        return text
    host, slash, path = text.removeprefix("https://").partition("/")
    text = host.lower() + slash + path
    if not _DOMAIN.fullmatch(text):
        raise ClerkDomainError("write the Frontend API host of your Clerk instance, as in clerk.example.com")
    return f"https://{text}"
