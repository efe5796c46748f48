"""Run the course: every notebook in a fresh kernel, in order, with a report line for each.

    python -m vidrec_utils.course               # run all notebooks, write copies to build/
    python -m vidrec_utils.course 01            # only those whose name begins so
    python -m vidrec_utils.course -j 1          # one at a time (default: as many as fit)
    python -m vidrec_utils.course --profile     # also write what each cell cost and computed
    python -m vidrec_utils.course --test        # package tests, notebook contract, nbval

Executed copies go to `build/notebooks/`, reading copies to `build/html/` (begin with `index.html`),
timings to `build/course.json`. The kernels see none of the user's own Jupyter, IPython or
Matplotlib settings, refuse every connection to a network, and turn every FutureWarning and
DeprecationWarning that our package causes into an error.
"""

from vidrec_utils.course.command import find, main, plain, run_course, run_tests
from vidrec_utils.course.pages import index_page, reading_copy, relink
from vidrec_utils.notebooks.kernels import (
    CELL_TIMEOUT_S,
    NotebookFailed,
    Run,
    Stopped,
    Watch,
    environment,
    execute,
    title,
)

__all__ = [
    "CELL_TIMEOUT_S",
    "NotebookFailed",
    "Run",
    "Stopped",
    "Watch",
    "environment",
    "execute",
    "find",
    "index_page",
    "main",
    "plain",
    "reading_copy",
    "relink",
    "run_course",
    "run_tests",
    "title",
]
