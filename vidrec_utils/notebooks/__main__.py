"""The command `python -m vidrec_utils.notebooks`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vidrec_utils import notebooks, settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vidrec_utils.notebooks",
        description="Judge notebooks by the course's contract, or bring them into its form.",
    )
    parser.add_argument("paths", nargs="*", type=Path, help="default: all of notebooks/")
    parser.add_argument("--check", action="store_true", help="judge (the default)")
    parser.add_argument("--refresh", action="store_true", help="write stubs, run, normalise")
    parser.add_argument(
        "--from-script", type=Path, metavar="FILE.py", help="script in percent form"
    )
    parser.add_argument("--rules", action="store_true", help="list the rules")
    return parser


def _shown(path: Path) -> str:
    whole, here = path.resolve(), Path.cwd()
    return whole.relative_to(here).as_posix() if whole.is_relative_to(here) else str(path)


def _refresh(paths: list[Path]) -> int:
    from vidrec_utils.notebooks import kernels

    failed = 0
    for path in paths:
        print(f"{_shown(path)}: running")
        try:
            notebooks.refresh(path)
        except kernels.NotebookFailed as error:
            failed = 1
            print(f"{error}\n{_shown(path)}: left as it was", file=sys.stderr)
    return failed


def _check(paths: list[Path]) -> int:
    by_path = notebooks.check_course(paths)
    for path, violations in by_path.items():
        for violation in violations:
            print(f"{_shown(path)}:{violation}")
    total = sum(map(len, by_path.values()))
    print(f"{len(by_path)} notebooks, {len(notebooks.RULES)} rules, {total} violations")
    return 1 if total else 0


def main(arguments: list[str] | None = None) -> int:
    """Entry point.

    Returns
    -------
    int
        0 if all is well, 1 if a rule is broken or a notebook failed, 2 if there is nothing to do.
    """
    options = _parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    if options.rules:
        for name, rule in notebooks.RULES.items():
            print(f"{name:16} {(rule.__doc__ or '').strip()}")
        return 0
    root = settings.repository() or Path.cwd()
    paths = options.paths or sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    try:
        if options.from_script:
            if len(options.paths) != 1:
                raise ValueError("Name the one notebook that the script becomes.")
            script = options.from_script.read_text(encoding="utf-8")
            notebooks.write(paths[0], notebooks.from_script(script, paths[0].stem))
            print(f"{_shown(paths[0])}: written, not yet run")
            if not (options.refresh or options.check):
                return 0
        if not paths:
            raise ValueError("There is no notebook to work on.")
        if options.refresh:
            failed = _refresh(paths)
            return failed or (_check(paths) if options.check else 0)
        return _check(paths)
    except (ValueError, KeyError, OSError) as error:
        print(error.args[0] if isinstance(error, KeyError) else error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
