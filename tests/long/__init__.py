"""Runs that take too long for `make test`, as one command: `python -m tests.long --help`."""
