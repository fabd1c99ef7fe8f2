"""The boundary to `gymnasium.Env`s: ours, a lab's, and those of people who never heard of us."""

from robo_al.tasks.describing import describe
from robo_al.tasks.layers import Env
from robo_al.tasks.starts import contexts_from, sample_contexts

__all__ = ["Env", "contexts_from", "describe", "sample_contexts"]
