"""`python -m tools.pretraining`: see `tools.pretraining.pretrain`."""

import sys

from tools.pretraining.pretrain import main

sys.exit(main())
