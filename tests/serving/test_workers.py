import threading
import time

import pytest

from lbwdet.deploy.runtime.detector import Detector
from lbwdet.deploy.runtime.native import instruction_sets
from lbwdet.deploy.testing import tiny_artifact
from lbwdet.serving.workers import GivenUp, Task, Workers
from tests.serving.conftest import IMAGE, PATIENCE, needs_engine

pytestmark = needs_engine


@pytest.fixture
def workers():
    workers = Workers(tiny_artifact(), 2, 1)
    yield workers
    workers.close()


def test_tasks_have_engines_of_their_own(workers):
    both = threading.Barrier(2)

    def work(task, detector):
        both.wait(PATIENCE)  # they are at work at the same time, or nobody passes
        return detector, detector(IMAGE)

    futures = [workers.submit(Task(work)) for _ in range(2)]
    (first, found), (second, again) = (future.result(PATIENCE) for future in futures)
    assert first is not second
    expected = Detector(tiny_artifact(), threads=1)(IMAGE).as_json()
    assert found.as_json() == again.as_json() == expected != []
    assert instruction_sets()[workers.isa]


def test_an_error_of_the_work_is_its_own(workers):
    def fail(task, detector):
        raise ValueError("no")

    for _ in range(4):  # more than there are workers: none was lost
        with pytest.raises(ValueError, match="no"):
            workers.submit(Task(fail)).result(PATIENCE)


def test_a_task_that_has_not_begun_is_given_up():
    task = Task(lambda task, detector: pytest.fail("it was done all the same"))
    task.give_up()
    with pytest.raises(GivenUp):
        task(None)
    assert not task.begun


def test_a_run_under_way_is_given_up(workers):
    running = threading.Event()

    def work(task, detector):
        running.set()
        while True:  # whenever it is given up, a run ends by it
            detector(IMAGE)

    task = Task(work)
    future = workers.submit(task)
    assert running.wait(PATIENCE) and task.begun
    while not future.done():
        task.give_up()
        time.sleep(0.001)
    assert isinstance(future.exception(), GivenUp)
    after = workers.submit(Task(lambda task, detector: detector(IMAGE)))
    assert len(after.result(PATIENCE)) > 0


def test_what_ended_before_is_not_touched(workers):
    task = Task(lambda task, detector: 1)
    assert workers.submit(task).result(PATIENCE) == 1
    task.give_up()
    assert workers.submit(Task(lambda task, detector: len(detector(IMAGE)))).result(PATIENCE) > 0


def test_closing_ends_what_it_has():
    workers = Workers(tiny_artifact(), 1, 1)
    futures = [workers.submit(Task(lambda task, detector: len(detector(IMAGE)))) for _ in range(5)]
    workers.close()
    assert all(future.done() and future.result() > 0 for future in futures)
