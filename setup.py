# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""All is in setup.cfg, but for what a Python that is too old is told."""
import platform
import re

from setuptools import Distribution, setup


class SupportedDistribution(Distribution):
    """Under a Python that is not supported it requires nothing but another.

    Many a pip looks for the requirements first, and would end with an error
    about the constraint of one that has no release for this Python, instead of
    the line about ``python_requires``.
    """

    def parse_config_files(self, *args, **kwargs):
        super().parse_config_files(*args, **kwargs)
        # As pip compares: of a pre-release the numbers alone.
        version = re.match(r'[\d.]+\d', platform.python_version())[0]
        if version not in self.python_requires:
            self.metadata.install_requires = []
            self.metadata.extras_require = dict.fromkeys(
                self.metadata.extras_require, [])


setup(distclass=SupportedDistribution)
