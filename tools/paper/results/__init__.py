# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Records, tables and figures of the experiments.

A library of the tools: :mod:`mmdgkd` does not import it.
"""
from importlib.util import find_spec

from mmdgkd.errors import ConfigError

# Now, not after hours of training.
for _name in ('matplotlib', 'pandas'):
    if find_spec(_name) is None:
        raise ConfigError(f'{_name}: is not installed; it comes with pip '
                          'install -c constraints.txt -e ".[lite,paper]"')
