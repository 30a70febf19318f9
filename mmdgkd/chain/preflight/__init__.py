# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What is checked of a chain before any training."""
