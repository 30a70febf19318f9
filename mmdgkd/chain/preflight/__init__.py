# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The checks of a chain before any training."""
