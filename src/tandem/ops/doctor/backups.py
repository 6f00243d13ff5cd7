"""How old the newest backup is."""

from datetime import UTC, datetime, timedelta

from tandem.core.operator_error import OperatorError
from tandem.ops.doctor.result import Check, Result
from tandem.ops.doctor.subject import Subject

AGE = Check("backups.age", "What was written since the newest backup is lost with the database.")
OLD = timedelta(hours=26)  # a daily backup, and two hours of patience
_DAILY = "run `tandem backup {name}` every night: render.yaml, compose.yaml and deploy/kubernetes have it"


def check_backups(subject: Subject, now: datetime | None = None) -> Result:
    if subject.last_backup is None or subject.settings is None:
        return AGE.skipped("settings that can be read")
    fix, where = _DAILY.format(name=subject.service.name), subject.settings.backup_destination
    if not where:
        return AGE.warning(
            "BACKUP_DESTINATION is not set; the database provider's own backups are not seen from here",
            f"set it, and {fix}",
        )
    try:
        made = subject.last_backup(subject.service, subject.settings)
    except OperatorError as error:
        return AGE.warning(f"cannot be told: {error}", fix)
    if made is None:
        return AGE.warning(f"there is no backup at {where}", fix)
    age = (now or datetime.now(UTC)) - made
    hours = f"the newest is {age.total_seconds() / 3600:.0f} hours old"
    return AGE.ok(hours) if age <= OLD else AGE.warning(hours, fix)
