"""Coloured noise: smooth action sequences, which move a robot where white noise only shakes it."""

import numpy as np
from jaxtyping import Float


def coloured_noise(
    rng: np.random.Generator, shape: tuple[int, ...], beta: float
) -> Float[np.ndarray, "..."]:
    """Draw sequences along the last axis whose power falls as frequency^-beta, of unit variance.

    Timmer & Koenig 1995, "On generating power law noise"; as action noise: Pinneri et al. 2020.

    Args:
        rng: source of randomness.
        shape: [..., T].
        beta: 0 is white, 1 pink, 2 red.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    return colour(white, beta)


def colour(white: Float[np.ndarray, "*batch T"], beta: float) -> Float[np.ndarray, "*batch T"]:
    """Shape white noise along its last axis to a spectrum of frequency^-beta."""
    steps = white.shape[-1]
    if beta == 0 or steps < 2:
        return white
    # Twice the length, of which the first half is kept: no sequence closes upon itself.
    spectrum = np.fft.rfft(white, n=2 * steps, axis=-1)
    frequencies = np.fft.rfftfreq(2 * steps)
    frequencies[0] = frequencies[1]
    gain = frequencies ** (-beta / 2)
    shaped = np.fft.irfft(spectrum * gain, n=2 * steps, axis=-1)[..., :steps]
    response = np.fft.irfft(gain, n=2 * steps)
    # Step t is a sum of the white values with these weights: its exact standard deviation.
    index = (np.arange(steps)[:, None] - np.arange(steps)[None, :]) % (2 * steps)
    deviation = np.sqrt((response[index] ** 2).sum(1))
    coloured: np.ndarray = (shaped / deviation).astype(white.dtype)
    return coloured
