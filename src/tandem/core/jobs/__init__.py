"""Jobs: enqueued in the caller's transaction, run at least once, never lost.

A service enqueues a payload; handlers, crons and the worker are imported from `tandem.core.jobs.registry` and
`tandem.core.jobs.worker` by who needs them. docs/jobs.md says how it all fits together.
"""

from tandem.core.jobs.enqueue import enqueue, enqueue_many
from tandem.core.jobs.payload import JobPayload

__all__ = ["JobPayload", "enqueue", "enqueue_many"]
