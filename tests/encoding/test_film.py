import numpy as np
import pytest

from robo_al.encoding.film import FilmWriter, read_film
from robo_al.errors import StorageError

SHAPES = {
    "top": (24, 32, 3),
    "images/grey [0]": (7, 5),
    "one": (5, 4, 1),
    "clear": (6, 8, 4),
    "first": (3, 9, 11),
    "stack": (4, 12, 10),
    "two": (2, 6, 7, 3),
}


def shown(count, shapes):
    rng = np.random.default_rng(0)
    return [
        {name: rng.integers(0, 256, shape, dtype=np.uint8) for name, shape in shapes.items()}
        for _ in range(count)
    ]


def smooth(count):
    """Pictures as a camera gives them: what is near has similar colours."""
    y, x = np.mgrid[:30, :41]
    return [
        {"eye": np.stack([4 * x + t, 8 * y, np.full_like(x, 90)], -1).astype(np.uint8)}
        for t in range(count)
    ]


def written(path, pictures, codec):
    shapes = {name: picture.shape for name, picture in pictures[0].items()}
    writer = FilmWriter(path, shapes, codec, 0.05)
    for picture in pictures:
        writer.add(picture)
    return writer.end()


def test_png_gives_back_every_bit_of_pictures_of_any_shape(tmp_path):
    pictures = shown(4, SHAPES)
    film = written(tmp_path / "film", pictures, "png")
    cameras = read_film(film.path)
    assert list(cameras) == list(SHAPES)
    for name, shape in SHAPES.items():
        assert cameras[name].shape == shape and len(cameras[name]) == 4
        np.testing.assert_array_equal(list(cameras[name]), [each[name] for each in pictures])


@pytest.mark.parametrize("codec", ["png", "h264"])
def test_any_picture_can_be_looked_up_and_the_same_pictures_are_the_same_file(tmp_path, codec):
    pictures = smooth(60)
    films = [written(tmp_path / name, pictures, codec) for name in ("a", "b")]
    assert films[0].sha256 == films[1].sha256
    (eye,) = read_film(films[0].path).values()
    whole = list(eye)
    for index in (0, 24, 25, 26, 59, -1):
        np.testing.assert_array_equal(eye[index], whole[index])
    np.testing.assert_array_equal(eye[3:6], whole[3:6])
    worst = max(
        np.abs(seen.astype(int) - was["eye"]).mean()
        for seen, was in zip(whole, pictures, strict=True)
    )
    assert worst == 0 if codec == "png" else 0 < worst < 3
    with pytest.raises(IndexError):
        eye[60]


def test_h264_takes_less_room(tmp_path):
    sizes = {
        codec: written(tmp_path / codec, smooth(60), codec).path.stat().st_size
        for codec in ("png", "h264")
    }
    assert 2 * sizes["h264"] < sizes["png"]


def test_a_film_that_cannot_be_written_is_told_and_nothing_is_left(tmp_path):
    with pytest.raises(StorageError, match="away/film: cannot be written: No such file"):
        FilmWriter(tmp_path / "away" / "film", {"eye": (4, 4)}, "png", 0.1)
    writer = FilmWriter(tmp_path / "film", {"eye": (4, 4)}, "png", 0.1)
    writer.drop()
    assert not list(tmp_path.iterdir())
