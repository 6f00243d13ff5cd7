"""Every table of Momentum's database in one MetaData, shared ones included: what its migrations must produce."""

from sqlalchemy import MetaData

import tandem.core.jobs.tables
import tandem.core.status.tables
import tandem.momentum.changes.models
import tandem.momentum.labels.models
import tandem.momentum.preferences.models
import tandem.momentum.projects.models
import tandem.momentum.tasks.models  # noqa: F401
from tandem.core.base import NAMING
from tandem.core.base import Base as SharedBase
from tandem.momentum.base import Base

metadata = MetaData(naming_convention=NAMING)
for source in (SharedBase.metadata, Base.metadata):
    for table in source.tables.values():
        table.to_metadata(metadata)
