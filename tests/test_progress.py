import io

from lbwdet.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_file_gets_the_last_line():
    stream = io.StringIO()
    with Progress("work", total=3, stream=stream) as progress:
        for _ in range(3):
            progress.step()
    assert stream.getvalue() == "work  3/3  0:00 gone, 0:00 left\n"


def test_time_left_is_shown(monkeypatch):
    now = iter([0.0, 30.0, 60.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    stream = io.StringIO()
    with Progress("work", total=6, stream=stream) as progress:
        progress.step()
        progress.step()
    assert stream.getvalue().splitlines() == [
        "work  1/6  0:30 gone, 2:30 left",
        "work  2/6  1:00 gone, 2:00 left",
    ]


def test_a_terminal_gets_one_line_that_is_rewritten():
    stream = Terminal()
    with Progress("work", total=1, stream=stream) as progress:
        progress.step()
    assert stream.getvalue() == "\r\x1b[2Kwork  1/1  0:00 gone, 0:00 left\n"


def test_many_steps_at_once(monkeypatch):
    now = iter([0.0, 20.0, 40.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    stream = io.StringIO()
    with Progress("work", total=100, stream=stream) as progress:
        progress.reach(0)
        progress.reach(50)
    assert stream.getvalue().splitlines()[-1] == "work  50/100  0:40 gone, 0:40 left"
