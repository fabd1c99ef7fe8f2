import numpy as np
import pytest
from gymnasium import spaces

from robo_al.encoding.downscale import Downscale
from robo_al.errors import ConfigError

PICTURE = spaces.Box(0, 255, (8, 12, 3), np.uint8)


def test_a_field_is_the_mean_brightness_of_its_pixels():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    code = Downscale(PICTURE, size=4).encode(picture)
    expected = picture.reshape(4, 2, 4, 3, 3).mean(axis=(1, 3, 4)) / 255
    np.testing.assert_allclose(code.reshape(4, 4), expected)


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8), (8, 8, 1), (7, 11, 3), (5, 5)])
def test_pictures_of_any_size_keep_their_brightness(shape):
    encoder = Downscale(spaces.Box(0, 255, shape, np.uint8), size=5)
    assert len(encoder.channels) == 25
    np.testing.assert_allclose(encoder.encode(np.full(shape, 51, np.uint8)), 0.2)


def test_the_rest_is_flattened_beside_the_pictures():
    space = spaces.Dict({"eye": PICTURE, "parts": spaces.Tuple([spaces.Box(-1, 1, (2,)), PICTURE])})
    encoder = Downscale(space, size=2)
    names = [channel.name for channel in encoder.channels]
    assert names[:5] == ["eye[0,0]", "eye[0,1]", "eye[1,0]", "eye[1,1]", "parts[0][0]"]
    picture = np.zeros(PICTURE.shape, np.uint8)
    code = encoder.encode({"eye": picture, "parts": (np.float32([0.5, 1]), picture + 255)})
    assert code.tolist() == [0, 0, 0, 0, 0.5, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("shape", [(4, 12, 3), (8, 8, 3, 4)])
def test_a_picture_without_so_many_fields_is_refused(shape):
    with pytest.raises(ConfigError, match="a picture of shape .* has no 8 x 8 fields"):
        Downscale(spaces.Box(0, 255, shape, np.uint8))
