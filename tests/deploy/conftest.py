from tests.service.conftest import model_dir, service

__all__ = ["model_dir", "service"]  # fixtures
