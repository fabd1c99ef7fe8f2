import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robo_al.dataset.recordings.lerobot import read_lerobot
from robo_al.errors import UserError
from robo_al.plugins import make_env
from robo_al.types import Channel, EnvSpec

RNG = np.random.default_rng(0)
LENGTHS = (4, 6, 3)
STATES = [RNG.normal(size=(n, 2)).astype(np.float32) for n in LENGTHS]
ACTIONS = [RNG.uniform(-1, 1, n).astype(np.float32) for n in LENGTHS]
REWARDS = [RNG.normal(size=n).astype(np.float32) for n in LENGTHS]


def test_frames_become_transitions(write_lerobot):
    recording = read_lerobot(write_lerobot(STATES, ACTIONS, REWARDS))
    assert [episode.steps for episode in recording.episodes] == [3, 5, 2]
    for i, episode in enumerate(recording.episodes):
        assert np.array_equal(episode.observations, STATES[i])
        assert np.array_equal(episode.actions[:, 0], ACTIONS[i][:-1])
        assert np.array_equal(episode.rewards, REWARDS[i][:-1])
    task = recording.task
    assert (task.control_period, task.horizon, task.reward) == (0.05, 5, None)
    sent = np.concatenate([actions[:-1] for actions in ACTIONS])
    assert (task.action_low[0], task.action_high[0]) == (sent.min(), sent.max())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["shoulder", "elbow"], ["shoulder", "elbow"]),
        ({"motors": ["shoulder", "elbow"]}, ["shoulder", "elbow"]),
        ({"x": 0, "y": 1}, ["x", "y"]),
        (["dim"], ["observation.state[0]", "observation.state[1]"]),
        (None, ["observation.state[0]", "observation.state[1]"]),
    ],
)
def test_channels_have_the_dataset_s_names(write_lerobot, names, expected):
    channels = read_lerobot(write_lerobot(STATES, ACTIONS, names=names)).task.channels
    assert channels == tuple(Channel(name, "1") for name in expected)


def test_without_rewards_the_reward_is_known_to_be_zero(write_lerobot):
    recording = read_lerobot(write_lerobot(STATES, ACTIONS))
    assert not any(episode.rewards.any() for episode in recording.episodes)
    assert recording.task.reward is not None


def test_frames_are_sorted_by_time(write_lerobot):
    folder = write_lerobot(STATES, ACTIONS)
    before = read_lerobot(folder).sha256
    file = folder / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.take(RNG.permutation(len(table))), file)
    assert read_lerobot(folder).sha256 == before


def test_missing_frames_and_files_are_told(write_lerobot):
    folder = write_lerobot(STATES, ACTIONS)
    file = folder / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file)
    with pytest.raises(UserError, match="frames of episode 0 are missing or there twice"):
        read_lerobot(folder)
    pq.write_table(table.drop_columns("action"), file)
    with pytest.raises(UserError, match="lerobot: "):
        read_lerobot(folder)
    file.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="data files cannot be read"):
        read_lerobot(folder)
    file.unlink()
    with pytest.raises(UserError, match="tells of 3 episodes, its data files hold 1"):
        read_lerobot(folder)
    (folder / "data" / "chunk-000" / "file-001.parquet").unlink()
    with pytest.raises(UserError, match="no files data/chunk"):
        read_lerobot(folder)


def test_what_cannot_be_used_is_refused(write_lerobot):
    with pytest.raises(UserError, match="LeRobot dataset of format v2.1; v3 is read"):
        read_lerobot(write_lerobot(STATES, ACTIONS, codebase_version="v2.1"))
    with pytest.raises(UserError, match="fps is 0"):
        read_lerobot(write_lerobot(STATES, ACTIONS, fps=0))
    with pytest.raises(UserError, match="no feature 'observation.state'; it has action"):
        read_lerobot(write_lerobot(STATES, ACTIONS, features={"action": {}}))
    with pytest.raises(UserError, match="rollout 0: it has no steps"):
        read_lerobot(write_lerobot([STATES[0][:1], STATES[1]], [ACTIONS[0][:1], ACTIONS[1]]))
    broken = [STATES[0], STATES[1].copy()]
    broken[1][2, 0] = np.inf
    with pytest.raises(UserError, match="rollout 1: observation is not finite at step 2"):
        read_lerobot(write_lerobot(broken, ACTIONS[:2]))
    folder = write_lerobot(STATES, ACTIONS)
    for text in ("{", json.dumps([1])):
        (folder / "meta" / "info.json").write_text(text)
        with pytest.raises(UserError):
            read_lerobot(folder)


def with_stamps(folder, seconds):
    """Write other time stamps; `seconds` makes those of a file from its episodes and frames."""
    for file in sorted((folder / "data" / "chunk-000").glob("*.parquet")):
        table = pq.read_table(file)
        columns = (table[name].to_numpy() for name in ("episode_index", "frame_index"))
        stamps = pa.array(seconds(*columns).astype(np.float32))
        at = table.column_names.index("timestamp")
        pq.write_table(table.set_column(at, "timestamp", stamps), file)
    return folder


def test_a_gap_in_time_is_refused_by_name_and_can_be_left_out(write_lerobot):
    folder = with_stamps(
        write_lerobot(STATES, ACTIONS, REWARDS),
        lambda episode, frame: frame / 20 + 3.0 * ((episode == 1) & (frame > 2)),
    )
    with pytest.raises(UserError) as caught:
        read_lerobot(folder)
    said = str(caught.value)
    assert "rollout 1: its time stamps 2 and 3 are 3.05 s apart; a step takes 0.05 s" in said
    assert "1 of 3 rollouts cannot be learned from" in said
    assert 'env: {leave_out: ["1"]}' in said
    assert len(read_lerobot(folder, ["1"]).episodes) == 2


def test_one_missing_frame_is_a_gap(write_lerobot):
    folder = with_stamps(
        write_lerobot(STATES, ACTIONS, REWARDS),
        lambda episode, frame: (frame + ((episode == 2) & (frame > 0))) / 20,
    )
    with pytest.raises(UserError, match="rollout 2: its time stamps 0 and 1 are 0.1 s apart"):
        read_lerobot(folder)


def test_another_rate_than_the_description_s_is_refused(write_lerobot):
    folder = with_stamps(write_lerobot(STATES, ACTIONS), lambda episode, frame: frame / 60)
    with pytest.raises(UserError, match=r"a step takes 0.0167 s, by its description 0.05 s"):
        read_lerobot(folder)


def test_jitter_is_no_gap(write_lerobot):
    folder = with_stamps(
        write_lerobot(STATES, ACTIONS), lambda episode, frame: (frame + 0.3 * (frame % 2)) / 20
    )
    assert len(read_lerobot(folder).episodes) == 3


def test_all_bad_episodes_are_named_at_once(write_lerobot):
    states = [state.copy() for state in STATES]
    states[0][1], states[2][0] = np.nan, np.inf
    folder = write_lerobot(states, ACTIONS, REWARDS)
    with pytest.raises(UserError) as caught:
        read_lerobot(folder)
    assert "rollout 0: observation is not finite at step 1" in str(caught.value)
    assert 'leave_out: ["0", "2"]' in str(caught.value)
    assert [e.steps for e in read_lerobot(folder, ["2", "0"]).episodes] == [5]


def test_what_is_left_out_is_there(write_lerobot):
    folder = write_lerobot(STATES, ACTIONS)
    with pytest.raises(UserError, match="leave_out: there is no rollout '7'; there are 0, 1, 2$"):
        read_lerobot(folder, ["7"])


def test_another_column_may_be_what_is_observed(write_lerobot):
    folder = write_lerobot(STATES, ACTIONS, REWARDS)
    info = json.loads((folder / "meta/info.json").read_text())
    info["features"]["observation.embedding"] = {"dtype": "float32", "shape": [3], "names": None}
    (folder / "meta/info.json").write_text(json.dumps(info))
    for file in folder.glob("data/*/*.parquet"):
        table = pq.read_table(file)
        rows = np.arange(3.0 * len(table)).reshape(-1, 3) ** 2
        pq.write_table(table.append_column("observation.embedding", [rows.tolist()]), file)
    env = make_env(EnvSpec("replay", {"path": str(folder), "column": "observation.embedding"}))
    assert [channel.name for channel in env.channels] == [
        f"observation.embedding[{i}]" for i in range(3)
    ]
    shown = [episode.observations for episode in (*env.episodes, *env.held_out)]
    assert sorted(map(len, shown)) == sorted(LENGTHS) and shown[0].shape[1] == 3
    with pytest.raises(UserError, match="no feature 'observation.code'; it has .*embedding"):
        make_env(EnvSpec("replay", {"path": str(folder), "column": "observation.code"}))
