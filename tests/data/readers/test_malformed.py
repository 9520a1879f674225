import time

import pytest

from tests.helpers.malformed import KINDS, malformed
from untrac_core.data.readers.records import preview, read_records
from untrac_core.data.subsets import load_subset
from untrac_core.errors import InputError
from untrac_core.specs import Source, Subset


def refusal(call):
    """The one line with which a call is refused, and the seconds of computing that it took."""
    started = time.process_time()
    with pytest.raises(InputError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 600
    assert "Traceback" not in line
    return line, time.process_time() - started


@pytest.mark.parametrize("kind", KINDS)
def test_malformed_files_are_refused_with_one_line(tmp_path, kind):
    count = 0
    for file in malformed(kinds={kind}):
        count += 1
        path = tmp_path / file.name
        path.write_bytes(file.data)
        for call in (lambda p=path: read_records(p), lambda p=path: preview(p)):
            line, seconds = refusal(call)
            assert " ".join(path.name.split()).split(".")[0][:10] in line
            assert seconds < 10, file
        path.unlink()
    assert count == KINDS[kind][1]


def test_there_are_three_hundred_and_the_same_each_time():
    first = [(file.name, hash(file.data)) for file in malformed()]
    assert len(first) >= 300
    assert first == [(file.name, hash(file.data)) for file in malformed()]


def test_subsets_refuse_them_too_and_keep_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("UNTRAC_HOME", str(tmp_path / "home"))
    for file in malformed(share=0.1):
        if file.fault in ("huge field", "columns", "gzip bomb", "parquet bomb"):  # long fields are cut, and counted
            continue
        path = tmp_path / file.name
        path.write_bytes(file.data)
        refusal(lambda p=path: load_subset(Subset(name="a", source=Source(file=str(p)))))
        path.unlink()
    assert not (tmp_path / "home" / "samples").exists()
