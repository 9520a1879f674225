"""How often negative controls pass, counted over runs."""

from benchmarks.accuracy.controls import spec_of, tally


def row(control, method, passed):
    return {"control": control, "method": method, "passed": passed}


def test_a_run_passes_where_all_its_prompt_sets_do():
    runs = {
        "0": [row("mixed", None, True), row("mixed", None, True), row("mixed", "bm25", None)],
        "1": [row("mixed", None, True), row("mixed", None, False), row("mixed", "bm25", True)],
    }
    assert tally(runs) == [
        {"control": "mixed", "of": "bm25", "runs": 1, "passed": 1},
        {"control": "mixed", "of": "retraining", "runs": 2, "passed": 1},
    ]


def test_every_run_has_texts_of_its_own(tmp_path):
    specs = []
    for number in (0, 1):
        (tmp_path / str(number)).mkdir()
        specs.append(spec_of(number, tmp_path / str(number)))
    names = [[subset.name for subset in spec.subsets] for spec in specs]
    assert names[0] != names[1]
    assert [spec.seeds for spec in specs] == [[0], [1]]
