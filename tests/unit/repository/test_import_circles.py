"""No module of the product needs itself, by whatever way round: each can be read alone."""

import grimp
import pytest

from tests.rooms import ROOMS


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    """Imports for type checkers count, too: they say what a module is about."""
    return grimp.build_graph(*ROOMS, cache_dir=None)


def circles(graph: grimp.ImportGraph) -> set[frozenset[str]]:
    found = set()
    for module in graph.modules:
        circle = graph.find_upstream_modules(module) & graph.find_downstream_modules(module)
        if circle:
            found.add(frozenset({*circle, module}))
    return found


def test_no_module_needs_itself(imports: grimp.ImportGraph):
    assert [sorted(circle) for circle in circles(imports)] == []


def test_a_circle_is_found():
    graph = grimp.ImportGraph()
    for importer, imported in (("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")):
        for module in (importer, imported):
            graph.add_module(module)
        graph.add_import(importer=importer, imported=imported)
    assert circles(graph) == {frozenset("abc")}
