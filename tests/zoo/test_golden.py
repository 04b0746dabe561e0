"""Logits of the references under the same weights, and the names of their tensors."""

import json
import pathlib

import numpy as np
import pytest

import zoo
from zoo import _families

NAMES = zoo.list_models()


GOLDEN = pathlib.Path(__file__).parents[3] / "shared" / "reference" / "golden"


# JAX and torch see the smaller networks, which XLA compiles in 2 to 10 s on two cores; the others,
# of 17 to 89 million weights, take longer and have no other layers but DenseNet's average pooling.
GOLDEN_ON_BACKENDS = {
    "dpn68",
    "efficientnet_b0",
    "ghostnet_100",
    "mobilenetv2_100",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "shufflenet_v1_g3",
    "shufflenet_v2_x1_0",
    "squeezenet1_1",
    "squeezenext_1_0_23",
    "wrn_16_10",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.backend] * (name in GOLDEN_ON_BACKENDS))
        for name in sorted({p.stem for p in GOLDEN.glob("*.json")} & set(NAMES))
    ],
)
def test_golden_logits(name, shared, rule):
    golden = json.loads((shared / "reference" / "golden" / f"{name}.json").read_text())
    options = {} if _families.find(name)[1].stem is None else {"stem": "imagenet"}
    model = zoo.build(
        name,
        input_shape=(*golden["image"], 3),
        classes=golden["classes"],
        classifier_activation=None,
        mean=golden["mean"],
        std=golden["std"],
        **options,
    )
    zoo.load_state_dict(model, {tensor: rule(tensor, shape) for tensor, shape in golden["tensors"]})
    image = np.random.RandomState(182).randint(0, 256, (1, *golden["image"], 3)).astype("uint8")
    ours, theirs = model.predict(image, verbose=0)[0], np.ravel(golden["logits"])
    # The bound that the golden files set; float32 itself gives 1e-6.
    assert np.linalg.norm(ours - theirs) < 1e-3 * np.linalg.norm(theirs)


@pytest.mark.backend
@pytest.mark.parametrize("name", ["ghostnet_050", "ghostnet_130", "ghostnetv2_100", "resnet34"])
def test_equals_timm(name, images, rule):
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm", exc_type=ImportError)
    theirs = timm.create_model(name).eval()
    shapes = {k: tuple(v.shape) for k, v in theirs.state_dict().items() if v.ndim}
    state = {k: rule(k, shape) for k, shape in shapes.items()}
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    model = zoo.build(name, input_shape=(96, 64, 3), stem="imagenet", classifier_activation=None)
    zoo.load_state_dict(model, state)
    image = images(1, 96, 64, 3)
    spec = _families.find(name)[1]
    pixels = ((image / 255 - spec.mean) / spec.std).astype("float32").transpose(0, 3, 1, 2)
    with torch.no_grad():
        expected = theirs(torch.tensor(pixels)).numpy()
    ours = model.predict(image, verbose=0)
    assert np.linalg.norm(ours - expected) < 1e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("name", "tensors"),
    {
        "ghostnet_cars": {
            "features.0.0.weight": (16, 3, 3, 3),
            "features.4.conv.1.0.weight": (72, 1, 5, 5),
            "features.4.conv.2.fc.0.weight": (18, 72, 1, 1),
            "features.16.conv.3.cheap_operation.0.weight": (80, 1, 3, 3),
            "features.2.shortcut.1.weight": (24, 16, 1, 1),
            "squeeze.0.weight": (960, 160, 1, 1),
            "classifier.0.weight": (320, 960),
            "classifier.1.running_mean": (320,),
            "classifier.4.bias": (10,),
        },
        "ghostnetv2_160": {
            "blocks.2.0.ghost1.short_conv.0.weight": (116, 40, 1, 1),
            "blocks.2.0.ghost1.short_conv.2.weight": (116, 1, 1, 5),
            "blocks.2.0.ghost1.short_conv.4.weight": (116, 1, 5, 1),
            "blocks.2.0.ghost1.short_conv.5.running_var": (116,),
            "blocks.3.0.se.conv_reduce.bias": (28,),
            "blocks.9.0.conv.weight": (1536, 256, 1, 1),
            "conv_head.weight": (1280, 1536),
            "classifier.weight": (10, 1280),
        },
        "hardnet39ds": {
            "features.init_block.conv2.conv.weight": (48, 24, 1, 1),
            "features.init_block.downsample.conv.weight": (48, 1, 3, 3),
            "features.stage1.unit1.blocks.block2.pw_conv.conv.weight": (26, 64, 1, 1),
            "features.stage1.unit1.blocks.block2.dw_conv.bn.weight": (26,),
            "features.stage3.unit1.downsample.bn.running_mean": (640,),
            "features.stage4.unit1.conv.conv.weight": (1024, 730, 1, 1),
            "output.fc.weight": (10, 1024),
        },
        "simplenet_cifar_310k": {
            "features.0.weight": (64, 3, 3, 3),
            "features.12.weight": (32, 32, 3, 3),
            "features.17.weight": (32, 32, 3, 3),
            "features.52.weight": (64, 64, 3, 3),
            "features.53.running_var": (64,),
            "classifier.weight": (10, 64),
        },
        "simplenetv1_small_m1_05": {
            "features.4.weight": (64, 32, 3, 3),
            "features.26.weight": (128, 64, 3, 3),
            "features.52.weight": (128, 128, 3, 3),
            "classifier.bias": (10,),
        },
    }.items(),
)
def test_names_of_the_reference(name, tensors, state_of):
    """Names and shapes as the reference's files have them, at ten classes."""
    model = zoo.build(name, input_shape=(32, 32, 3), classes=10)
    state = state_of(model, _families.find(name)[1].head)
    assert {key: state[key].shape for key in tensors} == tensors
