"""Damaged and absurd model files: refused with one line, or exported to code that is safe and exact. Nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from codegen.hostile import damage_many
from codegen.kernel_driver import Driver, run_calls
from codegen.mutations import absurd_onnx, absurd_tflite
from codegen.one_op import Model, Op, T, build
from codegen.run_c import needs_cc
from codegen.tiny_networks import options, tiny_model, tiny_onnx, tiny_tflite

from stm32pose.codegen.export import build as build_program
from stm32pose.codegen.export import network_files
from stm32pose.codegen.network import read_network
from stm32pose.codegen.program import Program
from stm32pose.codegen.reference import expected_outputs, random_inputs, run_reference
from stm32pose.codegen.targets import TARGETS
from stm32pose.errors import UserError

SMALL = (
    "WISDM__ign_wl_24_int8__75ac5b79.tflite",
    "kws_ref_model.tflite",
    "emnist_byclass__stmnist_v1_int8__547214b6.tflite",
)
HOST = TARGETS["host"]
MOST_COMPARED = 8
"""The runtime in a process of its own takes half a second a file."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> list[Path]:
    """Sound files, made here."""
    folder = tmp_path_factory.mktemp("tiny")
    made = [folder / "tiny.tflite", folder / "tiny.onnx"]
    for path, content in zip(made, (tiny_tflite(), tiny_onnx()), strict=True):
        path.write_bytes(content)
    return made


def refusal(content: bytes, folder: Path, suffix: str = ".tflite") -> str:
    """The line with which a file is refused."""
    path = folder / f"absurd{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        network_files(build_program(path, HOST))
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.isprintable()
    return text.removeprefix(f"{path}: ")


def test_damaged_files_are_refused_or_exported(tiny) -> None:
    tally = damage_many(tiny, 300, seed=100, whole_every=30)
    assert not tally.wrong, "\n".join(tally.wrong)
    assert tally.exported > 20
    assert tally.refused > 100


def test_damaged_real_files_are_refused_or_exported(shared) -> None:
    files = [shared / "models/calibration" / name for name in SMALL]
    tally = damage_many(files, 300, seed=200, whole_every=60)
    assert not tally.wrong, "\n".join(tally.wrong)
    assert tally.exported > 20
    assert tally.refused > 100


def one(
    kind: str,
    tensors: list[T],
    inputs: list[int],
    outputs: list[int],
    table: object = None,
    *,
    given: list[int] | None = None,
    made: list[int] | None = None,
) -> bytes:
    """A file of one operator; `given` and `made` are the network's inputs (those without data) and outputs (its)."""
    active = [index for index in inputs if index >= 0 and tensors[index].data is None]
    ops = [Op(kind, inputs, outputs, table, 1)]
    return build(Model(tensors, ops, active if given is None else given, outputs if made is None else made))


def activation(*shape: int, dtype: str = "int8", scale: float | None = 0.1) -> T:
    return T(shape, dtype, scale, 0)


def whole(*values: object) -> T:
    data = np.array(values, np.int32)
    return T(data.shape, "int32", data=data)


def conv(image: T, made: T, weights: T, **given: int) -> bytes:
    bias = T((weights.shape[0],), "int32", 0.01, 0, data=np.zeros(weights.shape[0], np.int32))
    table = options("Conv2DOptions", **{"padding": 1, "strideH": 1, "strideW": 1, **given})
    return one("CONV_2D", [image, weights, bias, made], [0, 1, 2], [3], table)


def kernel(*shape: int) -> T:
    return T(shape, "int8", 0.1, 0, data=np.ones(shape, np.int8))


RELU_OF = [activation(1, 4), activation(1, 4)]
ABSURD = {
    "a shape that its data does not have": (
        conv(activation(1, 4, 4, 2), activation(1, 4, 4, 3), replace(kernel(3, 1, 1, 2), shape=(3, 1, 1, 4))),
        "has 6 bytes, not 12",
    ),
    "an output too large": (
        conv(activation(1, 4, 4, 2), activation(1, 9, 9, 3), kernel(3, 1, 1, 2)),
        r"it makes \[1, 4, 4, 3\]",
    ),
    "2^31 elements": (
        one("RELU", [activation(1, 1 << 16, 1 << 15), activation(1, 4)], [0], [1]),
        "2147483648 elements",
    ),
    "a dimension of 0": (one("RELU", [activation(1, 0), activation(1, 0)], [0], [1]), "no elements|there already"),
    "an open dimension": (one("RELU", [activation(-1, 4), activation(-1, 4)], [0], [1]), "open shape"),
    "1,000 dimensions": (one("RELU", [activation(*[1] * 1000), activation(1)], [0], [1]), "1000 dimensions"),
    "a batch of 2": (conv(activation(2, 4, 4, 2), activation(2, 4, 4, 3), kernel(3, 1, 1, 2)), "one image at a time"),
    "a stride of 0": (
        conv(activation(1, 4, 4, 2), activation(1, 4, 4, 3), kernel(3, 1, 1, 2), strideW=0),
        "stride",
    ),
    "a negative stride": (
        conv(activation(1, 4, 4, 2), activation(1, 4, 4, 3), kernel(3, 1, 1, 2), strideW=-1),
        "stride",
    ),
    "a window larger than the image": (
        conv(activation(1, 2, 2, 1), activation(1, 1, 1, 1), kernel(1, 3, 3, 1)),
        "do not fit together",
    ),
    "a pad of 2^30": (
        one("PAD", [activation(1, 4), whole((0, 0), (1 << 30, 0)), activation(1, 4)], [0, 1], [2]),
        "PAD that makes",
    ),
    "a negative pad": (one("PAD", [activation(1, 4), whole((0, 0), (-1, 0)), activation(1, 3)], [0, 1], [2]), "PAD"),
    "indices outside the data": (
        one("GATHER", [activation(4, 2), whole(0, 9), activation(2, 2)], [0, 1], [2], options("GatherOptions")),
        "an index outside 4",
    ),
    "a slice outside the data": (
        one("SLICE", [activation(1, 4), whole(0, 3), whole(1, 3), activation(1, 3)], [0, 1, 2], [3]),
        "SLICE that makes",
    ),
    "an axis that is not there": (
        one("CONCATENATION", [*RELU_OF, activation(1, 8)], [0, 1], [2], options("ConcatenationOptions", axis=7)),
        "axis 7 of 2",
    ),
    "an order that is none": (
        one("TRANSPOSE", [activation(1, 4), whole(0, 0), activation(1, 4)], [0, 1], [2]),
        "order",
    ),
    "an infinite scale": (one("RELU", [activation(1, 4, scale=float("inf")), activation(1, 4)], [0], [1]), "scale"),
    "a scale that is no number": (one("RELU", [activation(1, 4, scale=float("nan")), RELU_OF[1]], [0], [1]), "scale"),
    "a scale of 0": (one("RELU", [activation(1, 4, scale=0.0), RELU_OF[1]], [0], [1]), "scale"),
    "a scale of 1e-40": (one("RELU", [activation(1, 4, scale=1e-40), RELU_OF[1]], [0], [1]), "scale"),
    "a zero point of 300": (one("RELU", [T((1, 4), "int8", 0.1, 300), RELU_OF[1]], [0], [1]), "zero point"),
    "several scales": (one("RELU", [T((1, 4), "int8", [0.1] * 4, 0, 1), RELU_OF[1]], [0], [1]), "several scales"),
    "types that no kernel joins": (
        one("ADD", [activation(1, 4), T((1, 4), "int64"), activation(1, 4)], [0, 1], [2], options("AddOptions")),
        "ADD that makes",
    ),
    "an input left out": (one("RELU", RELU_OF, [-1], [1], given=[0]), "left out"),
    "no operands": (one("RELU", RELU_OF, [], [1], given=[0]), "0 operands"),
    "too many operands": (one("RELU", [*RELU_OF, activation(1, 4)], [0, 2], [1]), "2 operands"),
    "no result": (build(Model(RELU_OF, [Op("RELU", [0], [], None, 1)], [0], [1])), "no tensor of it"),
    "a tensor that is not there": (one("RELU", RELU_OF, [0], [9], made=[1]), "no tensor of it"),
    "an output that nothing makes": (
        build(Model([*RELU_OF, activation(1)], [Op("RELU", [0], [1], None, 1)], [0], [2])),
        "nothing makes the output",
    ),
    "an input that is an output": (
        build(Model(RELU_OF, [Op("RELU", [0], [1], None, 1)], [0], [0])),
        "nothing is computed",
    ),
    "an operator that writes its input": (one("RELU", RELU_OF, [0], [0]), "there already"),
    "a tensor made twice": (
        build(Model(RELU_OF, [Op("RELU", [0], [1], None, 1)] * 2, [0], [1])),
        "there already",
    ),
    "a circle": (
        build(
            Model(
                [activation(1, 4)] * 3,
                [Op("ADD", [0, 2], [1], options("AddOptions"), 1), Op("RELU", [1], [2], None, 1)],
                [0],
                [2],
            )
        ),
        "before anything makes it",
    ),
    "an input that is a constant": (
        build(Model([kernel(1, 4), activation(1, 4)], [Op("RELU", [0], [1], None, 1)], [0], [1])),
        "an input is a constant",
    ),
    "tensors that are too large together": (
        build(
            Model(
                [activation(1, 1 << 24)] * 12,
                [Op("RELU", [n], [n + 1], None, 1) for n in range(11)],
                [0],
                [11],
            )
        ),
        "its tensors would have 184549376 elements",
    ),
    "constants that grow": (
        build(
            Model(
                [activation(1, 4), kernel(1, 1), *[activation(1, 1 << 24), whole(1, 1 << 24)] * 5, activation(1, 4)],
                [
                    *(Op("TILE", [1, 3 + 2 * n], [2 + 2 * n], None, 1) for n in range(5)),
                    Op("CONCATENATION", [2, 4, 6, 8, 10], [12], options("ConcatenationOptions", axis=1), 1),
                ],
                [0],
                [12],
            )
        ),
        "constants|it makes",
    ),
}


@pytest.mark.parametrize("what", ABSURD)
def test_absurd_files_are_refused(what: str, tmp_path) -> None:
    import re

    content, expected = ABSURD[what]
    text = refusal(content, tmp_path)
    assert re.search(expected, text), text


def test_files_that_are_none_are_refused(tmp_path) -> None:
    for content in (
        b"",
        b"x",
        b"\0" * 100,
        b"TFL3" * 40,
        b"\x1c\0\0\0TFL3" + b"\xff" * 500,
        b"\x04\0\0\0TFL3" + b"\0" * 500,
    ):
        assert refusal(content, tmp_path)
        assert refusal(content, tmp_path, ".onnx")


def test_names_cannot_break_the_line_or_the_code(tmp_path) -> None:
    """A name with a line end, the end of a comment and C in it."""
    model = tiny_model()
    model.tensors[4].name = '*/ int x; /*\n"; system("x");\r\u2028'
    path = tmp_path / "named.tflite"
    path.write_bytes(build(model))
    source = network_files(build_program(path, HOST))["network.c"]
    assert "int x" in source
    assert "*/ int x" not in source
    assert "system(" not in source
    model.tensors[7].shape = (1, 9, 9, 4)
    model.tensors[4].shape = (1, 8, 8, 5)
    assert refusal(build(model), tmp_path)


def test_a_custom_operator_cannot_take_a_name_of_ours(tmp_path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(one("RELU", RELU_OF, [0], [1]), 0))
    for name in (b"LOOK_UP", b"CONV_2D", b"CLIP\n"):
        model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
        model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        model.operatorCodes[0].customCode = name
        import flatbuffers

        builder = flatbuffers.Builder(100)
        builder.Finish(model.Pack(builder), b"TFL3")
        assert "custom operator" in refusal(bytes(builder.Output()), tmp_path)


def run_apart(program: Program, driver: Driver, inputs: list[np.ndarray]) -> list[bytes]:
    """Outputs of a program whose tensors each have memory of their own: the sanitizer sees every step outside."""
    tensors = program.network.tensors
    calls = [
        replace(call, inputs=tuple(map(program.root, call.inputs)), outputs=tuple(map(program.root, call.outputs)))
        for call in program.calls
    ]
    memory = {index: bytes([0xA5]) * tensors[index].bytes for call in calls for index in (*call.inputs, *call.outputs)}
    for index, values in zip(program.network.inputs, inputs, strict=True):
        memory[program.root(index)] = np.ascontiguousarray(values).tobytes()
    after = run_calls(driver, calls, memory)
    return [after[program.root(index)] for index in program.network.outputs]


def absurd_programs(sound: Path, folder: Path, count: int) -> Iterator[tuple[int, Program]]:
    """(seed, program) of the absurd files, made of a sound one, that are networks still."""
    content = sound.read_bytes()
    seen = {content}
    for seed in range(count):
        try:
            made = (absurd_tflite if sound.suffix == ".tflite" else absurd_onnx)(content, seed)
        except Exception:  # noqa: BLE001, S112 - a change that the format cannot express
            continue
        path = folder / f"absurd_{seed}{sound.suffix}"
        path.write_bytes(made)
        if made not in seen:
            seen.add(made)
            with suppress(UserError):
                yield seed, build_program(path, HOST).program


@needs_cc
@pytest.mark.parametrize("place", [0, 1], ids=["tflite", "onnx"])
def test_what_is_exported_of_absurd_files_is_safe_and_exact(place: int, tiny, tmp_path) -> None:
    """Shapes, operands and options are others: where that is a network still, its code stays in its memory."""
    programs = list(absurd_programs(tiny[place], tmp_path, 150))
    exact = tiny[place].suffix == ".tflite"
    compared = 0
    sources = sorted({call.source for _, program in programs for call in program.calls})
    with Driver(sources, f"#define NETWORK_ROUNDING_FLOAT {int(not exact)}\n") as driver:
        for seed, program in programs:
            inputs = random_inputs(program.network, seed)
            outputs = run_apart(program, driver, inputs)
            if compared == MOST_COMPARED:
                continue
            try:
                expected = expected_outputs(program.network, inputs)
            except UserError:
                continue  # the runtime itself refuses it
            compared += 1
            for index, found, wanted in zip(program.network.outputs, outputs, expected, strict=True):
                tensor = program.network.tensors[index]
                values = np.frombuffer(found, tensor.dtype).reshape(tensor.shape)
                near = np.array_equal(values, wanted) if exact else np.allclose(values, wanted, atol=0.3)
                assert near, f"seed {seed}"
    assert compared >= 5


def test_the_reference_cannot_take_this_process_with_it(tiny, tmp_path) -> None:
    """On a sum of int8 without a scale LiteRT 2.1 ends its process; our own reader would refuse the file before."""
    network = read_network(tiny[0])
    inputs = random_inputs(network)
    model = tiny_model()
    model.tensors[8].scale = None
    path = tmp_path / "no_scale.tflite"
    path.write_bytes(build(model))
    with pytest.raises(UserError, match=r"LiteRT (crashed|cannot)"):
        expected_outputs(replace(network, path=path), inputs)
    path.write_bytes(tiny[0].read_bytes()[:-400])
    with pytest.raises(UserError, match="LiteRT"):
        expected_outputs(replace(network, path=path), inputs)
    with pytest.raises(UserError, match="did not end within"):
        expected_outputs(network, inputs, seconds=0.001)
    tensors = list(network.tensors)
    tensors[network.outputs[0]] = replace(tensors[network.outputs[0]], shape=(1, 4))
    with pytest.raises(UserError, match="the file says"):
        expected_outputs(replace(network, tensors=tuple(tensors)), inputs)


def test_the_reference_in_a_process_of_its_own_computes_the_same(tiny) -> None:
    network = read_network(tiny[0])
    inputs = random_inputs(network)
    here, apart = run_reference(network.path, inputs), expected_outputs(network, inputs)
    assert all(np.array_equal(a, b) for a, b in zip(here, apart, strict=True))
