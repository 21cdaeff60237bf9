"""The course's command: `python -m tools.builder build|run|record|refresh|publish|sync`."""

import sys

from tools.builder.course import main

if __name__ == "__main__":
    sys.exit(main())
