"""Data sets on the hub: configs, splits and files; large ones in parts; cards that lead astray."""

import io
import random
import time

import pyarrow
import pyarrow.parquet
import pytest

from tests.helpers.asking import CARD, Ticks, one_line
from untrac_core.errors import Cancelled, InputError
from untrac_core.hub import datasets
from untrac_core.specs import Source

TRAIN = {"train.csv": "text\nnet\n"}


def test_configs_splits_and_files(stand_in, served):
    assert datasets.configs("guild/tales") == ["sea", "hill"]
    assert datasets.splits("guild/tales", "sea") == ["train", "test"]
    assert datasets.configs("guild/plain") == ["default"]
    assert datasets.splits("guild/plain") == ["train", "test"]
    [file] = datasets.data_files(Source(hub="guild/tales", config="hill", split="test"))
    path = served / "datasets/guild/tales" / file.name
    assert file.name == "hill/test-00000-of-00001.parquet"
    assert file.size == path.stat().st_size
    assert file.identity == f"guild/tales@{stand_in.commit('datasets', 'guild/tales')}/{file.name}"
    with file.open() as data:
        table = pyarrow.parquet.read_table(data)
    assert table["text"][3].as_py() == "hill test 3"
    # A commit's listing never changes, so it is asked for once.
    before = len(stand_in.requests)
    assert datasets.data_files(Source(hub="guild/tales", config="hill", split="test", revision=file.sha)) == [file]
    assert len(stand_in.requests) == before


def test_large_files_are_read_in_parts_and_not_kept(stand_in, served, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "WHOLE", 0)
    monkeypatch.setattr(datasets, "BLOCK", 100_000)
    original = (served / "datasets/guild/plain/train.jsonl").read_bytes()
    progress = Ticks()
    [file] = datasets.data_files(Source(hub="guild/plain"), progress)
    stand_in.requests.clear()
    with file.open() as data:
        assert data.readline() == original.split(b"\n", 1)[0] + b"\n"
        assert len([path for path in stand_in.paths() if "/large/" in path]) == 1
        draw = random.Random(1)
        for _ in range(50):
            at, size = draw.randrange(len(original)), draw.randrange(1, 150_000)
            data.seek(at)
            assert data.read(size) == original[at : at + size]
        assert data.seek(-10, io.SEEK_END) == len(original) - 10
        assert data.read() == original[-10:]
        data.seek(0)
        assert data.read() == original
    assert progress.ticks[-1] == (len(original), len(original))
    assert all(done <= total for done, total in progress.ticks)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size > 10**5]
    [file] = datasets.data_files(Source(hub="guild/tales", config="sea"))
    assert pyarrow.parquet.ParquetFile(file.open()).read_row_group(4, ["text"])["text"][0].as_py() == "sea train 400"
    with pytest.raises(Cancelled):
        pyarrow.parquet.read_table(
            datasets.data_files(Source(hub="guild/tales", config="sea"), Ticks(stop_at=1))[0].open()
        )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"hub": "guild/tales"}, "several configs and none is named. They are 'sea', 'hill'"),
        ({"hub": "guild/tales", "config": "lake"}, "no config 'lake'. Its configs are 'sea', 'hill'"),
        ({"hub": "guild/tales", "config": "sea", "split": "dev"}, "no split 'dev'. Its splits are 'train', 'test'"),
        ({"hub": "guild/plain", "revision": "never"}, "has no revision 'never'"),
        ({"hub": "guild/none"}, "the hub has no data set 'guild/none'"),
        ({"hub": "../none"}, "is not a hub id"),
        ({"hub": "json"}, "'json' is a format"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_said(stand_in, values, says):
    with pytest.raises(InputError) as caught:
        datasets.data_files(Source(**values))
    assert says in one_line(caught)


@pytest.mark.parametrize(
    "place",
    ["https://elsewhere.invalid/x.csv", "/etc/passwd", "../../x.csv", "hf://datasets/other/x/y.csv", "zip://a::b.zip"],
)
def test_a_card_that_points_elsewhere_is_refused(stand_in, data_set, place):
    card = CARD.format(f"- config_name: a\n  data_files:\n  - split: train\n    path: {place}\n")
    name = data_set(**TRAIN, **{"README.md": card})
    with pytest.raises(InputError, match="points to data elsewhere"):
        datasets.data_files(Source(hub=name))
    assert all(name in path for path in stand_in.paths())


def test_a_script_is_refused_and_not_fetched(stand_in, data_set):
    name = data_set(**TRAIN, **{"own.py": "raise SystemExit('this must never run')\n"})
    with pytest.raises(InputError, match=r"it is a script \(own\.py\)"):
        datasets.configs(name)
    assert not [path for path in stand_in.paths() if path.endswith(".py")]


def test_a_data_set_without_data_is_one_line(data_set):
    name = data_set(**{"README.md": "# nothing\n"})
    with pytest.raises(InputError) as caught:
        datasets.data_files(Source(hub=name))
    assert "no data files" in one_line(caught)


def test_a_local_folder_does_not_pass_for_a_data_set_on_the_hub(stand_in, tmp_path, monkeypatch):
    (tmp_path / "guild/plain").mkdir(parents=True)
    (tmp_path / "guild/plain/train.csv").write_text("text\nlocal\n")
    monkeypatch.chdir(tmp_path)
    assert [file.name for file in datasets.data_files(Source(hub="guild/plain"))] == ["train.jsonl"]


ALIASES = "- &a0 [x, x]\n" + "".join(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 15))
MERGED = "- &a0 {x: x}\n" + "".join(f"- &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 9))


@pytest.mark.parametrize("values", [ALIASES, MERGED, "- &a [x, *a]\n"])
def test_a_card_that_grows_by_its_aliases_is_refused(data_set, values):
    name = data_set(**TRAIN, **{"README.md": CARD.format(values)})
    before = time.process_time()
    with pytest.raises(InputError, match="its card is too large"):
        datasets.data_files(Source(hub=name))
    assert time.process_time() - before < 10


ELSEWHERE = CARD.format(
    "- config_name: a\n  data_files:\n  - split: train\n    path: https://elsewhere.invalid/x.csv\n"
)


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ("\n" + ELSEWHERE, "points to data elsewhere"),
        ("\ufeff" + ELSEWHERE, "points to data elsewhere"),
        (ELSEWHERE.replace("\n", "\r\n"), "points to data elsewhere"),
        (ELSEWHERE.replace("configs:", "---x: 1\nconfigs:"), "points to data elsewhere"),
        (ELSEWHERE.replace("---\n", "--- \n").replace("--- \n", "---\n", 1), "points to data elsewhere"),
        (ELSEWHERE.replace("configs:", "# nets and looms\n" * 125_000 + "configs:"), "its card is too large"),
        ("\n" + CARD.format(ALIASES), "its card is too large"),
    ],
    ids=["line before", "mark before", "other line ends", "key", "space after", "comments", "aliases"],
)
def test_a_card_is_read_as_the_library_reads_it(stand_in, data_set, card, says):
    name = data_set(**TRAIN)
    (stand_in.root / "datasets" / name / "README.md").write_bytes(card.encode())
    before = time.process_time()
    with pytest.raises(InputError, match=says):
        datasets.data_files(Source(hub=name))
    assert time.process_time() - before < 10


def test_a_long_text_below_the_front_matter_is_no_matter(data_set):
    card = "- config_name: a\n  data_files: train.csv\n"
    name = data_set(**TRAIN, **{"README.md": CARD.format(card) + "nets and looms\n" * 150_000})
    assert datasets.configs(name) == ["a"]


def test_a_card_may_use_aliases(data_set):
    files = "  data_files: {}train.csv\n"
    card = "- config_name: a\n" + files.format("&f ") + "- config_name: b\n  data_files: *f\n"
    assert datasets.configs(data_set(**TRAIN, **{"README.md": CARD.format(card)})) == ["a", "b"]
