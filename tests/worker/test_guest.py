import ast
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

import robo_al.worker
from robo_al.testing import FakeEnv
from robo_al.worker.guest import Guest

FOLDER = Path(robo_al.worker.__path__[0])


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_what_runs_in_another_python_is_written_for_an_old_one(path):
    ast.parse(path.read_text(), feature_version=(3, 8))


def test_it_imports_nothing_that_the_other_python_may_not_have():
    """Started as a worker is, without site-packages: whatever is imported is Python's own."""
    program = (
        "import sys, types; package = types.ModuleType('robo_al_worker'); "
        f"package.__path__ = [{str(FOLDER)!r}]; sys.modules['robo_al_worker'] = package; "
        "import robo_al_worker.guest; print(sorted(n for n in sys.modules if 'robo_al' in n))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    parts = ("", ".frames", ".guest", ".serving", ".spaces", ".watch")
    assert done.stdout.strip() == str([f"robo_al_worker{part}" for part in parts])


@pytest.mark.parametrize("info", [{}, None, MappingProxyType({})])
def test_whatever_stands_for_no_information_is_no_part_of_the_observation(info):
    class Informing(FakeEnv):
        def reset(self, **given):
            return super().reset(**given)[0], info

    answer = Guest(Informing()).reset(3, {})
    assert answer.kind == "observation"
    np.testing.assert_array_equal(answer.arrays[0], FakeEnv().reset(seed=3)[0])
