"""The command line, `python -m bench`: runs the benchmark, or writes the last saved results into docs/speed.md."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from bench import install, interpreter, picture
from bench.footprint import raise_descriptor_limit
from bench.loads import BUILD_LOADS, LOADS, Round, compare
from bench.machine import fast_folder, machine, versions
from bench.processes import LOAD_CPU, MEASURED_CPU, BenchError
from bench.report import ENOUGH_ROUNDS, Run, insert
from bench.results import Results
from bench.servers import HERE, Workspace, behind

_ROOT = HERE.parent
_LATEST = HERE / "results" / "latest.json"
_PICTURE = _ROOT / "docs" / "bench.svg"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ENOUGH_ROUNDS, help="number of rounds (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds that each load lasts (default: %(default)s)")
    parser.add_argument("--only", nargs="*", choices=LOADS, default=[], help="measure only these loads; save nothing")
    parser.add_argument("--python", help="Python that runs the enforcer (default: the system's, if it is suitable)")
    parser.add_argument(
        "--against", metavar="REV", help="compare with the enforcer of this git revision instead of other proxies"
    )
    parser.add_argument("--page", action="store_true", help="write the saved results into docs/speed.md, without a run")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        if options.page:
            _write_page()
        else:
            loads = options.only or list(BUILD_LOADS if options.against else LOADS)
            if options.against and not set(loads) <= set(BUILD_LOADS):
                parser.error(f"--against takes only the loads {' and '.join(BUILD_LOADS)}")
            _measure(options.rounds, options.seconds, loads, options.python, options.against)
    except (BenchError, LookupError) as error:
        sys.exit("\n".join([f"bench: {error}", *getattr(error, "__notes__", ())]))
    except KeyboardInterrupt:
        sys.exit("bench: interrupted; nothing was saved")


def _measure(rounds: int, seconds: int, loads: list[str], python: str | None, revision: str | None) -> None:
    if not {MEASURED_CPU, LOAD_CPU} <= os.sched_getaffinity(0):
        raise BenchError(f"CPUs {MEASURED_CPU} and {LOAD_CPU} are required: one for the server, one for the load")
    chosen = interpreter.choose(python)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=fast_folder()) as folder:
        workspace = Workspace(Path(folder), _ROOT / "build" / "bench")
        workspace.folder.chmod(0o755)  # Apache's workers run as another user and must read it
        install.packages(workspace)
        install.environment(workspace.venv, chosen)
        build = None if revision is None else install.build(workspace, revision)
        raise_descriptor_limit()
        os.sched_setaffinity(0, {LOAD_CPU})
        run = Run(machine(), versions(workspace, chosen), rounds, seconds, Results())
        print(f"the enforcer runs on {chosen.path}: {chosen.describe()}\nCONFIG_ARGS: {chosen.arguments}", flush=True)
        with behind(workspace):
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", flush=True)
                for name in loads:
                    this_round = Round(number, seconds, workspace, run.results)
                    if build is None:
                        LOADS[name](this_round)
                    else:
                        compare(this_round, name, build)
    print(f"\n{run.markdown()}")
    if set(loads) == set(LOADS) and rounds >= ENOUGH_ROUNDS:
        run.save(_LATEST)
        picture.draw(run.results, _PICTURE)
        print(f"\nsaved: {_LATEST.relative_to(_ROOT)}, {_PICTURE.relative_to(_ROOT)}")
    else:
        print(f"\nnot saved: only runs of all loads with at least {ENOUGH_ROUNDS} rounds are")


def _write_page() -> None:
    if not _LATEST.is_file():
        raise BenchError("there are no saved results; run make bench first")
    run = Run.read(_LATEST)
    page = _ROOT / "docs" / "speed.md"
    page.write_text(insert(page.read_text(), run.section(_PICTURE.name)))
    picture.draw(run.results, _PICTURE)


if __name__ == "__main__":
    main()
