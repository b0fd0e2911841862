"""Values of other libraries that are not there yet at the call, and are the ones at the call all the same.

What is said here of JAX is said of a fake first, and again of JAX itself where that is installed.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from ml_dash import Experiment, InvalidArgumentError, InvalidParameterError, ValueWarning
from ml_dash.values import tensors
from tests.support.fake_tensors import FakeJax, FakeTensor, freed_tensor

Function = TypeVar("Function", bound=Callable[..., Any])


def stored(exp: Experiment, name: str = "m") -> list[dict[str, Any]]:
    """All rows of a metric, without their times."""
    rows = exp.metrics(name).read(limit=10_000)["data"]
    return [{field: item for field, item in row["data"].items() if field != "_ts"} for row in rows]


@pytest.fixture
def fake_jax(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeJax]:
    """A JAX of which an array's memory may be given away."""
    fake = FakeJax()
    monkeypatch.setitem(sys.modules, "jax", fake)
    tensors._jax_copier.cache_clear()
    yield fake
    tensors._jax_copier.cache_clear()


def test_an_array_whose_memory_is_given_away_has_the_value_at_the_call(
    fake_jax: FakeJax, exp: Experiment
) -> None:
    """Whatever it lies in; and the call does not read it."""
    state = fake_jax.array(0)
    for _ in range(20):
        exp.metrics("m").log(step=state, deep=[{"x": state}])
        exp.metrics("b").buffer(step=state)
        exp.metrics("b").summary_cache.set(latest=state)
        exp.log("a step", step=state)
        exp.tracks("t").append(step=state)
        state = fake_jax.array(state.donate() + 1)
    exp.metrics("b").buffer.log_summary("sum", "count", "last")
    exp.metrics("b").summary_cache.summarize()
    exp.flush()

    assert stored(exp) == [{"step": step, "deep": [{"x": step}]} for step in range(20)]
    assert stored(exp, "b") == [{"step.sum": 190.0, "step.count": 20, "step.last": 19.0}, {"latest": 19}]
    assert [row["metadata"] for row in exp.logs.read()["data"]] == [{"step": step} for step in range(20)]
    assert [entry["step"] for entry in exp.tracks("t").read()["entries"]] == list(range(20))
    assert threading.get_ident() not in fake_jax.readers


def test_what_is_said_of_an_experiment_has_the_values_at_the_call(fake_jax: FakeJax, root: str) -> None:
    """It is stored when the run starts, which may be much later."""
    state = fake_jax.array(7)
    metadata = {"state": state, "deep": {"list": [1]}}
    exp = Experiment("a/b/c", dash_root=root, metadata=metadata, echo=False)
    state.donate()
    metadata["deep"]["list"].append(2)
    with exp.run:
        pass

    assert Experiment("a/b/c", dash_root=root).metadata == {"state": 7, "deep": {"list": [1]}}


@pytest.mark.parametrize(
    ("kind", "copies"),
    [
        ({"platform": "cpu", "ready": True}, 0),
        ({"platform": "cpu", "ready": False}, 1),
        ({"platform": "gpu", "ready": True}, 1),
    ],
)
def test_an_array_that_is_here_already_is_read_and_not_copied(
    kind: dict[str, Any], copies: int, fake_jax: FakeJax, exp: Experiment
) -> None:
    """To compute a copy takes longer, and in a callback of JAX nothing should be computed."""
    exp.metrics("m").log(x=fake_jax.array(1.5, **kind))
    assert fake_jax.copies == copies
    assert stored(exp) == [{"x": 1.5}]


def test_an_array_that_is_gone_already_is_told(fake_jax: FakeJax, exp: Experiment) -> None:
    gone = fake_jax.array(1)
    gone.donate()
    with pytest.warns(ValueWarning, match="x=.*ArrayImpl"):
        exp.metrics("m").log(x=gone, n=1)
    with pytest.raises(InvalidArgumentError, match="x="):
        exp.metrics("m").buffer(x=gone)

    (row,) = stored(exp)
    assert row["n"] == 1
    assert set(row["x"]) == {"__repr__", "__type__"}


def test_an_array_of_which_other_hosts_have_a_part_is_not_copied_as_a_whole(
    fake_jax: FakeJax, exp: Experiment
) -> None:
    """That would wait for all of them; what each host has as a whole is read of its own copy."""
    replicated, sharded = fake_jax.array(0), fake_jax.array(0)
    for array, is_replicated in ((replicated, True), (sharded, False)):
        array.is_fully_addressable = False
        array.is_fully_replicated = is_replicated
        array.addressable_data = lambda index: fake_jax.array(1.5)
        array.item = functools.partial(_raise, RuntimeError("spans non-addressable devices"))
    exp.metrics("m").log(x=replicated)
    with pytest.warns(ValueWarning, match="y="):
        exp.metrics("m").log(y=sharded)

    first, second = stored(exp)
    assert first == {"x": 1.5}
    assert set(second["y"]) == {"__repr__", "__type__"}


def _raise(error: Exception) -> Any:
    raise error


class _FailsLater(FakeTensor):
    def clone(self) -> FakeTensor:
        return _FailsLater(self.value)

    def item(self) -> Any:
        raise RuntimeError("device-side assert triggered")


def test_a_value_that_the_device_does_not_give_is_told_once_a_field(
    exp: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, since it is found out on the background thread."""
    with caplog.at_level(logging.WARNING, "ml_dash"), warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(3):
            exp.metrics("m").log(x=_FailsLater(number), deep={"y": [_FailsLater(number)]}, n=number)
        exp.flush()

    assert [row["n"] for row in stored(exp)] == [0, 1, 2]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    for name, message in zip(("x", "deep"), told, strict=True):
        assert message.startswith(f"{name}=")
        assert "metric 'm'" in message
        assert "device-side assert" in message


def test_a_tensor_without_values_is_told_at_the_call(exp: Experiment) -> None:
    """One on torch's device ``meta`` has a shape and nothing else."""
    tensor = FakeTensor(None, device="meta")
    tensor.item = tensor.tolist = functools.partial(_raise, RuntimeError("no data"))  # type: ignore[method-assign]
    with pytest.warns(ValueWarning, match="x="):
        exp.metrics("m").log(x=tensor)


FREED: dict[str, Any] = {
    "one number": lambda: freed_tensor(1.0, device="cpu"),
    "several": lambda: freed_tensor([1.0, 2.0], device="cpu"),
    "on a device": lambda: freed_tensor(1.0),
    "torch's number": lambda: freed_of_torch(()),
    "torch's vector": lambda: freed_of_torch((3,)),
    "torch's matrix": lambda: freed_of_torch((300, 300)),
}


def freed_of_torch(shape: tuple[int, ...]) -> Any:
    """A parameter as FSDP leaves it between two steps."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    parameter = torch.nn.Parameter(torch.ones(shape))
    parameter.untyped_storage().resize_(0)
    return parameter


@pytest.mark.parametrize("make", FREED.values(), ids=FREED)
def test_a_tensor_whose_memory_was_freed_is_told_and_not_touched(
    make: Callable[[], Any], exp: Experiment, root: str
) -> None:
    """To copy it or to make its repr would end the process."""
    freed = make()
    with pytest.warns(ValueWarning, match="cannot be stored as it is"):
        exp.metrics("m").log(x=freed, deep=[freed], n=1)
    with pytest.warns(ValueWarning, match="cannot be stored as it is"):
        exp.log("printed", x=freed)
    with pytest.raises(InvalidArgumentError, match="x="):
        exp.metrics("m").buffer(x=freed)
    with Experiment("a/b/of", dash_root=root, echo=False, metadata={"x": freed}).run:
        pass

    (row,) = stored(exp)
    assert row["n"] == 1
    for value in (row["x"], *row["deep"], exp.logs.read()["data"][0]["metadata"]["x"]):
        assert value["__repr__"] == "<a tensor whose memory was freed>"


def test_the_refusal_of_a_tensor_as_a_parameter_makes_no_repr_of_memory_that_was_freed(
    exp: Experiment,
) -> None:
    with pytest.raises(InvalidParameterError, match=r"'x'.*memory was freed"):
        exp.params.set(x=freed_of_torch((3,)))


# --- JAX itself


@pytest.fixture
def jax() -> Any:
    """JAX, on whatever it computes here."""
    return pytest.importorskip("jax", reason="jax is not installed")


def jit(jax: Any, **options: Any) -> Callable[[Function], Function]:
    """Return JAX's decorator, which has no types where it is not installed."""
    return functools.partial(jax.jit, **options)


def test_a_donated_state_of_jax_has_the_value_at_the_call(jax: Any, exp: Experiment) -> None:
    @jit(jax, donate_argnums=0)
    def advance(state: dict[str, Any]) -> dict[str, Any]:
        return {name: value + 1 for name, value in state.items()}

    state = {"step": jax.numpy.zeros((), int), "deep": jax.numpy.zeros(3)}
    for _ in range(20):
        exp.metrics("m").log(**state)
        exp.metrics("b").buffer(step=state["step"])
        state = advance(state)
    exp.metrics("b").buffer.log_summary("sum")

    assert stored(exp) == [{"step": step, "deep": [step] * 3} for step in range(20)]
    assert stored(exp, "b") == [{"step.sum": 190.0}]


@pytest.mark.parametrize("shape", [(), (3,), (300_000,)])
@pytest.mark.parametrize("by", ["donated", "deleted"])
def test_an_array_of_jax_whose_memory_is_gone_is_told(
    shape: tuple[int, ...], by: str, jax: Any, exp: Experiment
) -> None:
    """Of one that was deleted, JAX would end the process when asked whether it is computed."""
    state = jax.numpy.zeros(shape)
    if by == "donated":
        jit(jax, donate_argnums=0)(lambda state: state + 1)(state)
    else:
        state.delete()

    with pytest.warns(ValueWarning, match="x=.*ArrayImpl"):
        exp.metrics("m").log(x=state, n=1)
    with pytest.raises(InvalidArgumentError, match="x="):
        exp.metrics("m").buffer(x=state)

    (row,) = stored(exp)
    assert (row["n"], set(row["x"])) == (1, {"__repr__", "__type__"})


def test_what_jax_traces_has_no_value_and_that_is_told(jax: Any, exp: Experiment) -> None:
    known = jax.numpy.ones(())

    @jit(jax)
    def traced(x: Any) -> Any:
        exp.metrics("m").log(x=x, known=known)
        with pytest.raises(InvalidArgumentError, match="x="):
            exp.metrics("m").buffer(x=x)
        exp.metrics("b").buffer(known=known)
        return x

    with pytest.warns(ValueWarning, match=r"x=.*Tracer.*jax\.debug\.callback"):
        traced(known)
    exp.metrics("b").buffer.log_summary()

    (row,) = stored(exp)
    assert set(row["x"]) == {"__repr__", "__type__"}
    assert row["known"] == 1.0
    assert stored(exp, "b") == [{"known.mean": 1.0}]


def test_a_callback_of_jax_may_log(jax: Any, exp: Experiment) -> None:
    @jit(jax)
    def compiled(x: Any) -> Any:
        jax.debug.callback(lambda value: exp.metrics("m").log(x=value), x)
        return x

    for number in range(5):
        compiled(jax.numpy.float32(number))
    jax.effects_barrier()

    assert stored(exp) == [{"x": float(number)} for number in range(5)]


@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_prng_key_of_jax_is_no_number_and_that_is_told(shape: Any, jax: Any, exp: Experiment) -> None:
    key = jax.random.key(7) if shape == () else jax.random.split(jax.random.key(7), shape)
    with pytest.warns(ValueWarning, match="key=.*PRNGKeyArray"):
        exp.metrics("m").log(key=key)
    with pytest.raises(InvalidArgumentError, match="key="):
        exp.metrics("m").buffer(key=key)
    (row,) = stored(exp)
    assert "key<" in row["key"]["__repr__"]
