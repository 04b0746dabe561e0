"""The catalog: names, facts and what a new architecture brings."""

import pathlib
import subprocess
import sys

import pytest

import zoo
from zoo import _families

NAMES = zoo.list_models()


def test_catalog_needs_no_keras():
    code = (
        "import sys, zoo; zoo.info(zoo.list_models()[0]); "
        "zoo.check('alphanet_v4', input_shape=[32, 32, 3], dense=8); "
        "assert not {'keras', 'tensorflow', 'jax', 'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_architecture_file_has_its_line():
    files = {p.stem for p in pathlib.Path(zoo.__file__).parent.glob("[!_]*.py")}
    assert files == set(_families.FAMILIES)


@pytest.mark.parametrize("family", _families.FAMILIES)
def test_the_cheap_form_is_of_a_network_with_a_stem_if_any_has(family, tiny):
    name = tiny(family)["name"]
    stems = {n: spec.stem for n, (_, spec) in _families.catalog().items() if of(n) == family}
    assert name in stems
    assert stems[name] is not None or set(stems.values()) == {None}


def of(name):
    return zoo.info(name).family


@pytest.mark.parametrize("name", NAMES)
def test_overrides_of_the_cheap_form_fit_every_network(name, tiny):
    zoo.check(**{**tiny(of(name)), "name": name})


def test_list_models_takes_patterns():
    assert zoo.list_models("ghostnet_1*") == ["ghostnet_100", "ghostnet_130"]
    assert zoo.list_models("*") == sorted(NAMES)
    assert zoo.list_models("nothing") == []


@pytest.mark.parametrize("name", NAMES)
def test_info_equals_the_reference(name, reference_counts):
    info = zoo.info(name)
    assert info.name == name and info.paper and info.source
    assert info.parameters == reference_counts["params"]["trainable"]
    assert info.macs == reference_counts["macs"]
    assert info.input_shape == tuple(reference_counts["input"])
    assert info.classes == reference_counts["classes"]


def test_rows_that_differ_by_seed_say_so():
    assert "seed" in zoo.info("alphanet_v4b").notes
    assert "seed" in zoo.info("alphanet_v4c").notes


def test_scaled_efficientnets_have_the_parameters_that_are_printed_of_them(scaled_parameters):
    assert scaled_parameters == {name: zoo.info(name).parameters for name in scaled_parameters}
    assert zoo.list_models("efficientnet_b[1-9]") == list(scaled_parameters)
