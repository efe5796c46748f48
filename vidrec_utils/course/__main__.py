"""Makes `python -m vidrec_utils.course` work."""

import sys

from vidrec_utils.course.command import main

if __name__ == "__main__":
    sys.exit(main())
