"""Programs that a user's machine may lack, and that CI must have."""

import os
import shutil

import pytest


def needs(program: str) -> pytest.MarkDecorator:
    """Skip where *program* is missing; in CI, where nothing may be missing, run and fail."""
    missing = shutil.which(program) is None and not os.environ.get("CI")
    return pytest.mark.skipif(missing, reason=f"{program} is not installed")
