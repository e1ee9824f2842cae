# make demo     train a concept into the packaged miniature on this machine; pictures and a score, in minutes
# make test     lint, types and tests; one of them builds the documentation
# make faults   the whole fault suite: kills, full disks, damage (about an hour), and its table
# make lint     ruff, mypy, codespell
# make docs     build the documentation into docs/_build/html
# make env      only install, with what the tests and the documentation need
# make mini-sd  train the packaged miniature anew (hours) and put it in its place; make mini-sdxl: the second one
# make clean    remove what was built; make distclean removes the environment too
#
# The targets need Python 3.11 or newer and make; they install the rest into .venv. Variables:
#   PYTHON=python3.12    the Python that makes .venv
#   TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"    which build of torch; also cu128 …
#   CONSTRAINTS=         the newest versions that fit, not those that were tested
#   JOBS=4               processes of the tests

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
CONSTRAINTS ?= requirements/constraints.txt
JOBS ?= 2
DEMO ?= mini_sd_dreambooth_lora
DEMO_DIR ?= work_dirs/$(DEMO)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
SOURCES := diffkit tools tests benchmarks configs docs setup.py

.DEFAULT_GOAL := help
.PHONY: help env demo test faults lint docs mini-sd mini-sdxl clean distclean

help:
	@awk '/^#/ {sub(/^# ?/, ""); print; next} {exit}' Makefile

# -- the environment: one stamp for what runs, one for what develops, one for the documentation ------------------

env: $(VENV)/.stamp-dev

$(VENV)/.stamp: setup.py pyproject.toml requirements/runtime.txt $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit("diffkit needs Python 3.11 or newer; say make PYTHON=..." if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing torch and diffkit into $(VENV); that takes some minutes the first time."
	$(PIP) setuptools wheel
	$(PIP) $(TORCH)
	$(PIP) --no-build-isolation -e .
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp requirements/tests.txt requirements/docs.txt
	$(PIP) -r requirements/tests.txt -r requirements/docs.txt
	@touch $@

$(VENV)/.stamp-docs: $(VENV)/.stamp requirements/docs.txt
	$(PIP) -r requirements/docs.txt
	@touch $@

# -- what it is for ---------------------------------------------------------------------------------------------

demo: $(VENV)/.stamp
	$(BIN)/mim train diffkit $(DEMO).py --work-dir $(DEMO_DIR)
	@echo "--- what the pictures show, before training ---"
	@$(BIN)/diffkit test $(DEMO) --work-dir $(DEMO_DIR)/before --out $(DEMO_DIR)/before.json
	@echo "--- and after ---"
	@$(BIN)/diffkit test $(DEMO) --checkpoint $(DEMO_DIR) --work-dir $(DEMO_DIR)/after --out $(DEMO_DIR)/after.json
	@echo
	@echo "pictures: $(DEMO_DIR)/samples"
	@echo "scores:   $(DEMO_DIR)/before.json $(DEMO_DIR)/after.json"
	@echo "LoRA:     $$(ls -d $(DEMO_DIR)/step* | sort -V | tail -n 1)"

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

faults: $(VENV)/.stamp-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/codespell $(SOURCES) README.md CONTRIBUTING.md CHANGELOG.md

docs: $(VENV)/.stamp-docs
	$(BIN)/python -m sphinx -W -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

mini-sd: $(VENV)/.stamp-dev
	$(BIN)/python tools/build_mini_sd.py

mini-sdxl: $(VENV)/.stamp-dev
	$(BIN)/python tools/build_mini_sd.py --name mini-sdxl

clean:
	rm -rf build dist *.egg-info docs/_build .pytest_cache .mypy_cache .ruff_cache
	find diffkit tools tests benchmarks configs -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) diffkit/.mim
