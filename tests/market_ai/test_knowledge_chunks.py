"""From a document's text to its chunks, without a database."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tandem.market_ai.knowledge.blocks import Block, clean, one_line
from tandem.market_ai.knowledge.chunking import MAX_HEADING, MAXIMUM, OVERLAP, TARGET, chunks
from tandem.market_ai.knowledge.from_html import read_html
from tandem.market_ai.knowledge.from_pdf import paragraphs_of
from tandem.market_ai.knowledge.from_text import read_markdown, read_text
from tandem.market_ai.knowledge.languages import guess_language

WORDS = st.sampled_from(
    ["word", "a", "Größe", "3.5", "x" * 50, "語" * 40, "x" * 2000, "end.", "What?", "…", "\n", "-", '."']
)
PARAGRAPHS = st.lists(WORDS, min_size=1, max_size=150).map(" ".join)
BLOCKS = st.lists(
    st.one_of(
        PARAGRAPHS.map(Block),
        st.text(max_size=20).map(Block),
        st.builds(Block, st.sampled_from(["One", "Two", "h" * 301, " "]), st.integers(1, 6)),
    ),
    max_size=12,
)


def squeezed(text: str) -> str:
    return "".join(text.split())


@settings(max_examples=120, deadline=None)
@given(BLOCKS)
@example([Block("x" * 599 + " " * 3000 + "y" * 1300)])
@example([Block("A", 1), Block("B", 2), Block("C", 1), Block("D", 3)])
def test_nothing_is_lost_but_white_space_and_nothing_is_too_long(blocks: list[Block]) -> None:
    found = list(chunks(blocks))
    assert found == list(chunks(blocks))
    for chunk in found:
        assert chunk.text == chunk.text.strip() != ""
        assert len(chunk.text) - chunk.overlap <= TARGET
        assert chunk.overlap <= OVERLAP
        assert len(chunk.text) <= MAXIMUM
        assert all(len(heading) <= MAX_HEADING for heading in chunk.heading)
        assert len(chunk.heading) <= 6
    assert "".join(
        squeezed(chunk.text[chunk.overlap :]) for chunk in found if not is_heading(chunk, blocks)
    ) == "".join(squeezed(block.text) for block in blocks if not block.level or len(block.text.strip()) > MAX_HEADING)
    told = {one for chunk in found for one in (*chunk.heading, chunk.text)}
    assert {block.text for block in blocks if block.level and 0 < len(block.text.strip()) <= MAX_HEADING} <= told


def is_heading(chunk: object, blocks: list[Block]) -> bool:
    """Headings with nothing below them; no paragraph of these blocks is called like one."""
    return getattr(chunk, "text", "") in {"One", "Two", "A", "B", "C", "D"}


def test_paragraphs_stay_together_and_the_last_sentence_is_repeated() -> None:
    first, second, third = (
        f"{name} says something. {'It goes on. ' * 50}{name} ends." for name in ("Ada", "Bob", "Eve")
    )
    one, two, three = chunks([Block("Talk", 1), Block(first), Block(second), Block(third)])
    assert one.text == first
    assert two.text == f"Ada ends. {second}"
    assert three.text == f"Bob ends. {third}"
    assert {chunk.heading for chunk in (one, two, three)} == {("Talk",)}


def test_a_chunk_never_crosses_a_heading_and_knows_where_it_is() -> None:
    found = list(
        chunks(
            [
                Block("Before."),
                Block("Guide", 1),
                Block("Empty", 2),
                Block("Care", 2),
                Block("Wash.", page=3),
                Block("Dry.", page=4),
                Block("Legal", 1),
            ]
        )
    )
    assert [(chunk.heading, chunk.text, chunk.page) for chunk in found] == [
        ((), "Before.", None),
        (("Guide",), "Empty", None),
        (("Guide", "Care"), "Wash.\n\nDry.", 3),
        ((), "Legal", None),
    ]


def test_markdown_headings_fences_and_front_matter() -> None:
    text = """---
title: "Price list"
tags: bread
---
Intro

Setext
======
Under it
still
---
# C#
#no heading
#### Closed ##
```python
# not a heading

x = 1
```
***
    """
    source = read_markdown(text)
    assert source.title == "Price list"
    assert [(block.level, block.text) for block in source.blocks] == [
        (0, 'title: "Price list"\ntags: bread'),
        (0, "Intro"),
        (1, "Setext"),
        (0, "Under it\nstill"),
        (1, "C#"),
        (0, "#no heading"),
        (4, "Closed"),
        (0, "```python\n# not a heading"),
        (0, "x = 1\n```"),
    ]
    assert read_markdown("---\nno end").title is None
    assert [block.text for block in read_text("a\nb\n \n\nc").blocks] == ["a\nb", "c"]


def test_html_is_read_as_it_is_seen() -> None:
    page = """<html><head><title> Shop
      </title><style>p{}</style><body><header><h1>Our <em>shop</em></h1></header><nav><h2>Menu</h2><ul><li>x</ul></nav>
      <p>Wash &lt;cold&gt; &amp; dry<br>slowly<sup>1</sup>.<p>Second<div>Third</div>
      <table><tr><th>Size<th>Price<tr><td>42</td> <td></td><td>9&nbsp;€</td></tr></table>
      <pre>a
        b</pre><ul><li>one<li><p>two</p></ul><svg><title>icon</title><text>no</text></svg><script>if (a<b) x()</script>
      <h2></h2><h2>End</h2></body></html>"""
    source = read_html(page)
    assert source.title == "Shop"
    assert [(block.level, block.text) for block in source.blocks] == [
        (1, "Our shop"),
        (0, "Wash <cold> & dry\nslowly1."),
        (0, "Second"),
        (0, "Third"),
        (0, "Size | Price"),
        (0, "42 | 9 €"),
        (0, "a\n        b"),
        (0, "- one"),
        (0, "two"),
        (2, "End"),
    ]
    assert read_html("just text").blocks == [Block("just text")]


def test_lines_of_a_pdf_become_paragraphs() -> None:
    lines = "\n".join(
        ["This line fills the whole width of the page, as most lines of a book do; e-", "commerce as well."]
    )
    assert list(
        paragraphs_of(f"{lines}\nThis is the ﬁrst line of the paragraph that comes after the other one.\n\nEnd")
    ) == [
        "This line fills the whole width of the page, as most lines of a book do; ecommerce as well.",
        "This is the first line of the paragraph that comes after the other one.",
        "End",
    ]
    assert list(paragraphs_of("")) == []


def test_text_is_cleaned_for_the_database() -> None:
    assert clean("a\r\nb\rc\u2028d\x00\x1b[0m\ud83d\ude00\ud800\ufeff") == "a\nb\nc\nd[0m😀\ufffd"
    assert one_line(" a\n b\x00 " + "c" * 300, 5) == "a b c"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The stollen is baked in September and ripens for eight weeks with our own rum.", "english"),
        ("Der Stollen wird im September gebacken und reift acht Wochen mit Rum, die Kunden sind froh.", "german"),
        ("Les clients sont livrés dans la semaine pour les commandes qui sont passées avec une carte.", "french"),
        ("Los pedidos se entregan con una tarjeta para las tiendas, por eso más clientes están felices.", "spanish"),
        ("SKU 4711 | 39.90 | nylon", "simple"),
        ("", "simple"),
        ("Наши булки пекутся утром и лежат два дня.", "simple"),
    ],
)
def test_the_language_of_a_text_is_guessed(text: str, language: str) -> None:
    assert guess_language(text) == language
