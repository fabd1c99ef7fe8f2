import numpy as np

from robo_al_envs.canvas import COLOURS, Canvas


def covered(canvas, colour):
    return (canvas.pixels() == COLOURS[colour]).all(-1)


def test_shapes_cover_their_areas():
    for draw, area in [
        (lambda canvas: canvas.disc((0.2, 0.1), 0.3, "goal"), np.pi * 0.3**2),
        (lambda canvas: canvas.box((-0.5, -0.2), (0.1, 0.4), "goal"), 0.36),
        (lambda canvas: canvas.line((-0.4, 0.0), (0.4, 0.0), 0.1, "goal"), 0.16 + np.pi * 0.01),
    ]:
        canvas = Canvas(width=2.0)
        draw(canvas)
        share = covered(canvas, "goal").mean() * 4
        assert abs(share - area) < 0.02 * area + 0.01


def test_x_is_right_and_y_is_up():
    canvas = Canvas(width=2.0)
    canvas.disc((0.5, 0.75), 0.02, "arm")
    rows, columns = covered(canvas, "arm").nonzero()
    assert abs(columns.mean() - 360) < 1 and abs(rows.mean() - 60) < 1


def test_what_is_outside_is_not_drawn():
    canvas = Canvas(width=2.0)
    canvas.disc((5.0, 5.0), 0.1, "arm")
    assert covered(canvas, "ground").all()
