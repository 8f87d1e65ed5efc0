from tests.service.conftest import model_dir  # noqa: F401 – a fixture
