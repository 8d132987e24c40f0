"""One command run by several processes, as `accelerate launch` and `torchrun` do: who is who, and who speaks.

    accelerate launch --config_file configs/accelerate/ddp.yaml -m itp.cli train world-model --data ... --out ...

The launcher sets RANK, LOCAL_RANK and WORLD_SIZE for every process; without them there is one process, the main one.
Only the main process locks the run folder, writes files and prints; the others compute. Importing this needs no torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from itp.errors import ConfigError
from itp.run_folder import is_main

if TYPE_CHECKING:
    import torch

__all__ = [
    "average_gradients",
    "from_main",
    "is_main",
    "join",
    "leave",
    "local_rank",
    "mean_over_processes",
    "per_process",
    "rank",
    "say",
    "wait_for_all",
    "world_size",
]


def rank() -> int:
    """Number of this process among all of them, over all machines; 0 is the main one."""
    return 0 if is_main() else int(os.environ["RANK"])


def local_rank() -> int:
    """Number of this process on its machine: the index of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    """How many processes run this command together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def say(*words: object) -> None:
    """`print`, on the main process only, and at once."""
    if is_main():
        print(*words, flush=True)


def per_process(total: int, flag: str) -> int:
    """The share of one process of a global count, such as a batch size. Raises ConfigError when it does not divide.

    Args:
        total: count over all processes.
        flag: the flag that gave it, for the message.
    """
    if total % world_size():
        raise ConfigError(
            f"{flag} {total} is no multiple of the {world_size()} processes: it is the global size, change one of both"
        )
    return total // world_size()


def wait_for_all() -> None:
    """Return when every process has come here. Does nothing where no process group is open."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def from_main(value: Any) -> Any:
    """The main process's value on every process (pickled by torch; small values only)."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def join() -> None:
    """Open the process group of a command that was launched as several processes; a Trainer does so by itself."""
    import torch
    import torch.distributed as dist

    if world_size() > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def leave() -> None:
    """Close the process group, if one is open. Its threads abort a process that ends without this, now and then."""
    if "torch.distributed" in sys.modules:
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


def mean_over_processes(figures: Mapping[str, float]) -> dict[str, float]:
    """The mean of each figure over all processes; one that a process lacks counts 0 there."""
    if world_size() == 1:
        return dict(figures)
    import torch.distributed as dist

    gathered: list[dict[str, float]] = [{} for _ in range(world_size())]
    dist.all_gather_object(gathered, dict(figures))
    names = dict.fromkeys(name for part in gathered for name in part)
    return {name: sum(part.get(name, 0.0) for part in gathered) / len(gathered) for name in names}


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace every gradient by its mean over all processes, in place."""
    if world_size() == 1:
        return
    import torch.distributed as dist

    for parameter in parameters:
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= world_size()
