# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
from .keep_mask import keep_mask
from .stochastic_drop_connector import StochasticDropConnector

__all__ = ['StochasticDropConnector', 'keep_mask']
