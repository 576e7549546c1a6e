import json
from pathlib import Path

import pytest
from atlas.reading import read

from .making import grid, scattered

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def roads():
    return read(DATA / "roads.txt")


@pytest.fixture(scope="session")
def expected():
    return json.loads((DATA / "expected.json").read_text())


@pytest.fixture(scope="session")
def town():
    return grid(70, 60)


@pytest.fixture(scope="module", params=[1, 2, 3])
def mesh(request):
    return scattered(105, 460, request.param)


@pytest.fixture
def pipes():
    return scattered(400, 4200, 8, directed=True)
