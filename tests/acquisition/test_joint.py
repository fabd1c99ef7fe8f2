import dataclasses
import itertools
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from robo_al.acquisition.joint import CandidateSteps, JointInformation, at_least_one
from robo_al.acquisition.select import GreedyJoint
from robo_al.errors import ConfigError
from robo_al.models.ensemble import Ensemble
from robo_al.models.gp import GaussianProcess
from robo_al.testing import FakeModel, fake_task, pool_of, random_imagined, random_transitions
from robo_al.types import Transitions


@pytest.fixture(params=[False, True], ids=["to_the_horizon", "ending"])
def imagined(rng, request):
    return random_imagined(rng, members=2, candidates=6, steps=4, ends=request.param)


@pytest.fixture
def pending(rng):
    return random_imagined(rng, members=2, candidates=2, steps=6, ends=True)


def reordered(imagined, order):
    return dataclasses.replace(
        imagined,
        observations=imagined.observations[:, order],
        actions=imagined.actions[:, order],
        rewards=imagined.rewards[:, order],
        members=imagined.members[:, order],
        horizons=imagined.horizons[order],
        mask=imagined.mask[:, order],
        finite=imagined.finite[order],
    )


@pytest.mark.first(2)
@pytest.mark.parametrize("with_pending", [False, True])
def test_gains_of_every_subset_are_those_of_brute_force(
    imagined, pending, smooth, brute, with_pending
):
    pending = pending if with_pending else None
    whole = {
        frozenset(subset): brute.information(imagined, subset, pending)
        for size in range(4)
        for subset in itertools.combinations(range(5), size)
    }
    for order in itertools.permutations(range(5), 3):
        joint = JointInformation().joint(pool_of(imagined, smooth, pending))
        for position, pick in enumerate(order):
            before = frozenset(order[:position])
            expected = whole[before | {pick}] - whole[before]
            assert np.isclose(float(joint.gains([pick])[0]), expected, rtol=1e-9)
            joint.add(pick)


def test_scores_are_gains_with_nothing_added(imagined, pending, smooth, rng):
    acquisition = JointInformation()
    scores = acquisition(pool_of(imagined, smooth, pending), rng)
    joint = acquisition.joint(pool_of(imagined, smooth, pending))
    np.testing.assert_allclose(scores, joint.gains(range(6)).tolist(), rtol=1e-12)


def test_asking_late_or_often_changes_no_gain(imagined, smooth):
    often = JointInformation().joint(pool_of(imagined, smooth))
    late = JointInformation().joint(pool_of(imagined, smooth))
    for pick in (3, 0, 5):
        for other in range(6):
            often.gains([other])
        often.add(pick)
        late.add(pick)
    gains = [joint.gains(range(6)).tolist() for joint in (often, late)]
    np.testing.assert_allclose(*gains, rtol=1e-10)


def test_gains_never_grow_and_are_never_negative(imagined, smooth):
    joint = JointInformation().joint(pool_of(imagined, smooth))
    before = np.array(joint.gains(range(6)).tolist())
    for pick in (1, 4, 1, 2):
        joint.add(pick)
        after = np.array(joint.gains(range(6)).tolist())
        assert (after <= before + 1e-12).all() and (after >= 0).all()
        assert after[pick] < before[pick]
        before = after


def test_the_order_of_candidates_does_not_matter(imagined, pending, smooth, rng):
    order = [4, 2, 0, 5, 1, 3]
    plain = JointInformation()(pool_of(imagined, smooth, pending), rng)
    other = JointInformation()(pool_of(reordered(imagined, order), smooth, pending), rng)
    np.testing.assert_allclose(other, plain[order], rtol=1e-12)


def test_pending_rollouts_count_like_recorded_ones(rng, imagined, pending):
    imagined, pending = (
        dataclasses.replace(
            rollouts,
            observations=rollouts.observations[:1],
            actions=rollouts.actions[:1],
            rewards=rollouts.rewards[:1],
            members=rollouts.members[:1],
            mask=rollouts.mask[:1],
        )
        for rollouts in (imagined, pending)
    )
    data = random_transitions(rng, rollouts=2)
    model, knowing = FakeModel(fake_task()), FakeModel(fake_task())
    model.fit(data, rng)
    valid = pending.mask.bool()
    observations, actions = (value[valid].numpy() for value in pending.inputs)
    knowing.fit(
        Transitions(
            np.concatenate([data.observations, observations]),
            np.concatenate([data.actions, actions]),
            np.concatenate([data.next_observations, observations]),
            np.zeros(len(data) + len(observations)),
            np.zeros(len(data) + len(observations), dtype=np.int64),
            np.zeros(len(data) + len(observations), dtype=bool),
        ),
        rng,
    )
    scores = JointInformation()(pool_of(imagined, model, pending), rng)
    expected = JointInformation()(pool_of(imagined, knowing), rng)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)
    assert (scores < JointInformation()(pool_of(imagined, model), rng)).all()


def test_pending_rollouts_that_are_not_finite_tell_nothing(imagined, pending, smooth, rng):
    lost = dataclasses.replace(pending, finite=torch.tensor([False, False]))
    scores = JointInformation()(pool_of(imagined, smooth, lost), rng)
    np.testing.assert_allclose(
        scores, JointInformation()(pool_of(imagined, smooth), rng), rtol=1e-12
    )


def test_a_candidate_that_is_not_finite_disturbs_no_other(imagined, smooth, rng):
    observations = imagined.observations.clone()
    observations[0, 2] = torch.inf
    broken = dataclasses.replace(imagined, observations=observations, finite=torch.arange(6) != 2)
    scores = JointInformation()(pool_of(broken, smooth), rng)
    assert scores[2] == -torch.inf
    keep = [0, 1, 3, 4, 5]
    assert torch.equal(scores[keep], JointInformation()(pool_of(imagined, smooth), rng)[keep])


def test_thinned_steps_are_evenly_spaced_and_within_the_mask(rng):
    imagined = random_imagined(rng, members=2, candidates=2, steps=10)  # lengths 10 and 9
    steps = CandidateSteps.thinned(imagined, 4)
    for n, index in ((0, [0, 3, 6, 9]), (1, [0, 3, 5, 8])):
        assert torch.equal(steps.observations[:, n], imagined.inputs[0][:, n, index])
        assert torch.equal(steps.actions[:, n], imagined.inputs[1][:, n, index])
    whole = CandidateSteps.thinned(imagined, 10)
    assert whole.weights.sum(-1).tolist() == [[10, 9]] * 2
    assert torch.equal(whole.observations[:, 1, :9], imagined.inputs[0][:, 1, :9])


def test_fewer_steps_make_a_lower_bound(smooth, rng):
    imagined = random_imagined(rng, members=2, candidates=6, steps=4)
    few, more, all_steps = (
        JointInformation(steps=m)(pool_of(imagined, smooth), rng) for m in (1, 2, 4)
    )
    assert (few < more).all() and (more < all_steps).all()
    assert torch.equal(all_steps, JointInformation(steps=100)(pool_of(imagined, smooth), rng))


def test_a_gaussian_process_is_a_proper_covariance_even_where_data_are(rng):
    """Candidates through the very steps that were recorded: the hardest on the numbers."""
    model, data = GaussianProcess(fake_task(), samples=2), random_transitions(rng)
    model.fit(data, rng)
    imagined = random_imagined(rng, members=1, candidates=5, steps=8)
    imagined.observations[0, :, :8] = torch.from_numpy(data.observations.reshape(5, 8, -1))
    imagined.actions[0] = torch.from_numpy(data.actions.reshape(5, 8, -1))
    joint = JointInformation().joint(pool_of(imagined, model))
    for n in range(5):
        assert (
            0 <= float(joint.gains([n])[0]) < 8 * 2 * 0.5 * np.log(2)
        )  # variance below noise: exact there
        joint.add(n)


def test_a_set_far_beyond_the_rank_of_the_model_is_said_once(imagined, smooth, caplog):
    smooth.covariance_rank = 3
    joint = JointInformation().joint(pool_of(imagined, smooth))
    with caplog.at_level(logging.WARNING, logger="robo_al"):
        joint.add(0)
        assert not caplog.records
        for n in (1, 2, 3):
            joint.add(n)
    assert len(caplog.records) == 1 and "3 features" in caplog.text


@pytest.mark.parametrize("steps", [0, -1, 2.5, "3", True])
def test_steps_must_be_a_count(steps):
    with pytest.raises(ConfigError, match="joint_information: steps is"):
        at_least_one("joint_information", "steps", steps)
    if type(steps) is int:
        with pytest.raises(ConfigError, match="joint_information: steps is"):
            JointInformation(steps=steps)


@pytest.fixture
def ensemble(rng):
    """A fitted ensemble and the same without its features."""
    model = Ensemble(fake_task(), members=3, hidden=12, layers=2, max_steps=30)
    model.fit(random_transitions(rng, rollouts=3, steps=6), rng)
    names = ("fit", "covariance", "predict", "step", "members", "covariance_rank")
    return model, SimpleNamespace(**{name: getattr(model, name) for name in names})


def test_features_give_the_same_gains_as_covariances(ensemble, rng):
    featured, plain = ensemble
    imagined = random_imagined(rng, members=2, candidates=9, steps=5)
    pending = random_imagined(rng, members=2, candidates=2, steps=4)
    one, two = (JointInformation().joint(pool_of(imagined, model, pending)) for model in ensemble)
    for picked in (4, 0, 7, 2):
        np.testing.assert_allclose(one.gains(range(9)), two.gains(range(9)), rtol=1e-8, atol=1e-10)
        for joint in (one, two):
            joint.add(picked)
    for k in (1, 5):
        selections = [
            GreedyJoint()(JointInformation(), pool_of(imagined, model, pending), k, rng)
            for model in ensemble
        ]
        assert selections[0].indices == selections[1].indices


def test_gains_from_features_do_not_depend_on_when_they_were_asked_for(ensemble, rng):
    imagined = random_imagined(rng, members=1, candidates=8, steps=5)
    often, late = (JointInformation().joint(pool_of(imagined, ensemble[0])) for _ in range(2))
    for turn, picked in enumerate((3, 5, 1)):
        often.gains([turn, 6])
        for joint in (often, late):
            joint.add(picked)
    np.testing.assert_allclose(often.gains(range(8)), late.gains(range(8)), rtol=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_picks_as_a_cpu_does(rng):
    imagined = random_imagined(rng, members=2, candidates=9, steps=5)
    names = ("observations", "actions", "rewards", "members", "horizons", "mask", "finite")
    moved = dataclasses.replace(imagined, **{n: getattr(imagined, n).cuda() for n in names})
    model = Ensemble(fake_task(), "cpu", members=3, hidden=12, layers=2, max_steps=30)
    model.fit(random_transitions(rng, rollouts=3, steps=6), rng)
    twin = Ensemble(fake_task(), "cuda", members=3, hidden=12, layers=2, max_steps=30)
    twin.load_state_dict(model.state_dict())
    cpu, gpu = (
        GreedyJoint()(JointInformation(), pool_of(i, m), 4, rng)
        for i, m in ((imagined, model), (moved, twin))
    )
    assert cpu.indices == gpu.indices
    np.testing.assert_allclose(cpu.gains, gpu.gains, rtol=1e-6)
