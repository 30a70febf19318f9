# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.


class ConfigError(ValueError):
    """A mistake in a config, a command line or a file that they name.

    The message is one line: the config key or the file, what is wrong with it
    and what would be right. The tools print it alone, without a traceback.
    """
