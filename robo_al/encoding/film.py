"""Films: the pictures that an env shows in a rollout, in one MP4 file with a track for each camera.

`png` loses nothing, and most players show it; `h264` is many times smaller, loses what an eye
hardly sees, and browsers play it. Either is written picture by picture, and read so: no more than
a few pictures are in memory. The same pictures give the same file, with one version of PyAV.

A picture that has other axes than height, width and three colours is kept as a grey one of all its
numbers, and comes back as it was.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from jaxtyping import UInt8

from robo_al.errors import StorageError
from robo_al.types import Film, PictureCodec

_LONGEST_PERIOD = 1000
"""Seconds between two pictures, or part of a second, that a film tells exactly."""


class _Codec(NamedTuple):
    """How a track is encoded, in the words of FFmpeg."""

    name: str
    colours: str
    grey: str
    options: Mapping[str, str]
    multiple: int
    """What height and width are multiples of; an edge is repeated where they are not."""


_CODECS: Mapping[PictureCodec, _Codec] = {
    "png": _Codec("png", "rgb24", "gray", {}, 1),
    # no picture waits for later ones, and one in 25 is whole, so that any can be looked up
    "h264": _Codec(
        "libx264",
        "yuv420p",
        "yuv420p",
        {"crf": "18", "preset": "veryfast", "tune": "zerolatency", "g": "25"},
        2,
    ),
}


class _File(FileIO):
    """A file that notes what the disk refuses: FFmpeg would not let every such error through."""

    fault: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all bytes, or note why that cannot be."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.fault = self.fault or error
        return len(data)


class FilmWriter:
    """Writes a film.

    Args:
        path: of the file; written over if it is there.
        shapes: of the pictures of each camera, by its name.
        codec: `png` or `h264`.
        period: seconds between two pictures.

    Raises:
        StorageError: the disk is full or refuses; nothing is left of the file, here and below.
    """

    def __init__(
        self,
        path: Path,
        shapes: Mapping[str, Sequence[int]],
        codec: PictureCodec,
        period: float,
    ) -> None:
        import av

        self._path = path
        try:
            self._file = _File(path, "w")
        except OSError as error:
            raise StorageError.of_write(path, error) from error
        exactly = {"fflags": "+bitexact"}  # without the time and a number drawn at random
        self._container: Any = av.open(self._file, "w", format="mp4", options=exactly)
        self._container.metadata["comment"] = json.dumps({k: list(v) for k, v in shapes.items()})
        self._multiple = _CODECS[codec].multiple
        self._tracks = {
            name: self._track(_CODECS[codec], tuple(shape), period)
            for name, shape in shapes.items()
        }

    def _track(self, codec: _Codec, shape: tuple[int, ...], period: float) -> Any:
        rate = Fraction(1 / period).limit_denominator(_LONGEST_PERIOD)
        rate = max(rate, Fraction(1, _LONGEST_PERIOD))
        image = self._padded(as_image(np.zeros(shape, dtype=np.uint8)))
        track = self._container.add_stream(codec.name, rate=rate, options=dict(codec.options))
        track.height, track.width = image.shape[:2]
        track.pix_fmt = codec.colours if image.ndim == 3 else codec.grey
        track.thread_count = 1  # with more, there would be as many pictures in memory
        return track

    def _padded(self, image: UInt8[np.ndarray, "H W *C"]) -> UInt8[np.ndarray, "H2 W2 *C"]:
        rest = [(0, -size % self._multiple) for size in image.shape[:2]]
        return np.pad(image, rest + [(0, 0)] * (image.ndim - 2), mode="edge")

    def add(self, pictures: Mapping[str, UInt8[np.ndarray, "..."]]) -> None:
        """Write the next picture of each camera."""
        import av

        for name, track in self._tracks.items():
            image = np.ascontiguousarray(self._padded(as_image(pictures[name])))
            form = "rgb24" if image.ndim == 3 else "gray"
            self._container.mux(track.encode(av.VideoFrame.from_ndarray(image, format=form)))
        self._need_written()

    def end(self) -> Film:
        """Complete the file, and return what it is."""
        for track in self._tracks.values():
            self._container.mux(track.encode(None))
        self._container.close()
        self._need_written()
        self._file.close()
        with self._path.open("rb") as file:
            return Film(self._path, hashlib.file_digest(file, "sha256").hexdigest())

    def drop(self) -> None:
        """Remove the file: nobody wants the film."""
        self._container.close()
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _need_written(self) -> None:
        if self._file.fault is not None:
            self.drop()
            raise StorageError.of_write(self._path, self._file.fault) from self._file.fault


class Pictures(Sequence[UInt8[np.ndarray, "..."]]):
    """What one camera saw in a rollout, decoded when it is asked for."""

    def __init__(
        self, path: Path, track: int, shape: tuple[int, ...], count: int, period: float
    ) -> None:
        self._path = path
        self._track = track
        self._count = count
        self.shape = shape
        """Of a picture."""
        self.period = period
        """Seconds between two pictures."""

    def __repr__(self) -> str:
        return f"Pictures({self._count} of {list(self.shape)}, {self._path.name})"

    def __len__(self) -> int:
        """Number of pictures."""
        return self._count

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "..."]]:
        """Decode one picture after the other."""
        return self._from(0)

    @overload
    def __getitem__(self, index: int) -> UInt8[np.ndarray, "..."]: ...
    @overload
    def __getitem__(self, index: slice) -> list[UInt8[np.ndarray, "..."]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Decode one picture, or some."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        return next(self._from(range(self._count)[index]))

    def _from(self, first: int) -> Iterator[UInt8[np.ndarray, "..."]]:
        """Decode the pictures from one on; a film is looked up at a whole picture before it."""
        import av

        with av.open(str(self._path), format="mp4") as container:
            track: Any = container.streams.video[self._track]
            track.thread_count = 1
            step = (track.duration or 0) // self._count
            if first:
                container.seek(first * step, stream=track)
            for frame in container.decode(track):
                if frame.pts >= first * step:
                    yield _as_picture(frame, self.shape)


def read_film(path: Path) -> dict[str, Pictures]:
    """Return what each camera saw, by its name: in the order of the env's space.

    Args:
        path: of a film that is what was written.
    """
    import av

    with av.open(str(path), format="mp4") as container:
        shapes = json.loads(container.metadata["comment"])
        cameras = {}
        for index, (name, shape) in enumerate(shapes.items()):
            track: Any = container.streams.video[index]
            seconds = float(track.duration * track.time_base)
            period = seconds / track.frames
            cameras[name] = Pictures(path, index, tuple(shape), track.frames, period)
    return cameras


def as_image(picture: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "H W *C"]:
    """Return a picture as [H,W,3], or as a grey one [H,W] of all its numbers."""
    if _colours_first(picture.shape):
        return np.moveaxis(picture, 0, -1)
    if picture.ndim > 2 and picture.shape[-1] == 3:
        return picture.reshape(-1, *picture.shape[-2:])
    few = picture.ndim > 2 and picture.shape[-1] <= 4  # one grey, or with transparency
    return picture.reshape(len(picture), -1) if few else picture.reshape(-1, picture.shape[-1])


def _as_picture(frame: Any, shape: tuple[int, ...]) -> UInt8[np.ndarray, "..."]:
    """Return what `as_image` was given, without the edges that were repeated."""
    image = as_image(np.zeros(shape, dtype=np.uint8))
    whole: Any = frame.to_ndarray(format="rgb24" if image.ndim == 3 else "gray")
    kept = whole[: image.shape[0], : image.shape[1]]
    picture = np.moveaxis(kept, -1, 0) if _colours_first(shape) else kept.reshape(shape)
    return np.ascontiguousarray(picture)


def _colours_first(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] == 3 and shape[-1] != 3
