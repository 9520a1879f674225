import io
import shutil
import zipfile

import pandas as pd

from untrac_core.paths import DEMO
from untrac_core.results.export import file_part, guarded_csv, zipped


def test_no_cell_begins_as_a_formula():
    frame = pd.DataFrame({"name": ["=1+1", "@x", "-y", "\tz", "plain"], "value": [-1.0, 2.0, 3.0, 4.0, 5.0]})
    back = pd.read_csv(io.BytesIO(guarded_csv(frame)))
    assert back["name"].tolist() == ["'=1+1", "'@x", "'-y", "'\tz", "plain"]
    assert back["value"].tolist() == frame["value"].tolist()


def test_a_zip_has_the_result_s_own_files_and_the_same_bytes_each_time(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(DEMO / "run", folder)
    (folder / ".part").write_text("x")
    (folder / "other.txt").write_text("x")
    packed = zipped(folder)
    (folder / "spec.yaml").touch()
    assert zipped(folder) == packed
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        names = {name.removeprefix("untrac-run/") for name in archive.namelist()}
        assert names == {file.name for file in (DEMO / "run").iterdir()}
        assert archive.read("untrac-run/spec.yaml") == (DEMO / "run" / "spec.yaml").read_bytes()


def test_a_part_of_a_file_s_name_is_plain():
    assert file_part("../a b/<i>.png") == "a-b-i-png"
    assert file_part("«»") == "result"
    assert len(file_part("x" * 200)) == 40
