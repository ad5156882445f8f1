"""ONNX to QDQ: every option does something that the file shows, and the numbers are what ONNX Runtime alone gives."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_models as made  # noqa: E402

from stm32pose.config.target_sections import Quantization  # noqa: E402
from stm32pose.errors import ConfigError, UserError  # noqa: E402
from stm32pose.inference.onnx_graph import opset_of, shape_of  # noqa: E402
from stm32pose.inference.runner import load_runner  # noqa: E402
from stm32pose.inference.sidecar import read_sidecar  # noqa: E402
from stm32pose.quantization.onnx_model import load_float, quantize_onnx, quantized_name  # noqa: E402
from stm32pose.quantization.onnx_qdq import to_qdq  # noqa: E402
from stm32pose.quantization.onnx_ranges import activation_ranges  # noqa: E402
from stm32pose.quantization.onnx_recipe import _near, check_quantization, make_recipe  # noqa: E402
from stm32pose.quantization.parity import Reference  # noqa: E402
from stm32pose.quantization.result import QuantizedModel  # noqa: E402

SHAPE = (12, 16, 3)
IMAGES = made.pixels(20, SHAPE)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.two_convolutions(tmp_path_factory.mktemp("float") / "tiny.onnx")


def section(**choices: Any) -> Quantization:
    return Quantization.model_validate({"quantizer": "onnx_quantizer", **choices})


def quantize(path: Path, folder: Path, images: Any = None, **choices: Any) -> QuantizedModel:
    chosen = section(**choices)
    batches = [IMAGES[:8], IMAGES[8:]] if images is None else images
    runner = load_runner(path, rescaling=made.RESCALING)
    return quantize_onnx(
        path,
        iter(batches),
        total=len(IMAGES) if images is None else sum(len(batch) for batch in images),
        section=chosen,
        destination=folder / quantized_name(path.stem, chosen),
        rescaling=made.RESCALING,
        metadata={"codec": {"kind": "heatmaps"}, "calibration_set": "dataset.quantization_path"},
        reference=Reference(runner.predict),
    )


def graph_of(path: Path, folder: Path, **choices: Any) -> Any:
    return onnx.load(quantize(path, folder, **choices).path)


TYPES = ("float", "int8", "uint8")


@pytest.mark.parametrize("nchw", [True, False])
@pytest.mark.parametrize("given", TYPES)
@pytest.mark.parametrize("returned", TYPES)
def test_types_of_input_and_output(tmp_path: Path, nchw: bool, given: str, returned: str) -> None:
    """Every pair of types is the same network: its outputs differ from those of the float-I/O file by nothing."""
    path = made.two_convolutions(tmp_path / "tiny.onnx", nchw=nchw)
    done = quantize(path, tmp_path, quantization_input_type=given, quantization_output_type=returned)
    runner = load_runner(done.path, rescaling=made.RESCALING)
    names = {"float": "float32"}
    assert runner.input.dtype == names.get(given, given)
    assert runner.outputs[0].dtype == names.get(returned, returned)
    content = onnx.load(done.path)
    onnx.checker.check_model(content, full_check=True)
    assert [value.name for value in (*content.graph.input, *content.graph.output)] == ["image", "maps"]
    sidecar = read_sidecar(done.path)
    assert sidecar is not None
    own = json.loads({item.key: item.value for item in content.metadata_props}["stm32pose"])
    for entries, tensor in (("inputs", runner.input), ("outputs", runner.outputs[0])):
        (entry,) = sidecar[entries]
        assert own[entries] == [entry]
        assert (entry["dtype"], entry["scale"], entry["zero_point"]) == (tensor.dtype, tensor.scale, tensor.zero_point)
        assert (tensor.scale > 0) == (tensor.dtype != "float32")
    if given == "uint8":  # the pixel as it is
        assert (runner.input.scale, runner.input.zero_point) == (pytest.approx(2 / 255), 127)
        np.testing.assert_array_equal(runner.inputs(IMAGES).reshape(-1), runner_order(IMAGES, nchw).reshape(-1))
    # Against the same network with float borders, fed with exactly what the stored pixels stand for.
    stored = runner_order((IMAGES.astype(np.float32) - 127) * np.float32(2 / 255), nchw)
    if given == "float":
        stored = runner.inputs(IMAGES)
    chosen = section(quantization_input_type=given)
    ready = load_float(path, chosen, make_recipe(chosen))
    feed = runner_order(IMAGES, nchw).astype(np.float32) * np.float32(1 / 127.5) - 1
    ranges = activation_ranges(ready.model, [image[None] for image in feed], make_recipe(chosen), "tiny")
    whole = to_qdq(
        ready.model, ranges, make_recipe(chosen), "tiny", image_range=(-1, 1), stored_pixels=given != "float"
    )
    onnx.save(whole, tmp_path / "whole.onnx")
    maps = np.concatenate([made.session_run(tmp_path / "whole.onnx", image[None])[0] for image in stored])
    maps = maps.transpose(0, 2, 3, 1) if nchw else maps
    np.testing.assert_allclose(runner.predict(IMAGES)[0], maps, atol=1e-6)
    assert maps.std() > 0.1


def test_float_borders_do_not_hang_on_rounding_noise(tiny: Path, tmp_path: Path) -> None:
    """Inputs in [-1, 1] would all lie between two levels: the last bit of a float would decide."""
    done = quantize(tiny, tmp_path, quantization_input_type="float", quantization_output_type="float")
    image = IMAGES[:1].transpose(0, 3, 1, 2).astype(np.float64) / 127.5 - 1
    noisy = [made.session_run(done.path, (image + noise).astype(np.float32))[0] for noise in (-1e-6, 0, 1e-6)]
    assert np.array_equal(noisy[0], noisy[1])
    assert np.array_equal(noisy[1], noisy[2])


def runner_order(images: np.ndarray, nchw: bool) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if nchw else images


def test_parity_is_what_onnx_runtime_gives(tiny: Path, tmp_path: Path) -> None:
    done = quantize(tiny, tmp_path)
    images = np.stack(done.images).transpose(0, 3, 1, 2)
    floats = images.astype(np.float32) * np.float32(1 / 127.5) - 1
    wanted = np.concatenate([made.session_run(tiny, image[None])[0] for image in floats]).astype(np.float64)
    stored = np.concatenate([made.session_run(done.path, image[None])[0] for image in images])
    assert stored.dtype == np.int8
    (last,) = [node for node in onnx.load(done.path).graph.node if "maps" in node.output]
    known = {item.name: onnx.numpy_helper.to_array(item) for item in onnx.load(done.path).graph.initializer}
    got = (stored.astype(np.float64) - known[last.input[2]]) * known[last.input[1]]
    (output,) = done.parity["outputs"]
    assert done.parity["images"] == 16
    assert output["output"] == "maps"
    assert output["max_error"] == pytest.approx(np.abs(got - wanted).max(), abs=1e-6)
    assert output["mean_error"] == pytest.approx(np.abs(got - wanted).mean(), rel=1e-4)
    ratio = 10 * np.log10((wanted**2).sum() / ((got - wanted) ** 2).sum())
    assert output["sqnr_db"] == pytest.approx(ratio, abs=0.01)
    assert 20 < ratio < 60


def test_granularity(tiny: Path, tmp_path: Path) -> None:
    channel, tensor = (graph_of(tiny, tmp_path, granularity=name) for name in ("per_channel", "per_tensor"))
    assert made.scales(channel, "first_w").shape == (6,)
    assert made.scales(tensor, "first_w").size == 1
    assert {path.name for path in tmp_path.glob("*.onnx")} == {"tiny_quant_qdq_pc.onnx", "tiny_quant_qdq_pt.onnx"}
    kernel = {item.name: onnx.numpy_helper.to_array(item) for item in onnx.load(tiny).graph.initializer}["first_w"]
    np.testing.assert_allclose(made.scales(channel, "first_w"), np.abs(kernel).max(axis=(1, 2, 3)) / 127, rtol=0.01)


def test_exclusions_leave_nodes_in_float(tiny: Path, tmp_path: Path) -> None:
    all_of_it = graph_of(tiny, tmp_path)
    without = graph_of(tiny, tmp_path, onnx_quant_parameters={"nodes_to_exclude": ["second"]})
    only = graph_of(tiny, tmp_path, onnx_quant_parameters={"nodes_to_quantize": ["first", "relu"]})
    for model, quantized in ((all_of_it, True), (without, False), (only, False)):
        names = {item.name for item in model.graph.initializer}
        assert "first_w_quantized" in names
        assert ("second_w_quantized" in names, "second_w" in names) == (quantized, not quantized)
        # The output is int8 although the layer that makes it is not.
        assert model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.INT8


def test_op_types(tmp_path: Path) -> None:
    helper = onnx.helper
    path = made.two_convolutions(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("Sigmoid", ["before"], ["maps"], name="sig"))
    onnx.save(model, path)

    def quantized_sigmoid(**choices: Any) -> bool:
        graph = graph_of(path, tmp_path, quantization_output_type="float", **choices)
        (node,) = made.nodes(graph, "Sigmoid")
        return any(node.output[0] in other.input for other in made.nodes(graph, "QuantizeLinear"))

    assert quantized_sigmoid()
    assert not quantized_sigmoid(op_types_to_quantize=["Conv"])
    assert not quantized_sigmoid(onnx_quant_parameters={"op_types_to_quantize": ["Conv", "Relu"]})


@pytest.mark.parametrize(
    ("choices", "kernel", "opset"),
    [
        ({}, "INT8", 17),
        ({"target_opset": 19}, "INT8", 19),
        ({"onnx_quant_parameters": {"weightType": "Int4"}}, "INT4", 21),
        ({"onnx_quant_parameters": {"weightType": "Int16"}}, "INT16", 21),
        ({"onnx_quant_parameters": {"weightType": "UInt8", "activType": "UInt8"}}, "UINT8", 17),
    ],
)
def test_types_of_weights_and_operator_set(tiny: Path, tmp_path: Path, choices: dict, kernel: str, opset: int) -> None:
    done = quantize(tiny, tmp_path, **choices)
    model = onnx.load(done.path)
    assert made.weight_type(model, "first_w") == kernel
    assert opset_of(model) == opset == done.details["opset"]
    assert model.ir_version == {17: 8, 19: 9, 21: 10}[opset]
    assert {entry.domain for entry in model.opset_import} == {""}
    assert done.parity["outputs"][0]["sqnr_db"] > 8


@pytest.mark.parametrize(("kind", "name"), [("UInt8", "UINT8"), ("Int16", "INT16")])
def test_types_of_activations(tiny: Path, tmp_path: Path, kind: str, name: str) -> None:
    """Inputs and outputs stay as asked, whatever is between them."""
    done = quantize(tiny, tmp_path, onnx_quant_parameters={"activType": kind})
    model = onnx.load(done.path)
    stored = {item.name: item for item in model.graph.initializer}
    inner = [node for node in made.nodes(model, "QuantizeLinear") if "maps" not in node.output]
    assert name in {onnx.TensorProto.DataType.Name(stored[node.input[2]].data_type) for node in inner}
    runner = load_runner(done.path, rescaling=made.RESCALING)
    assert (runner.input.dtype, runner.outputs[0].dtype) == ("uint8", "int8")
    assert done.parity["outputs"][0]["sqnr_db"] > 25


def test_sixteen_bits_lose_less_than_eight(tiny: Path, tmp_path: Path) -> None:
    losses = [
        quantize(tiny, tmp_path, quantization_output_type="float", onnx_quant_parameters=choice).parity["outputs"][0]
        for choice in ({"activType": "Int16", "weightType": "Int16"}, {}, {"weightType": "Int4"})
    ]
    wide, plain, narrow = (entry["sqnr_db"] for entry in losses)
    assert wide > plain + 5
    assert plain > narrow + 5


def test_extra_options_reach_the_quantizer(tiny: Path, tmp_path: Path) -> None:
    def zero_points(model: Any) -> set[int]:
        stored = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
        found = [stored[node.input[2]] for node in made.nodes(model, "QuantizeLinear")]
        return {int(value) for value in found if value.size == 1}

    plain = graph_of(tiny, tmp_path)
    assert zero_points(plain) - {0}
    symmetric = graph_of(
        tiny, tmp_path, onnx_extra_options={"ActivationSymmetric": True}, quantization_input_type="float"
    )
    assert zero_points(symmetric) == {0}
    kept = graph_of(tiny, tmp_path, onnx_extra_options={"QDQKeepRemovableActivations": True})
    assert (len(made.nodes(plain, "Relu")), len(made.nodes(kept, "Relu"))) == (0, 1)


def test_overrides_of_single_tensors(tiny: Path, tmp_path: Path) -> None:
    done = quantize(
        tiny,
        tmp_path,
        onnx_extra_options={
            "weights_tensor_override": [["second_w", {"quant_type": "Int4", "axis": 0}]],
            "activations_tensor_override": [["maps", {"scale": 0.5, "zero_point": 7}]],
        },
    )
    model = onnx.load(done.path)
    assert made.weight_type(model, "second_w") == "INT4"
    assert made.weight_type(model, "first_w") == "INT8"
    assert made.scales(model, "second_w").shape == (5,)
    assert opset_of(model) == 21
    output = load_runner(done.path, rescaling=made.RESCALING).outputs[0]
    assert (output.scale, output.zero_point) == (0.5, 7)


@pytest.mark.parametrize(
    ("choices", "complaint"),
    [
        ({"nodes_to_exclude": ["secnd"]}, "nodes_to_exclude: no node 'secnd' in the model; did you mean 'second'?"),
        ({"nodes_to_quantize": ["zzz"]}, "nodes_to_quantize: no node 'zzz' in the model; it has first, relu, second"),
        ({"op_types_to_quantize": ["Convv"]}, "no operator type 'Convv' in the model; did you mean 'Conv'?"),
        ({"nodes_to_quantize": ["first"], "nodes_to_exclude": ["first"]}, "'first' is also in nodes_to_quantize"),
        ({"weightType": "UInt8"}, "weightType: got UInt8 with activType Int8"),
        ({"percentile": 99.0}, "percentile: got 99 with calibrate_method MinMax; it needs calibrate_method: Perc"),
        ({"activType": "Int4"}, "activType: got Int4; convolutions take activations of 8 or 16 bits"),
    ],
)
def test_wrong_parameters(tiny: Path, tmp_path: Path, choices: dict, complaint: str) -> None:
    refused(tiny, tmp_path, complaint, onnx_quant_parameters=choices)


@pytest.mark.parametrize(
    ("choices", "complaint"),
    [
        ({"WeightSymetric": True}, "onnx_extra_options.WeightSymetric: unknown option; did you mean 'WeightSymmetric'"),
        ({"WeightSymmetric": "yes"}, "WeightSymmetric: got 'yes'; expected bool"),
        ({"MinimumRealRange": True}, "MinimumRealRange: got True; expected int or float"),
        ({"SmoothQuant": True}, "SmoothQuant: needs Intel's neural-compressor"),
        ({"CalibMaxIntermediateOutputs": 4}, "leave it out; images are calibrated one at a time"),
        ({"CalibPercentile": 99.0}, "CalibPercentile: got 99.0 with calibrate_method MinMax"),
        ({"weights_tensor_override": [["second", {"quant_type": "Int4"}]]}, "no tensor 'second' in the model; did you"),
        ({"weights_tensor_override": [["second_w", {"quant_type": "Int5"}]]}, "quant_type 'Int5'; expected Int4"),
        ({"weights_tensor_override": [["second_w", {"axes": 0}]]}, "'second_w' has 'axes'"),
        ({"weights_tensor_override": [["second_w", {"scale": 1.0}]]}, "scale or zero_point alone"),
        ({"weights_tensor_override": ["second_w"]}, "a row is [tensor name, {quant_type: Int4"),
        ({"weights_tensor_override": [["second_w", {"axis": 9}]]}, "axis with value 9 that is out-of-bounds"),
    ],
)
def test_wrong_extra_options(tiny: Path, tmp_path: Path, choices: dict, complaint: str) -> None:
    refused(tiny, tmp_path, complaint, onnx_extra_options=choices)


def test_options_that_contradict_each_other(tiny: Path, tmp_path: Path) -> None:
    refused(tiny, tmp_path, "extra_options: got 'average'; allowed: calib_moving_average", extra_options="average")
    refused(
        tiny,
        tmp_path,
        "calibrate_method: got Entropy beside extra_options: calib_moving_average; keep one",
        extra_options="calib_moving_average",
        onnx_quant_parameters={"calibrate_method": "Entropy"},
    )
    refused(
        tiny,
        tmp_path,
        "op_types_to_quantize: got ['Conv'], but onnx_quant_parameters.op_types_to_quantize is ['Relu']",
        op_types_to_quantize=["Conv"],
        onnx_quant_parameters={"op_types_to_quantize": ["Relu"]},
    )
    refused(tiny, tmp_path, "target_opset: got 11; QDQ needs 13 or more", target_opset=11)
    refused(tiny, tmp_path, "optimize: got True with quantizer: onnx_quantizer", optimize=True)
    refused(tiny, tmp_path, "quantization_type: 'QAT' is not built yet", quantization_type="QAT")


def refused(path: Path, folder: Path, complaint: str, **choices: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        quantize(path, folder, **choices)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(folder.iterdir())


def test_methods_of_calibration_reach_the_file(tiny: Path, tmp_path: Path) -> None:
    """The output's scale is that of the range the method finds; both old spellings of the moving average serve."""

    def scale(**choices: Any) -> float:
        return load_runner(quantize(tiny, tmp_path, **choices).path, rescaling=made.RESCALING).outputs[0].scale

    whole = scale()
    average = scale(onnx_quant_parameters={"calibrate_method": "MovingAverage"})
    assert average < 0.98 * whole
    assert scale(extra_options="calib_moving_average") == average
    assert scale(onnx_extra_options={"CalibMovingAverage": True}) == average
    first = scale(onnx_extra_options={"CalibMovingAverage": True, "CalibMovingAverageConstant": 1e-9})
    alone = [IMAGES[:1]]
    done = quantize(tiny, tmp_path, images=alone)
    assert first == pytest.approx(load_runner(done.path, rescaling=made.RESCALING).outputs[0].scale, rel=1e-5)
    wide = scale(onnx_quant_parameters={"calibrate_method": "Percentile", "percentile": 100})
    narrow = scale(onnx_quant_parameters={"calibrate_method": "Percentile", "percentile": 95})
    assert wide == pytest.approx(whole, rel=1e-6)
    assert narrow < 0.8 * whole
    assert scale(
        onnx_quant_parameters={"calibrate_method": "Percentile"}, onnx_extra_options={"CalibPercentile": 95}
    ) == pytest.approx(narrow)
    symmetric = quantize(tiny, tmp_path, onnx_extra_options={"CalibTensorRangeSymmetric": True})
    assert abs(load_runner(symmetric.path, rescaling=made.RESCALING).outputs[0].zero_point) <= 1


def test_st_defaults_written_out_change_nothing(tiny: Path, tmp_path: Path) -> None:
    """The options that ST's 4.x files list, with the values that it takes by default."""
    plain = quantize(tiny, tmp_path)
    content = plain.path.read_bytes()
    written = quantize(
        tiny,
        tmp_path,
        onnx_extra_options={
            "WeightSymmetric": True,
            "ActivationSymmetric": False,
            "CalibMovingAverage": False,
            "QuantizeBias": True,
            "SmoothQuant": False,
            "SmoothQuantAlpha": 0.5,
            "SmoothQuantFolding": True,
        },
    )
    assert written.path.read_bytes() == content


def test_a_quantized_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    done = quantize(tiny, tmp_path)
    with pytest.raises(ConfigError, match=r"tiny_quant_qdq_pc.onnx is quantized already; quantization needs the float"):
        quantize(done.path, tmp_path)


def test_a_published_model_is_refused(shared: Path) -> None:
    path = shared / "models/pose/face_landmarks_v1_192_int8_pc.onnx"
    with pytest.raises(ConfigError, match="is quantized already"):
        load_float(path, section(), make_recipe(section()))


@pytest.mark.parametrize("nchw", [True, False])
def test_an_open_batch_becomes_one(tmp_path: Path, nchw: bool) -> None:
    path = made.two_convolutions(tmp_path / "open.onnx", batch="n", nchw=nchw, names=False)
    done = quantize(path, tmp_path)
    model = onnx.load(done.path)
    assert shape_of(model.graph.input[0])[0] == shape_of(model.graph.output[0])[0] == 1
    assert done.details["layout"] == ("NCHW" if nchw else "NHWC")
    assert done.parity["outputs"][0]["sqnr_db"] > 20
    assert all(node.name for node in model.graph.node if node.op_type == "Conv")


def test_a_batch_of_two_is_refused(tmp_path: Path) -> None:
    path = made.two_convolutions(tmp_path / "two.onnx", batch=2)
    with pytest.raises(ConfigError, match=r"two.onnx: takes 2 images at once; ST's tools take one"):
        quantize(path, tmp_path)


def test_a_model_that_gives_nan_is_named(tmp_path: Path) -> None:
    path = made.two_convolutions(tmp_path / "nan.onnx")
    model = onnx.load(path)
    for item in model.graph.initializer:
        if item.name == "first_w":
            item.CopyFrom(onnx.numpy_helper.from_array(np.full(item.dims, np.nan, np.float32), "first_w"))
    onnx.save(model, path)
    with pytest.raises(UserError, match="holds values that are not finite"):
        quantize(path, tmp_path)


def test_one_batch_in_memory_at_a_time(tiny: Path, tmp_path: Path) -> None:
    """Batches that the generator gave out are let go: two are alive at most, that in use and the next one."""
    alive: list[weakref.ref] = []
    most = 0

    def batches() -> Iterator[np.ndarray]:
        nonlocal most
        for number in range(12):
            batch = np.roll(IMAGES[:4], number, axis=1).copy()
            alive.append(weakref.ref(batch))
            gc.collect()
            most = max(most, sum(reference() is not None for reference in alive))
            yield batch
            del batch

    runner = load_runner(tiny, rescaling=made.RESCALING)
    for method in ("MinMax", "Percentile", "Entropy"):
        alive.clear()
        done = quantize_onnx(
            tiny,
            batches(),
            total=48,
            section=section(onnx_quant_parameters={"calibrate_method": method}),
            destination=tmp_path / "m.onnx",
            rescaling=made.RESCALING,
            metadata={},
            reference=Reference(runner.predict),
        )
        sidecar = read_sidecar(done.path)
        assert sidecar is not None
        assert sidecar["calibration"]["images"] == 48
        assert len(done.images) == 16
    assert most <= 2


def test_names_of_files() -> None:
    assert quantized_name("best_model", section()) == "best_model_quant_qdq_pc.onnx"
    assert quantized_name("a", section(granularity="per_tensor")) == "a_quant_qdq_pt.onnx"


@pytest.mark.parametrize(
    "options",
    [
        {"CalibTensorRangeSymmetric": True},
        {"activations_tensor_override": [["b", {"rmin": -8.0, "rmax": 8.0}]]},
    ],
)
def test_ranges_of_others_do_not_cost_the_relu(tiny: Path, tmp_path: Path, options: dict) -> None:
    """ONNX Runtime drops a ReLU and leaves the cutting to the range, which here lets negatives pass."""
    done = quantize(tiny, tmp_path, onnx_extra_options=options)
    assert len(made.nodes(onnx.load(done.path), "Relu")) == 1
    assert done.parity["outputs"][0]["sqnr_db"] > 20


def test_an_override_of_weights_alone_keeps_the_plain_graph(tiny: Path, tmp_path: Path) -> None:
    options = {"weights_tensor_override": [["second_w", {"quant_type": "Int4", "axis": 0}]]}
    assert not made.nodes(graph_of(tiny, tmp_path, onnx_extra_options=options), "Relu")


@pytest.mark.parametrize(
    ("border", "kind", "name"),
    [("output", "INT64", "int64"), ("output", "FLOAT16", "float16"), ("input", "FLOAT16", "float16")],
)
def test_other_types_than_float32_at_the_borders(tmp_path: Path, border: str, kind: str, name: str) -> None:
    """Refused by name; without it a KeyError came after the calibration."""
    helper = onnx.helper
    number = onnx.TensorProto.DataType.Value(kind)
    path = made.two_convolutions(tmp_path / "cast.onnx")
    model = onnx.load(path)
    if border == "output":
        model.graph.node[-1].output[0] = "before"
        model.graph.node.append(
            helper.make_node("Cast", ["before"], ["maps"], to=onnx.TensorProto.DataType.Value(kind))
        )
    else:
        model.graph.node[0].input[0] = "real"
        model.graph.node.insert(0, helper.make_node("Cast", ["image"], ["real"], to=onnx.TensorProto.FLOAT))
    value = getattr(model.graph, border)[0]
    value.type.tensor_type.elem_type = number
    onnx.save(model, path)
    (tmp_path / "out").mkdir()
    refused(path, tmp_path / "out", f"its {border} '{value.name}' is {name}; quantization takes float32")


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({}, "int8"),
        ({"onnx_quant_parameters": {"weightType": "Int4"}}, "int8 w4"),
        ({"onnx_quant_parameters": {"activType": "Int16"}}, "int16"),
        ({"onnx_quant_parameters": {"activType": "Int16", "weightType": "Int16"}}, "int16"),
        ({"onnx_quant_parameters": {"activType": "UInt8"}}, "int8"),
    ],
)
def test_a_file_tells_its_bits(tiny: Path, tmp_path: Path, choices: dict, expected: str) -> None:
    done = quantize(tiny, tmp_path, **choices)
    assert load_runner(done.path, rescaling=made.RESCALING).number_types == expected
    assert load_runner(tiny, rescaling=made.RESCALING).number_types == "float"


def test_hints_look_at_how_names_begin() -> None:
    names = ["stem", "block_15_add", "block_1_expand", "block_1_project", "block_15_expand"]
    for given, meant in (("bloc_1", "block_1_expand"), ("blok_15_add", "block_15_add"), ("stm", "stem")):
        assert _near(given, names) == f"; did you mean '{meant}'?"
    assert _near("zzz", names) == ""


@pytest.mark.parametrize(
    ("kind", "choices", "complaint"),
    [
        (
            "onnx",
            {"quantizer": "TFlite_converter"},
            "got TFlite_converter for a file of kind onnx; an .onnx file needs",
        ),
        ("tflite", {}, "got onnx_quantizer for a file of kind tflite; quantization takes .keras, .h5 and .onnx files"),
        (
            "keras",
            {"quantizer": "TFlite_converter", "operating_mode": "full_auto"},
            "got 'full_auto' with quantizer: TF",
        ),
        ("keras", {"quantizer": "TFlite_converter", "optimize": True}, "optimize: True is not built yet"),
        ("keras", {"onnx_extra_options": {"SmoothQuant": True}}, "SmoothQuant: needs Intel"),
        ("onnx", {"onnx_extra_options": {"WeightSymetric": True}}, "did you mean 'WeightSymmetric'"),
        ("onnx", {"onnx_quant_parameters": {"activType": "Int4"}}, "activType: got Int4"),
        (
            "onnx",
            {"operating_mode": "inspection", "iterative_quant_parameters": {"inspection_split": 0}},
            "quantization.iterative_quant_parameters.inspection_split: got 0; expected a share above 0",
        ),
    ],
)
def test_what_can_be_told_before_any_step(kind: str, choices: dict, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_quantization(section(**choices), kind)
    assert complaint in str(caught.value)


def test_what_is_right_is_let_through() -> None:
    check_quantization(section(), "keras")
    check_quantization(section(), "onnx")
    check_quantization(section(quantizer="TFlite_converter"), "keras")


def test_the_check_imports_no_converter() -> None:
    code = (
        "import sys; from stm32pose.config.target_sections import Quantization;"
        "from stm32pose.quantization.onnx_recipe import check_quantization;"
        "check_quantization(Quantization(), 'keras');"
        "check_quantization(Quantization(quantizer='onnx_quantizer'), 'onnx');"
        "sys.exit(bool({'onnx', 'onnxruntime', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
