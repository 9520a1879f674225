import gzip
import json
import os
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.worlds import NAMES_OF_BYTES, WORDS, sentences, write_jsonl
from untrac_core.data.readers import sampling as samples
from untrac_core.data.subsets import load_subset, load_subsets
from untrac_core.errors import InputError
from untrac_core.specs import RowFilter, Source, Subset


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def mixed(tmp_path):
    """900 documents of three trades in one file, told apart by a nested column."""
    rows = [
        {"id": f"{name}-{i}", "text": text, "meta": {"trade": name}, "asked": f"What do {name} do?"}
        for i in range(300)
        for name, text in zip(WORDS, (sentences(name, 300, 0)[i] for name in WORDS), strict=True)
    ]
    return Source(file=str(write_jsonl(tmp_path / "mixed.jsonl", rows)))


def split(source, names=WORDS, **more):
    return [Subset(name=n, source=source, where=RowFilter(column="meta.trade", value=n), **more) for n in names]


@pytest.fixture
def passes(monkeypatch):
    """How often a source is read."""
    counted = []
    usual = samples._pass
    monkeypatch.setattr(samples, "_pass", lambda *given: counted.append(given) or usual(*given))
    return counted


def small_limits(monkeypatch, keep=20_000):
    """Limits so small that a test's file is a large one."""
    monkeypatch.setattr(samples, "SMALL_BYTES", 1000)
    monkeypatch.setattr("untrac_core.data.subsets.PASS_BYTES", keep)


def test_a_split_costs_one_pass_and_loses_nothing(mixed, passes, home):
    loaded = load_subsets(split(mixed))
    assert len(passes) == 1
    assert list(loaded) == list(WORDS)
    for name, data in loaded.items():
        assert {document.id for document in data.documents} == {f"{name}-{i}" for i in range(300)}
        assert (data.seen, data.whole, data.notes) == (300, True, [])
        assert data.characters == sum(len(document.text) for document in data.documents)
    assert len({data.digest for data in loaded.values()}) == 3
    assert load_subset(split(mixed)[1]).documents == loaded["weavers"].documents
    assert not home.exists() or not (home / "samples").exists()  # a small source is read again


def test_a_split_equals_a_file_of_its_own(mixed, tmp_path, home):
    with open(mixed.file) as file:
        rows = [json.loads(line) for line in file]
    own = write_jsonl(tmp_path / "own.jsonl", [row for row in rows if row["meta"]["trade"] == "smiths"])
    alone = load_subset(Subset(name="smiths", source=Source(file=str(own))))
    assert [d.text for d in alone.documents] == [d.text for d in load_subset(split(mixed)[2]).documents]


def test_rows_are_left_out_and_the_others_keep_their_order(mixed, home):
    whole = load_subset(split(mixed)[0])
    gone = [document.id for document in whole.documents[3:9]]
    less = load_subset(split(mixed, without=[*gone, "absent"])[0])
    assert less.documents == [document for document in whole.documents if document.id not in gone]
    assert less.notes == [f"subset {less.spec.name!r}: left out, as asked: 6 rows; not found: 1"]
    assert (less.seen, less.characters) == (294, sum(len(document.text) for document in less.documents))
    assert less.digest != whole.digest
    with pytest.raises(InputError, match="every row is left out"):
        load_subset(split(mixed, without=[document.id for document in whole.documents])[0])


def test_a_large_source_is_sampled_said_and_kept(mixed, passes, home, monkeypatch):
    small_limits(monkeypatch)
    first = load_subsets(split(mixed))
    for name, data in first.items():
        assert 15 < len(data.documents) < 40
        assert (data.seen, data.whole) == (300, False)
        assert f"subset {name!r}: a fixed random {len(data.documents)} of 300 documents are held" in data.notes[-1]
        assert {document.id for document in data.documents} < {f"{name}-{i}" for i in range(300)}
    assert load_subsets(split(mixed)) == first
    assert len(passes) == 1
    for path in (home / "samples").iterdir():
        assert path.stat().st_mode & 0o077 == 0
        path.unlink()
    assert load_subsets(split(mixed)) == first  # the same bytes from a pass of its own
    assert len(passes) == 2


def test_a_changed_file_and_a_broken_sample_are_read_anew(mixed, passes, home, monkeypatch):
    small_limits(monkeypatch)
    spec = Subset(name="all", source=mixed)
    first = load_subset(spec)
    (sample,) = (home / "samples").iterdir()
    sample.write_bytes(sample.read_bytes()[:-300])
    assert load_subset(spec) == first
    assert len(passes) == 2
    with open(mixed.file, "a") as file:
        file.write(json.dumps({"text": "more"}) + "\n")
    assert load_subset(spec).seen == 901
    assert len(passes) == 3


def test_samples_are_swept(mixed, home, monkeypatch):
    small_limits(monkeypatch)
    monkeypatch.setattr(samples, "KEPT_BYTES", 1)
    load_subset(Subset(name="all", source=mixed))
    assert list((home / "samples").iterdir()) == []


def test_a_bounded_scan_is_said(tmp_path, home):
    text = "The gull and the rope wait. " * 40
    write_jsonl(tmp_path / "a.jsonl", [{"text": f"{i} {text}"} for i in range(2000)])
    data = load_subset(Subset(name="a", source=Source(file=str(tmp_path / "a.jsonl"), max_read_mb=1)))
    assert 800 < len(data.documents) < 900
    assert not data.whole
    assert "the first 1 MB of text" in data.notes[0]
    assert "(scan)" in data.notes[0]


def test_given_text_is_kept_beside_what_is_scored(mixed, home):
    data = load_subset(split(mixed, ["smiths"], prompt="asked")[0])
    assert {document.prompt for document in data.documents} == {"What do smiths do?"}
    assert data.digest != load_subset(split(mixed, ["smiths"])[0]).digest


def test_long_documents_are_cut_and_counted(tmp_path, home):
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x" * 1_500_000}, {"text": "y"}])
    data = load_subset(Subset(name="a", source=Source(file=str(tmp_path / "a.jsonl"))))
    assert sorted(len(document.text) for document in data.documents) == [1, 1_000_000]
    assert "1 fields of its source are cut to 1,000,000 characters" in data.notes[0]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"text": "body"}, "has no column 'body'. Its columns are 'id', 'text', 'meta.trade', 'asked'"),
        ({"prompt": "given"}, "has no column 'given'"),
        ({"where": RowFilter(column="meta.origin", value="x")}, "has no column 'meta.origin'"),
        ({"where": RowFilter(column="meta.trade", value="bakers")}, "no row has 'bakers'.*Values there: 'fishers'"),
    ],
)
def test_columns_and_values_that_are_not_there(mixed, home, more, says):
    with pytest.raises(InputError, match=says):
        load_subset(Subset(name="a", source=mixed, **more))


def test_a_folder_is_one_subset_whose_documents_say_their_file(tmp_path, home):
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(f"{name} of the boats\n\nand {name} of the nets\n\n")
    data = load_subset(Subset(name="all", source=Source(folder=str(tmp_path))))
    assert sorted(document.id for document in data.documents) == [
        "one.txt line 1", "one.txt line 3", "two.txt line 1", "two.txt line 3",
    ]  # fmt: skip


def bundle(folder, kind, files=6, rows=2500):
    """Files that hold more text than they have bytes, 2.5 MB in all; each document names its file."""
    folder.mkdir()
    for k in range(files):
        texts = [f"file {k} " + f"The boat {i} and the net wait by the tide. " * 4 for i in range(rows)]
        if kind == "parquet":
            pq.write_table(pa.table({"text": texts}), folder / f"p{k}.parquet", compression="zstd")
        else:
            lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
            (folder / f"p{k}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return folder


@pytest.mark.parametrize("kind", ["gz", "parquet"])
def test_a_bounded_pass_over_compressed_files_takes_them_at_random(tmp_path, home, kind):
    folder = bundle(tmp_path / "d", kind)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
    data = load_subset(Subset(name="a", source=Source(folder=str(folder), max_read_mb=1)))
    read = Counter(document.text.split()[1] for document in data.documents)
    assert set(read) != {"0", "1", "2"}  # the first in the order of their names
    assert len(read) == 3
    assert "in 3 of 6 files, taken at random" in data.notes[0]
    assert data.seen == len(data.documents) == sum(read.values())  # the first attempt counts for nothing
    again = load_subset(Subset(name="a", source=Source(folder=str(folder), max_read_mb=1)))
    assert (again.documents, again.digest) == (data.documents, data.digest)


def test_compressed_files_that_are_read_whole_stay_in_the_order_of_their_names(tmp_path, passes, home):
    folder = bundle(tmp_path / "d", "gz", rows=40)
    packed = load_subset(Subset(name="a", source=Source(folder=str(folder), max_read_mb=1)))
    for path in list(folder.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    plain = load_subset(Subset(name="a", source=Source(folder=str(folder))))
    assert [d.text for d in packed.documents] == [d.text for d in plain.documents]
    assert (packed.whole, packed.scale, packed.notes, len(passes)) == (True, 1, [], 2)


@pytest.mark.parametrize("kind", ["jsonl", "gz", "parquet", "arrow"])
def test_a_bounded_pass_tells_how_much_larger_the_source_is(tmp_path, home, kind):
    texts = [f"{i} {os.urandom(400).hex()}" for i in range(5000)]  # 4 MB
    path = tmp_path / ("a.jsonl.gz" if kind == "gz" else f"a.{kind}")
    if kind == "parquet":
        pq.write_table(pa.table({"text": texts}), path)
    elif kind == "arrow":
        table = pa.table({"text": texts})
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    else:
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
        path.write_bytes(gzip.compress(lines) if kind == "gz" else lines)
    data = load_subset(Subset(name="a", source=Source(file=str(path), max_read_mb=1)))
    assert data.seen < 1300
    assert data.seen * data.scale == pytest.approx(5000, rel=0.1)


def test_a_column_that_begins_late_is_known(tmp_path, home, monkeypatch):
    monkeypatch.setattr(samples, "UNKNOWN_ROWS", 150)
    rows = [{"trade": "net", "text": f"net {i}"} for i in range(300)]
    rows += [{"trade": "loom", "content": f"loom {i}"} for i in range(30)]
    source = Source(file=str(write_jsonl(tmp_path / "a.jsonl", rows)))
    loom = RowFilter(column="trade", value="loom")
    assert len(load_subset(Subset(name="a", source=source, text="content", where=loom)).documents) == 30
    with pytest.raises(InputError, match="has no column 'body'"):
        load_subset(Subset(name="a", source=source, text="body", where=loom))
    with pytest.raises(InputError, match="has no column 'body'"):
        load_subset(Subset(name="a", source=source, text="body"))


@NAMES_OF_BYTES
def test_a_file_name_that_is_not_utf8_can_be_kept(tmp_path, home, monkeypatch):
    small_limits(monkeypatch)
    folder = tmp_path / "d"
    folder.mkdir()
    write_jsonl(folder / os.fsdecode(b"net\xff.jsonl"), [{"text": "The net waits. " * 20}] * 20)
    write_jsonl(folder / "loom.jsonl", [{"text": "The loom waits."}])
    data = load_subset(Subset(name="a", source=Source(folder=str(folder))))
    assert len(json.dumps([d.id for d in data.documents], ensure_ascii=False).encode()) > 0
    assert {d.id.split(" line")[0] for d in data.documents} == {"net\\udcff.jsonl", "loom.jsonl"}
    (kept,) = (home / "samples").iterdir()
    assert kept.name.endswith(".jsonl.gz")


def test_a_sample_that_cannot_be_written_leaves_nothing(mixed, home, monkeypatch):
    small_limits(monkeypatch)
    load_subset(Subset(name="all", source=mixed))
    (kept,) = (home / "samples").iterdir()
    sample = samples._load(kept)
    old, new = kept.with_name(".a.jsonl.gz.1.part"), kept.with_name(".b.jsonl.gz.2.part")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    samples.keep_sample(kept, sample)
    assert (old.exists(), new.exists()) == (False, True)  # another process may still write the new one
    new.unlink()
    broken = samples.Document("\udcff", "text", 1)
    samples.keep_sample(kept, samples.Sample(**{**vars(sample), "documents": [broken]}))
    assert list((home / "samples").iterdir()) == [kept]
