# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import hashlib
import json
from typing import Any


def hash_of(facts: Any) -> str:
    """The sha256 of plain data.

    Args:
        facts (Any): Whatever JSON takes.
    """
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
