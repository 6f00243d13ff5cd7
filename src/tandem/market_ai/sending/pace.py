"""How fast mails go out, over all workers: each takes its places in one queue, kept in a row of Postgres per key."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tandem.core.db import Connection, fetch_one

# Generic cell rate: the row has the time of the next free place; who takes n moves it by n intervals.
_TAKE = """
INSERT INTO mail_pace AS p (key, next_at) VALUES ($1, clock_timestamp() + $2 * interval '1 second')
    ON CONFLICT (key) DO UPDATE
   SET next_at = greatest(p.next_at, clock_timestamp()) + $2 * interval '1 second'
RETURNING extract(epoch FROM next_at - clock_timestamp())::float8 AS until"""


@dataclass(frozen=True)
class Pace:
    """Mails a second, in all and to each domain; 0 is no limit."""

    rate: float
    domain_rate: float

    def batch(self, most: int) -> int:
        """How many to claim at once: no more than a second's worth, so that a pause has an effect."""
        return most if not self.rate else max(1, min(most, int(self.rate)))

    def per_domain(self, most: int) -> int:
        return most if not self.domain_rate else max(1, min(most, int(self.domain_rate)))

    async def places(self, connection: Connection, domains: Sequence[str]) -> list[float]:
        """For mails to these domains, in how many seconds each may go."""
        waits = [0.0] * len(domains)
        if self.domain_rate:
            by_domain = {domain: await self._take(connection, domain, n, self.domain_rate)
                         for domain, n in sorted(Counter(domains).items())}  # fmt: skip
            taken: Counter[str] = Counter()
            for index, domain in enumerate(domains):
                waits[index] = by_domain[domain] + taken[domain] / self.domain_rate
                taken[domain] += 1
        if self.rate:
            first = await self._take(connection, "", len(domains), self.rate)
            order = sorted(range(len(domains)), key=waits.__getitem__)
            for place, index in enumerate(order):
                waits[index] = max(waits[index], first + place / self.rate)
        return waits

    async def _take(self, connection: Connection, key: str, count: int, rate: float) -> float:
        """Seconds until the first of `count` places."""
        seconds = count / rate
        row = await fetch_one(connection, _TAKE, key, seconds)
        return max(0.0, float(row["until"]) - seconds)
