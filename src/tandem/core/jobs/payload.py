"""What a job is asked to do: a pydantic model that names its job type. Belongs into a feature's schemas.py.

    class GenerateContent(JobPayload, job_type="generate_content"):
        campaign_id: UUID

A service enqueues the payload; who handles it is said by `@handles` in a jobs.py that the service never imports.
"""

import re
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class JobPayload(BaseModel):
    """Stored as JSON. A queued job may be read by a later version: new fields need a default."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    job_type: ClassVar[str] = ""

    def __init_subclass__(cls, *, job_type: str | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if job_type is None:
            if not cls.job_type:
                raise TypeError(f'{cls.__name__} names no job type: class {cls.__name__}(JobPayload, job_type="…")')
            return
        if not _NAME.fullmatch(job_type):
            raise TypeError(f"{job_type!r} is no job type: use lower-case letters, digits and _")
        cls.job_type = job_type
