# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The hooks that a chain adds to its stages."""
