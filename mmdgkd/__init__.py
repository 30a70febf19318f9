# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Densely Guided Knowledge Distillation for MMRazor.

Importing it makes MMRazor work on current PyTorch (:mod:`mmdgkd.compat`) and
then registers all that is here.
"""
from . import compat
from .version import __version__

compat.apply()

# What they register is there from now on.
from . import chain, datasets, engine, logit_store, methods, models
from .errors import ConfigError, TrainingError, TrainingStopped

__all__ = ['ConfigError', 'TrainingError', 'TrainingStopped', '__version__']
