# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What all folders may use."""
