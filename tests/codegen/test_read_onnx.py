"""ONNX files become networks that compute what ONNX Runtime computes, and what cannot is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from codegen.onnx_zoo import GROUPS, SHAPE, zoo  # noqa: E402
from codegen.qdq import Qdq, channels_last, run_onnx  # noqa: E402

from stm32pose.codegen.network import Network, NotExportable, read_network  # noqa: E402
from stm32pose.codegen.onnx_integers import run_integers  # noqa: E402
from stm32pose.codegen.onnx_values import reshaped_order, stored_columns  # noqa: E402
from stm32pose.errors import ConfigError, UserError  # noqa: E402

ROUNDED = 0.01
"""Share of an operator's elements that may be one step off: ONNX Runtime adds in another order there."""
OWN_SOFTMAX = 0.15
"""The same where its default session computes a softmax in integers of its own."""


def random_input(dtype: str = "int8", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8).view(dtype)


def kinds(network: Network) -> list[str]:
    return [op.kind for op in network.operators]


@pytest.mark.parametrize("plain", [True, False], ids=["as written", "default session"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("group", GROUPS)
def test_every_operator_gives_what_onnx_runtime_gives(tmp_path: Path, group: str, dtype: str, plain: bool) -> None:
    path = zoo(tmp_path / "zoo.onnx", group, dtype)
    network = read_network(path)
    assert (network.rounding, network.channels_first) == ("onnx", True)
    x = random_input(dtype)
    makers = {index: op for op in network.operators for index in op.outputs}
    results = zip(
        network.outputs,
        run_integers(network, channels_last([x])),
        channels_last(run_onnx(path, [x], plain=plain)),
        strict=True,
    )
    for index, got, wanted in results:
        name = makers[index].name
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype), name
        if got.dtype == np.float32:
            np.testing.assert_allclose(got, wanted, atol=1e-6, err_msg=name)
            continue
        assert np.unique(got).size > 2 or got.size < 9, name
        steps = np.abs(got.astype(int) - wanted)
        assert steps.max() <= 1, name
        assert np.mean(steps > 0) <= (ROUNDED if plain or group != "moved" else OWN_SOFTMAX), name


def test_transposes_and_reshapes_vanish(tmp_path: Path) -> None:
    """[1, H, W, C] in and out, a softmax over the cells of a map, a flattened map into a matrix product."""
    g = Qdq()
    x = g.input((1, 6, 10, 3), 0.02, 3)
    image = g.through(g.node("Transpose", [x], perm=[0, 3, 1, 2]), 0.02, 3)
    maps = g.through(g.node("Conv", [image, g.weights((5, 3, 3, 3))], pads=[1, 1, 1, 1]), 0.3, 0)
    flat = g.node("Reshape", [maps, g.array(np.array([1, 5, -1]))])
    soft = g.node(
        "Reshape", [g.through(g.node("Softmax", [flat], axis=-1), 0.01, -128), g.array(np.array([1, 5, 6, 10]))]
    )
    g.output(g.node("Transpose", [soft], perm=[0, 2, 3, 1]), 0.01, -128)
    g.output(g.node("Gemm", [g.node("Flatten", [maps]), g.weights((70, 300))], transB=1), 3.0, 0)
    path = g.save(tmp_path / "last.onnx")
    network = read_network(path)
    assert not network.channels_first
    assert sorted(kinds(network)) == ["CONV_2D", "FULLY_CONNECTED", "RESHAPE", "RESHAPE", "RESHAPE", "SOFTMAX"]
    x = random_input(shape=(1, 6, 10, 3))
    for got, wanted in zip(run_integers(network, [x]), run_onnx(path, [x]), strict=True):
        assert np.array_equal(got, wanted)
        assert np.unique(got).size >= 7


def test_a_reshape_that_moves_elements_is_a_transpose(tmp_path: Path) -> None:
    """As in the SimCC head: maps flattened, then a convolution whose channels are the cells."""
    g = Qdq()
    x = g.input((1, 4, 6, 10), 0.02, 3)
    maps = g.through(g.node("MaxPool", [x], kernel_shape=[1, 1]), 0.02, 3)
    rows = g.node("Reshape", [maps, g.array(np.array([1, 4, 60, 1]))])
    columns = g.through(g.node("Transpose", [rows], perm=[0, 2, 1, 3]), 0.02, 3)
    g.output(g.node("Conv", [columns, g.weights((9, 60, 1, 1))]), 0.9, 0)
    path = g.save(tmp_path / "simcc.onnx")
    network = read_network(path)
    assert "TRANSPOSE" in kinds(network)
    x = random_input(shape=(1, 4, 6, 10))
    (got,), (wanted,) = run_integers(network, channels_last([x])), channels_last(run_onnx(path, [x]))
    assert np.array_equal(got, wanted)


def test_order_after_a_reshape() -> None:
    """Whatever order is found, the tensor's bytes read in it are those of the reshaped array."""
    random, kept = np.random.default_rng(7), 0
    for _ in range(1000):
        base = tuple(int(size) for size in random.choice([1, 2, 3, 4, 6], random.integers(1, 5)))
        order = tuple(int(axis) for axis in random.permutation(len(base)))
        logical = np.arange(np.prod(base)).reshape(base)
        stored = logical.transpose(order)
        assert np.array_equal(stored.reshape(-1), stored_columns(base, order))
        shape = random_factors(random, logical.size)
        found = reshaped_order(base, order, shape)
        if found is None:
            assert order != tuple(range(len(base)))
            continue
        kept += 1
        assert sorted(found) == list(range(len(shape)))
        wanted = logical.reshape(shape).transpose(found)
        assert np.array_equal(stored.reshape(wanted.shape), wanted)
    assert 300 < kept < 900


def random_factors(random: np.random.Generator, number: int) -> tuple[int, ...]:
    """A shape of up to five axes with so many elements."""
    sizes = []
    for _ in range(4):
        sizes.append(int(random.choice([n for n in range(1, number + 1) if number % n == 0])))
        number //= sizes[-1]
    return (*sizes, number)


def test_activations_before_the_quantization_are_fused(tmp_path: Path) -> None:
    g = Qdq()
    x = g.input((1, 3, 6, 10), 0.02, 3)
    g.output(g.node("Relu", [g.node("Conv", [x, g.weights((5, 3, 3, 3))])]), 0.3, 0)
    low, high = g.array(np.float32(0)), g.array(np.float32(6))
    g.output(g.node("Clip", [g.node("Conv", [x, g.weights((5, 3, 3, 3))]), low, high]), 0.06, -20)
    network = read_network(g.save(tmp_path / "fused.onnx"))
    assert [(op.kind, op.options["activation"]) for op in network.operators] == [
        ("CONV_2D", "RELU"),
        ("CONV_2D", "RELU6"),
    ]


def test_float_and_uint8_borders(tmp_path: Path) -> None:
    g = Qdq()
    x = g.input((1, 3, 6, 10), 0.02, 120, "uint8")
    y = g.input(("batch", 3, 6, 10), 0.02, 3, "float32", "y")
    g.output(g.node("Add", [x, y]), 0.03, 100, "uint8")
    made = g.through(g.node("Sub", [x, y]), 0.03, 100)
    g.output(made, 0, dtype="float32")
    path = g.save(tmp_path / "borders.onnx")
    network = read_network(path)
    assert [network.tensors[i].dtype for i in network.inputs] == ["uint8", "float32"]
    assert [network.tensors[i].dtype for i in network.outputs] == ["uint8", "float32"]
    assert [network.tensors[i].zero_point for i in (*network.inputs, *network.outputs)] == [120, 0, 100, 0]
    assert network.tensors[network.inputs[1]].shape == (1, 6, 10, 3)
    given = [
        random_input("uint8", (1, 3, 6, 10)),
        np.random.default_rng(2).normal(0, 1, (1, 3, 6, 10)).astype(np.float32),
    ]
    for got, wanted in zip(
        run_integers(network, channels_last(given)), channels_last(run_onnx(path, given)), strict=True
    ):
        assert np.array_equal(got, wanted)


def test_integer_operators_of_onnx_runtime(tmp_path: Path) -> None:
    """QLinearConv, QLinearAdd and the like, in place of QDQ."""
    g = Qdq()
    helper = onnx.helper
    g.inputs.append(helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, [1, 3, 6, 10]))
    one, two, three = (g.steps(scale, zero, "uint8") for scale, zero in ((0.02, 120), (0.3, 130), (0.01, 5)))
    weights = g.array(g.random.integers(-128, 128, (5, 3, 3, 3)).astype(np.int8))
    steps = [g.array(g.random.uniform(0.002, 0.02, 5).astype(np.float32)), g.array(np.zeros(5, np.int8))]
    bias = g.array(np.arange(5, dtype=np.int32) * 300)
    own = "com.microsoft"
    g.nodes += [
        helper.make_node("QLinearConv", ["x", *one, weights, *steps, *two, bias], ["a"], name="c", pads=[1, 1, 1, 1]),
        helper.make_node("QLinearAdd", ["a", *two, "a", *two, *two], ["b"], domain=own),
        helper.make_node("QLinearSigmoid", ["b", *two, *three], ["s"], domain=own),
        helper.make_node("QLinearConcat", [*two, "a", *two, "s", *three], ["j"], domain=own, axis=1),
        helper.make_node("MaxPool", ["j"], ["m"], kernel_shape=[2, 2]),
        helper.make_node("QLinearGlobalAveragePool", ["m", *two, *two], ["y"], domain=own, channels_last=0),
    ]
    g.outputs += [helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in ("s", "j", "y")]
    path = g.save(tmp_path / "qlinear.onnx")
    network = read_network(path)
    x = random_input("uint8", (1, 3, 6, 10))
    for got, wanted in zip(run_integers(network, channels_last([x])), channels_last(run_onnx(path, [x])), strict=True):
        steps = np.abs(got.astype(int) - wanted)
        assert steps.max() <= 1
        assert np.mean(steps > 0) <= ROUNDED


@pytest.mark.parametrize("scale", [1e6, 1e9])
def test_dead_channels_with_huge_biases(tmp_path: Path, scale: float) -> None:
    """Sums that leave 32 bits are no matter where the output is the same for all of them."""
    g = Qdq()
    x = g.input((1, 3, 6, 10), 0.02, 3)
    bias = g.constant(np.array([2**31 - 1, -(2**31) + 1, 2**31 - 1, 100], np.int32), 0.02 * 0.01)
    weights = np.ones((4, 3, 1, 1), np.int8)
    g.output(g.node("Conv", [x, g.constant(weights, 0.01), bias]), scale * 2e-6, 0)
    path = g.save(tmp_path / "dead.onnx")
    if scale > 1e7:  # the output is between two steps there: a sum near 2^31 decides
        g.output(g.node("Conv", [x, g.constant(weights, 0.01), bias]), 0.02 * 0.01 * (2**31 - 1) / 100.5, 0)
        with pytest.raises(NotExportable, match="leave 32 bits"):
            read_network(g.save(path))
        return
    network = read_network(path)
    x = random_input(shape=(1, 3, 6, 10))
    (got,) = run_integers(network, channels_last([x]))
    assert got[..., 0].min() == got[..., 2].min() == 127
    assert got[..., 1].max() == -128
    assert np.array_equal(got, channels_last(run_onnx(path, [x]))[0])


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_zero_points_left_out(tmp_path: Path, dtype: str) -> None:
    """uint8 and 0 then, or the type of what is dequantized."""
    helper, kind = onnx.helper, getattr(onnx.TensorProto, dtype.upper())
    g = Qdq()
    g.inputs.append(helper.make_tensor_value_info("x", kind, [1, 3, 6, 10]))
    scale = g.array(np.float32(0.02))
    g.nodes += [
        helper.make_node("DequantizeLinear", ["x", scale], ["real"]),
        helper.make_node("Abs", ["real"], ["more"]),
        helper.make_node("QuantizeLinear", ["more", scale], ["stored"]),
        helper.make_node("DequantizeLinear", ["stored", scale], ["again"]),
        helper.make_node("Conv", ["again", g.weights((5, 3, 1, 1))], ["made"]),
        helper.make_node("QuantizeLinear", ["made", g.array(np.float32(0.03))], ["y"]),
    ]
    g.outputs.append(helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, None))
    path = g.save(tmp_path / "plain.onnx")
    x = random_input(dtype, (1, 3, 6, 10))
    (got,), (wanted,) = run_integers(read_network(path), channels_last([x])), channels_last(run_onnx(path, [x]))
    assert np.array_equal(got, wanted)
    assert np.unique(got).size > 50


def one_conv(path: Path, opset: int = 17, **changes) -> Path:
    g = Qdq()
    x = g.input(changes.get("shape", (1, 3, 6, 10)), 0.02, 3)
    weights = changes["weights"](g) if "weights" in changes else g.weights((5, 3, 3, 3))
    made = g.node(changes.get("kind", "Conv"), [x, weights])
    if changes.get("dtype"):
        made = g.through(made, 0.3, 0, changes["dtype"])
    g.output(g.node("Relu", [g.node("Sigmoid", [made])]) if changes.get("floats") else made, 0.3, 0)
    return g.save(path, opset)


REFUSED = {
    "no scales": (
        {"weights": lambda g: g.array(np.ones((5, 3, 3, 3), np.float32))},
        "Conv that makes tensor 'Conv_1_3' (layer 'Conv_1'): its weights 'array_1_2' are float32, not quantized",
    ),
    "16-bit weights": ({"weights": lambda g: g.constant(np.ones((5, 3, 3, 3), np.int16), 0.1)}, "are int16"),
    "4-bit weights": ({"weights": lambda g: g.constant(np.ones((5, 3, 3, 3), "int4"), 0.1), "opset": 21}, "int4"),
    "16-bit activations": ({"dtype": "int16", "opset": 21}, "is int16; kernels take activations of 8 bits"),
    "one-sided weights": ({"weights": lambda g: g.weights((5, 3, 3, 3), None, "uint8", 0)}, "on one side of zero"),
    "float between": ({"floats": True}, "made by CONV_2D 'Conv_2', is not quantized"),
    "old": ({"opset": 12}, "operator set 12; C code is made of 13 and later"),
    "open image": ({"shape": (1, 3, "h", 10)}, "open shape [1, 3, '?', 10]"),
    "two images": ({"shape": (2, 3, 6, 10)}, "takes 2 images at once"),
    "unknown operator": ({"kind": "BitShift"}, "BitShift that makes tensor"),
    "computed weights": ({"weights": lambda g: "x_real"}, "weights 'x_real' are computed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_become_c_is_named(tmp_path: Path, case: str) -> None:
    import ml_dtypes

    changes, complaint = REFUSED[case]
    if case == "4-bit weights":
        changes = {**changes, "weights": lambda g: g.constant(np.ones((5, 3, 3, 3), ml_dtypes.int4), 0.1)}
    path = one_conv(tmp_path / "net.onnx", **changes)
    with pytest.raises(NotExportable) as error:
        read_network(path)
    assert str(error.value).startswith(f"{path}: ")
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_float_network_is_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, 1, [1, 3, 4, 4]) for name in "xy"]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", values[:1], values[1:])), tmp_path / "f.onnx")
    with pytest.raises(
        NotExportable, match=r"f.onnx: not an int8 network \(Relu, nothing is quantized\); quantize it first$"
    ):
        read_network(tmp_path / "f.onnx")
    with pytest.raises(ConfigError, match="no such file"):
        read_network(tmp_path / "none.onnx")


def test_published_classifiers_that_are_no_networks(shared: Path) -> None:
    files = sorted((shared / "models/calibration").glob("*svc*.onnx"))
    assert files
    for path in files:
        with pytest.raises(NotExportable, match="SVMClassifier"):
            read_network(path)


def test_damaged_files_give_one_line(tmp_path: Path) -> None:
    content = zoo(tmp_path / "zoo.onnx", "moved").read_bytes()
    small = one_conv(tmp_path / "one.onnx").read_bytes()
    random, refused = np.random.default_rng(4), 0
    for number in range(300):
        data = bytearray(content if number % 10 == 0 else small)
        if number % 5 == 0:
            data = data[: random.integers(len(data))]
        for place in random.integers(0, max(len(data), 1), random.integers(1, 5)) if number % 5 and data else ():
            data[place] ^= 1 << random.integers(8)
        path = tmp_path / "damaged.onnx"
        path.write_bytes(data)
        complaint = complaint_about(path)
        refused += complaint is not None
        assert complaint is None or (complaint.startswith(str(path)) and "\n" not in complaint), number
    assert refused > 100


def complaint_about(path: Path) -> str | None:
    """The reader's error; None where it reads the file. Anything but a UserError goes on."""
    try:
        read_network(path)
    except UserError as error:
        return str(error)
    return None
