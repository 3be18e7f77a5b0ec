"""Starts one of the authoring tools: `python -m helpers.course run`, as the Makefile does."""

import importlib
import signal
import sys

COMMANDS = ("run", "publish", "constraints", "badges")


def main() -> int:
    """Imports the tool, which takes seconds, and hands over; its exit status is ours."""
    if sys.argv[1:2] == [] or sys.argv[1] not in COMMANDS:
        print(f"usage: python -m helpers.course {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    # There is nothing to tidy up yet: Ctrl-C ends the import at once, without a traceback from inside it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    tool = importlib.import_module(f"helpers.course.{sys.argv[1]}")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return int(tool.main())


if __name__ == "__main__":
    sys.exit(main())
