"""What stops a backup or a restore."""

from tandem.core.operator_error import OperatorError


class BackupError(OperatorError):
    """The backup could not be made, found, read or restored; the message says why and what to do."""
