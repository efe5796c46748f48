"""Runs that take too long for `make test`; each module has `run(count, seed, folder)`."""
