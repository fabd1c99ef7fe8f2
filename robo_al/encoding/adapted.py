"""An env whose spaces are flat boxes, whatever those of the env inside are."""

from collections.abc import Callable
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Shaped

from robo_al.encoding.actions import FlatActions, is_bounded
from robo_al.encoding.camera import Camera, camera_of, pictures_in
from robo_al.encoding.flatten import Flatten, has_pictures, is_plain
from robo_al.errors import EnvFault, PluginError
from robo_al.protocols import Encoder, SupportsHash
from robo_al.types import Channel, EnvSpec, PictureCodec

Env: TypeAlias = gymnasium.Env[Any, Any]
MakeEncoder: TypeAlias = Callable[[spaces.Space[Any]], Encoder]


class Adapted(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Encodes what an env shows, and restores what it is sent.

    Args:
        env: any.
        encoder: of its observations; None: they are a flat box already.
        actions: of its action space; None: it is a bounded flat box already.
        pictures: how they are kept, where there are any.

    Raises:
        PluginError: the encoder does not say its channels.
    """

    def __init__(
        self,
        env: Env,
        encoder: Encoder | None,
        actions: FlatActions | None,
        pictures: PictureCodec = "png",
    ) -> None:
        super().__init__(env)
        self._encoder = encoder
        self._actions = actions
        self.camera: Camera | None = None
        """Sees the pictures that are encoded."""
        if actions is not None:
            self.action_space = actions.box
        if encoder is not None:
            self.channels = _channels_of(encoder)
            self.camera = camera_of(env.observation_space, pictures)
            size = (len(self.channels),)
            self.observation_space = spaces.Box(-np.inf, np.inf, size, np.float64)

    @property
    def learned(self) -> str | None:
        """Hash of the numbers that its encoder has learned, if it has and says so."""
        return learned_by(self._encoder)

    @property
    def only_limits(self) -> bool:
        """Whether the env answers the same, and is sent the same actions."""
        return self._encoder is None and (self._actions is None or self._actions.change_nothing)

    @property
    def is_flattened(self) -> bool:
        """Whether the observation is that of the env itself, in one row."""
        return isinstance(self._encoder, Flatten)

    @property
    def is_encoded(self) -> bool:
        """Whether the observation is another than that of the env itself."""
        return self._encoder is not None and not self.is_flattened

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start a rollout; raises `EnvFault` where its start cannot be encoded."""
        if self.camera is not None:
            self.camera.drop()
        observation, info = self.env.reset(seed=seed, options=options)
        return self.encoded(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Apply one action [A]; raises `EnvFault` where what follows cannot be encoded."""
        answer = self.env.step(self.restored(action))
        observation, reward, terminated, truncated, info = answer
        return self.encoded(observation), reward, terminated, truncated, info

    def encoded(self, observation: Any) -> Any:
        """Return what everybody else sees of an observation, [O].

        Raises:
            EnvFault: the encoder raises, or returns something else than a number a channel; or a
                picture is not what the env's space says.
            StorageError: a picture cannot be filmed.
        """
        if self._encoder is None:
            return observation
        if self.camera is not None:
            self.camera.see(pictures_in(self.env.observation_space, observation))
        name = type(self._encoder).__name__
        try:
            encoded = np.array(self._encoder.encode(observation), dtype=np.float64)
        except Exception as error:
            said = f"{name}.encode raised {type(error).__name__}: {error}"
            raise EnvFault("failed", said) from error
        if encoded.shape != self.observation_space.shape:
            said = f"{name}.encode returned shape {encoded.shape}"
            raise EnvFault("failed", f"{said}; it has {len(self.channels)} channels")
        return encoded

    def restored(self, action: Shaped[np.ndarray, "A"]) -> Any:
        """Return the action of the env's own space."""
        return action if self._actions is None else self._actions.restored(action)


def adapted(env: Env, spec: EnvSpec, make_encoder: MakeEncoder | None) -> Env:
    """Return an env whose spaces are flat boxes, as far as they and its spec allow.

    Spaces that nothing is known to do with are left as they are: see `robo_al.tasks.boxes`, which
    says what to write.

    Args:
        env: any.
        spec: what it was made from.
        make_encoder: constructs the encoder that is asked for; None: none is.

    Raises:
        ConfigError: `action_limits` that do not go with the actions.
        PluginError: the encoder does not say its channels.
    """
    shown, sent = (getattr(env, f"{which}_space", None) for which in ("observation", "action"))
    encoder: Any = None
    if make_encoder is not None and isinstance(shown, spaces.Space):
        encoder = make_encoder(shown)
    elif isinstance(shown, spaces.Space) and not _is_flat(shown):
        if is_plain(shown) and not has_pictures(shown):
            encoder = Flatten(shown)
    limits, actions = spec.facts.action_limits, None
    if isinstance(sent, spaces.Space) and is_plain(sent):
        if limits is not None or (is_bounded(sent) and not _is_flat(sent)):
            actions = FlatActions(sent, limits, spec.name)
    if encoder is None and actions is None:
        return env
    return Adapted(env, encoder, actions, spec.facts.pictures)


def learned_by(encoder: Encoder | None) -> str | None:
    """Return the hash of the numbers that an encoder has learned; None where it has none."""
    sha256 = encoder.sha256 if isinstance(encoder, SupportsHash) else None
    return sha256 if isinstance(sha256, str) else None


def _is_flat(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) == 1


def _channels_of(encoder: Encoder) -> tuple[Channel, ...]:
    channels: Any = getattr(encoder, "channels", None)
    listed = isinstance(channels, (tuple, list)) and len(channels) > 0
    if not listed or not all(isinstance(channel, Channel) for channel in channels):
        raise PluginError(
            f"encoder {type(encoder).__name__}: its `channels` are no tuple of "
            "robo_al.types.Channel; one is needed for each number that `encode` returns"
        )
    return tuple(channels)
