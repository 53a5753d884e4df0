"""A function in a process of its own that crashes, spins or sleeps."""

import multiprocessing
import os
import time

import pytest

from lbwdet.studies.zoo import isolated
from lbwdet.studies.zoo.isolated import run_isolated


def trial(subject, report):
    report("doing", "this")
    if subject["how"] == "exit":
        os._exit(7)
    while subject["how"] == "spin":
        pass
    if subject["how"] == "sleep":
        time.sleep(600)
    if subject["how"] == "eat":
        bytearray(1 << 40)
    report("doing", "that")


@pytest.fixture(autouse=True)
def forked(monkeypatch):
    # `fork` knows this module; the server of the real one would not.
    monkeypatch.setattr(isolated, "_START", "fork")


@pytest.mark.parametrize(
    "how, why",
    [
        ("exit", "the process ended with code 7"),
        ("spin", "not done within 1 s of CPU time"),
        ("sleep", "not done within 1 s"),
        ("eat", "the process ended with code 1"),
    ],
)
def test_a_process_that_does_not_come_to_its_end(monkeypatch, how, why):
    monkeypatch.setattr(isolated, "_WAIT", 1 if how == "sleep" else 300)
    before = set(multiprocessing.active_children())  # other tests may have pools
    run = run_isolated(trial, dict(how=how), timeout=1)
    assert (run.found, run.end) == (dict(doing="this"), why)
    assert set(multiprocessing.active_children()) <= before


def test_one_that_does():
    run = run_isolated(trial, dict(how="well"), timeout=100)
    assert (run.found, run.end) == (dict(doing="that"), "") and run.seconds >= 0
