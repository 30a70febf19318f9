# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""``mmdgkd submit``."""
from mmdgkd_cli import main

if __name__ == '__main__':
    main('submit')
