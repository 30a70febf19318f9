# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Undo, dump and replay steps whose losses or gradients are not finite."""
