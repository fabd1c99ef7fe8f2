import pytest

from robo_al.config.overrides import split_arguments
from robo_al.errors import UserError


@pytest.mark.parametrize(
    ("tokens", "overrides"),
    [
        (["cartpole"], []),
        (["cartpole", "--seed", "3"], ["--seed", "3"]),
        (["--seed", "3", "cartpole"], ["--seed", "3"]),
        (["--seed=3", "cartpole", "--device=cpu"], ["--seed=3", "--device=cpu"]),
        (["--threshold", "-10", "cartpole"], ["--threshold", "-10"]),
        (["--a", "1", "--b=2", "cartpole", "--c"], ["--a", "1", "--b=2", "--c"]),
        (["--model", "{name: gp}", "cartpole"], ["--model", "{name: gp}"]),
        (["cartpole", "pendulum"], ["pendulum"]),  # which is no override, and told as such
    ],
)
def test_the_configuration_may_stand_anywhere_among_the_overrides(
    tokens: list[str], overrides: list[str]
) -> None:
    assert split_arguments(tokens) == ("cartpole", overrides)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "no configuration is given; for example: robo-al run cartpole"),
        (["--seed=3"], "no configuration is given; for"),
        (["--seed", "cartpole"], r"no configuration is given \(cartpole is the value of --seed\)"),
        (["--a=1", "--seed", "3"], r"\(3 is the value of --seed\)"),
    ],
)
def test_no_configuration_is_told_with_what_was_taken_for_something_else(
    tokens: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        split_arguments(tokens)
