"""Every table of Market AI's database in one MetaData, shared ones included: what its migrations must produce."""

from sqlalchemy import MetaData

import tandem.core.jobs.tables
import tandem.core.status.tables
import tandem.market_ai.analysis.models
import tandem.market_ai.audit.models
import tandem.market_ai.brands.models
import tandem.market_ai.budget.models
import tandem.market_ai.campaigns.models
import tandem.market_ai.content.models
import tandem.market_ai.idempotency.models
import tandem.market_ai.imports.models
import tandem.market_ai.knowledge.models
import tandem.market_ai.leads.models
import tandem.market_ai.metrics.models
import tandem.market_ai.organizations.models
import tandem.market_ai.segments.models
import tandem.market_ai.sending.models
import tandem.market_ai.suppressions.models
import tandem.market_ai.templates.models
import tandem.market_ai.webhooks.models  # noqa: F401
from tandem.core.base import NAMING
from tandem.core.base import Base as SharedBase
from tandem.market_ai.base import Base

metadata = MetaData(naming_convention=NAMING)
for source in (SharedBase.metadata, Base.metadata):
    for table in source.tables.values():
        table.to_metadata(metadata)
