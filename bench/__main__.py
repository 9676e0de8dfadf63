"""`python -m bench`: measure, or write what was measured last into the README."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from bench import install, interpreter, picture
from bench.footprint import raise_descriptor_limit
from bench.loads import LOADS, Round
from bench.machine import fast_folder, machine, versions
from bench.processes import LOAD_CPU, MEASURED_CPU, BenchError
from bench.report import ENOUGH_ROUNDS, Run, insert
from bench.results import Results
from bench.servers import HERE, Place, behind

_ROOT = HERE.parent
_LATEST = HERE / "results" / "latest.json"
_PICTURE = _ROOT / "docs" / "bench.svg"


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ENOUGH_ROUNDS, help="how often all is measured (%(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="length of one load of requests (%(default)s)")
    parser.add_argument("--only", nargs="*", choices=LOADS, default=[], help="measure these alone, and save nothing")
    parser.add_argument("--python", help="the Python to run the enforcer on (the system's, if it will do)")
    parser.add_argument("--readme", action="store_true", help="write the last run into README.md; measure nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        if options.readme:
            _write_readme()
        else:
            _measure(options.rounds, options.seconds, options.only or list(LOADS), options.python)
    except (BenchError, LookupError) as error:
        sys.exit("\n".join([f"bench: {error}", *getattr(error, "__notes__", ())]))
    except KeyboardInterrupt:
        sys.exit("bench: stopped; nothing was saved")


def _measure(rounds: int, seconds: int, loads: list[str], python: str | None) -> None:
    if not {MEASURED_CPU, LOAD_CPU} <= os.sched_getaffinity(0):
        raise BenchError(f"CPUs {MEASURED_CPU} and {LOAD_CPU} are needed: one for the server, one for the load")
    found = interpreter.choose(python)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=fast_folder()) as folder:
        place = Place(Path(folder), _ROOT / "build" / "bench")
        place.folder.chmod(0o755)  # Apache's workers run as another user
        install.packages(place)
        install.environment(place.venv, found)
        raise_descriptor_limit()
        os.sched_setaffinity(0, {LOAD_CPU})
        run = Run(machine(), versions(place, found), rounds, seconds, Results())
        print(f"the enforcer runs on {found.path}: {found.describe()}\nCONFIG_ARGS: {found.arguments}", flush=True)
        with behind(place):
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", flush=True)
                for name in loads:
                    LOADS[name](Round(number, seconds, place, run.results))
    print(f"\n{run.markdown()}")
    if set(loads) == set(LOADS) and rounds >= ENOUGH_ROUNDS:
        run.save(_LATEST)
        picture.draw(run.results, _PICTURE)
        print(f"\nsaved: {_LATEST.relative_to(_ROOT)}, {_PICTURE.relative_to(_ROOT)}")
    else:
        print(f"\nnot saved: that takes all loads and at least {ENOUGH_ROUNDS} rounds")


def _write_readme() -> None:
    if not _LATEST.is_file():
        raise BenchError("nothing was measured yet: make bench")
    run = Run.read(_LATEST)
    readme = _ROOT / "README.md"
    readme.write_text(insert(readme.read_text(), run.readme(str(_PICTURE.relative_to(_ROOT)))))
    picture.draw(run.results, _PICTURE)


if __name__ == "__main__":
    main()
