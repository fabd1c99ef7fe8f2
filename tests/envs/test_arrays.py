import subprocess
import sys

import numpy as np
import torch

from robo_al_envs.arrays import namespace, norm, wrap


def test_the_namespace_is_that_of_the_array():
    assert namespace(np.zeros(2)) is np
    assert namespace(np.float64(1.0)) is np
    assert namespace(torch.zeros(2)) is torch


def test_angles_are_wrapped_by_whole_turns():
    angles = np.linspace(-20, 20, 401)
    wrapped = wrap(angles)
    assert (wrapped >= -np.pi).all() and (wrapped < np.pi).all()
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * angles), atol=1e-12)
    np.testing.assert_allclose(wrap(torch.tensor(angles)).numpy(), wrapped, atol=1e-12)


def test_the_norm_is_along_the_last_axis():
    vectors = np.random.default_rng(0).normal(size=(3, 4, 2))
    np.testing.assert_allclose(norm(vectors), np.linalg.norm(vectors, axis=-1))
    np.testing.assert_allclose(norm(torch.tensor(vectors)).numpy(), norm(vectors))


def test_tasks_need_no_torch():
    code = "import robo_al_envs, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
