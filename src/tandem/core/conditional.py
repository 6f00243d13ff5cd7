"""Conditional requests (RFC 9110, section 13): a version is an ETag, and a write can be made to depend on it."""

from tandem.core.errors import PreconditionFailed


def etag(version: int) -> str:
    return f'"{version}"'


def not_modified(if_none_match: str | None, version: int) -> bool:
    """Whether the client already holds this version (weak comparison)."""
    return if_none_match is not None and _matches(if_none_match.replace("W/", ""), version)


def check_if_match(if_match: str | None, version: int) -> None:
    """Raises PreconditionFailed when the client wants to change another version than the current one."""
    if if_match is not None and not _matches(if_match, version):
        raise PreconditionFailed(
            f"The current version is {etag(version)}: read it again, then retry",
            headers={"ETag": etag(version)},
            current_version=version,
        )


def _matches(header: str, version: int) -> bool:
    tags = {tag.strip() for tag in header.split(",")}
    return "*" in tags or etag(version) in tags
