"""The packages come in exact versions from whatever registry npm is configured for."""

import json

from tests.conformance.better_auth.node import HERE


def test_the_lock_file_names_exact_versions_and_no_registry():
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all("resolved" not in package for package in packages.values())
    assert all(package["integrity"] for path, package in packages.items() if path)
