"""The operations in plain numpy, one file per family: slow, clear, exact; every engine's oracle."""

from lbwdet.deploy.runtime.reference.engine import ReferenceEngine

__all__ = ["ReferenceEngine"]
