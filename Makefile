# The doors of development. Each one brings what it needs: they are typed on a machine with Python 3.11+, gcc and make.
#
#   make serve    build, install, and serve the example on 127.0.0.1:8000                 BIND='HOST:PORT' elsewhere
#   make test     build, install, check with ruff and mypy, run the tests     TESTS='tests/core -k name' narrows them
#   make lint     ruff and mypy alone
#   make format   let ruff rewrite what it can
#   make bench    measure against greenlet and gevent                         BENCH='...' are its arguments
#   make soak     every CPython here, with sanitizers and debug allocators    MATRIX='...' are tools/matrix.py's arguments
#   make docs     the documents and the reference as HTML, in build/docs
#   make clean    remove everything that these made
#
# PYTHON=python3.13 chooses the interpreter. `make` alone prints this.

PYTHON ?= python3
export PYTHON
CODE := $(wildcard src tests tools bench examples docs)
BIND ?= 127.0.0.1:8000

.PHONY: help serve test lint format bench soak docs clean environment servers
# One step after the other, whatever -j says: two must not install packages at the same time.
.NOTPARALLEL:

help:
	@sed '/^$$/q; s/^# \{0,1\}//' Makefile

serve:
	@tools/debian-packages build
	@"$(PYTHON)" tools/environment.py .venv-serve --group example
	@echo "Once it serves (make serve BIND=HOST:PORT: elsewhere), the board, what the server is doing, and a slow page:"
	@echo "http://$(BIND)/  http://$(BIND)/live  http://$(BIND)/slow?seconds=2"
	.venv-serve/bin/gossamer serve --bind $(BIND) 'examples.board.app:create_app()'

test: servers lint
	.venv/bin/python -m pytest $(TESTS)

lint: environment
	.venv/bin/python -m ruff check $(CODE)
	.venv/bin/python -m ruff format --check $(CODE)
	.venv/bin/python -m mypy $(CODE)

format: environment
	.venv/bin/python -m ruff check --fix-only $(CODE)
	.venv/bin/python -m ruff format $(CODE)

servers:
	@tools/debian-packages build test

environment:
	@tools/debian-packages build
	@"$(PYTHON)" tools/environment.py .venv --group test --group certificates --group gevent --group lint

bench:
	@tools/debian-packages build bench
	@"$(PYTHON)" tools/environment.py .venv-bench --group bench
	.venv-bench/bin/python -m bench $(BENCH)

soak:
	@tools/debian-packages build test soak
	"$(PYTHON)" tools/matrix.py $(MATRIX)

docs:
	@tools/debian-packages build
	@"$(PYTHON)" tools/environment.py .venv-docs --group docs
	.venv-docs/bin/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs build/docs
	@echo "The documents: build/docs/index.html"

clean:
	rm -rf .venv .venv-serve .venv-bench .venv-docs .matrix build dist .pytest_cache .mypy_cache .ruff_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +
