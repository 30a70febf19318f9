# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Small functions that all folders use."""
