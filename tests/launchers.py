"""Stand-ins for srun, scontrol and mpirun, on one machine.

They start processes with the variables that Slurm 22.05 and Open MPI 4.1 were seen to set, and have the exit
status that those have. ``python tests/launchers.py srun -N 2 -n 2 COMMAND …`` is one call.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """#!/bin/sh
exec {python} {file} {name} "$@"
"""


def install(folder: Path) -> Path:
    """Writes the three commands into a folder, to be put in front of PATH, and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COMMANDS:
        command = folder / name
        command.write_text(SCRIPT.format(python=sys.executable, file=Path(__file__).resolve(), name=name))
        command.chmod(0o755)
    return folder


def srun(words: list[str]) -> int:
    """Tasks on imagined nodes named n1, n2 …; the exit status is the highest of a task."""
    parser = argparse.ArgumentParser(prog="srun")
    parser.add_argument("-n", "--ntasks", type=int, default=1)
    parser.add_argument("-N", "--nodes", type=int, default=1)
    parser.add_argument("--kill-on-bad-exit", type=int, default=0)
    for ignored in ("-p", "--gres", "--ntasks-per-node", "--cpus-per-task", "--job-name"):
        parser.add_argument(ignored)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args(words)
    names = f"n[1-{args.nodes}]" if args.nodes > 1 else "n1"
    here = args.ntasks // args.nodes  # tasks of one node
    common = {
        **dict.fromkeys(("SLURM_NTASKS", "SLURM_NPROCS", "SLURM_STEP_NUM_TASKS"), args.ntasks),
        **dict.fromkeys(("SLURM_NNODES", "SLURM_JOB_NUM_NODES", "SLURM_STEP_NUM_NODES"), args.nodes),
        **dict.fromkeys(("SLURM_NODELIST", "SLURM_JOB_NODELIST", "SLURM_STEP_NODELIST"), names),
    }
    tasks = [
        common | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank % here, "SLURM_NODEID": rank // here}
        for rank in range(args.ntasks)
    ]
    return max(run_tasks(args.command, tasks, kill=bool(args.kill_on_bad_exit)))


def scontrol(words: list[str]) -> int:
    """``scontrol show hostnames n[1-2]``: this machine, as often as there are nodes."""
    action, what, names = words
    assert (action, what) == ("show", "hostnames")
    print("localhost\n" * int(names.removeprefix("n[1-").removesuffix("]")), end="")
    return 0


def mpirun(words: list[str]) -> int:
    """Processes of one machine; the first that fails ends the others, and has the exit status."""
    parser = argparse.ArgumentParser(prog="mpirun")
    parser.add_argument("-n", type=int, required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args(words)
    sizes = dict.fromkeys(("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_UNIVERSE_SIZE"), args.n)
    ranks = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_NODE_RANK", "PMIX_RANK")
    tasks = [sizes | dict.fromkeys(ranks, rank) for rank in range(args.n)]
    return next(filter(None, run_tasks(args.command, tasks, kill=True)), 0)


def run_tasks(command: list[str], tasks: list[dict[str, object]], kill: bool) -> list[int]:
    """Runs a command once for each set of variables; returns the exit statuses, 0 of those that were ended."""
    started = [
        subprocess.Popen(command, env={**os.environ, **{name: str(value) for name, value in task.items()}})
        for task in tasks
    ]
    while any(process.poll() is None for process in started):
        if kill and any(process.poll() for process in started):
            left = [process for process in started if process.poll() is None]
            for process in left:
                process.kill()
                process.wait()
            return [0 if process in left else abs(process.returncode) for process in started]
        time.sleep(0.05)
    return [abs(process.returncode) for process in started]


COMMANDS = {"srun": srun, "scontrol": scontrol, "mpirun": mpirun}

if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))
