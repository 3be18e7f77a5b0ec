# The commands of the course, for those who have make: each is `python -m helpers.course`, and its name.
# Works from any folder (make -C, make -f) and in paths with spaces: the folder is taken from this file's own path.
export LAB_MAKEFILE := $(subst ^,,$(subst ^ ,,^$(MAKEFILE_LIST)))
SYSTEM_PYTHON ?= $(or $(PYTHON),python3)

.PHONY: help setup run test lab notebooks bench pocket replicate constraints badges

help setup run test lab notebooks bench pocket replicate constraints badges:
	@LAB_FROM="$$PWD"; export LAB_FROM; cd -- "$$(dirname -- "$$LAB_MAKEFILE")" || exit 1; \
	command -v $(SYSTEM_PYTHON) >/dev/null || \
	{ echo "make: no $(SYSTEM_PYTHON) found: install Python 3.11 or newer" >&2; exit 1; }; \
	exec $(SYSTEM_PYTHON) -B -m helpers.course $@
