# kvmlab needs python3 (3.11 or newer, with venv) and make; uv makes it quicker.
#   make lab     open the notebooks in JupyterLab        make lab ARGS=--no-browser
#   make test    run every check and every test          make test ARGS='-k descriptor'
#   make quick   every check, and the tests that take no browser and no time
#   make check   lint, format, types, import rules, spelling
#   make binder  the steps of Binder's image, and every notebook in it
# `make UV= lab` uses pip even where there is uv, for instance behind a mirror of PyPI.

PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)
VENV := .venv
BIN := $(VENV)/bin
LOCK := pyproject.toml uv.lock constraints.txt
ARGS ?=
COMMA := ,
SPACE := $(subst ,, )

unexport VIRTUAL_ENV
unexport PYTHONPATH
export UV_PROJECT_ENVIRONMENT := $(VENV)

.PHONY: help lab test quick check binder links missing lock clean
.DELETE_ON_ERROR:

help:
	@sed -n '2,7s/^#//p' Makefile

lab: $(VENV)/installed
	@$(BIN)/kvmlab lab $(ARGS)

# Pytest's status 5 says that there was nothing to run.
test: missing check
	@$(BIN)/python -m pytest --numprocesses auto -m "not browser" $(ARGS) || [ $$? -eq 5 ]
	@$(BIN)/python -m pytest -m browser $(ARGS) || [ $$? -eq 5 ]

quick: check
	@$(BIN)/python -m pytest --quiet --numprocesses auto -m "not browser and not slow" $(ARGS)

check: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell --ignore-words-list=simpy,nd,abd README.md CITATION.cff notebooks kvmlab benchmarks

binder: $(VENV)/installed-test
	@$(BIN)/python -m tests.binder_image

# For a public copy: puts its address into the links of the README.
links:
	@echo "$(GITHUB)" | grep -Eqx '[A-Za-z0-9-]+/[A-Za-z0-9._-]+' || { echo "kvmlab: say whose copy: make links GITHUB=owner/name"; exit 1; }
	@sed -e 's/OWNER/$(firstword $(subst /, ,$(GITHUB)))/g' -e 's/REPO/$(lastword $(subst /, ,$(GITHUB)))/g' README.md >README.new
	@mv README.new README.md

missing: $(VENV)/installed-test
	@$(BIN)/python -m tests.programs

# A file that is younger than the lock says that the environment is up to date.
$(VENV)/installed: $(LOCK)
	$(call install,)
	@touch $@

$(VENV)/installed-test: $(LOCK)
	$(call install,fast bench test)
	@touch $@ $(VENV)/installed

ifdef UV
install = @echo "kvmlab: installing into $(VENV) with uv ..."; \
	uv sync --locked --inexact --quiet $(addprefix --extra ,$1)
else
install = @echo "kvmlab: installing into $(VENV) with pip, a minute or so ..."; \
	$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11) and "kvmlab needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0])' \
	&& { $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV); } \
	&& $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.$(if $1,[$(subst $(SPACE),$(COMMA),$1)])'
endif

# After a change of dependencies: needs uv.
lock:
	uv lock
	uv export --quiet --locked --format requirements.txt --no-hashes --no-emit-project --no-dev --all-extras --output-file constraints.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis tests/browser/shots
