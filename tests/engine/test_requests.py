"""What a request becomes before it waits."""

from __future__ import annotations

import untrac_core.data.resolve
import untrac_core.tasks.trace.check
from untrac_core.data.resolve import expand
from untrac_core.engine import Store
from untrac_core.tasks.registry import check


def test_a_request_is_resolved_once_and_its_data_are_read_once(home, request_of, monkeypatch):
    calls = []

    def counted(module, name):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: calls.append(name) or real(*given))

    counted(untrac_core.data.resolve, "expand")
    counted(untrac_core.tasks.trace.check, "load_records")
    store = Store()
    run_id = store.submit(request_of())
    assert calls == ["expand", "load_records"]
    spec = store.run(run_id).spec
    assert spec == expand(spec)


def test_a_check_gives_the_request_back_as_it_will_run(request_of):
    spec = request_of()
    assert check(spec).spec == expand(spec)
