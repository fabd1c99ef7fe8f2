import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_al_agent.errors import WireError
from robo_al_agent.protocol import requests, wire
from robo_al_agent.protocol.wire import Message

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=5,
)


@given(
    st.text(max_size=10),
    st.dictionaries(st.text(max_size=8), values, max_size=4),
    st.sampled_from(sorted(wire.DTYPES)),
    st.lists(st.integers(0, 4), max_size=3),
)
def test_what_is_encoded_is_decoded(kind: str, fields: dict, dtype: str, shape: list[int]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    message = Message(kind, fields, {"a": array, "b": array[:0] if shape else array})
    again = wire.decode(wire.encode(message))
    assert (again.kind, again.fields) == (kind, fields)
    assert list(again.arrays) == ["a", "b"]
    for name, value in message.arrays.items():
        assert again.arrays[name].dtype == dtype
        np.testing.assert_array_equal(again.arrays[name], value)
    assert wire.content_hash(wire.unpack(wire.pack(message))) == wire.content_hash(message)


@given(st.lists(st.binary(max_size=200), max_size=20))
@settings(max_examples=300)
def test_bytes_that_are_no_message_are_refused(frames: list[bytes]) -> None:
    with pytest.raises(WireError):
        wire.decode(frames)


@given(st.binary(max_size=300))
def test_a_file_that_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        wire.unpack(data)


@given(st.data())
@settings(max_examples=300)
def test_an_altered_message_is_refused_or_is_another_message(data: st.DataObject) -> None:
    frames = wire.encode(Message("submit", {"id": "r1", "x": [1, 2]}, {"actions": np.eye(3)}))
    which = data.draw(st.integers(0, len(frames) - 1))
    at = data.draw(st.integers(0, len(frames[which]) - 1))
    altered = bytearray(frames[which])
    altered[at] ^= data.draw(st.integers(1, 255))
    frames[which] = bytes(altered)
    try:
        message = wire.decode(frames)
    except WireError:
        return
    assert isinstance(message, Message)


def header(**changes: object) -> bytes:
    fields = {"version": 1, "kind": "x", "fields": {}, "arrays": []}
    return json.dumps(fields | changes).encode()


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [header(version=2)],
        [header(version=True)],
        [header(kind=3)],
        [header(fields=[])],
        [header(more=1)],
        [b'{"version":1,"kind":"x","fields":{"a":NaN},"arrays":[]}'],
        [b'{"version":1,"kind":"x","fields":{"a":1e999},"arrays":[["a","float64",[-1]]]}', b""],
        [b"[" * 100_000],
        [b'{"a":' * 10_000 + b"1" + b"}" * 10_000],
        [header(arrays=[["a", "object", [1]]]), b"12345678"],
        [header(arrays=[["a", "float64", [2]]]), b"12345678"],
        [header(arrays=[["a", "float64", [1e9]]]), b"12345678"],
        [header(arrays=[["a", "float64", [True]]]), b"12345678"],
        [header(arrays=[["a", "float64", [2**40, 2**40, 0]]]), b"123"],
        [header(arrays=[["a", "float64", [1]], ["a", "float64", [1]]]), b"12345678", b"12345678"],
        [header(), b"more"],
        [header(arrays=[["a", "uint8", [1]]] * 20), *[b"1"] * 20],
        [b" " * (wire.MAX_HEADER + 1)],
        [header(), *[b""] * 17],
    ],
)
def test_hostile_frames_are_refused(frames: list[bytes]) -> None:
    with pytest.raises(WireError):
        wire.decode(frames)


def test_a_message_above_the_limit_is_refused() -> None:
    size = wire.MAX_MESSAGE
    with pytest.raises(WireError, match="too large"):
        wire.decode([header(arrays=[["a", "uint8", [size]]]), bytes(size)])


def test_what_cannot_be_sent_is_refused_here() -> None:
    with pytest.raises(WireError, match="dtype object"):
        wire.encode(Message("x", {}, {"a": np.array([None])}))
    with pytest.raises(WireError):
        wire.encode(Message("x", {"a": float("nan")}))
    with pytest.raises(WireError):
        wire.encode(Message("x", {"a": object()}))


def test_the_hash_depends_on_every_part_and_not_on_order() -> None:
    arrays = {"a": np.zeros(2), "b": np.ones(2)}
    first = wire.content_hash(Message("c", {"x": 1, "y": 2}, arrays))
    assert first == wire.content_hash(
        Message("c", {"y": 2, "x": 1}, dict(reversed(arrays.items())))
    )
    others = [
        Message("d", {"x": 1, "y": 2}, arrays),
        Message("c", {"x": 1, "y": 3}, arrays),
        Message("c", {"x": 1, "y": 2}, {"a": np.ones(2), "b": np.zeros(2)}),
        Message("c", {"x": 1, "y": 2}, {"a": np.zeros((1, 2)), "b": np.ones(2)}),
        Message("c", {"x": 1, "y": 2}, {"a": np.zeros(2, np.float32), "b": np.ones(2)}),
    ]
    assert len({wire.content_hash(message) for message in others} | {first}) == 6


@given(
    st.sampled_from([*requests.KINDS, "", "__class__", "handle"]),
    st.dictionaries(
        st.sampled_from(
            ["request", "client", "fencing_token", "id", "not_after_ns", "content", "step"]
        )
        | st.text(max_size=5),
        values,
        max_size=7,
    ),
)
@settings(max_examples=500)
def test_a_request_is_well_formed_or_refused(kind: str, fields: dict) -> None:
    try:
        parsed = requests.parse(Message(kind, fields))
    except WireError:
        return
    assert parsed.request == fields["request"]
