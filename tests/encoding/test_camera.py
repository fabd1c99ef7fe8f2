import numpy as np
import pytest
from gymnasium import spaces

from robo_al.encoding.camera import camera_of, pictures_in
from robo_al.encoding.film import read_film
from robo_al.errors import EnvFault

PICTURE = spaces.Box(0, 255, (4, 6, 3), np.uint8)
SPACE = spaces.Dict(
    {
        "cameras": spaces.Dict({"top": PICTURE}),
        "both": spaces.Tuple([PICTURE, spaces.Box(-1, 1, (2,), np.float64)]),
        "bytes": spaces.Box(0, 255, (9,), np.uint8),
    }
)


def observation(brightness):
    observed = SPACE.sample()
    observed["cameras"]["top"][:] = brightness
    return observed


def test_pictures_have_the_names_of_what_they_are_in(tmp_path):
    camera = camera_of(SPACE, "png")
    assert camera.shapes == {"both[0]": (4, 6, 3), "cameras.top": (4, 6, 3)}
    observed = observation(7)
    seen = pictures_in(SPACE, observed)
    np.testing.assert_array_equal(seen["both[0]"], observed["both"][0])
    (alone,) = pictures_in(PICTURE, observed["both"][0])
    assert alone == "observation"
    assert camera_of(SPACE["bytes"], "png") is None


def test_a_film_begins_with_what_was_seen_last_before_it(tmp_path):
    camera = camera_of(SPACE, "png")
    buffer = observation(1)
    camera.see(pictures_in(SPACE, buffer))
    buffer["cameras"]["top"][:] = 2  # an env may show one array again and again
    camera.begin(tmp_path / "film", 0.1)
    camera.see(pictures_in(SPACE, buffer))
    film = camera.end()
    assert camera.end() is None
    camera.see(pictures_in(SPACE, observation(3)))
    assert [picture[0, 0, 0] for picture in read_film(film.path)["cameras.top"]] == [1, 2]
    camera.begin(tmp_path / "another", 0.1)
    camera.drop()
    assert not (tmp_path / "another").exists()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({}, "no picture cameras.top: KeyError: 'cameras'"),
        (
            {"cameras": {"top": np.zeros((4, 6))}},
            r"float64 of shape \(4, 6\)",
        ),
        ({"cameras": {"top": np.full((4, 6, 3), 0.5)}}, "picture cameras.top of float64"),
        ({"cameras": {"top": np.full((4, 6, 3), 256)}}, "picture cameras.top of int64"),
    ],
)
def test_what_is_no_picture_of_the_space_is_the_env_s_fault(wrong, why):
    with pytest.raises(EnvFault, match=why):
        pictures_in(spaces.Dict({"cameras": SPACE["cameras"]}), wrong)
