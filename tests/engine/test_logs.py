"""What may be written down, and how much of it."""

import io

from untrac_core.engine.logs import append, one_line, pump, redact, tail


def test_secrets_of_the_environment_the_hub_and_urls_are_hidden(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "a-private-token")
    monkeypatch.setenv("SOME_API_KEY", "another-private-key")
    text = "with a-private-token, another-private-key, hf_abcdefghijklmnopqrstuv and https://me:word@host/x"
    assert redact(text) == "with [hidden], [hidden], [hidden] and https://[hidden]@host/x"


def test_ordinary_words_and_short_values_are_not_hidden(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "abc")
    assert redact("abc def http://host:80/path") == "abc def http://host:80/path"


def test_an_error_is_one_line_of_bounded_length():
    assert one_line("two\nlines\t here") == "two lines here"
    assert len(one_line("word " * 1000)) == 500


def test_a_log_keeps_its_newest_half_when_it_grows_too_large(tmp_path):
    path = tmp_path / "log.txt"
    for number in range(1000):
        append(path, f"line {number}\n", cap=2000)
    assert path.stat().st_size <= 2100
    lines = path.read_text().splitlines()
    assert lines[0].startswith("...")
    assert lines[-1] == "line 999"
    numbers = [int(line.split()[1]) for line in lines[1:]]
    assert numbers == list(range(numbers[0], 1000))


def test_output_of_any_kind_becomes_a_log(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "a-private-token")
    path = tmp_path / "log.txt"
    pump(io.BytesIO(b"caf\xe9 \xff\nx" + b"y" * 20_000 + b"\na-private-token\nlast"), path)
    assert path.read_text().endswith("[hidden]\nlast")
    assert tail(path, 2) == "[hidden]\nlast"
    assert tail(tmp_path / "none.txt", 5) == ""
