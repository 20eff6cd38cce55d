"""The figures in the README are of something that can be measured again."""

import os
import re
from pathlib import Path

import pytest

from deploy.measure import started
from proxy.demo.threaded import ThreadedDemoAPI

README = (Path(__file__).parent.parent.parent / "README.md").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="the proxy's memory is closed to all but root")
def test_a_start_can_be_measured() -> None:
    """
    Time, processor and memory of one; by how much is for no test to say.
    """
    with ThreadedDemoAPI() as api:
        start = started(api)
    assert 0 < start.cpu_seconds < 60
    assert 0 < start.seconds < 60
    assert 10 < start.mib < 200


def test_the_readme_has_what_is_measured() -> None:
    """
    The same lines, in the words of the command.
    """
    measured = (Path(__file__).parent.parent.parent / "deploy" / "measure.py").read_text()
    names = re.findall(r'^        "([a-z() A-Z]+)": ', measured, re.MULTILINE)
    assert len(names) == 3
    assert [name for name in names if f"| {name} | " not in README] == []
