# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Trained networks as files: weights alone, and programs of PyTorch."""
