# The commands of the course. `make help` lists them; each sets up what is missing first.
# Works from any folder (make -C, make -f) and in paths with spaces: the folder is taken from this file's own path.
export LAB_MAKEFILE := $(subst ^,,$(subst ^ ,,^$(MAKEFILE_LIST)))
SYSTEM_PYTHON ?= $(or $(PYTHON),python3)
here   = LAB_FROM="$$PWD"; export LAB_FROM; cd -- "$$(dirname -- "$$LAB_MAKEFILE")" || exit 1;
set_up = command -v $(SYSTEM_PYTHON) >/dev/null || { echo "make: no $(SYSTEM_PYTHON) found: install Python 3.11 or newer" >&2; exit 1; }; \
         $(SYSTEM_PYTHON) -B helpers/course/setup.py &&
python = .venv/bin/python

.PHONY: help setup run test lab notebooks bench pocket constraints badges

help:  ## list the commands
	@$(here) echo "The commands (each sets up .venv first if it is missing or out of date):"; echo; \
	sed -n 's/^\([a-z]*\):  *## *\(.*\)/  make \1@\2/p' Makefile | awk -F@ '{printf "%-19s %s\n", $$1, $$2}'; echo; \
	echo "  PROFILE=gpt2-medium make run      the subject of the papers (wants a GPU; downloads weights and data)"; \
	echo "  PROFILE=path/to/mine.toml make run   your own model or texts"; \
	echo "  ONLY=\"01 02\" make run             only these notebooks (also for make notebooks)"; \
	echo "  PYTHON=python3.12 make run        with a Python of your choice (3.11 or newer)"

setup:  ## make .venv and install what the notebooks import
	@$(here) $(set_up) echo "Ready: .venv is up to date."

run:  ## execute all notebooks; pages in build/html, claims in build/claims.json
	@$(here) $(set_up) exec $(python) -m helpers.course run

test:  ## run the tests, and every notebook once on a temporary cache
	@$(here) $(set_up) exec $(python) -m pytest -p tests.notebooks.session -p no:benchmark \
	-n 2 --dist loadfile --no-loadscope-reorder --nbval-lax --nbval-current-env \
	--nbval-cell-timeout 600 notebooks tests $(TEST_ARGS)

lab:  ## open the notebooks in JupyterLab
	@$(here) $(set_up) exec $(python) -m jupyterlab notebooks/00_start_here.ipynb $(LAB_ARGS)

notebooks:  ## authors: execute notebooks/py, store outputs, claims and README's tables
	@$(here) $(set_up) exec $(python) -m helpers.course publish

bench:  ## measure speed (pytest-benchmark)
	@$(here) $(set_up) exec $(python) -m pytest tests/benchmarks --benchmark-only

pocket:  ## train the embedded model again from its corpus
	@$(here) $(set_up) exec $(python) -m helpers.pocket.train

constraints:  ## authors: resolve constraints.txt from requirements.txt (UPGRADE=1 moves to newest)
	@$(here) $(set_up) exec $(python) -m helpers.course constraints

badges:  ## authors: render the Colab badges from the address in pyproject.toml
	@$(here) $(set_up) exec $(python) -m helpers.course badges
