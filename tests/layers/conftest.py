from tests.quantizers.repeated import records  # noqa: F401  (a fixture)
