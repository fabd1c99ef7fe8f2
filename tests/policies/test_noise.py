import numpy as np
import pytest

from robo_al_policies.noise import coloured_noise


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_every_step_has_unit_variance(beta):
    noise = coloured_noise(np.random.default_rng(0), (20000, 12), beta)
    np.testing.assert_allclose(noise.std(0), 1.0, atol=0.03)
    np.testing.assert_allclose(noise.mean(0), 0.0, atol=0.03)


def test_power_falls_with_frequency():
    rng = np.random.default_rng(0)
    slopes = []
    for beta in (0.0, 1.0, 2.0):
        noise = coloured_noise(rng, (3000, 128), beta)
        power = (np.abs(np.fft.rfft(noise * np.hanning(128))) ** 2).mean(0)[4:40]
        slopes.append(np.polyfit(np.log(np.arange(4, 40)), np.log(power), 1)[0])
    np.testing.assert_allclose(slopes, [0.0, -1.0, -2.0], atol=0.25)
