"""Runs a comparison: each campaign in a process of its own, resumable after a kill at any point.

    OUT/comparison.yaml                      the whole plan, every default filled in
    OUT/runs/TASK/STRATEGY/seed-N/           a campaign's run folder
    OUT/runs/TASK/STRATEGY/seed-N.log        what its process printed

What was done is known from the run folders alone, so that nothing else has to agree with them.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

from robo_al.compare.folder import check_folder, continued, lock
from robo_al.compare.plan import Plan, Run
from robo_al.compare.records import FAILED, RunRecord, read_record, write_failure
from robo_al.compare.trial import dry_run
from robo_al.dataset.files import storage, write_atomically
from robo_al.dataset.folders import COMPARISON
from robo_al.dataset.lock import FolderLock
from robo_al.dataset.start_folder import STARTED_IN, note_start_folder

_THREADS = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM")
"""Libraries that would each take all cores; `..._NUM_THREADS` is their setting."""


State: TypeAlias = Literal["kept", "running", "done", "failed"]
"""Of a run; `kept`: it was complete before."""


@dataclass(frozen=True)
class DryRunning:
    """A task and a strategy are tried together."""

    task: str
    strategy: str


@dataclass(frozen=True)
class TaskNote:
    """What is to be known of a task before its runs begin."""

    task: str
    text: str


@dataclass(frozen=True)
class Update:
    """Where a run stands."""

    run: Run
    state: State
    rollouts: int = 0
    mean_return: float | None = None
    """Of the last evaluation."""
    solved_at: int | None = None
    """Rollouts after which it was solved."""
    reason: str | None = None
    """Why it failed."""


Listener: TypeAlias = Callable[[DryRunning | TaskNote | Update], None]


def run_comparison(
    plan: Plan, folder: Path, jobs: int, listener: Listener, resume: bool = False
) -> None:
    """Run every campaign of a plan that is not complete; a failed one does not stop the others.

    Args:
        plan: the comparison.
        folder: of the comparison: new or empty, or with `resume` that of an earlier call.
        jobs: processes at a time.
        listener: told what happens, one call at a time.
        resume: go on with what is in the folder; failed runs are tried again.

    Raises:
        ConfigError: a task and a strategy do not go together; nothing was written.
        RunFolderError: the folder has another comparison, is in use, or is not empty; nothing was
            written.
        StorageError: the disk is full or refuses.
    """
    check_folder(plan, folder, resume)
    records = read_records(folder, plan)
    begun = {(r.task, r.strategy) for r in records.values() if r.failed is None or r.evaluations}
    notes = dry_run(plan, begun, lambda task, strategy: listener(DryRunning(task, strategy)))
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with lock(folder) as held:
        check_folder(plan, folder, resume)  # again: another process may have been faster
        plan = continued(plan, folder)
        records = read_records(folder, plan)
        if not (folder / STARTED_IN).exists():
            note_start_folder(folder)
        write_atomically(folder / COMPARISON, plan.text().encode())
        for task, texts in notes.items():
            for text in texts:
                listener(TaskNote(task, text))
        crew = _Crew(plan, folder, listener, held)
        for run, record in records.items():
            if record.failed is None:
                crew.tell(_standing(run, "kept", record))
        crew.run({run: record for run, record in records.items() if record.failed}, jobs)


def read_records(folder: Path, plan: Plan) -> dict[Run, RunRecord]:
    """Return what each run of a comparison has come to, from its folder."""
    return {run: _record(folder, plan, run) for run in plan.runs}


def _record(folder: Path, plan: Plan, run: Run) -> RunRecord:
    return read_record(folder / run.folder, run.task, run.strategy, run.seed, plan.budget(run))


class _Crew:
    """The processes of a comparison."""

    def __init__(self, plan: Plan, folder: Path, listener: Listener, lock: FolderLock) -> None:
        self._plan, self._folder, self._listener, self._lock = plan, folder, listener, lock
        self._guard = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def tell(self, update: Update) -> None:
        """Tell the listener; one call at a time."""
        with self._guard:
            if not self._stopped:
                self._listener(update)

    def run(self, records: Mapping[Run, RunRecord], jobs: int) -> None:
        """Run campaigns, `jobs` at a time, from where they stand."""
        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(self._run_one, run, records[run]) for run in records]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._stop()
        for future in futures:
            future.result()

    def _stop(self) -> None:
        """End what is running; nothing is begun any more."""
        with self._guard:
            self._stopped = True
            for process in self._processes:
                process.terminate()

    def _run_one(self, run: Run, record: RunRecord) -> None:
        folder = self._folder / run.folder
        with storage(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            (folder / FAILED).unlink(missing_ok=True)
            log = open(folder.with_name(f"{folder.name}.log"), "a", encoding="utf-8")
        with log:
            process = self._start(log)
            if process is None:
                return
            self.tell(_standing(run, "running", record))
            last = self._follow(process, run)
        with self._guard:
            self._processes.discard(process)
            if self._stopped:
                return
        reason = last["failed"] if "failed" in last else _death(process.returncode, log.name)
        if reason is not None:
            write_failure(folder, reason)
        record = _record(self._folder, self._plan, run)
        self.tell(_standing(run, "failed" if record.failed else "done", record))

    def _start(self, log: IO[str]) -> "subprocess.Popen[str] | None":
        """Start a worker, unless everything is to stop."""
        with self._guard:
            if self._stopped:
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", "robo_al.compare.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {f"{name}_NUM_THREADS": "1" for name in _THREADS},
                process_group=0,  # Ctrl-C is for the parent
                pass_fds=(self._lock.fileno(),),  # so that none outlives the lock
            )
            self._processes.add(process)
            self._lock.share(process.pid)
            return process

    def _follow(self, process: "subprocess.Popen[str]", run: Run) -> dict[str, Any]:
        """Tell a worker what to do and the listener how it goes, until the worker has ended.

        Returns:
            What the worker said last.
        """
        assert process.stdin is not None and process.stdout is not None
        request = {
            "folder": str(self._folder / run.folder),
            "config": self._plan.config(run).model_dump(),
            "strategy": run.strategy,
        }
        last: dict[str, Any] = {}
        with process:
            with suppress(BrokenPipeError):  # it died at once
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
            for line in process.stdout:
                last = json.loads(line)
                if "failed" not in last:
                    self.tell(Update(run, "running", **last))
            process.wait()  # before its stdin is closed
        return last


def _standing(run: Run, state: State, record: RunRecord) -> Update:
    """Return where a run stands by its record."""
    last = record.evaluations[-1] if record.evaluations else None
    return Update(
        run,
        state,
        0 if last is None else last.rollouts,
        None if last is None else last.mean_return,
        None if record.solved_at is None else record.solved_at.rollouts,
        record.failed,
    )


def _death(code: int, log: str) -> str:
    """Return why a worker that said nothing more has ended."""
    if code >= 0:
        return f"its process ended with exit code {code}; see {log}"
    hint = "; perhaps the memory is full" if code == -signal.SIGKILL else ""
    return f"its process was killed by {signal.Signals(-code).name}{hint}"
