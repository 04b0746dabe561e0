"""Which numbers a network trains in, chosen once for a run and kept in its environment.json.

`float32` and `mixed_bfloat16` are Keras' own policies. `bfloat16` is TensorFlow's rewriting of the
graphs for CPUs (oneDNN), in training and in the validation within it: variables, loss and all that
is scored in the end stay float32.
`auto` takes mixed_bfloat16 on an accelerator that is fast at it, and on a CPU under TensorFlow
bfloat16 where a self-test finds it faster and right for the network; else float32.
"""

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import keras

from experiments import backend
from experiments._files import cache_folder
from experiments.listener import SILENT, Listener
from experiments.recipes import Learned
from experiments.runs import Run
from experiments.training import _selftest
from experiments.training.checkpoint import Checkpoint


def check(row: Learned) -> None:
    """Raise `ValueError` for a precision that the backend or its device has not."""
    framework, device = keras.backend.backend(), backend.device()
    if row.precision == "bfloat16" and (framework, device) != ("tensorflow", "cpu"):
        raise ValueError(
            f"{row.recipe}: precision=bfloat16 is TensorFlow's rewriting of graphs for CPUs, this "
            f"is {framework} on {device}: give precision=auto, mixed_bfloat16 or float32"
        )


def built(
    row: Learned,
    made: Run,
    build: Callable[[str], keras.Model],
    *,
    cache_dir: pathlib.Path | None = None,
    listener: Listener = SILENT,
) -> keras.Model:
    """Return the network, which `build` makes under a Keras policy; note the run's precision.

    A run that goes on keeps what it was begun in; one that was begun before precision was noted
    was begun in what its row said, float32 where it says `auto`. Raises what `check` does.
    """
    kept = made.environment.get("precision")
    if kept is None and Checkpoint(made.state).last.exists():
        kept = {"chosen": "float32" if row.precision == "auto" else row.precision}
    if kept:
        check(row)
        model, found = build(_policy(kept)), kept
    else:
        model, found = choose(row, build, cache_dir=cache_dir, listener=listener)
    made.note(precision={"asked": row.precision} | found)
    return model


def choose(
    row: Learned,
    build: Callable[[str], keras.Model],
    *,
    cache_dir: pathlib.Path | None = None,
    listener: Listener = SILENT,
) -> tuple[keras.Model, dict]:
    """Return the network, and what it trains in: `chosen`, with the reason and rates of `auto`."""
    check(row)
    found = _without_test(row)
    model = build(_policy(found))
    if found is None:
        found = _selftest.compare(model, rewriting, cache_folder(cache_dir) / "precision", listener)
    if row.precision == "auto":
        rates = [f"{name} {found[name]:,.0f}" for name in ("float32", "bfloat16") if name in found]
        told = f" ({', '.join(rates)} {found['unit']})" if rates else ""
        listener.say(f"precision {found['chosen']}: {found['reason']}{told}")
    return model, found


def _policy(found: dict | None) -> str:
    mixed = found and found["chosen"] == "mixed_bfloat16"
    return "mixed_bfloat16" if mixed else "float32"


def _without_test(row: Learned) -> dict | None:
    """Return what needs no self-test; None where one decides."""
    if row.precision != "auto":
        return {"chosen": row.precision}
    if backend.device() != "cpu":
        fast = backend.multiplies_bfloat16()
        return {
            "chosen": "mixed_bfloat16" if fast else "float32",
            "reason": f"the accelerator is {'fast' if fast else 'not known to be fast'} at it",
        }
    if keras.backend.backend() != "tensorflow":
        return {"chosen": "float32", "reason": f"{keras.backend.backend()} on a CPU"}
    if row.jit is True:
        return {"chosen": "float32", "reason": "jit: XLA compiles another graph"}
    return None


def apply(trainer: keras.Model, chosen: str) -> None:
    """Have a compiled model train in a precision, also after it is compiled again."""
    if chosen != "bfloat16":
        return
    for step in ("train", "test"):
        _rewrite(trainer, f"make_{step}_function", f"{step}_function")


def _rewrite(trainer: keras.Model, maker: str, function: str) -> None:
    """Have what a trainer makes by the method `maker` rewritten when it is called."""
    make = getattr(trainer, maker)

    def make_function(force: bool = False) -> None:
        if getattr(trainer, function) is not None and not force:
            return
        make(force=True)
        plain = getattr(trainer, function)

        def rewritten(iterator):
            with rewriting():
                return plain(iterator)

        setattr(trainer, function, rewritten)

    setattr(trainer, maker, make_function)


@contextlib.contextmanager
def rewriting() -> Iterator[None]:
    """Have TensorFlow rewrite to bfloat16 the functions that this thread calls.

    Of this thread alone: `tf.config.optimizer.set_experimental_options` would now and then reach
    the one that feeds, where a teacher answers.
    """
    from tensorflow.core.protobuf import rewriter_config_pb2
    from tensorflow.python.eager import context as eager

    context = eager.context()
    before, config = context.function_call_options, context.config
    config.allow_soft_placement = True  # as for all functions
    options = config.graph_options.rewrite_options
    options.auto_mixed_precision_onednn_bfloat16 = rewriter_config_pb2.RewriterConfig.ON
    context.function_call_options = eager.FunctionCallOptions(config_proto=config)
    try:
        yield
    finally:
        context.function_call_options = before
