# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""``python -m mmdgkd.logit_store`` is ``mmdgkd store``."""
from mmdgkd_cli import main

if __name__ == '__main__':
    main('store', 'python -m mmdgkd.logit_store')
