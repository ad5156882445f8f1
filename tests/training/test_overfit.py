"""The real network learns eight synthetic people by heart: the proof that targets, loss and decoding fit together."""

from __future__ import annotations

from pathlib import Path

from stm32pose.codecs.select import make_codec
from stm32pose.config.schema import Config
from stm32pose.data.readers import read_samples
from stm32pose.data.splits import Splits
from stm32pose.skeletons.skeleton import load_skeleton


def test_eight_images_are_learnt_by_heart(tmp_path: Path) -> None:
    from stm32pose.data.synthetic import make_poses
    from stm32pose.models.build import build_model
    from stm32pose.training.fit import train
    from stm32pose.training.runtime import prepare_runtime

    skeleton = load_skeleton("person13")
    make_poses(tmp_path / "data", images=8, skeleton=skeleton, size=(320, 240), seed=1)
    samples = read_samples(tmp_path / "data", skeleton)
    config = Config.model_validate(
        {
            "operation_mode": "training",
            "model": {
                "model_name": "st_movenet_lightning_heatmaps",
                "alpha": 0.35,
                "input_shape": (96, 96, 3),
            },
            "training": {
                "overfit": 8,
                "batch_size": 8,
                "epochs": 14,
                "optimizer": {"Adam": {"learning_rate": 5e-3}},
            },
        }
    )
    prepare_runtime(config)
    model = build_model(config.model, keypoints=skeleton.count)
    codec = make_codec(
        "heatmaps_spe", input_shape=(96, 96, 3), output_shapes=[model.output_shape[1:]], keypoints=skeleton.count
    )
    splits = Splits(training=samples, sources={"training": "dataset.training_path"}, seed=1)
    result = train(
        config,
        model=model,
        codec=codec,
        splits=splits,
        skeleton=skeleton,
        folder=tmp_path / "models",
        logs=tmp_path / "logs",
    )
    assert max(row["val_oks"] for row in result.history) > 0.95, result.history
