# What a person does here; `make` alone lists it. Needs make, and Python 3.11, 3.12 or 3.13 with its venv module.
# Everything is installed into .venv, once: afterwards nothing here asks the network.
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-kill test-colab report-quick voice lint sync docs docs-serve clean
.DELETE_ON_ERROR:

PYTHON ?= python3 python3.13 python3.12 python3.11
COLAB_PYTHON ?= python3.13
OUT ?= demo
WORKERS ?= 2
PORT ?= 8000

VENV := .venv
FACTS := settings.ini setup.py pyproject.toml constraints.txt
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check --constraint constraints.txt
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

help:  ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | awk -F '\t' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(VENV)/.stamp-run  ## speak a sentence in all seven emotions and write the page demo/index.html (OUT=folder)
	emotts demo --out "$(OUT)"

test: $(VENV)/.stamp-dev  ## check everything: style, notebooks in step with the package, every notebook, the package, pytest
	@bash tools/gate.sh $(WORKERS)

test-slow: $(VENV)/.stamp-dev  ## the cells and tests that take minutes, too
	@bash tools/gate.sh $(WORKERS) slow

test-kill: $(VENV)/.stamp-dev  ## kill every model's training twenty times, and compare what it learned with an undisturbed run
	pytest -q --slow -n $(WORKERS) --dist load tests/test_resume_kill.py

test-colab:  ## install Colab's versions into .venv-colab (6 GB) and run the Colab notebooks there, headless and small
	@bash tools/colab.sh $(COLAB_PYTHON)

report-quick: $(VENV)/.stamp-dev  ## run every model and vocoder, and report whether it works: report/index.html
	emotts report --quick --out report

voice: $(VENV)/.stamp-dev  ## train the voice that ships once more, in some hours: runs/default-voice/voice.safetensors
	$(PIP) --quiet --no-build-isolation --editable ".[corpus,evaluation]"
	bash tools/voice.sh

lint: $(VENV)/.stamp-dev  ## style, and notebooks in step with the package
	ruff check .
	bash tools/insync.sh

sync: $(VENV)/.stamp-dev  ## make modules, README.md, figures and addresses from the notebooks
	bash tools/sync.sh

docs: $(VENV)/.stamp-dev  ## build the site into _docs
	python tools/docs.py

docs-serve: docs  ## build the site and serve it at http://localhost:8000 (PORT=8000)
	python -m http.server --bind 127.0.0.1 --directory _docs $(PORT)

clean:  ## remove what was made: the environment, the demo, the site
	rm -rf $(VENV) .venv-colab demo _docs _proc build dist *.egg-info .coverage* .pytest_cache .ruff_cache .hypothesis

$(VENV)/pyvenv.cfg:
	@for python in $(PYTHON); do \
	  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue; \
	  echo "making $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv $(VENV) && exit 0; \
	  rm -rf $(VENV); echo "$$python has no venv module: install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; \
	done; \
	echo "no Python 3.11, 3.12 or 3.13 among: $(PYTHON). Name one: make $(or $(MAKECMDGOALS),demo) PYTHON=/path/to/python3.12" >&2; exit 1

$(VENV)/.stamp-tools: $(VENV)/pyvenv.cfg constraints.txt
	$(PIP) --quiet setuptools wheel
	@touch $@

$(VENV)/.stamp-run: $(VENV)/.stamp-tools $(FACTS)
	@echo "installing emotts_nb and what it needs into $(VENV), this once"
	$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-tools $(FACTS)
	@echo "installing emotts_nb and what its tests need into $(VENV), this once"
	$(PIP) --no-build-isolation --editable ".[dev]"
	@touch $(VENV)/.stamp-run $@
