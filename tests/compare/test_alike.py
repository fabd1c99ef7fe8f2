from robo_al.compare.alike import made_with

OLD, NEW = "python 3.11, torch 2.12, 2 x Xeon", "python 3.11, torch 2.13, 2 x Xeon"


def test_runs_that_were_made_alike_are_told_with_what() -> None:
    runs = [{"made_with": [NEW]}, {"made_with": [NEW]}]
    assert made_with(runs) == ("The runs were made with python 3.11, torch 2.13, 2 x Xeon.", "")


def test_runs_that_were_not_made_alike_are_told_in_what_they_differ() -> None:
    runs = [{"made_with": [NEW]}, {"made_with": [NEW, OLD]}]
    common, others = made_with(runs)
    assert common == "The runs were made with python 3.11, 2 x Xeon."
    assert others.endswith(": 2 runs with torch 2.13; 1 run with torch 2.12.")


def test_of_runs_of_an_earlier_version_nothing_is_told() -> None:
    assert made_with([{}, {"made_with": []}]) == ("", "")
