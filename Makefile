# `make book` builds the book, `make test` checks everything; `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
NAME ?= 5_1_source
TARGET ?= cub200

.PHONY: help book page pdf notebook paper test pytest lint types format bench chaos weights clean distclean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

book: .venv/.installed  ## install, run the notebooks that changed, render the pages
	$(BIN)/python book/build.py

page: .venv/.installed  ## one page: make page NAME=5_1_source
	$(BIN)/python book/build.py --only $(NAME)

pdf:  ## the built book as one PDF, by Chromium
	$(BIN)/python book/pdf.py

notebook: .venv/.installed  ## one notebook, into runs/: make notebook NAME=5_1_source ARGS="-p target greek"
	$(BIN)/papermill notebooks/$(NAME).ipynb runs/$(NAME).ipynb $(ARGS)

paper: .venv/.installed  ## the paper at full size: make paper TARGET=cub200 NAME=5_1_source
	$(BIN)/papermill notebooks/$(NAME).ipynb runs/$(NAME)-$(TARGET).ipynb -p suite paper -p target $(TARGET) $(ARGS)

test: lint types pytest  ## lint, types, tests

# Files side by side, on all cores.
pytest: ARGS ?= --numprocesses logical --dist loadfile
# A book that failed to build does not keep the other tests from running; the test of the book then fails.
pytest: .venv/.installed  ## tests only; some of them: make pytest ARGS="tests/test_metrics.py -k leep"
	-$(BIN)/python book/build.py
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/.installed  ## ruff, on code and notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/.installed  ## mypy
	$(BIN)/mypy

format: .venv/.installed  ## let ruff repair what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/.installed  ## time the library against naive code, one table of ratios (minutes)
	$(BIN)/python -m pytest benchmarks $(ARGS)

chaos: .venv/.installed  ## kill, damage, fill and see that nothing is lost (minutes)
	$(BIN)/python benchmarks/chaos.py

weights: .venv/.installed  ## train the embedded source networks again
	$(BIN)/python book/pretrain.py

clean:  ## forget the built book (the cache of features and accuracies stays)
	rm -rf _build

distclean: clean  ## and the environment
	rm -rf .venv

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; ok = (3, 11) <= v[:2] <= (3, 14); \
	sys.exit(0 if ok else "Python 3.11 to 3.14 is needed, but $(PYTHON) is %d.%d: name another, as in make book PYTHON=python3.11" % v[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e ".[book,cluster,language,test]"
	@touch $@
