"""Environments in processes of their own: same results, and a run that outlives its workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from itp import make_env
from itp.envs.vector import Episode, Failure, Turn
from itp.envs.workers import WorkerVectorEnv
from itp.errors import EnvError
from itp.planners.simple import RandomPlanner
from itp.rollout.lockstep import run_episodes
from itp.types import Decision, DecisionContext, StopReason, Trajectory
from workers_toys import Walk


class Up:
    name = "up"

    def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
        return [Decision("up") for _ in contexts]


def timeless(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    return [replace(trajectory, seconds=0.0) for trajectory in trajectories]


def workers_alive() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.is_running() and "spawn_main" in " ".join(child.cmdline())]


@pytest.fixture(autouse=True)
def nothing_left_behind():
    yield
    deadline = time.monotonic() + 5
    while (left := workers_alive()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def test_results_do_not_depend_on_workers_or_batch_size() -> None:
    household = partial(make_env, "household", split="valid", max_steps=6)
    tasks = list(household().task_ids)[:9]

    def play(workers: int, batch_size: int) -> list[Trajectory]:
        options = {"batch_size": batch_size, "max_steps": None, "seed": 3, "workers": workers}
        return timeless(run_episodes(household, RandomPlanner(), tasks, **options))

    alone = play(0, 1)
    assert len({step.observation for trajectory in alone for step in trajectory.steps}) > 10
    for workers, batch_size in ((1, 4), (2, 9), (3, 5)):
        assert play(workers, batch_size) == alone


def test_a_worker_killed_in_the_middle_loses_its_running_episodes_only() -> None:
    ended: list[Trajectory] = []

    class Killing(Up):
        def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
            if len(ended) >= 10 and not killed:
                killed.append(workers_alive()[0].pid)
                os.kill(killed[0], signal.SIGKILL)
            return super().decide(contexts)

    killed: list[int] = []
    tasks = list(Walk(40).task_ids)
    trajectories = run_episodes(
        partial(Walk, 40), Killing(), tasks, batch_size=8, max_steps=20, seed=0, workers=2, on_episode=ended.append
    )
    assert [trajectory.task.task_id for trajectory in trajectories] == tasks
    failed = [trajectory for trajectory in trajectories if trajectory.stop is StopReason.ERROR]
    assert 1 <= len(failed) <= 4
    assert all(f"(pid {killed[0]}) died" in trajectory.error for trajectory in failed)
    assert all(trajectory.won for trajectory in trajectories if trajectory not in failed)


@pytest.mark.parametrize(
    ("trap", "message"), [("die", "died (exit code -9)"), ("hang", "gave no answer for 3 s"), ("odd", "cannot be sent")]
)
def test_a_trap_fails_its_episode_and_the_run_goes_on(tmp_path: Path, trap: str, message: str) -> None:
    tasks = ["t3-0", f"t5-{trap}", "t3-1", "t3-2", f"t5-{trap}", "t4-3"]
    trajectories = run_episodes(
        partial(Walk, flags=str(tmp_path)),
        Up(),
        tasks,
        batch_size=2,
        max_steps=9,
        seed=0,
        workers=2,
        step_timeout=3,
    )
    assert message in trajectories[1].error
    assert [trajectory.won for trajectory in trajectories] == [True, False, True, True, True, True]


def test_a_stopped_worker_is_replaced_even_when_it_cannot_take_or_finish_a_message() -> None:
    with WorkerVectorEnv(Walk, 2, workers=2, timeout=1.5) as envs:
        envs.reset({0: Episode("t5-a"), 1: Episode("t5-b")})
        os.kill(envs.pids[0], signal.SIGSTOP)
        long = "up " * 3_000_000  # more than the pipe holds, so that sending it waits for a reader
        outcomes = envs.step({0: long, 1: long})
        assert "gave no answer for 1.5 s; it was replaced" in outcomes[0].message  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(outcomes[1], Turn)
        assert isinstance(envs.reset({0: Episode("t5-a")})[0], Turn)
        os.kill(envs.pids[1], signal.SIGSTOP)  # and nothing is left of one that is stopped at the end


def test_an_interrupted_call_closes_the_environments(tmp_path: Path) -> None:
    envs = WorkerVectorEnv(partial(Walk, flags=str(tmp_path)), 1, workers=1)
    envs.reset({0: Episode("t5-hang")})
    envs.step({0: "up"})
    interrupt = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        envs.step({0: "up"})
    assert not workers_alive()
    with pytest.raises(EnvError, match="closed"):
        envs.step({0: "up"})


def test_processes_that_cannot_start_end_the_run_with_advice(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from itp import make_vec_env\nfrom itp.envs.vector import Episode\n"
        "envs = make_vec_env('household', 3, workers=3)\n"
        "envs.reset({n: Episode('household-small-train-000000') for n in range(3)})\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "EnvError: 3 worker processes in a row could not start" in ended.stderr
    assert "if __name__ == '__main__'" in ended.stderr


def test_nothing_is_left_by_a_program_that_ends_without_closing(tmp_path: Path) -> None:
    script = tmp_path / "careless.py"
    script.write_text(
        "import os, signal\nfrom itp import make_vec_env\nfrom itp.envs.vector import Episode\n"
        "if __name__ == '__main__':\n    envs = make_vec_env('household', 2, workers=2)\n"
        "    envs.reset({n: Episode('household-small-train-000000') for n in range(2)})\n"
        "    print(*envs.pids, flush=True)\n    os.kill(envs.pids[0], signal.SIGSTOP)\n    raise SystemExit(7)\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 7
    assert not any(psutil.pid_exists(int(pid)) for pid in ended.stdout.split())


def test_slots_that_were_idle_when_their_worker_died_fail_at_their_next_step(tmp_path: Path) -> None:
    with WorkerVectorEnv(partial(Walk, flags=str(tmp_path)), 2, workers=1, timeout=20) as envs:
        envs.reset({0: Episode("t5-die"), 1: Episode("t5-x")})
        envs.step({0: "up"})
        assert isinstance(envs.step({0: "up"})[0], Failure)
        lost = envs.step({1: "up"})[1]
        assert isinstance(lost, Failure)
        assert "was replaced" in lost.message
        assert all(isinstance(turn, Turn) for turn in envs.reset({0: Episode("t5-y"), 1: Episode("t5-x")}).values())


def test_workers_go_when_the_run_is_interrupted_or_forgotten() -> None:
    class Interrupted(Up):
        def decide(self, contexts: Sequence[DecisionContext]) -> list[Decision]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_episodes(Walk, Interrupted(), ["t3-0"], batch_size=1, max_steps=3, seed=0, workers=1)
    assert not workers_alive()
    envs = WorkerVectorEnv(Walk, 2, workers=2)
    assert len(workers_alive()) == 2
    del envs  # never closed: the workers go with it


def test_workers_ignore_ctrl_c_and_leave_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    envs = WorkerVectorEnv(Walk, 1, workers=1)
    envs.reset({0: Episode("t3-0")})
    os.kill(envs.pids[0], signal.SIGINT)
    assert isinstance(envs.step({0: "up"})[0], Turn)
    envs.close()
    code = (
        "import time\nfrom itp.envs.vector import Episode\nfrom itp.envs.workers import WorkerVectorEnv\n"
        "from workers_toys import Walk\n"
        "if __name__ == '__main__':\n    envs = WorkerVectorEnv(Walk, 1, workers=1)\n"
        "    envs.reset({0: Episode('t3-0')})\n    print(envs.pids[0], flush=True)\n    time.sleep(60)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    parent = psutil.Popen(
        [sys.executable, str(script)],
        stdout=-1,
        env={**os.environ, "PYTHONPATH": paths},
    )
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    gone, _ = psutil.wait_procs([worker], timeout=10)
    assert gone or worker.status() == psutil.STATUS_ZOMBIE


def test_a_call_from_another_thread_is_no_trouble() -> None:
    results: list[Trajectory] = []
    thread = threading.Thread(
        target=lambda: results.extend(run_episodes(Walk, Up(), ["t3-0"], batch_size=1, max_steps=5, seed=0, workers=1))
    )
    thread.start()
    thread.join(60)
    assert results[0].won
