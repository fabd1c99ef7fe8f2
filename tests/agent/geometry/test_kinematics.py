"""Forward kinematics and distances against MuJoCo's own, and what the parsers refuse."""

import itertools
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robo_al_agent.errors import SetupError
from robo_al_agent.geometry.collision import SelfCollision, segment_distance
from robo_al_agent.geometry.kinematics import Kinematics, read_model
from robo_al_agent.geometry.robot_model import enclosing, from_quaternion

ASSETS = Path(__file__).parents[1] / "assets"
SO101 = Path(__file__).parents[3] / "envs" / "robo_al_envs" / "assets" / "so101.xml"


def words(values) -> str:
    return " ".join(repr(float(value)) for value in np.atleast_1d(values))


# ---------------------------------------------------------------- against MuJoCo


def agree(text: str, path: Path, rng: np.random.Generator, poses: int = 8) -> None:
    """Compare all bodies and sites of a model with MuJoCo's, at random joint positions."""
    path.write_text(text)
    theirs = mujoco.MjModel.from_xml_string(text)
    data = mujoco.MjData(theirs)
    names = tuple(theirs.joint(j).name for j in range(theirs.njnt))
    kinematics = Kinematics(read_model(path), names)
    q = rng.uniform(-3, 3, (poses, len(names)))
    places, turns = kinematics.poses(q)
    for m in range(poses):
        data.qpos[:] = q[m]
        mujoco.mj_kinematics(theirs, data)
        for index, body in enumerate(kinematics.model.bodies):
            if body.name != "world":
                other = data.body(body.name)
                np.testing.assert_allclose(places[index, m], other.xpos, atol=1e-9)
                np.testing.assert_allclose(turns[index, m], other.xmat.reshape(3, 3), atol=1e-9)
        for name in kinematics.model.sites:
            body, point = kinematics.frame(name)
            found = places[body, m] + turns[body, m] @ point
            np.testing.assert_allclose(found, data.site(name).xpos, atol=1e-9)


def orientation(rng: np.random.Generator, degrees: bool) -> str:
    scale = 180 / np.pi if degrees else 1
    values = {
        "quat": rng.normal(size=4),
        "axisangle": np.append(rng.normal(size=3), rng.uniform(-3, 3) * scale),
        "xyaxes": rng.normal(size=6),
        "euler": rng.uniform(-3, 3, 3) * scale,
    }
    key = rng.choice(["", *values])
    return f'{key}="{words(values[key])}"' if key else ""


def random_mjcf(rng: np.random.Generator) -> str:
    """Return a tree of up to seven bodies that uses everything the parser takes."""
    degrees = bool(rng.integers(2))
    sequence = "".join(rng.choice(list("xyzXYZ"), 3))
    bodies: list[list[str]] = [[] for _ in range(rng.integers(2, 8))]
    parents = [int(rng.integers(0, max(i, 1))) for i in range(len(bodies))]
    opening, joints = [], itertools.count()
    for i in range(len(bodies)):
        pos, turn = words(rng.normal(size=3)), orientation(rng, degrees)
        childclass = rng.choice(["", 'childclass="sliding"', 'childclass="turning"'])
        opening.append(f'<body name="b{i}" pos="{pos}" {turn} {childclass}>')
        for _ in range(rng.integers(0, 3)):
            own = rng.choice(["", 'type="hinge"', 'type="slide"', 'class="sliding"'])
            axis = rng.choice(["", f'axis="{words(rng.normal(size=3))}"'])
            pos = rng.choice(["", f'pos="{words(rng.normal(size=3))}"'])
            ref = rng.choice(["", f'ref="{words(rng.uniform(-2, 2))}"'])
            bodies[i].append(f'<joint name="j{next(joints)}" {own} {axis} {pos} {ref}/>')
        bodies[i].append(f'<site name="s{i}" pos="{words(rng.normal(size=3))}"/>')
        bodies[i].append('<geom size="0.1" contype="0" conaffinity="0"/>')

    def written(i: int) -> str:
        children = [written(k) for k in range(1, len(bodies)) if parents[k] == i]
        return "".join([opening[i], *bodies[i], *children, "</body>"])

    return f"""<mujoco>
      <compiler angle="{"degree" if degrees else "radian"}" eulerseq="{sequence}"/>
      <default>
        <joint axis="1 2 0" armature="1"/>
        <default class="sliding"><joint type="slide" axis="0 1 1"/>
          <default class="turning"><joint type="hinge" pos="0.1 0 0.2"/></default></default>
      </default>
      <worldbody>{written(0)}</worldbody></mujoco>"""


def test_a_hundred_random_trees_stand_where_mujoco_puts_them(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(100):
        agree(random_mjcf(rng), tmp_path / "tree.xml", rng)


def random_urdf(rng: np.random.Generator) -> str:
    """Return links in a tree by joints of every kind; the first joints are not in order."""
    count = int(rng.integers(2, 8))
    inertial = (
        '<inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/>'
        "</inertial>"
    )
    joints = []
    for i in range(1, count):
        kind = rng.choice(["revolute", "continuous", "prismatic", "fixed"])
        axis = rng.choice(["", f'<axis xyz="{words(rng.normal(size=3))}"/>'])
        xyz, rpy = words(rng.normal(size=3)), words(rng.uniform(-3, 3, 3))
        origin = rng.choice(["", f'<origin xyz="{xyz}" rpy="{rpy}"/>', f'<origin rpy="{rpy}"/>'])
        joints.append(
            f'<joint name="j{i}" type="{kind}"><parent link="l{rng.integers(0, i)}"/>'
            f'<child link="l{i}"/>{origin}{axis}'
            '<limit lower="-9" upper="9" effort="1" velocity="1"/></joint>'
        )
    links = [f'<link name="l{i}">{inertial if i else ""}</link>' for i in range(count)]
    parts = rng.permutation(np.array(joints + links, object))
    extension = '<mujoco><compiler fusestatic="false" discardvisual="false"/></mujoco>'
    return f'<robot name="r">{extension}{"".join(parts)}</robot>'


def test_random_urdf_trees_stand_where_mujoco_puts_them(tmp_path):
    rng = np.random.default_rng(1)
    for _ in range(100):
        text = random_urdf(rng)
        path = tmp_path / "tree.urdf"
        theirs = mujoco.MjModel.from_xml_string(text)
        path.write_text(text)
        data = mujoco.MjData(theirs)
        names = tuple(theirs.joint(j).name for j in range(theirs.njnt))
        kinematics = Kinematics(read_model(path), names)
        q = rng.uniform(-3, 3, (4, len(names)))
        places, turns = kinematics.poses(q)
        for m in range(len(q)):
            data.qpos[:] = q[m]
            mujoco.mj_kinematics(theirs, data)
            for b in range(1, theirs.nbody):  # MuJoCo makes the root link part of its world
                index = kinematics.index(theirs.body(b).name)
                np.testing.assert_allclose(places[index, m], data.xpos[b], atol=1e-9)
                np.testing.assert_allclose(turns[index, m], data.xmat[b].reshape(3, 3), atol=1e-9)


@pytest.mark.parametrize("name", ["elbow.xml"])
def test_the_files_that_are_used_elsewhere(name, tmp_path):
    agree((ASSETS / name).read_text(), tmp_path / name, np.random.default_rng(2))


def test_the_arm_of_the_tasks_with_its_puck_left_out():
    theirs = mujoco.MjModel.from_xml_path(str(SO101))
    joints = tuple(theirs.actuator(a).name for a in range(theirs.nu))
    kinematics = Kinematics(read_model(SO101), joints)
    body, point = kinematics.frame("tip")
    q = np.random.default_rng(3).uniform(-1.6, 1.6, (50, len(joints)))
    places, turns = kinematics.poses(q)
    data = mujoco.MjData(theirs)
    for m in range(len(q)):
        for name, value in zip(joints, q[m], strict=True):
            data.joint(name).qpos = value
        mujoco.mj_kinematics(theirs, data)
        found = places[body, m] + turns[body, m] @ point
        np.testing.assert_allclose(found, data.site("tip").xpos, atol=1e-9)
    with pytest.raises(SetupError, match="puck is not moved by the robot's joints"):
        kinematics.frame("puck")


# ---------------------------------------------------------------- distances


@pytest.mark.skipif(
    tuple(map(int, mujoco.__version__.split(".")[:2])) < (3, 17),
    reason="older releases of MuJoCo tell the distance of some capsules too large",
)
def test_segments_are_as_far_apart_as_capsules_in_mujoco():
    rng = np.random.default_rng(4)
    ends = rng.uniform(-1, 1, (300, 4, 3))
    ends[:40, 3] = ends[:40, 2] + (ends[:40, 1] - ends[:40, 0]) * rng.normal(
        size=(40, 1)
    )  # parallel
    ours = segment_distance(*ends.transpose(1, 0, 2))
    for index, (a0, a1, b0, b1) in enumerate(ends):
        geoms = "".join(
            f'<body><geom type="capsule" size="0.001" fromto="{words([*p, *q])}"/></body>'
            for p, q in ((a0, a1), (b0, b1))
        )
        theirs = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{geoms}</worldbody></mujoco>")
        data = mujoco.MjData(theirs)
        mujoco.mj_kinematics(theirs, data)
        distance = mujoco.mj_geomDistance(theirs, data, 0, 1, 10, np.zeros(6))
        assert ours[index] == pytest.approx(distance + 0.002, abs=1e-6)


def test_degenerate_segments():
    zero, one, two = np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 2.0, 0])
    assert segment_distance(zero, zero, one, one) == 1
    assert segment_distance(zero, one, two, two) == 2
    assert segment_distance(two, two, zero, one) == 2
    assert segment_distance(zero, one, zero, one) == 0
    assert segment_distance(-one, one, two, -two) == 0
    assert segment_distance(zero, one, 3 * one, 5 * one) == 2
    tiny = 1e-170 * one
    assert segment_distance(zero, tiny, two, two + tiny) == pytest.approx(2)


@pytest.mark.parametrize(
    ("kind", "count"), [("sphere", 1), ("capsule", 2), ("cylinder", 2), ("box", 3)]
)
def test_no_point_of_a_shape_is_outside_its_capsule(kind, count):
    rng = np.random.default_rng(5)
    for _ in range(50):
        size, place = rng.uniform(0.01, 1, count), rng.normal(size=3)
        turn = from_quaternion(rng.normal(size=4))
        direction = rng.normal(size=(500, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        ring = direction[:, :2] / np.linalg.norm(direction[:, :2], axis=1, keepdims=True)
        end = np.sign(direction[:, 2:])
        if kind == "box":
            points = np.sign(direction) * size
        elif kind == "cylinder":
            points = np.hstack([ring * size[0], end * size[1]])
        else:
            points = direction * size[0] + end * [0, 0, size[1] if kind == "capsule" else 0]
        capsule = enclosing(kind, size, 0, place, turn)
        points = place + points @ turn.T
        far = segment_distance(points, points, capsule.start, capsule.end) - capsule.radius
        assert far.max() <= 1e-12
        assert far.max() > -1e-2 * size.max()  # and it is not larger than it has to be


def fitted(text: str, path: Path, joints: tuple[str, ...], allowed=()) -> SelfCollision:
    path.write_text(text)
    return SelfCollision(Kinematics(read_model(path), joints), allowed)


ELBOW = ("pan", "lift", "elbow")


def test_neighbours_are_not_compared_and_pairs_can_be_allowed(tmp_path):
    text, path = (ASSETS / "elbow.xml").read_text(), tmp_path / "a.xml"
    pairs = {("column", "lower"), ("upper", "world"), ("lower", "world")}
    assert set(fitted(text, path, ELBOW).names) == pairs
    allowed = [("lower", "column"), ("world", "upper")]
    assert fitted(text, path, ELBOW, allowed).names == [("lower", "world")]
    with pytest.raises(SetupError, match="no body arm; there are world, column, upper, lower"):
        fitted(text, path, ELBOW, [("arm", "upper")])
    with pytest.raises(SetupError, match="no two of them on bodies that are not neighbours"):
        fitted(text, path, ELBOW, [*allowed, ("world", "lower")])


def test_what_is_fixed_to_a_body_counts_as_that_body(tmp_path):
    text = (ASSETS / "arm.urdf").read_text()
    joints = ("lift", "shoulder", "elbow")
    found = set(fitted(text, tmp_path / "arm.urdf", joints).names)
    assert found == {
        ("base", "upper"), ("base", "lower"), ("base", "tool"),
        ("carriage", "lower"), ("carriage", "tool"),
    }  # fmt: skip


def test_distances_of_a_folded_arm(tmp_path):
    path = tmp_path / "a.xml"
    collision = fitted((ASSETS / "elbow.xml").read_text(), path, ELBOW)
    kinematics = Kinematics(read_model(path), ELBOW)
    free = collision.distances(*kinematics.poses(np.array([[0, 0, 0], [0.3, 0, np.pi / 2]])))
    by_name = dict(zip(collision.names, free, strict=True))
    # straight out: from the column's rim at x = 0.03 to the lower arm's end at 0.2 - 0.02
    np.testing.assert_allclose(by_name["column", "lower"][0], np.hypot(0.2, 0.01) - 0.05)
    np.testing.assert_allclose(by_name["lower", "world"][0], 0.22 - 0.02)
    # bent down at the elbow: it just touches the floor
    np.testing.assert_allclose(by_name["lower", "world"][1], 0, atol=1e-12)
    np.testing.assert_allclose(by_name["column", "lower"][1], 0.2 - 0.05)


# ---------------------------------------------------------------- what is refused


def mjcf(body: str, head: str = "") -> str:
    return f'<mujoco>{head}<worldbody><body name="b">{body}</body></worldbody></mujoco>'


JOINT = '<joint name="j"/>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<mujoco><worldbody>", "no element found"),
        ("<sdf/>", "<sdf> is neither MJCF"),
        (mjcf('<joint name="k"/>'), "0 joints are called j.*the file's joints: k"),
        (mjcf(JOINT + '<joint name="k"/>'), r"joint k \(hinge\) of body b is none that .* reads"),
        (mjcf(JOINT + '<body name="c"><freejoint/></body>'), r"joint \(unnamed\) \(free\)"),
        (mjcf('<joint name="j" type="ball"/>'), r"joint j \(ball\)"),
        (mjcf('<joint name="j" type="screw"/>'), "<joint name='j'>: type='screw'"),
        (mjcf('<joint name="j" axis="0 0 0"/>'), "axis='0 0 0' has no direction"),
        (mjcf('<joint name="j" axis="0 0"/>'), "axis='0 0' must be 3 finite numbers"),
        (mjcf('<joint name="j" pos="0 nan 0"/>'), "pos='0 nan 0' must be 3 finite numbers"),
        (mjcf('<joint name="j" class="x"/>'), "class='x' is no default class"),
        (mjcf(JOINT + "<frame/>"), "<frame>: is not supported"),
        (mjcf(JOINT + "<replicate/>"), "<replicate>: is not supported"),
        (mjcf(JOINT, '<include file="x.xml"/>'), "<include>: is not supported"),
        (mjcf(JOINT, '<compiler eulerseq="xy"/>'), "eulerseq='xy'"),
        (mjcf(JOINT, "<default><default/></default>"), "a default inside another needs a class"),
        (mjcf(JOINT + '<geom name="g" zaxis="0 1 0" type="box" size="1 1 1"/>'), "'g'>: zaxis"),
        (mjcf(JOINT + '<geom quat="0 0 0 0" type="box" size="1 1 1"/>'), "quat='0 0 0 0' is no"),
        (mjcf(JOINT + '<body euler="0 0 0" quat="1 0 0 0"/>'), "quat and euler contradict"),
        (mjcf(JOINT + '<geom type="box" size="1 1"/>'), "size='1 1': 3 above 0"),
        (mjcf(JOINT + '<geom size="-1"/>'), "size='-1': 1 above 0"),
        (mjcf(JOINT + "<geom/>"), "size='' must be finite numbers"),
        (mjcf(JOINT + '<geom type="box" fromto="0 0 0 1 1 1" size="1"/>'), "fromto of a box"),
        (mjcf(JOINT + '<site fromto="0 0 0 1 1 1"/>'), "<site>: fromto is not supported"),
        ("<robot/>", "0 links hang on no joint"),
        ('<robot><link name="a"/><link name="b"/></robot>', "2 links hang on no joint"),
        ('<robot><link name="a"/><link name="a"/></robot>', "two links of this name"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_used(text, message, tmp_path):
    path = tmp_path / "model.xml"
    path.write_text(text)
    with pytest.raises(SetupError, match=message) as caught:
        Kinematics(read_model(path), ("j",))
    assert str(path) in str(caught.value)


def urdf(joint: str, more: str = "") -> str:
    ends = '<parent link="a"/><child link="b"/>'
    links = '<link name="a"/><link name="b"/>'
    return f'<robot>{links}<joint name="j" {joint.format(ends=ends)}</joint>{more}</robot>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (urdf('type="floating">{ends}'), "type='floating' is not supported"),
        (urdf('type="revolute"><parent link="a"/>'), "its child '' is no link"),
        (urdf('type="revolute"><parent link="c"/><child link="b"/>'), "its parent 'c' is no link"),
        (urdf('type="revolute">{ends}<axis xyz="0 0 0"/>'), "axis xyz='0 0 0' has no direction"),
        (urdf('type="revolute">{ends}<origin rpy="1 2"/>'), "origin rpy='1 2' must be 3"),
        (
            urdf(
                'type="revolute">{ends}',
                '<joint name="k" type="fixed"><parent link="a"/><child link="b"/></joint>',
            ),
            "link b hangs on two joints",
        ),
        (
            urdf(
                'type="revolute">{ends}',
                '<link name="c"/><link name="d"/>'
                '<joint name="k" type="fixed"><parent link="c"/><child link="d"/></joint>'
                '<joint name="l" type="fixed"><parent link="d"/><child link="c"/></joint>',
            ),
            "in a circle",
        ),
    ],
)
def test_a_urdf_that_cannot_be_used(text, message, tmp_path):
    path = tmp_path / "robot.urdf"
    path.write_text(text)
    with pytest.raises(SetupError, match=message):
        Kinematics(read_model(path), ("j",))


def test_meshes_do_for_kinematics_but_not_for_collisions(tmp_path):
    mesh = '<collision><geometry><mesh filename="a.stl"/></geometry></collision>'
    text = urdf('type="revolute">{ends}').replace(
        '<link name="b"/>', f'<link name="b">{mesh}</link>'
    )
    path = tmp_path / "robot.urdf"
    path.write_text(text)
    assert Kinematics(read_model(path), ("j",)).frame("b")[0] == 2
    with pytest.raises(SetupError, match="link b is a mesh: give spheres, cylinders or boxes"):
        fitted(text, path, ("j",))
    for shape in ('type="mesh" mesh="m"', 'type="ellipsoid" size="1 1 2"'):
        with pytest.raises(SetupError, match="of body b is a (mesh|ellipsoid): give a sphere"):
            fitted(mjcf(f"{JOINT}<geom {shape}/>"), tmp_path / "m.xml", ("j",))
    seen = f'{JOINT}<geom type="mesh" mesh="m" contype="0" conaffinity="0"/>'
    with pytest.raises(SetupError, match="0 collision shapes"):
        fitted(mjcf(seen), tmp_path / "m.xml", ("j",))


def test_a_plane_on_a_moving_body_is_refused(tmp_path):
    with pytest.raises(SetupError, match="a plane is fixed to a body that moves"):
        fitted(mjcf(f'{JOINT}<geom type="plane" size="1 1 1"/>'), tmp_path / "m.xml", ("j",))
