# make demo · make test · make check — each makes its own virtual environment first and installs the package into it.
# VENV=folder and PYTHON=interpreter choose where and with what, NNUNETV2=2.8.1 another nnU-Net than the newest;
# PYTEST_ARGS, DEMO_ARGS go to the commands.

VENV ?= .venv
PYTHON ?= python3
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder
DEMO_ARGS ?=
NNUNETV2 ?=
TAG ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed-for

.PHONY: help demo test coverage gpu check lint format types pages site dist clean
.NOTPARALLEL:

help:
	@echo "make demo    the whole way on a phantom made here: plan, train, report (a few minutes on a CPU)"
	@echo "make test    all tests"
	@echo "make coverage  all tests, and how much of the package they run; not below fail_under in setup.cfg"
	@echo "make gpu     what only a GPU shows, in under nine minutes: tests, cost, memory, a 3D training"
	@echo "make check   lint, format, types"
	@echo "make pages   write the README and the pages in docs/ whose numbers come from settings and stored results"
	@echo "make site    the pages as a web site in site/, which needs no network to be read"
	@echo "make dist    sdist and wheel in dist/"
	@echo "make clean   remove $(VENV) and what tools cached"

demo: $(INSTALLED)-demo
	$(BIN)/nnUNetv2_dale_demo $(DEMO_ARGS)

# Tests run side by side: more threads in each would only get in each other's way.
test: export OMP_NUM_THREADS ?= 1
test: $(INSTALLED)-development
	$(BIN)/python -m pytest $(PYTEST_ARGS)

coverage: export OMP_NUM_THREADS ?= 1
coverage: $(INSTALLED)-development
	$(BIN)/python -m pytest $(PYTEST_ARGS) --cov

gpu: $(INSTALLED)-development
	$(BIN)/python -m benchmarks.gpu

check: lint format types

lint: $(INSTALLED)-development
	$(BIN)/ruff check .

format: $(INSTALLED)-development
	$(BIN)/ruff format --check .

types: $(INSTALLED)-development
	$(BIN)/mypy
	$(BIN)/mypy trainers preprocessing
	$(BIN)/mypy tests benchmarks docs/*.py

pages: $(INSTALLED)-development
	$(BIN)/python -m benchmarks.pages

site: $(INSTALLED)-development
	$(BIN)/python -m mkdocs build --strict

# A package whose links lead nowhere is not for others.
dist: $(INSTALLED)-development
	@! grep -q '^url = https://example.org' setup.cfg || { echo "url in setup.cfg is a placeholder: put the repository's address there"; exit 2; }
	@test -z "$(TAG)" || $(BIN)/python -c 'import sys, nnunetv2_dale as p; v = "v" + p.__version__; \
	    sys.exit("$(TAG)" != v and f"the tag is $(TAG), the version in nnunetv2_dale/__init__.py {v}")'
	$(BIN)/python -m build

# What an environment was installed from: it is installed again when one of these changes, not when the code does.
SOURCES := setup.cfg pyproject.toml nnunetv2_dale/__init__.py nnunetv2_dale/discovery_build.py

$(INSTALLED)-demo: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --editable ".[report]" $(NNUNETV2:%=nnunetv2==%)
	@touch $@

$(INSTALLED)-development: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --editable ".[test,dev]" $(NNUNETV2:%=nnunetv2==%)
	@touch $@ $(INSTALLED)-demo

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, $(PYTHON) is " \
	    + sys.version.split()[0] + "; name another one with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf "$(VENV)" build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
