# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What MMEngine itself calls: hooks, loops, optimizer wrappers."""
from . import hooks, loops, optim  # noqa: F401
