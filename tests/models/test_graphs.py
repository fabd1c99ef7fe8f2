"""Recording, with a recorder that keeps a CUDA graph's rules on the CPU."""

import threading

import pytest
import torch

from robo_al.models.graphs import ORDINARY, Replayed

CPU = torch.device("cpu")


def both(x, y):
    return x + y, x * y


def test_a_function_is_called_recorded_once_and_replayed(recorder):
    function = Replayed(both, CPU, recorder)
    for i in range(2 * ORDINARY):
        x, y = torch.full((3,), float(i)), torch.arange(3.0)
        total, product = function(x, y)
        assert torch.equal(total, x + y) and torch.equal(product, x * y)
    assert (recorder.called, recorder.recorded, recorder.replayed) == (ORDINARY, 1, ORDINARY)


def test_answers_are_the_callers_own(recorder):
    function = Replayed(both, CPU, recorder)
    answers = [function(torch.full((2,), float(i)), torch.ones(2))[0] for i in range(ORDINARY + 4)]
    assert [float(answer[0]) for answer in answers] == [i + 1.0 for i in range(ORDINARY + 4)]


def test_each_shape_and_type_has_its_own_recording(recorder):
    function = Replayed(both, CPU, recorder)
    for _ in range(ORDINARY + 1):
        for x in (torch.ones(2), torch.ones(3), torch.ones(3, dtype=torch.float64)):
            assert torch.equal(function(x, x)[0], 2 * x)
    assert recorder.recorded == 3


def test_arguments_that_are_views_are_read(recorder):
    function = Replayed(both, CPU, recorder)
    rows = torch.arange(40.0).reshape(2, 20)
    for i in range(20):
        assert torch.equal(function(rows[:, i], rows[:1, i].expand(2))[0], rows[:, i] + i)


def test_what_a_function_changes_is_changed_once_a_call(recorder):
    total = torch.zeros(2)

    def add(x):
        total.add_(x)

    recorded = Replayed(add, CPU, recorder)
    for _ in range(2 * ORDINARY):
        assert recorded(torch.ones(2)) is None
    assert total.tolist() == [2.0 * ORDINARY] * 2


def test_what_cannot_be_recorded_is_called(recorder):
    def refuse(run):
        raise RuntimeError("operation not permitted when stream is capturing")

    recorder.record = refuse
    function = Replayed(both, CPU, recorder)
    for i in range(ORDINARY + 5):
        assert float(function(torch.full((1,), float(i)), torch.ones(1))[0]) == i + 1
    assert recorder.called == ORDINARY


def test_threads_give_up_a_recording_together(recorder):
    def refuse(run):
        raise RuntimeError("operation not permitted when stream is capturing")

    recorder.record = refuse
    function, wrong = Replayed(both, CPU, recorder), []

    def work():
        try:
            for _ in range(200):
                assert float(function(torch.ones(1), torch.ones(1))[0]) == 2
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_errors_of_the_function_are_its_own(recorder):
    def wrong(x):
        raise RuntimeError("mine")

    for each in (None, recorder):
        with pytest.raises(RuntimeError, match="mine"):
            Replayed(wrong, CPU, each)(torch.ones(1))


def test_threads_do_not_read_each_others_arguments(recorder):
    function = Replayed(both, CPU, recorder)
    wrong = []

    def work(number):
        for i in range(200):
            x = torch.full((50,), float(1000 * number + i))
            if not torch.equal(function(x, x)[0], 2 * x):
                wrong.append((number, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_on_a_cpu_a_function_is_simply_called():
    calls = []
    function = Replayed(calls.append, CPU)
    x = torch.ones(2)
    function(x)
    assert calls[0] is x


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_graph_replays_and_what_waits_for_the_gpu_is_called():
    device = torch.device("cuda")
    total = torch.zeros(3, device=device)

    def plain(x):
        total.add_(x)
        return (x * 2,)

    def waiting(x):
        return (x * float(x.sum()),)

    stream = torch.cuda.current_stream()
    for function in (plain, waiting):
        replayed = Replayed(function, device)
        for i in range(2 * ORDINARY):
            x = torch.full((3,), float(i), device=device)
            expected = 2 * x if function is plain else x * float(x.sum())
            assert torch.equal(replayed(x)[0], expected)
            assert torch.cuda.current_stream() == stream
    assert total.tolist() == [float(sum(range(2 * ORDINARY)))] * 3
