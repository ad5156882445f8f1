"""The kernels for Cortex-M4, M7 and M33 equal LiteRT's reference kernels, byte for byte, also where they overlap."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from codegen.dsp_layers import Chain, LayerSpec, build_chain
from codegen.kernel_driver import Driver, run_calls, run_overlapped
from codegen.run_c import needs_cc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stm32pose.codegen.lower.dsp_conv import conv_dsp_call, fully_connected_dsp_call
from stm32pose.codegen.lower.dsp_depthwise import depthwise_dsp_call
from stm32pose.codegen.lower.dsp_pack import GENERAL, PLAIN, RELU
from stm32pose.codegen.lower.weighted import weighted
from stm32pose.codegen.network import Network
from stm32pose.codegen.program import Call
from stm32pose.codegen.read_tflite import read_tflite_network
from stm32pose.codegen.reference import open_reference

pytestmark = needs_cc
FEW = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver(("kernels_conv_dsp", "kernels_depthwise_dsp", "kernels_fully_connected_dsp")) as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dsp")


def call_of(network: Network) -> Call | None:
    (op,) = network.operators
    axis = 3 if op.kind == "DEPTHWISE_CONV_2D" else 0
    layer = weighted(op, network, channel_axis=axis)
    if op.kind == "FULLY_CONNECTED":
        return fully_connected_dsp_call(op, layer, layer.input.shape[0])
    return (depthwise_dsp_call if axis == 3 else conv_dsp_call)(op, layer, 0)


def check(driver: Driver, folder: Path, chain: Chain) -> Call | None:
    """Run one layer apart and overlapped, on noise and on the extremes."""
    content = build_chain(chain)
    path = folder / "layer.tflite"
    path.write_bytes(content)
    network = read_tflite_network(path)
    call = call_of(network)
    if call is None:
        return None
    reference = open_reference(content)
    (given_index, made_index) = (network.inputs[0], network.outputs[0])
    shape = network.tensors[given_index].shape
    random = np.random.default_rng(chain.seed)
    for values in (random.integers(-128, 128, shape), random.choice([-128, 127], shape), np.full(shape, chain.zero)):
        values = values.astype(np.int8)
        reference.set_tensor(reference.get_input_details()[0]["index"], values)
        reference.invoke()
        wanted = reference.get_tensor(reference.get_output_details()[0]["index"]).tobytes()
        memory = {given_index: values.tobytes(), made_index: bytes(len(wanted))}
        assert run_calls(driver, [call], memory)[made_index] == wanted
        assert run_overlapped(driver, call, 0, memory) == wanted
    return call


zeros = st.sampled_from([-128, 127, 0, 5, -100])
activations = st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
common = {
    "activation": activations,
    "zero": zeros,
    "gain": st.sampled_from([0.01, 1.0, 1.0, 30.0]),
    "per_channel": st.booleans(),
    "bias": st.booleans(),
    "tiny": st.sampled_from([0, 0, 1, 3]),
    "dead": st.sampled_from([0, 0, 0, 1]),
}
windows = {
    "kernel": st.tuples(st.integers(1, 5), st.integers(1, 5)),
    "stride": st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 3)]),
    "dilation": st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2), (2, 2)]),
    "same": st.booleans(),
}


@st.composite
def chains(draw: st.DrawFn, kind: str, **changes: st.SearchStrategy) -> Chain:
    options = {**common, **(windows if kind != "dense" else {})}
    chosen = {name: draw(way) for name, way in {**options, **changes}.items() if name in options}
    if chosen.get("dilation", (1, 1)) != (1, 1):
        chosen["stride"] = (1, 1)
    channels = draw(st.integers(1, 24))
    spec = LayerSpec(kind, 1 if kind == "depthwise" else channels, **chosen)
    reach = [(spec.kernel[i] - 1) * spec.dilation[i] + 1 for i in (0, 1)]
    shape = [draw(st.integers(1 if spec.same else reach[i], 11)) if reach[i] <= 11 else reach[i] for i in (0, 1)]
    depth = draw(st.sampled_from([*range(1, 18), 24, 40]))
    return Chain((shape[0], shape[1], depth), [spec], draw(zeros), draw(st.integers(0, 1000)), draw(st.integers(1, 6)))


@FEW
@given(chain=chains("conv"))
def test_convolutions(driver: Driver, folder: Path, chain: Chain) -> None:
    assert check(driver, folder, chain)


@FEW
@given(chain=chains("conv", kernel=st.just((1, 1)), stride=st.just((1, 1)), dilation=st.just((1, 1))))
def test_convolutions_of_one_pixel(driver: Driver, folder: Path, chain: Chain) -> None:
    call = check(driver, folder, chain)
    assert call
    assert call.function.startswith("conv_1x1_dsp_")


@FEW
@given(chain=chains("depthwise"))
def test_depthwise_convolutions(driver: Driver, folder: Path, chain: Chain) -> None:
    assert check(driver, folder, chain)


@FEW
@given(
    chain=chains(
        "depthwise",
        kernel=st.just((3, 3)),
        dilation=st.just((1, 1)),
        stride=st.sampled_from([(1, 1), (1, 1), (2, 2), (2, 1)]),
    )
)
def test_depthwise_convolutions_of_3_by_3(driver: Driver, folder: Path, chain: Chain) -> None:
    assert check(driver, folder, chain)


@FEW
@given(chain=chains("dense"))
def test_fully_connected(driver: Driver, folder: Path, chain: Chain) -> None:
    assert check(driver, folder, chain)


@pytest.mark.parametrize("kind", ["conv", "depthwise"])
@pytest.mark.parametrize(
    ("changes", "scaling"),
    [
        ({"activation": "RELU", "zero": -128}, RELU),
        ({"zero": -128}, RELU),
        ({"zero": 3}, PLAIN),
        ({"zero": 3, "activation": "RELU"}, GENERAL),
        ({"zero": 3, "tiny": 1}, GENERAL),
    ],
)
def test_each_way_of_scaling(driver: Driver, folder: Path, kind: str, changes: dict, scaling: int) -> None:
    spec = LayerSpec(kind, 6 if kind == "conv" else 1, (3, 3), **changes)
    call = check(driver, folder, Chain((7, 6, 8), [spec], seed=3))
    assert call
    assert call.fields["scaling"] == scaling


def test_several_output_channels_of_each_input_channel_are_for_the_portable_kernel(folder: Path) -> None:
    path = folder / "layer.tflite"
    path.write_bytes(build_chain(Chain((5, 5, 4), [LayerSpec("depthwise", 2, (3, 3))])))
    assert call_of(read_tflite_network(path)) is None
