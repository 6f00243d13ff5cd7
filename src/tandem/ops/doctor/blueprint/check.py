"""`tandem doctor render FILE`."""

from pathlib import Path

from tandem.core.operator_error import OperatorError
from tandem.ops.doctor.blueprint.crons import check_crons
from tandem.ops.doctor.blueprint.document import BlueprintError, read_blueprint
from tandem.ops.doctor.blueprint.running import check_running
from tandem.ops.doctor.blueprint.shape import SHAPE, check_shape
from tandem.ops.doctor.blueprint.wiring import check_wiring
from tandem.ops.doctor.result import Result, Status


class BlueprintFileError(OperatorError):
    """The file cannot be read."""


def check_file(path: Path) -> list[Result]:
    """Every fault of a Blueprint file. Raises BlueprintFileError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BlueprintFileError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
        ) from None
    return check_blueprint(text)


def check_blueprint(text: str) -> list[Result]:
    """A green line first when there is no error."""
    try:
        blueprint = read_blueprint(text)
    except BlueprintError as error:
        return [SHAPE.error(str(error), "correct the YAML")]
    found = [
        *check_shape(blueprint),
        *check_wiring(blueprint),
        *check_running(blueprint),
        *check_crons(blueprint),
    ]
    if any(result.status is Status.ERROR for result in found):
        return found
    return [SHAPE.ok("Render accepts it, and Tandem finds what it needs"), *found]
