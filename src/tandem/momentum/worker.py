"""Momentum's jobs: what `tandem worker momentum` does."""

from tandem.accounts.jobs import purge_expired_sessions
from tandem.accounts.schemas import PurgeExpiredSessions
from tandem.core.jobs.registry import Jobs, cron
from tandem.momentum.tasks.jobs import purge_old_trash
from tandem.momentum.tasks.schemas import PurgeTrash

JOBS = Jobs(
    "momentum-todo-worker",
    handlers=[purge_expired_sessions, purge_old_trash],
    crons=[
        cron("purge_expired_sessions", "*/10 * * * *", PurgeExpiredSessions()),
        cron("purge_trash", "5-59/10 * * * *", PurgeTrash()),
    ],
)
