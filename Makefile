# Everything starts from a machine with Python 3.11 or newer and make; the rest is installed here.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# Public benchmark files, laid out as the library's cache, if they lie beside the checkout.
ifneq ($(wildcard ../shared/data),)
export GAPGYM_DATA ?= $(abspath ../shared/data)
endif

.PHONY: demo test venv lint types unit docs bench clean

## Compare rules and CP-SAT on real job shops; writes results/demo/report.html.
demo: venv
	$(BIN)/gapgym compare job_shop \
	  --instances ft06,ft10,la01,la02,la03,la04,la05,ta01,ta11,ta21,ta31,ta41 \
	  --solvers random,spt,mopnr,mwkr,fdd_mwkr,spt_mwkr,active_wait,cp_sat \
	  --time-limit 20 --out results/demo

## Lint, types and all tests.
test: lint types unit

venv: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python %d.%d, expected 3.11 or newer." % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: venv
	$(BIN)/mypy

unit: venv
	$(BIN)/python -m pytest -n auto

## The documentation, in results/site.
docs: venv
	$(BIN)/mkdocs build --quiet

## Decisions per second of every environment.
bench: venv
	$(BIN)/gapgym speed all

clean:
	rm -rf .venv build dist results *.egg-info
