# make        set up, then open the dashboard on http://127.0.0.1:8501
# make test   set up, then run the quick tests (about 5 minutes on two cores); make test-all: all of them, in Chromium too
# make docs   generate and build the documentation into site/
PYTHON ?= python3
PORT ?= 8501
# A CPU-only torch on a machine without CUDA: make TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: run setup test test-all test-browser lint demo-bundle docs clean
.DEFAULT_GOAL := run

run: $(VENV)/.run
	@echo "The dashboard opens on http://127.0.0.1:$(PORT) (stop it with Ctrl-C)."
	@exec $(BIN)/python -m streamlit run app.py --server.port $(PORT) --server.address 127.0.0.1

setup: $(VENV)/.run

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "The venv module is missing: apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.run: $(VENV)/.venv requirements.txt
	@echo "Installing (about 1.7 GB, some minutes the first time) ..."
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps -e .
	@touch $@

# Of requirements-dev.txt only its own: the product's are there, and pip would go through all of them again.
$(VENV)/.dev: $(VENV)/.run requirements-dev.txt requirements-ekfac.txt
	@grep -v '^-r' requirements-dev.txt | $(PIP) -c requirements.txt -r /dev/stdin
	@$(PIP) --no-deps -r requirements-ekfac.txt
	@touch $@

PYTEST := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q

# A selection may have no tests of one sort: pytest then exits with 5.
MAY_BE_NONE := $(if $(strip $(ARGS)),|| [ $$? -eq 5 ])

# Some tests wait for a process or a download, so one more of them at once than there are cores.
WORKERS := $(shell $(PYTHON) -c 'import os; print(min(5, (os.cpu_count() or 1) + 1))')

SIDE_BY_SIDE := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What any contributor runs before a commit: neither what is marked slow nor what is held to a time.
test: $(VENV)/.dev
	@$(PYTEST) $(SIDE_BY_SIDE) -m "not slow and not timed" --ignore=tests/browser $(ARGS) $(MAY_BE_NONE)

# Everything, in Chromium too: side by side, then, alone, what is held to a time.
test-all: $(VENV)/.dev
	@$(PYTEST) $(SIDE_BY_SIDE) -m "not timed" $(ARGS) $(MAY_BE_NONE)
	@$(PYTEST) -m timed $(ARGS) $(MAY_BE_NONE)

test-browser: $(VENV)/.dev
	@$(PYTEST) tests/browser -n 2 --dist loadfile -m "not timed" $(ARGS) $(MAY_BE_NONE)
	@$(PYTEST) tests/browser -m timed $(ARGS) $(MAY_BE_NONE)

lint: $(VENV)/.dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

demo-bundle: $(VENV)/.run
	@OMP_NUM_THREADS=1 $(BIN)/python -m untrac_core.cli.build_demo

# The site's tools live apart, so that the product's environment has none of them.
$(VENV)-docs/.docs: requirements-docs.txt
	@$(PYTHON) -m venv $(VENV)-docs
	@$(VENV)-docs/bin/python -m pip install --disable-pip-version-check --quiet -r requirements-docs.txt
	@touch $@

docs: $(VENV)/.run $(VENV)-docs/.docs
	@$(BIN)/python -m docs.generate
	@NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict
	@$(BIN)/python -m docs.offline site

clean:
	@rm -rf $(VENV) $(VENV)-docs site
