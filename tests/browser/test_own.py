"""Bring your own, in Chromium: from folders and files of one's own to a ranked plot, and what must not get in."""

import csv
import http.client
import re
import select
import shutil
import time
from urllib.parse import urlparse

import pytest
from playwright.sync_api import expect

from tests.helpers.homes import PATIENCE
from tests.helpers.hub_stand_in import HubStandIn
from tests.helpers.making import HOSTILE, add_own, texts_jsonl
from tests.helpers.malformed import malformed
from tests.helpers.servers import Server
from tests.helpers.windows import still
from tests.helpers.worlds import WORDS, sentences, write_jsonl
from untrac_core.engine import Library, Store
from untrac_core.paths import DEMO

BARS = "[class*=st-key-bars_] .js-plotly-plot .bars .point > path"
TEXT_FILES = (".csv", ".tsv", ".jsonl", ".txt")
UPLOAD_MB = 200


@pytest.fixture
def belongings(server):
    """A newcomer's model folder, csv of prompts and folder of subsets."""
    folder = server.data
    shutil.copytree(DEMO / "model", folder / "my-model", dirs_exist_ok=True)
    (folder / "corpora").mkdir(exist_ok=True)
    for name in WORDS:
        rows = [{"id": f"{name}-{i}", "text": " ".join(sentences(name, 6, i))} for i in range(60)]
        write_jsonl(folder / "corpora" / f"{name}.jsonl", rows)
    with (folder / "talk.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["prompt", "completion", "label"])
        for label, subset in (("toxic", "smiths"), ("benign", "weavers")):
            lines.writerows(["They say:", text, label] for text in sentences(subset, 24, 99))
    return folder


def to(page, name):
    """Follow the navigation to a page."""
    page.get_by_test_id("stSidebar").get_by_text(name, exact=True).click()


def fill(page, label, value):
    field = page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Enter")


def test_a_newcomers_walk_to_a_ranked_plot(server, window, shot, belongings):
    page = window(height=1500)
    page.goto(server.url)
    page.get_by_role("button", name="Bring your own").click()
    expect(page.get_by_role("heading", name="Which model do you want to study?")).to_be_visible()
    fill(page, "Model folder", belongings / "my-model")
    page.locator(".st-key-b_m_add button:not([disabled])").click()
    page.wait_for_url("**model=**")
    expect(page.locator(".st-key-model").get_by_text("OPTForCausalLM")).to_be_visible()
    shot(page, "models-own")

    page.get_by_role("link", name="Next: test prompts").click()
    expect(page.get_by_role("heading", name="What should the model not write?")).to_be_visible()
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(belongings / "talk.csv")
    expect(page.locator(".st-key-card_prompts_1")).to_be_visible()
    page.wait_for_url("**draft=**")
    page.reload()
    expect(page.locator(".st-key-p_1_name input")).to_have_value("talk")
    shot(page, "prompts-mapping")
    page.locator(".st-key-b_p_1_add button").click()
    page.wait_for_url("**prompts=**")
    expect(page.locator(".st-key-prompts").get_by_text("toxic: 24 items")).to_be_visible()
    shot(page, "prompts-own")

    page.get_by_role("link", name="Next: training subsets").click()
    expect(page.get_by_role("heading", name="What did the model learn from?")).to_be_visible()
    page.locator(".st-key-add_subsets").get_by_text("A folder here", exact=True).click()
    fill(page, "Folder on this machine", belongings / "corpora")
    page.get_by_role("button", name="Add 3 subsets").click()
    expect(page.get_by_text("Next: trace them (3 of your own)")).to_be_visible()
    shot(page, "subsets-own")

    page.get_by_role("link", name="Next: trace them").click()
    expect(page.get_by_role("heading", name="Which subsets make the model write these prompts?")).to_be_visible()
    page.get_by_text("Sizes and settings").click()
    fill(page, "Max blocks per subset", "24")
    fill(page, "Seeds", "0, 1")
    page.wait_for_url("**draft=**")
    page.wait_for_timeout(1000)
    shot(page, "trace-own")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**run=**")
    page.get_by_role("button", name="Look at the result").click()
    expect(page.locator(BARS)).to_have_count(3)
    shot(page, "influence-own")
    run_id = re.search("run=([0-9a-f]{12})", page.url).group(1)
    spec = Store(server.home).run(run_id).spec
    assert spec.model.path == str(belongings / "my-model")
    assert sorted(subset.name for subset in spec.subsets) == sorted(WORDS)

    library = Library(server.home)
    for entry in library.entries("subset"):
        if not entry.builtin:
            library.remove("subset", entry.id)
    assert all((server.home / "library" / "data" / f"{one.source.kept}.jsonl").is_file() for one in spec.subsets)


def test_three_hundred_malformed_files_at_once(server, window, shot):
    files = [file for seed in range(3) for file in malformed(seed=seed, suffixes=TEXT_FILES)][:300]
    assert len(files) == 300
    before = (
        {path.name for path in (server.home / "uploads").glob("*")} if (server.home / "uploads").exists() else set()
    )
    page = window()
    page.goto(f"{server.url}/subsets")
    upload = page.get_by_test_id("stFileUploaderDropzoneInput")
    start = time.monotonic()
    upload.set_input_files([{"name": one.name, "mimeType": "text/plain", "buffer": one.data} for one in files])
    expect(page.get_by_text(re.compile(r"\d+ files cannot be used"))).to_be_visible()
    print(f"\n300 malformed files refused in {time.monotonic() - start:.1f} s")
    page.wait_for_timeout(1000)
    shot(page, "subsets-malformed")
    said = page.get_by_text(re.compile(r"\d+ files cannot be used")).inner_text()
    assert int(re.search(r"\d+", said).group()) == 300
    assert {path.name for path in server.home.glob("uploads/*")} == before
    assert not list(server.home.rglob("*.part*"))
    page.goto(server.url)
    expect(page.get_by_role("button", name="Open the demo")).to_be_visible()
    assert "Traceback" not in server.log()


def test_a_large_upload_is_refused_before_it_is_read(server, window, shot, tmp_path):
    large = tmp_path / "large.txt"
    with large.open("wb") as file:
        file.truncate(UPLOAD_MB * 1_000_000)
    page = window()
    page.goto(f"{server.url}/subsets")
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(large)
    expect(page.get_by_text(re.compile("20(.0)? ?MB or smaller"))).to_be_visible()
    shot(page, "subsets-too-large")

    sent = []
    page.on("request", lambda request: sent.append(request) if request.method == "PUT" else None)
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
        {"name": "small.txt", "mimeType": "text/plain", "buffer": b"The bridge.\nThe ferry.\n"}
    )
    expect(page.locator(".st-key-s_1_name input")).to_have_value("small")
    request = sent[0]
    headers = {key: value for key, value in request.all_headers().items() if not key.startswith(":")}
    taken = put_by_hand(urlparse(request.url), headers, UPLOAD_MB * 1_000_000)
    print(f"\nanswer {taken[0]} after {taken[1] / 1e6:.0f} MB")
    assert taken[0] in (400, 413), taken
    assert taken[1] < 60_000_000, f"{taken[1] / 1e6:.0f} MB were taken"


def put_by_hand(url, headers, size):
    """Send a file past the browser's own check; the answer's status, and how many bytes the server took."""
    boundary = "stray"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x.txt"\r\n\r\n'.encode()
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=PATIENCE)
    connection.putrequest("PUT", url.path)
    for key, value in headers.items():
        if key not in ("content-type", "content-length", "host"):
            connection.putheader(key, value)
    connection.putheader("Content-Type", f"multipart/form-data; boundary={boundary}")
    connection.putheader("Content-Length", str(len(head) + size))
    connection.endheaders()
    taken = 0
    try:
        connection.send(head)
        while taken < size and not select.select([connection.sock], [], [], 0)[0]:
            connection.send(b"a" * 1_000_000)
            taken += 1_000_000
    except OSError:
        pass  # the server has closed its side
    try:
        return connection.getresponse().status, taken
    except (OSError, http.client.HTTPException):
        return 413, taken  # it hung up


def test_a_row_of_each_library_opens_its_card(server, window):
    page = window()
    for path, key in (("models", "model"), ("prompts", "prompts"), ("subsets", "subset")):
        page.goto(f"{server.url}/{path}")
        table = page.get_by_test_id("stDataFrame").first
        expect(table).to_be_visible()
        page.wait_for_timeout(1500)  # the cells are drawn on a canvas
        box = table.bounding_box()
        page.mouse.click(box["x"] + 30, box["y"] + 52)
        page.wait_for_url(f"**{key}=**")
        expect(page.locator(f".st-key-{key}")).to_be_visible()


def test_hostile_names_in_the_library_stay_text(server, window):
    library = Library(server.home)
    folder = server.data / "hostile"
    added = add_own(server.home, folder, names=(HOSTILE[1], HOSTILE[2]))
    for kind in ("model", "prompts"):
        library.rename(kind, added[kind][0].id, HOSTILE[0])
    page = window()
    ids = {kind: entries[0].id for kind, entries in added.items()}
    for path in (
        f"/models?model={ids['model']}",
        f"/prompts?prompts={ids['prompts']}",
        f"/subsets?subset={ids['subset']}",
        f"/trace?model={ids['model']}",
    ):
        page.goto(server.url + path)
        expect(page.locator("h1")).to_be_visible()
        still(page)
        for toggle in page.get_by_test_id("stCheckbox").all():
            toggle.locator("label").click()
        page.wait_for_timeout(800)
        assert not page.locator("a[href*='evil.example'], img[src*='evil.example']").count()
    for kind, entries in added.items():
        for entry in entries:
            library.remove(kind, entry.id)


def test_wide_windows_are_filled(server, window, shot):
    pages = {
        "light": (("models", "/models?model=demo"), ("trace", "/trace")),
        "dark": (("prompts", "/prompts?prompts=demo-toxicity"), ("subsets", "/subsets?subset=demo-forum")),
    }
    for look, some in pages.items():
        page = window(look, width=1920, height=1300)
        for name, path in some:
            page.goto(server.url + path)
            expect(page.locator("h1")).to_be_visible()
            shot(page, f"{name}-{look}-wide")
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.fixture
def hub(tmp_path):
    """A hub on loopback with the demo's model under another name and a data set with two splits."""
    shutil.copytree(DEMO / "model", tmp_path / "root" / "models" / "fishers" / "tiny")
    data = tmp_path / "root" / "datasets" / "fishers" / "talk"
    data.mkdir(parents=True)
    (data / "train.jsonl").write_bytes(texts_jsonl("The harbour"))
    (data / "test.jsonl").write_bytes(texts_jsonl("The market"))
    with HubStandIn(tmp_path / "root") as stand_in:
        yield stand_in


def test_the_hub_is_an_ordinary_way_in(hub, browser, shot, tmp_path):
    (tmp_path / "home").mkdir()
    environment = {key: value for key, value in hub.environment(tmp_path / "cache").items() if key.startswith("HF_")}
    server = Server(tmp_path / "home", **environment, NO_PROXY="*")
    page = browser.new_context(viewport={"width": 1280, "height": 1500}).new_page()
    page.set_default_timeout(1000 * PATIENCE)
    try:
        server.start()
        page.goto(f"{server.url}/models")
        page.locator(".st-key-m_way").get_by_text("Hugging Face Hub", exact=True).click()
        fill(page, "Id on the Hugging Face Hub", "fishers/tiny")
        page.locator(".st-key-b_m_add button:not([disabled])").click()
        page.wait_for_url("**model=**")
        expect(page.get_by_text("not on this machine yet")).to_be_visible()
        shot(page, "models-hub")
        whole = [path for method, path, headers in hub.requests if method == "GET" and "range" not in headers]
        assert not [path for path in whole if path.endswith(".safetensors")], (
            "only its header is read before a download"
        )
        hub.pause, hub.piece = 0.05, 2**15
        page.get_by_role("button", name="Download now").click()
        expect(page.get_by_role("progressbar").first).to_be_visible()
        shot(page, "models-download")
        expect(page.get_by_text("not on this machine yet")).to_be_hidden()
        hub.pause = 0.0

        to(page, "Subsets")
        page.locator(".st-key-add_subsets").get_by_text("Hugging Face Hub", exact=True).click()
        page.locator(".st-key-add_subsets").get_by_text("One subset per split", exact=True).click()
        fill(page, "Id on the Hugging Face Hub", "fishers/talk")
        page.get_by_role("button", name="Look up", exact=True).click()
        page.get_by_role("button", name="Add 2 subsets").click()
        page.wait_for_url("**job=**")
        expect(page.get_by_text("Next: trace them (2 of your own)")).to_be_visible()
        shot(page, "subsets-hub")
        names = [entry.name for entry in Library(server.home).entries("subset") if not entry.builtin]
        assert sorted(names) == ["test", "train"]
        assert not page.get_by_test_id("stException").count()
        assert "Traceback" not in server.log(), server.log()
    finally:
        page.context.close()
        server.end_all()
