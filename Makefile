# The commands of the course, for those who have make: each is `python -m helpers.course`, and its name.
# What the environment says is read by the shell and Python as it stands, and never run.
# Works from any folder (make -C, make -f) and in paths with spaces: the folder is taken from this file's own path.
export LAB_MAKEFILE := $(subst ^,,$(subst ^ ,,^$(MAKEFILE_LIST)))
.PHONY: help setup run estimate rehearse test lab book figures pdf bundle notebooks editions browser bench pocket replicate constraints badges

help setup run estimate rehearse test lab book figures pdf bundle notebooks editions browser bench pocket replicate constraints badges:
	@LAB_FROM="$$PWD"; export LAB_FROM; cd -- "$$(dirname -- "$$LAB_MAKEFILE")" || exit 1; \
	python="$${SYSTEM_PYTHON:-$${PYTHON:-python3}}"; \
	command -v "$$python" >/dev/null || \
	{ printf 'make: no %s found: install Python 3.11 or newer\n' "$$python" >&2; exit 1; }; \
	exec "$$python" -B -m helpers.course $@
