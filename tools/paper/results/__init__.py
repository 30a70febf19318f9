# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Records, tables and figures of the experiments.

A library of the tools: :mod:`mmdgkd` does not import it.
"""
