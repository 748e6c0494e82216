"""The command line: verbs, exit codes, and what becomes of errors.

0 done or within tolerance    1 a counterexample was found or a bound missed    2 the user's mistake
3 undecided                   70 an internal error                            130 interrupted
"""

from __future__ import annotations

from . import starting

starting.begin()

# ruff: noqa: E402
import os
import sys
import traceback
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import typer

import assay

from .commands.verbs import Verbs, why_alone
from .terminal.errors import INTERNAL, INTERRUPTED, MISTAKE, UNDECIDED, interruption, is_users_mistake, one_line
from .terminal.streams import release_stdout, reserve_stdout, say
from .terminal.words import typed

starting.over()

app = typer.Typer(
    cls=Verbs,
    help=(assay.__doc__ or "")
    + "\n\nExit codes: 0 done or within tolerance, 1 a counterexample was found or a bound missed, 2 your mistake, "
    "3 undecided, 70 an internal error, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_debug: ContextVar[bool] = ContextVar("debug", default=False)  # of this command: the next one says it again
_own_process: ContextVar[bool] = ContextVar("own_process", default=False)  # JAX's settings are this command's to make


@app.callback()
def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", is_eager=True, callback=lambda shown: _version(shown)),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error (or set ASSAY_DEBUG=1)."),
) -> None:
    _debug.set(debug)
    if _own_process.get() and context.invoked_subcommand != "cache":
        from .compilation_cache import Unusable, keep_compiled

        try:
            keep_compiled()
        except Unusable as error:
            say(f"assay: compiled programs are not kept: {error} (ASSAY_NO_CACHE=1 leaves this line out)")


def _version(shown: bool) -> None:
    if shown:
        print(assay.__version__)
        raise typer.Exit


def run(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    typed.set(tuple(words))
    hook, sys.unraisablehook = sys.unraisablehook, starting.comes_again
    _debug.set(False)
    try:
        if "--json" in words:
            reserve_stdout()
        code = _through(words)
        release_stdout()
        if code == INTERRUPTED:
            return _interrupted()
        sys.stdout.flush()
        return int(code or 0)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:  # the reader of a pipe has gone: nothing more to say
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (what Python flushes at exit goes there)
        return 0
    except SystemExit as error:
        if _completes(words):
            raise
        # foreign code: its exit code would be read as one of ours
        said = " ".join(str("" if error.code is None else error.code).split())
        say(f"assay: a module, solver or surrogate of your own called sys.exit({said}); {interruption()}")
        return MISTAKE
    except Exception as error:
        return _failed(error)
    finally:
        sys.unraisablehook = hook
        release_stdout()


def _completes(words: list[str]) -> bool:
    """Whether the shell is told what may be written, which ends by sys.exit."""
    return "_ASSAY_COMPLETE" in os.environ or bool({"--install-completion", "--show-completion"} & set(words[:1]))


def _through(words: list[str]) -> Any:
    """What the command returns; an interruption that foreign code or XLA made something else of is one all the same."""
    try:
        return app(args=words, prog_name="assay", standalone_mode=False)
    finally:
        if (interrupts := sys.modules.get("assay.solvers.interrupts")) is not None:
            interrupts.raise_kept()


def _interrupted() -> int:
    say(f"assay: interrupted; {interruption()}")
    return INTERRUPTED


def _failed(error: Exception) -> int:
    if _debug.get() or os.environ.get("ASSAY_DEBUG"):
        traceback.print_exception(error)
    usage: Any = getattr(error, "format_message", None)
    if usage is not None:  # the command-line library's own complaints
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":
            print(usage(), file=sys.stderr)
            return MISTAKE
        path = context.command_path if context is not None else "assay"
        if (option := getattr(error, "option_name", "")) in ("--workers", "--dask"):
            say(f"{path}: it runs in one process, without {option}: {why_alone(path.split()[-1])}")
            return MISTAKE
        say(f"{path}: {' '.join(str(usage()).split())} (`{path} --help` shows what there is)")
        return MISTAKE
    if is_users_mistake(error):
        say(f"assay: {one_line(error)}")
        return MISTAKE
    from .solvers.problem import SolveError

    if isinstance(error, SolveError):
        say(f"assay: undecided: {one_line(error)}")
        return UNDECIDED
    say(f"assay: internal error: {type(error).__name__}: {one_line(error)} (--debug or ASSAY_DEBUG=1 shows where)")
    return INTERNAL


def main() -> None:
    """The entry point."""
    _own_process.set(True)
    code = run()
    if code == INTERRUPTED:  # at once: what XLA or a foreign library still computes would hold the exit up, or fault
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
