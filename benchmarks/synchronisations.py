"""Which calls of an iteration make the host wait for the GPU, by PyTorch's own warnings of them.

`torch.cuda.set_sync_debug_mode("warn")` warns at every wait PyTorch makes through its own functions (`.item()`, a copy
to the host, `nonzero`, ...). It does not see waits inside libraries, such as cuSOLVER's.
"""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

import torch

_MESSAGE = "called a synchronizing CUDA operation"
_PROGRAMS = ("nnunetv2_dale", "nnunetv2", "benchmarks")  # whose line is named beside the call inside PyTorch


def synchronisations(
    run: Callable[[], object], device: torch.device, set_mode: Callable[[str], None] | None = None
) -> list[dict[str, Any]] | None:
    """The waits of one call of `run`, which has run before; None where there is no GPU to wait for.

    One entry per place: `call` (the innermost Python line), `from` (the line of this package or of nnU-Net it was
    reached from) and `times`. `set_mode` switches the warnings to "warn" and back to "default".
    """
    if device.type != "cuda":
        return None
    set_mode = set_mode or torch.cuda.set_sync_debug_mode
    found: Counter[tuple[str, str]] = Counter()

    def note(message: Warning | str, *_: object, **__: object) -> None:
        if _MESSAGE in str(message):
            found[places(traceback.extract_stack()[:-1])] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note  # restored by catch_warnings
        set_mode("warn")
        try:
            run()
        finally:
            set_mode("default")
    return [{"call": call, "from": origin, "times": times} for (call, origin), times in sorted(found.items())]


def places(stack: Sequence[traceback.FrameSummary]) -> tuple[str, str]:
    """The innermost line of a stack (outermost first), and the innermost one of this package or nnU-Net.

    Lines are given as package/file.py:line: source. Frames of the warnings machinery at the end do not count.
    """
    frames = list(stack)
    while frames and PurePath(frames[-1].filename).name == "warnings.py":
        frames.pop()
    if not frames:
        return "", ""
    origin = next((frame for frame in reversed(frames) if _program(frame.filename)), frames[-1])
    return _line(frames[-1]), _line(origin)


def _program(filename: str) -> str | None:
    parts = PurePath(filename).parts[:-1]
    return next((part for part in reversed(parts) if part in _PROGRAMS), None)


def _line(frame: traceback.FrameSummary) -> str:
    """Without the folders above the package, which are the machine's business."""
    parts = PurePath(frame.filename).parts
    known = [i for i, part in enumerate(parts[:-1]) if part in (*_PROGRAMS, "torch")]
    shown = parts[known[-1] :] if known else parts[-1:]
    return f"{'/'.join(shown)}:{frame.lineno}: {frame.line or ''}".rstrip(": ")
