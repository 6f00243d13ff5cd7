"""CSV in pieces: the same records however the file is cut, and from wherever reading goes on."""

import csv
import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.core.errors import InvalidPayload
from tandem.market_ai.csv_cells import guarded, unguarded
from tandem.market_ai.email_address import InvalidEmail, normalise_email, parse_email
from tandem.market_ai.imports.columns import columns_of
from tandem.market_ai.imports.records import MAX_RECORD, RecordParser, detect_delimiter

_CELL = st.text(st.sampled_from("ab ,;\"\n\r'é😀"), max_size=6)
_TABLE = st.lists(st.lists(_CELL, min_size=2, max_size=4), max_size=8)
_QUICK = settings(max_examples=200, deadline=None, database=None)


def written(table, terminator="\r\n"):
    text = io.StringIO()
    csv.writer(text, lineterminator=terminator, quoting=csv.QUOTE_ALL).writerows(table)
    return text.getvalue().encode()


def parsed(data, cuts=(), *, end=0, lines=0):
    parser = RecordParser(",", end=end, lines=lines)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    return [record for n, piece in enumerate(pieces, 1) for record in parser.feed(piece, last=n == len(pieces))]


@_QUICK
@given(_TABLE, st.lists(st.integers(0, 200), max_size=6), st.sampled_from(["\n", "\r\n", "\r"]))
def test_however_a_file_is_cut_its_records_are_the_same(table, cuts, terminator):
    data = written(table, terminator)
    records = parsed(data, cuts)
    assert [record.cells for record in records] == table
    assert records == parsed(data)
    for number, record in enumerate(records):
        assert parsed(data[record.end :], cuts, end=record.end, lines=record.lines) == records[number + 1 :]


@_QUICK
@given(
    st.binary(max_size=60).map(lambda raw: raw.decode("latin-1").replace("\0", '"').encode()),
    st.lists(st.integers(0, 80), max_size=4),
)
def test_whatever_a_file_says_every_line_of_it_is_read_once(data, cuts):
    records = parsed(data, cuts)
    ends = [record.end for record in records]
    assert ends == sorted(set(ends))
    assert all(end <= len(data) for end in ends)
    begins = [record.line for record in records]
    assert begins == sorted(set(begins))
    assert not data.strip(b"\r\n") or (records and records[-1].end <= len(data))


def test_a_quotation_mark_that_is_not_closed_costs_one_line():
    filler = b"x,y\n" * (MAX_RECORD // 2)  # more than a record may have
    data = b'a,b\n"open,b\nc,d\n' + filler + b'e,"f\ng"\n'
    records = parsed(data, range(0, len(data), 50_000))
    assert [record.cells for record in records[:3]] == [["a", "b"], ['"open,b'], ["c", "d"]]
    assert [record.malformed for record in records].count(True) == 1
    assert (records[-1].cells, records[-1].end) == (["e", "f\ng"], len(data))
    assert len(records) == 4 + MAX_RECORD // 2


def test_the_delimiter_is_the_one_that_fits_the_first_line():
    for first, expected in (
        (b"email\n", ","),
        (b"a;b,c;d\n", ";"),
        (b'"a;b;c",d\n', ","),
        (b"a\tb\n", "\t"),
        (b"a|b|c", "|"),
    ):
        assert detect_delimiter(first) == expected


@_QUICK
@given(st.text(max_size=20))
def test_a_guarded_cell_is_no_formula_and_can_be_read_back(text):
    cell = guarded(text)
    assert unguarded(cell) == text
    assert cell[:1] not in {"=", "@", "\t", "\r"}
    if cell[:1] in {"+", "-"}:
        float(cell.replace(",", "."))


def test_columns_are_recognized_by_their_names():
    names = ["E-mail Address", "Full Name", "TAGS", "id", "", "attributes.plan", "2nd", "Имя", "created_at"]
    assert columns_of("leads", names, {}) == [
        "email", "name", "tags", None, None, "attributes.plan", "attributes.x_2nd", "attributes.column_8", None,
    ]  # fmt: skip
    assert columns_of("suppressions", ["mail", "reason", "city"], {}) == ["email", "reason", None]
    long = columns_of("leads", ["email", "x" * 200], {})[1]
    assert (long, len(long)) == ("attributes." + "x" * 40, 51)
    with pytest.raises(InvalidPayload, match="a column cannot become"):
        columns_of("suppressions", ["email", "x"], {"x": "attributes.x"})


@pytest.mark.parametrize(
    ("text", "written", "key"),
    [
        (" Ada@Example.COM ", "Ada@example.com", "ada@example.com"),
        ("ada.l+news@example.co.uk", "ada.l+news@example.co.uk", "ada.l+news@example.co.uk"),
        ("a@Bücher.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        (
            "".join(chr(ord(character) + 0xFEE0) for character in "ada@example.com"),
            "ada@example.com",
            "ada@example.com",
        ),
        ("Jürgen@example.de", "Jürgen@example.de", "jürgen@example.de"),
        ("O'Neill@example.com", "O'Neill@example.com", "o'neill@example.com"),
    ],
)
def test_an_address_has_one_key_however_it_is_spelt(text, written, key):
    assert parse_email(text) == (written, key)
    assert normalise_email(written) == normalise_email(key) == key


@_QUICK
@given(st.text(max_size=30) | st.from_regex(r"\A[^@]{0,8}@[^@]{0,12}\.[a-z]{2,3}\Z"))
def test_what_is_an_address_is_one_line_and_keeps_its_key(text):
    try:
        address = parse_email(text)
    except InvalidEmail:
        return
    assert normalise_email(address.key) == normalise_email(address.written) == address.key
    assert not set(address.written) & set('\r\n\t <>,;:"()[]\\')
