"""What the fork server of `process` imports before its first fork; imported anywhere else it would archive a folder."""

import tests.faults.process  # noqa: F401
from tests.faults.warm import warm_up

warm_up()
