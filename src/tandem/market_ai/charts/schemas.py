"""What a chart is asked for with."""

from typing import Literal

from pydantic import Field

from tandem.market_ai.metrics.schemas import SeriesQuery

Theme = Literal["auto", "light", "dark"]


class ChartQuery(SeriesQuery):
    """As for the series it draws."""

    theme: Theme = Field("auto", description="`auto` follows the reader's system.")
