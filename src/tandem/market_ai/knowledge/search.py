"""Full-text search over the chunks of an organization: for people who type, and for a model that has a brief.

An organization may have documents in several languages, so what is looked for becomes one query a language, each of
which finds chunks of that language only: its words carry organization and language (migration 0004).
"""

from uuid import UUID

from tandem.core.db import Connection, fetch_one
from tandem.market_ai.knowledge.blocks import clean
from tandem.market_ai.knowledge.schemas import Chunk, SearchQuery

LONGEST_BRIEF = 20_000  # characters that are looked at
_WORDS = 100  # of a brief that are looked up, a language: the most frequent ones
_TELLING = 24  # words that decide: the rarest
_COMMON = 1000  # chunks; words of as many tell little

# What a chunk may come from: with a brand ($2) its documents and those of none.
_VISIBLE = """
visible AS MATERIALIZED (
  SELECT d.id, d.language, d.chunks FROM knowledge_documents d WHERE d.org_id = $1 AND {brand})"""
# OFFSET 0 keeps the planner from beginning with the documents: only the index of words is quick whatever is looked for.
# IS TRUE keeps it from a join: it would guess one document, and compare each chunk with two thousand.
_MATCHING = """LATERAL (SELECT * FROM knowledge_chunks k WHERE k.search @@ w.query OFFSET 0) c
   WHERE c.org_id = $1 AND (c.document_id IN (SELECT id FROM visible)) IS TRUE"""
_ALL_WORDS = "knowledge_query(l.language, $3)"
_ANY_WORD = """replace(plainto_tsquery(knowledge_configuration(l.language),
    translate($3, '<&/.@-+', '       '))::text, ' & ', ' | ')::tsquery"""
# A query that excludes but names nothing to find would match all, and no index answers it: it finds nothing.
_SEARCH = """
WITH {visible},
asked AS MATERIALIZED (
  SELECT l.language, {words} AS words FROM (SELECT DISTINCT language FROM visible) l),
wanted AS MATERIALIZED (
  SELECT string_agg('(' || knowledge_owned($1, language, words::text) || ')', ' | ')::tsquery AS query
    FROM asked WHERE querytree(words) NOT IN ('', 'T')),
found AS MATERIALIZED (
  SELECT c.id, c.document_id, c.title, c.heading, c.page, c.position, c.language, c.text,
         {rank}(c.search, w.query) AS rank
    FROM wanted w, {matching}
   ORDER BY rank DESC, c.document_id, c.position LIMIT $4)
SELECT (SELECT coalesce(json_agg(q), '[]')::text FROM (
          SELECT f.id AS chunk_id, f.document_id, f.title, f.heading, f.page, f.position, f.rank, {snippet} AS snippet
            FROM found f JOIN asked a USING (language) ORDER BY f.rank DESC, f.document_id, f.position) q) AS items,
       (SELECT count(*) FROM found) AS number,
       coalesce((SELECT bool_and(words::text !~ '[|!<]') FROM asked), false) AS plain"""

# Of a word's rank, `ts_rank` counts further occurrences less and less; `ts_rank_cd` would count each in full.
_RETRIEVE = """
WITH {visible},
words AS MATERIALIZED (
  SELECT knowledge_owned($1, l.language, array_to_tsvector(ARRAY[u.lexeme])::text)::tsquery AS query
    FROM (SELECT DISTINCT language FROM visible) l, LATERAL (
      SELECT lexeme FROM unnest(knowledge_vector(l.language, $3)) ORDER BY cardinality(positions) DESC, positions[1]
       LIMIT {most}) u),
counted AS MATERIALIZED (
  SELECT query, (
      SELECT count(*) FROM (
        SELECT FROM {matching} LIMIT {common}) few) AS chunks
    FROM words w),
telling AS MATERIALIZED (
  SELECT query, ln(1 + (SELECT sum(chunks) FROM visible) / chunks::float) AS weight
    FROM (SELECT query, chunks, row_number() OVER (ORDER BY chunks, query) AS n FROM counted WHERE chunks > 0) r
   WHERE n <= CASE WHEN chunks < {common} THEN {telling} ELSE 3 END),
found AS MATERIALIZED (
  SELECT c.id, sum(w.weight * ts_rank(c.search, w.query)) AS score
    FROM telling w, {matching}
   GROUP BY c.id ORDER BY score DESC, c.id LIMIT $4)
SELECT c.id, c.document_id, c.title, c.heading, c.page, c.text
  FROM found f JOIN knowledge_chunks c ON c.org_id = $1 AND c.id = f.id ORDER BY f.score DESC, c.id"""


async def search(connection: Connection, org_id: str, query: SearchQuery) -> str:
    """The JSON of a SearchResult."""
    match = "all"
    arguments = (org_id, query.brand_id, query.q, query.limit)
    row = await fetch_one(connection, _ALL, *arguments)
    if row["plain"] and not row["number"]:
        match = "any"
        row = await fetch_one(connection, _ANY, *arguments)
    return f'{{"match":"{match}","items":{row["items"]}}}'


async def retrieve(connection: Connection, org_id: str, *, text: str, brand_id: UUID | None, limit: int) -> list[Chunk]:
    """The chunks that share the most telling words with `text`, best first; any text will do.

    What is looked through are the documents of the brand and those of none; without a brand, only the latter.
    """
    rows = await connection.fetch(_FOR_BRIEF, org_id, brand_id, clean(text[:LONGEST_BRIEF]), limit)
    return [
        Chunk(row["id"], row["document_id"], row["title"], tuple(row["heading"]), row["page"], row["text"])
        for row in rows
    ]


def _snippet(text: str) -> str:
    """Found words in <mark>, everything else escaped.

    While Postgres looks for words, control characters, which no chunk has, stand for the marks and for what the index
    takes out of the text.
    """
    plain = rf"translate({text}, E'<&/.@-+', E'\x04\x05\x06\x07\x08\x0e\x0f')"
    options = r"E'StartSel=\x02, StopSel=\x03, MaxFragments=2, MinWords=10, MaxWords=30'"
    headline = f"ts_headline(knowledge_configuration(a.language), {plain}, a.words, {options})"
    headline = rf"translate({headline}, E'\x06\x07\x08\x0e\x0f', '/.@-+')"
    escapes = {r"\x05": "&amp;", r"\x04": "&lt;", ">": "&gt;", '"': "&quot;", r"\x02": "<mark>", r"\x03": "</mark>"}
    for character, escaped in escapes.items():
        headline = f"replace({headline}, E'{character}', '{escaped}')"
    return headline


def _search(words: str, rank: str) -> str:
    visible = _VISIBLE.format(brand="($2::uuid IS NULL OR d.brand_id = $2 OR d.brand_id IS NULL)")
    return _SEARCH.format(visible=visible, matching=_MATCHING, words=words, rank=rank, snippet=_snippet("f.text"))


_ALL, _ANY = _search(_ALL_WORDS, "ts_rank_cd"), _search(_ANY_WORD, "ts_rank")
_FOR_BRIEF = _RETRIEVE.format(
    visible=_VISIBLE.format(brand="(d.brand_id = $2 OR d.brand_id IS NULL)"),
    matching=_MATCHING,
    most=_WORDS,
    common=_COMMON,
    telling=_TELLING,
)
