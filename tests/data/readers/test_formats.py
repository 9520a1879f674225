"""One row, many formats: each must give the same columns and values, without holding the file."""

import contextlib
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from untrac_core.data.readers.base import Piece, Tally
from untrac_core.data.readers.formats import format_of, rows_in
from untrac_core.data.readers.records import read_records
from untrac_core.data.readers.tables import _compressed
from untrac_core.errors import InputError

ROWS = [
    {"text": "one, two", "meta": {"source": "shore", "n": 1, "deep": {"x": None}}, "tags": ["a", "b"], "ok": True},
    {"text": "line\nbreak — é", "meta": {"source": "loom", "n": 2, "deep": {"x": "y"}}, "tags": [], "ok": False},
]
FLAT = [
    {"text": "one, two", "meta.source": "shore", "meta.n": "1", "meta.deep.x": "", "tags": '["a", "b"]', "ok": "true"},
    {"text": "line\nbreak — é", "meta.source": "loom", "meta.n": "2", "meta.deep.x": "y", "tags": "[]", "ok": "false"},
]


def arrow(rows, *, stream, packed=False):
    held, table = io.BytesIO(), pa.Table.from_pylist(rows)
    options = pa.ipc.IpcWriteOptions(compression="zstd" if packed else None)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(held, table.schema, options=options) as writer:
        writer.write_table(table)
    return held.getvalue()


def parquet(rows, **more):
    held = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), held, **more)
    return held.getvalue()


JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
FILES = {
    "a.jsonl": JSONL,
    "a.ndjson": JSONL,
    "a.jsonl.gz": gzip.compress(JSONL),
    "lines.json": JSONL,
    "array.json": json.dumps(ROWS, indent=2).encode(),
    "short.json": json.dumps(ROWS).encode(),
    "a.json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "held.json": json.dumps({"version": 3, "data": ROWS}, indent=1).encode(),
    "held_short.json": json.dumps({"version": 3, "data": ROWS}).encode(),
    "a.parquet": parquet(ROWS),
    "groups.parquet": parquet(ROWS, row_group_size=1, compression="zstd"),
    "a.arrow": arrow(ROWS, stream=False),
    "stream.arrow": arrow(ROWS, stream=True),
}


@pytest.mark.parametrize("name", FILES)
def test_nested_records_read_alike(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    assert read_records(tmp_path / name).rows == FLAT


@pytest.mark.parametrize("name", [name for name in FILES if name != "held.json"])
def test_a_pass_ends_where_it_may_not_read_on(name):
    by_line = name in ("a.jsonl", "a.ndjson", "lines.json", "array.json", "a.jsonl.gz")
    tally = Tally(most=len(FILES["array.json" if name == "array.json" else "a.jsonl"]) - 5 if by_line else 60)
    rows = list(rows_in(Piece(name, "", tally), io.BytesIO(FILES[name])))
    assert tally.bounded
    assert [row for _, row in rows] == FLAT[: len(rows)]
    assert len(rows) == (1 if by_line or name.endswith(("parquet", "arrow")) else 0)


@pytest.mark.parametrize("text", ['{"text": "one"}', '\n\n{"text": "one"}\n \n\n'])
def test_a_record_that_is_alone_in_its_file_is_one_row(tmp_path, text):
    for name in ("a.json", "a.jsonl"):
        (tmp_path / name).write_text(text)
        assert read_records(tmp_path / name).rows == [{"text": "one"}]


def test_only_an_object_that_is_the_whole_file_holds_rows(tmp_path):
    held = json.dumps({"version": 3, "data": ROWS})
    (tmp_path / "a.jsonl").write_text(held)
    (tmp_path / "b.json").write_text(f"\n{held}\n\n\n{held}\n")
    assert len(read_records(tmp_path / "a.jsonl").rows) == 1
    both = read_records(tmp_path / "b.json")
    assert [row["version"] for row in both.rows] == ["3", "3"]
    assert both.lines == [2, 5]


def test_a_line_after_which_a_pass_may_not_read_on_is_a_row():
    held = json.dumps({"version": 3, "data": ROWS}) + "\n"
    for after in (held, "\n" + held):
        tally = Tally(most=len(held) + 5)
        ((_, row),) = rows_in(Piece("b.json", "", tally), io.BytesIO((held + after).encode()))
        assert tally.bounded
        assert row["version"] == "3"


def test_one_object_is_read_whole_or_not_at_all():
    with pytest.raises(InputError, match="is one JSON object of over"):
        list(rows_in(Piece("held.json", "", Tally(most=100)), io.BytesIO(FILES["held.json"])))


def test_columns_of_lists_are_columns(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"text": ["a", "b"], "label": [1, 0]}, indent=1))
    assert read_records(tmp_path / "a.json").rows == [{"text": "a", "label": "1"}, {"text": "b", "label": "0"}]


def test_a_long_json_array_is_read_in_pieces(tmp_path):
    rows = [{"id": i, "text": f"net {i} " + "tide " * (i % 700)} for i in range(3000)]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=1))
    (tmp_path / "b.json").write_text(json.dumps(rows))
    first = read_records(tmp_path / "a.json")
    assert [row["id"] for row in first.rows] == [str(i) for i in range(3000)]
    assert first.rows == read_records(tmp_path / "b.json").rows
    assert first.lines == [2 + 4 * i for i in range(3000)]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_csv_with_another_separator(tmp_path, separator):
    (tmp_path / "a.csv").write_text(f'text{separator}label\n"one{separator} two"{separator}x\n')
    assert read_records(tmp_path / "a.csv").rows == [{"text": f"one{separator} two", "label": "x"}]


def test_a_first_column_without_a_name_is_named(tmp_path):
    (tmp_path / "a.csv").write_text(",text\n0,one\n1,two\n")
    assert read_records(tmp_path / "a.csv").columns == ["column 1", "text"]


def test_old_line_ends(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text,label\rone,x\rtwo,y\r")
    assert [row["text"] for row in read_records(tmp_path / "a.csv").rows] == ["one", "two"]
    (tmp_path / "b.csv").write_bytes(b'text,label\r\n"one\r\ntwo",x\r\n')
    assert read_records(tmp_path / "b.csv").rows[0]["text"] == "one\r\ntwo"


def test_pictures_are_left_out(tmp_path):
    rows = [{"text": "a", "image": {"bytes": b"\x89PNG", "path": "a.png"}, "raw": b"xx"}]
    (tmp_path / "a.parquet").write_bytes(parquet(rows))
    assert read_records(tmp_path / "a.parquet").columns == ["text"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("A.JSONL", ("jsonl", False)),
        ("a.csv.gz", ("csv", True)),
        ("a.parquet.gz", None),
        ("csv", None),
        ("a.gz", None),
        ("train-00000-of-00002.parquet", ("parquet", False)),
    ],
)
def test_a_name_tells_the_format(name, kind):
    assert format_of(name) == kind


def test_what_a_parquet_page_unpacks_to_is_bounded_whatever_the_footer_says(tmp_path):
    bomb = parquet([{"text": "a" * 1_000_000}] * 300, use_dictionary=False, data_page_size=1 << 30, compression="zstd")
    assert len(bomb) < 100_000
    pool, usual = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    (tmp_path / "a.parquet").write_bytes(bomb)
    pa.set_memory_pool(pool)
    try:
        with pytest.raises(InputError, match="has a page that unpacks to 300 MB"):
            read_records(tmp_path / "a.parquet")
    finally:
        pa.set_memory_pool(usual)
    assert pool.max_memory() < 10e6


def test_a_repeated_long_value_is_read_a_few_rows_at_a_time(tmp_path):
    value = pa.DictionaryArray.from_arrays(pa.array([0] * 5_000, pa.int32()), pa.array(["a" * 900_000]))
    held = io.BytesIO()
    pq.write_table(pa.table({"text": value}), held)
    assert held.tell() < 100_000
    (tmp_path / "a.parquet").write_bytes(held.getvalue())
    with pytest.raises(InputError, match="more than 256 MB of text"):
        read_records(tmp_path / "a.parquet")
    assert len(read_records(tmp_path / "a.parquet", rows=10).rows) == 10


def test_a_compressed_arrow_file_is_refused(tmp_path):
    (tmp_path / "a.arrow").write_bytes(arrow([{"text": "a" * 1000}] * 100, stream=True, packed=True))
    with pytest.raises(InputError, match=r"is a compressed arrow file\. Save it as parquet"):
        read_records(tmp_path / "a.arrow")


def test_a_compressed_dictionary_is_seen():
    schema = pa.schema([("text", pa.dictionary(pa.int32(), pa.string()))])
    values = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int32()), pa.array(["a" * 100_000]))
    for codec in (None, "zstd"):
        held = io.BytesIO()
        with pa.ipc.new_stream(held, schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
            writer.write_batch(pa.record_batch([values], schema=schema))
        kinds = {m.type: m.metadata.to_pybytes() for m in pa.ipc.MessageReader.open_stream(held.getvalue())}
        told = {kind: _compressed(kinds[kind], kind) for kind in ("dictionary", "record batch")}
        assert told == dict.fromkeys(told, codec is not None)


def test_offsets_that_point_outside_are_refused(tmp_path):
    data = bytearray(arrow([{"text": "abcdefgh"}] * 3, stream=True))
    at = data.index((8).to_bytes(4, "little") + (16).to_bytes(4, "little") + (24).to_bytes(4, "little"))
    data[at : at + 4] = (2**30).to_bytes(4, "little")
    (tmp_path / "a.arrow").write_bytes(bytes(data))
    with pytest.raises(InputError, match="is not an arrow file that can be read"):
        read_records(tmp_path / "a.arrow")


def test_spoilt_bytes_never_end_in_another_error(tmp_path):
    import random

    draw = random.Random(0)
    for whole, name in ((parquet(ROWS * 20), "a.parquet"), (arrow(ROWS * 20, stream=True), "a.arrow")):
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(draw.randrange(1, 6)):
                data[draw.randrange(len(data))] = draw.randrange(256)
            (tmp_path / name).write_bytes(bytes(data))
            with contextlib.suppress(InputError):
                read_records(tmp_path / name)
