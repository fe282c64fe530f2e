# Two commands do everything on a machine with Python >= 3.11 and make: `make demo` and `make test`.
# On Linux without a GPU, TORCH_INDEX=<address of PyTorch's CPU wheels> saves a large download.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# The libraries of explanations that the tests of the bridges run, and what those need at run time.
BRIDGED = zennit grad-cam ttach opencv-python-headless saliency shap slicer numba llvmlite tf-keras-vis Deprecated

.PHONY: help demo test lint types benchmark clean

help:
	@echo "make demo       train a small CNN on real digits, run every check, write sanity-report/"
	@echo "make test       run all tests, one process for each backend, and the core on the oldest dependencies"
	@echo "make lint       check style"
	@echo "make types      check types"
	@echo "make benchmark  measure overhead, Quantus beside it, sharing and folding"
	@echo "make clean      remove what these commands made"

demo: $(VENV)/.demo
	$(BIN)/agnostic-rand demo --out sanity-report

test: $(VENV)/.test $(VENV)-oldest/.oldest
	$(BIN)/python tests/run.py

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

benchmark: $(VENV)-benchmark/.benchmark
	$(VENV)-benchmark/bin/python benchmarks/overhead.py --out benchmarks/results/overhead.json
	$(VENV)-benchmark/bin/python benchmarks/explainers.py --out benchmarks/results/explainers.json

clean:
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-benchmark sanity-report .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or pass PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[demo]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[test]'
	# tf_keras asks for the GPU build of TensorFlow by name, the others for torchvision and more that no test uses.
	$(PIP) --no-deps tf_keras $(BRIDGED)
	touch $@ $(VENV)/.demo

$(VENV)-oldest/.oldest: pyproject.toml constraints-oldest.txt | $(BIN)/python
	$(BIN)/python -m venv --clear $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints-oldest.txt --editable . pytest hypothesis
	touch $@

$(VENV)/.dev: $(VENV)/.test
	$(PIP) --editable '.[dev]'
	touch $@

$(VENV)-benchmark/.benchmark: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-benchmark
	$(VENV)-benchmark/bin/python -m pip install --quiet torch==2.13.0 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	$(VENV)-benchmark/bin/python -m pip install --quiet --editable '.[benchmark]'
	touch $@
