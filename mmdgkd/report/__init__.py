# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Work dirs to one HTML page."""
from .render import write_report

__all__ = ['write_report']
