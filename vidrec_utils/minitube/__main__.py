"""`python -m vidrec_utils.minitube`: render the embedded world and say where it is."""

from __future__ import annotations

import argparse

from vidrec_utils import settings
from vidrec_utils.minitube import build


def main(arguments: list[str] | None = None) -> None:
    """Render the world that the command line asks for, unless it is there already."""
    parser = argparse.ArgumentParser(prog="python -m vidrec_utils.minitube", description=__doc__)
    parser.add_argument("--size", choices=settings.PROFILES, default=settings.profile())
    parser.add_argument("--seed", type=int, default=settings.SEED)
    chosen = parser.parse_args(arguments)
    print(f"MiniTube is in {build(chosen.size, chosen.seed)}")


if __name__ == "__main__":
    main()
