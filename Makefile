# The course's commands. `make help` lists them. Works with any POSIX make.
# On Windows, or without make: see "Without make" in README.md.

# A Python 3.11 or newer; found by itself unless given: make setup PYTHON=/opt/python/bin/python3
# An environment keeps the Python that it has until another one is given.
PYTHON =
# make setup TORCH=cpu: on Linux, PyTorch without the gigabytes for CUDA. It is remembered.
TORCH =
# make setup INDEX=https://MIRROR/simple: a mirror of the package index. TORCH_INDEX: one of the index
# of PyTorch's CPU builds. Both are remembered; `default` forgets one.
INDEX =
TORCH_INDEX =
# Only some notebooks: make course NOTEBOOKS="00 01", make notebooks NOTEBOOKS=notebooks/00_tour.ipynb
NOTEBOOKS =
# How many notebooks at once: make course JOBS=1. By itself as many as cores and memory allow.
JOBS =
VENV = .venv
RUN = $(VENV)/bin/python

help:
	@echo 'make course     set up once, then run every notebook; read build/html/index.html'
	@echo 'make test       set up once, then run all tests, the notebook contract and nbval'
	@echo 'make lab        open JupyterLab in notebooks/'
	@echo 'make doctor     report what is installed, what is available and what is missing'
	@echo 'make notebooks  run the notebooks and refresh their committed outputs'
	@echo 'make lint       check style and types'
	@echo 'make setup      only set up (TORCH=cpu on Linux: PyTorch without CUDA; INDEX=: a mirror)'
	@echo 'make lock       renew requirements.lock after a change of requirements.txt'
	@echo 'make clean      remove build/ and caches (make distclean: also .venv and data)'

setup:
	@torch='$(TORCH)'; index='$(INDEX)'; torch_index='$(TORCH_INDEX)'; \
	for python in $(PYTHON) $(RUN) python3.13 python3.12 python3.11 python3 python; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    exec "$$python" scripts/set_up.py --environment $(VENV) $${torch:+--torch="$$torch"} \
	      $${index:+--index="$$index"} $${torch_index:+--torch-index="$$torch_index"} \
	      $(if $(PYTHON),--this-python); \
	  elif test "$$python" = "$(PYTHON)"; then \
	    echo "$(PYTHON) is no Python 3.11 or newer." >&2; exit 1; \
	  fi; \
	done; \
	echo 'The course needs Python 3.11 or newer, and none was found. Install one from python.org' >&2; \
	echo 'or your system (Debian, Ubuntu: python3 python3-venv; macOS: brew install python@3.13),' >&2; \
	echo 'or name it: make setup PYTHON=/path/to/python3' >&2; exit 1

course: setup
	@$(RUN) -m vidrec_utils.course $(if $(JOBS),--jobs $(JOBS)) $(NOTEBOOKS)

test: setup lint
	@$(RUN) -m vidrec_utils.course --test

lab: setup
	@$(RUN) -m jupyterlab --notebook-dir=notebooks

notebooks: setup
	@$(RUN) -m vidrec_utils.notebooks --refresh --check $(NOTEBOOKS)

doctor: setup
	@$(RUN) -m vidrec_utils.doctor

lint: setup
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

# Needs the network and uv (https://docs.astral.sh/uv), which it installs into build/, not .venv.
# The versions in the lock stay unless requirements.txt forbids them; UPGRADE=--upgrade renews all.
UPGRADE =
lock: setup
	@test -x build/uv/bin/uv || { $(RUN) -m venv build/uv && build/uv/bin/python -m pip install \
	  --require-hashes --no-deps --only-binary=:all: -r scripts/requirements-uv.txt; }
	@build/uv/bin/uv pip compile requirements.txt --output-file requirements.lock $(UPGRADE) \
	  --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	  --no-config --no-emit-index-url --custom-compile-command 'make lock' --quiet

clean:
	rm -rf build .pytest_cache .ruff_cache vidrec_utils.egg-info
	find vidrec_utils tests scripts benchmarks notebooks \
	  \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv data/minitube data/cache

.PHONY: help setup course test lab notebooks doctor lint lock clean distclean
