# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .digits import Digits

__all__ = ['Digits']
