import json
import os
from pathlib import Path

import pandas as pd
import pytest

from pages.components.forms.refill import LEFT_OUT
from tests.helpers.making import HOSTILE, enqueue, finish, no_markup, said, sound, spec_of, write_result
from untrac_core.engine import DEMO_RUN
from untrac_core.engine.checks import leaving
from untrac_core.results.folders import (
    EXAMPLES,
    GROUPS,
    ITEM_COLUMNS,
    PROMPT_EXAMPLES,
    TEXT_FEATURES,
    TOKENS,
    write_frame,
)

RUN = "bbbbbbbbbbbb"
NAMES = ["forum", "blog"]
TEXTS = ["the weavers sing", "the smiths hum", "the fishers shout"]


def examples(names, texts=TEXTS):
    rows = [
        (
            "prompts",
            "harmful",
            name,
            str(number),
            f"{name}.jsonl, line {number}",
            text,
            3,
            2.5,
            value,
            value - 0.02,
            value + 0.02,
        )
        for shift, name in enumerate(names)
        for number, (text, value) in enumerate(zip(texts, (0.05 + shift / 100, 0.01, -0.03), strict=True))
    ]
    columns = "prompt_set side subset id reference text tokens loss_before influence low high"
    return pd.DataFrame(rows, columns=columns.split())


def tokens(name, number, pieces, changes):
    rows = [
        ("prompts", "harmful", name, number, i, text, i > 0, 1.0, change, change - 0.01, change + 0.01)
        for i, (text, change) in enumerate(zip(pieces, changes, strict=True))
    ]
    columns = "prompt_set side subset id span text scored loss_before change low high"
    return pd.DataFrame(rows, columns=columns.split())


@pytest.fixture
def opened(page, store, tmp_path):
    """Open the page of a finished trace; ``change`` may write more files, and gets its folder and its summary."""

    def open_result(change=lambda folder, summary: None, names=NAMES, query=None, **more):
        spec = spec_of(names, tmp_path / "data", **more)
        enqueue(store, spec, RUN)
        folder = store.runs_folder / RUN
        write_result(folder, spec)
        if spec.method.name == "untrac-inv":
            write_frame(examples(names), folder / EXAMPLES)
        else:
            (folder / EXAMPLES).unlink()
        summary = json.loads((folder / "summary.json").read_text())
        change(folder, summary)
        (folder / "summary.json").write_text(json.dumps(summary))
        finish(store, RUN, "done")
        return page("pages/examples.py", run=RUN, **(query or {}))

    return open_result


def listed(at):
    return next(table.value for table in at.dataframe if "text" in table.value.columns)


def drawn(at):
    return [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]


def test_texts_are_masked_until_asked_for(page):
    at = page("pages/examples.py", run=DEMO_RUN, of_side="harmful")
    assert at.subheader[0].value == "Which training texts make toxic text more likely?"
    assert set("".join(listed(at)["text"])) <= {"•", " "}
    at.toggle(key="show_texts").set_value(True).run()
    assert any(letter.isalpha() for letter in "".join(listed(sound(at))["text"]))


def test_the_list_is_in_order_and_sifted(opened):
    at = opened()
    assert listed(at)["subset"].tolist()[:2] == ["blog", "forum"]
    assert listed(at)["influence"].is_monotonic_decreasing
    at.segmented_control(key="order").set_value("least influential").run()
    assert listed(sound(at))["influence"].is_monotonic_increasing
    at.toggle(key="clear").set_value(True).run()
    assert len(listed(sound(at))) == 4  # 0.01 with a margin of 0.02 includes zero
    at.text_input(key="part").set_value("WEAVERS").run()
    assert len(listed(sound(at))) == 2
    assert "2 of 2 texts that match, of 6" in said(at)
    at.text_input(key="part").set_value("no such words").run()
    assert "None of the 6 texts matches" in said(sound(at))


def test_the_address_chooses_subset_and_order(opened):
    at = opened(query={"subset": "forum", "order": "least influential"})
    assert "subset" not in listed(at).columns
    assert listed(at)["influence"].tolist() == pytest.approx([-0.03, 0.01, 0.05])
    assert "−0.030 nats per token" in said(at)
    at.selectbox(key="subset").set_value("all subsets").run()
    assert len(listed(sound(at))) == 6


def test_the_chosen_text_shows_the_change_of_its_tokens(opened):
    def change(folder, summary):
        write_frame(tokens("forum", "0", ["the", " weavers", " sing"], [0.0, 0.1, 0.05]), folder / TOKENS)

    at = opened(change, query={"subset": "forum"})
    heat, written = drawn(at)[0]["data"]
    assert max(value for value in heat["z"][0] if value is not None) == 0.1
    assert set("".join(written["text"])) <= {"•", "\u00a0"}
    assert "add up to +0.15 nats" in said(at)
    at.toggle(key="show_texts").set_value(True).run()
    assert drawn(sound(at))[0]["data"][1]["text"] == ["the\u00a0weavers\u00a0sing"]
    at.session_state["list_prompts_harmful_forum_most influential_False_"] = {"selection": {"rows": [1]}}
    at.run()
    assert "Token by token only the most and the least influential" in said(sound(at))
    assert "the smiths hum" in said(at)


def test_a_text_stands_in_its_document_and_the_next_one_is_a_button_away(page):
    at = page("pages/examples.py", run=DEMO_RUN, of_side="harmful", subset="forum")
    assert "text" not in at.query_params, "an address that is rewritten takes a second press of Back"
    at.toggle(key="show_texts").set_value(True).run()
    first = sound(at).dataframe[0].value["text"].iloc[0]
    written = " ".join(drawn(at)[0]["data"][1]["text"]).replace("\u00a0", " ")
    assert first[5:25] in written.replace("  ", " ") or first[5:25] in "".join(drawn(at)[0]["data"][1]["text"])
    assert len(drawn(at)[0]["data"]) == 3, "the highlight, the text, and the document around it"
    assert "forum.jsonl, line" in said(at)
    assert at.button(key="previous").disabled
    at.button(key="next").click().run()
    assert "2 of 200" in said(sound(at))
    assert at.query_params["text"]


def test_the_first_texts_are_exported_by_where_they_stand(opened):
    from pages.components.results import document_data
    from untrac_core.results.folders import load_trace

    opened()
    result = load_trace(Path(os.environ["UNTRAC_HOME"]) / "runs" / RUN)
    rows = examples(["forum"]).assign(reference="forum.jsonl, line 12", id="forum-12 @40 (2)")
    lines = [json.loads(line) for line in document_data.exported(result, rows).splitlines()]
    assert [line["rank"] for line in lines] == [1, 2, 3]
    place = {"subset": "forum", "file": "forum.jsonl", "line": 12, "row": "forum-12", "block": "forum-12 @40 (2)"}
    assert {name: lines[0][name] for name in place} == place
    assert "text" not in lines[0]
    found, why = document_data.passage_of(result, rows.iloc[0])
    assert found is None
    assert "not in its file" in why


def test_the_first_texts_are_left_out_of_a_trace_that_is_asked_again(page, store):
    at = page("pages/examples.py", run=DEMO_RUN)
    at.session_state["export_first"] = True
    at.run()
    listed = at.number_input(key="export_texts").value
    assert f"without the {listed} rows" in said(sound(at))
    at.button(key="trace_without").click().run()
    assert at.text_input(key="t_name").value.endswith(f", without {listed} rows")
    form = page("pages/trace.py")
    rows = {"forum": ["forum-0160", "forum-0079"], "blog": ["blog-0097"]}
    form.session_state[LEFT_OUT] = (DEMO_RUN, leaving(store.run(DEMO_RUN).spec, rows))
    form.query_params["like"] = DEMO_RUN
    form.run()
    assert "3 rows of these subsets are left out." in said(sound(form))
    held = form.session_state["t_without"]
    form.button(key="take_in_t_").click().run()
    assert "left out." not in said(sound(form))
    form.session_state["t_without"] = held
    form.run()
    form.button(key="start").click().run()
    [run] = [run for run in store.runs() if run.status == "queued"]
    assert {subset.name: subset.without for subset in run.spec.subsets if subset.without} == rows


def test_what_the_influential_have_in_common_is_said_and_drawn(opened):
    def change(folder, summary):
        rows = [("prompts", "harmful", "", "length", 60.0, 40.0, 0.8, 0.5, 1.1, 10, 90)]
        columns = "prompt_set side subset feature influential rest effect low high examples others"
        write_frame(pd.DataFrame(rows, columns=columns.split()), folder / TEXT_FEATURES)
        told = "The most influential texts are longer."
        summary["text_features"] = [{"prompt_set": "prompts", "side": "harmful", "subset": "", "text": told}]

    at = opened(change)
    assert "The most influential texts are longer." in said(at)
    assert drawn(at)[-1]["data"][0]["x"] == [0.8]
    at.selectbox(key="subset").set_value("forum").run()
    assert "made before texts were compared" in said(sound(at))


def items(names):
    rows = [
        (
            "prompts",
            "harmful",
            name,
            str(number),
            "weavers",
            "They",
            f" {text}",
            3,
            2.5,
            value,
            value - 0.01,
            value + 0.01,
        )
        for place, name in enumerate(names)
        for number, (text, value) in enumerate(zip(TEXTS, (0.05 - place / 10, 0.02, 0.0), strict=True))
    ]
    return pd.DataFrame(rows, columns=ITEM_COLUMNS)


def test_untrac_lists_prompts_and_what_moves_them(opened):
    names = [f"subset {i}" for i in range(20)]

    def change(folder, summary):
        write_frame(items(names), folder / PROMPT_EXAMPLES)

    at = opened(change, names=names, method={"name": "untrac"})
    assert at.subheader[0].value == "Which prompts does this subset move, and at which words?"
    assert len(listed(at)) == 3
    bars = drawn(at)[-1]["data"][0]
    assert bars["customdata"] == [*names[:6], *names[-6:]]
    assert "Which subsets move this prompt?" in said(at)
    at.selectbox(key="subset").set_value("subset 9").run()
    assert listed(sound(at))["influence"].max() == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("method", "why"), [("grad-dot", "GradDot looks at whole subsets"), ("untrac", "before single prompts were kept")]
)
def test_a_result_without_single_texts_says_so(opened, method, why):
    at = opened(lambda folder, summary: (folder / EXAMPLES).unlink(missing_ok=True), method={"name": method})
    assert why in said(at)
    assert [link.proto.page for link in at.get("page_link") if link.proto.label == "Back to the ranking"] == [
        "influence"
    ]


def test_hostile_names_and_texts_stay_text(opened):
    def change(folder, summary):
        write_frame(examples(HOSTILE, [HOSTILE[0], HOSTILE[1], "x"]), folder / EXAMPLES)
        write_frame(tokens(HOSTILE[2], "0", [HOSTILE[0], HOSTILE[1]], [0.0, 0.2]), folder / TOKENS)
        summary["text_features"] = [{"prompt_set": "prompts", "side": "harmful", "subset": "", "text": HOSTILE[0]}]

    at = opened(change, names=HOSTILE)
    at.toggle(key="show_texts").set_value(True).run()
    no_markup(sound(at))
    for spec in drawn(at):
        for trace in spec["data"]:
            trace.pop("customdata", None)  # never drawn
        assert "<a" not in json.dumps(spec)
        assert "<img" not in json.dumps(spec)


def test_an_unranked_side_is_empty_and_a_foreign_subset_is_all(opened):
    def change(folder, summary):
        write_frame(examples(NAMES).iloc[:0], folder / EXAMPLES)

    assert "this side was not ranked" in said(opened(change))


def write_more(folder, summary):
    """Every table of single texts, so that each can be damaged."""
    write_frame(tokens("forum", "0", ["the", " weavers", " sing"], [0.0, 0.1, 0.05]), folder / TOKENS)
    columns = "prompt_set side subset feature influential rest effect low high examples others"
    rows = [("prompts", "harmful", "", "length", 3.0, 2.0, 0.5, 0.1, 0.9, 2, 4)]
    write_frame(pd.DataFrame(rows, columns=columns.split()), folder / TEXT_FEATURES)


def test_a_foreign_subset_is_all(opened):
    assert set(listed(opened(query={"subset": "no such"}))["subset"]) == set(NAMES)


@pytest.mark.parametrize("name", [EXAMPLES, TOKENS, TEXT_FEATURES])
def test_a_damaged_table_is_one_line(opened, name):
    def change(folder, summary):
        write_more(folder, summary)
        (folder / name).write_bytes(b"{}")

    assert "a file is damaged" in said(opened(change))


@pytest.mark.parametrize("told", [{}, {"kind": "trace"}, {"ranking": [{"side": "harmful"}]}, {"ranking": []}])
def test_a_damaged_summary_is_one_line(opened, page, told):
    def change(folder, summary):
        summary.clear()
        summary.update(told)

    for file in ("pages/examples.py", "pages/influence.py"):
        at = opened(change) if file == "pages/examples.py" else page(file, run=RUN)
        assert "cannot be read" in said(at) or "leaves out a prompt set" in said(at)


def test_a_damaged_heatmap_is_one_line_on_the_influence_page(opened, page):
    opened(lambda folder, summary: (folder / GROUPS).write_bytes(b"{}"))
    assert "a file is damaged" in said(page("pages/influence.py", run=RUN))


def test_the_address_restores_filters_and_the_chosen_text(opened, page):
    query = {"subset": "blog", "part": "the", "clear": "true", "text": "2", "text_of": "blog"}
    at = opened(query=query)
    assert (at.text_input(key="part").value, at.toggle(key="clear").value) == ("the", True)
    assert {name: at.query_params[name] for name in query} == query
    assert "−0.03" in said(at)
    assert page("pages/examples.py", run=RUN, text="no such", text_of="blog").query_params["text"] == "0"
    assert "matches" in said(page("pages/examples.py", run=RUN, part="no such"))
    sound(page("pages/examples.py", run=RUN, part="x" * 5000, clear="perhaps"))


def test_groups_are_a_heatmap_on_the_influence_page(page, opened, store):
    rows = [
        ("prompts", "harmful", group, name, value, value - 0.01, value + 0.01, 6)
        for group, value in (("smiths", 0.03), ("weavers", 0.002))
        for name in NAMES
    ]
    columns = "prompt_set side group subset influence low high items"

    def change(folder, summary):
        write_frame(items(NAMES), folder / PROMPT_EXAMPLES)
        write_frame(pd.DataFrame(rows, columns=columns.split()), folder / GROUPS)

    opened(change, method={"name": "untrac"})
    at = page("pages/influence.py", run=RUN)
    assert "Strongest: forum on smiths (+0.030, interval +0.020 to +0.040)." in said(at)
    assert "forum, first over all, can be told from zero in 1 of 2 groups." in said(at)
    heat = next(spec for spec in drawn(at) if spec["data"][0]["type"] == "heatmap")
    assert heat["layout"]["xaxis"]["ticktext"] == ["smiths", "weavers"]
