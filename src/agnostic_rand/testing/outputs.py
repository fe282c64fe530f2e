"""`predict` and the arrays: what comes back is the model's own output, in the adapter's namespace."""

from __future__ import annotations

import numpy as np

from agnostic_rand.adapters import SupportsFromLayer, SupportsLayerGradient, SupportsNativeInit, SupportsStatistics
from agnostic_rand.testing.bench import Bench
from agnostic_rand.testing.check import checks
from agnostic_rand.testing.compare import expect_close, same_bits
from agnostic_rand.testing.expectation import NotApplicableError, expect, expect_library_error


def truth(bench: Bench) -> None:
    """The outputs are those of the framework's own model."""
    if bench.state.outputs is None:
        raise NotApplicableError("the case does not give native.outputs")
    expected = bench.state.outputs
    expected = expected[:, None] if expected.ndim == 1 else expected
    expect_close(bench.outputs, expected, bench.tolerance, "predict, beside native.outputs")


def shape(bench: Bench) -> None:
    """Outputs are `(n, classes)`, of full precision, on batches of one and of three as well."""
    for n in (1, 3):
        outputs = bench.predict(bench.adapter.asarray(bench.case.inputs[:n]))
        expect(outputs.shape == (n, bench.classes), f"predict on {n} samples returned shape {outputs.shape}")
    on_host = np.asarray(bench.adapter.to_numpy(bench.adapter.predict(bench.inputs)))
    expect(on_host.dtype in (np.float32, np.float64), f"the outputs are {on_host.dtype} on the host")


def round_trip(bench: Bench) -> None:
    """`asarray` and `to_numpy` keep shapes and values; floating values take the model's type."""
    adapter, inputs = bench.adapter, np.asarray(bench.case.inputs)
    back = adapter.to_numpy(bench.inputs)
    expect(isinstance(back, np.ndarray), f"to_numpy returned {type(back).__name__}, no NumPy array")
    expect_close(back, inputs, bench.tolerance, "to_numpy(asarray(inputs))")
    labels = adapter.to_numpy(adapter.asarray(bench.labels))
    expect(labels.dtype.kind in "iu", f"asarray made {labels.dtype} of integer labels")
    expect_close(labels, bench.labels, 0.0, "to_numpy(asarray(labels))")
    if inputs.dtype.kind == "f":
        wide = adapter.asarray(inputs.astype(np.float64))
        expect(
            str(wide.dtype) == str(bench.inputs.dtype),
            f"asarray makes {bench.inputs.dtype} of float32 and {wide.dtype} of float64: the model has one type",
        )
    strided = np.repeat(inputs, 2, axis=0)[::2]
    expect(same_bits(adapter.to_numpy(adapter.asarray(strided)), back), "asarray reads a strided array wrongly")
    own = inputs.copy()
    array = adapter.asarray(own)
    own[...] = 0
    expect(same_bits(adapter.to_numpy(array), back), "what asarray returned changed with the caller's array")


def namespace(bench: Bench) -> None:
    """The functions and operators of `xp` work on inputs, outputs and gradients."""
    adapter, xp = bench.adapter, bench.adapter.xp
    arrays = {"outputs": adapter.predict(bench.inputs)}
    if bench.case.inputs.dtype.kind == "f":
        arrays["inputs"] = bench.inputs
        arrays["gradients"] = adapter.gradient(bench.inputs, adapter.asarray(bench.labels))
    for name, array in arrays.items():
        host = bench.host(array)
        tried = {
            "sum": (xp.sum(array, axis=1), host.sum(axis=1)),
            "max": (xp.max(array, axis=1, keepdims=True), host.max(axis=1, keepdims=True)),
            "abs": (abs(array), np.abs(host)),
            "product": (array * array, host * host),
            "slice": (array[1:3], host[1:3]),
            "reshape": (xp.reshape(array, (host.shape[0], -1)), host.reshape(host.shape[0], -1)),
        }
        for operation, (actual, expected) in tried.items():
            expect_close(bench.host(actual), expected, bench.tolerance, f"the {operation} of {name} by xp")
    chosen = bench.host(xp.argmax(arrays["outputs"], axis=1))
    expect(chosen.shape == (bench.outputs.shape[0],), f"xp.argmax of the outputs has shape {chosen.shape}")


def unknown_layer(bench: Bench) -> None:
    """Each call that takes a layer's name refuses an unknown one with an error of the library."""
    adapter, name = bench.adapter, "no such layer"
    expect_library_error(lambda: adapter.read(name), "read of an unknown layer")
    expect_library_error(lambda: adapter.write(name, {}), "write to an unknown layer")
    if isinstance(adapter, SupportsNativeInit):
        expect_library_error(lambda: adapter.native_init(name, 1), "native_init of an unknown layer")
    if isinstance(adapter, SupportsStatistics):
        inputs = bench.inputs
        expect_library_error(
            lambda: adapter.estimate_statistics(inputs, [name]), "estimate_statistics of an unknown layer"
        )
    if isinstance(adapter, SupportsLayerGradient):
        targets = adapter.asarray(bench.labels)
        expect_library_error(
            lambda: adapter.layer_gradient(bench.inputs, targets, name), "layer_gradient of an unknown layer"
        )
    if isinstance(adapter, SupportsFromLayer):
        expect_library_error(
            lambda: adapter.from_layer(bench.inputs, name).output, "from_layer of an unknown layer"
        )


CHECKS = (
    *checks("predict", truth, shape),
    *checks("arrays", round_trip, namespace),
    *checks("errors", unknown_layer),
)
