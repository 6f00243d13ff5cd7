"""How old the newest backup is."""

from datetime import UTC, datetime, timedelta

from tandem.core.operator_error import OperatorError
from tandem.ops.doctor.result import Check, Result
from tandem.ops.doctor.subject import Subject

AGE = Check("backups.age", "What was written since the newest backup is lost with the database.")
OLD = timedelta(hours=26)  # a daily backup, and two hours of patience
_DAILY = "run `tandem backup {name}` every day, as a cron service"


def check_backups(subject: Subject, now: datetime | None = None) -> Result:
    if subject.last_backup is None or subject.settings is None:
        return AGE.skipped("a place where backups are recorded; the database provider's own are not seen from here")
    fix = _DAILY.format(name=subject.service.name)
    try:
        made = subject.last_backup(subject.service, subject.settings)
    except OperatorError as error:
        return AGE.warning(f"cannot be told: {error}", fix)
    if made is None:
        return AGE.warning("there is no backup", fix)
    age = (now or datetime.now(UTC)) - made
    hours = f"the newest is {age.total_seconds() / 3600:.0f} hours old"
    return AGE.ok(hours) if age <= OLD else AGE.warning(hours, fix)
