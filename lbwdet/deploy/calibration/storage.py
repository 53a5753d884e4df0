"""Which values of a program are stored in integers."""

from lbwdet.deploy.runtime.declaration import Kind
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.program import Program
from lbwdet.errors import ConfigError


def quantized_values(program: Program) -> list[str]:
    """Names of all values that are stored as uint8, in the order of the program.

    These are all maps that an operation can write as uint8 and that nobody reads as float32.

    Raises:
        ConfigError: a value that is read as both, or is read as what its operation cannot write.
    """
    exact: dict[str, Operation] = {}
    whole: dict[str, Operation] = {}
    for operation in program.operations:
        for name, reads in operation.reads():
            if reads.kind is Kind.UINT8:
                whole.setdefault(name, operation)
            elif not reads.kind & Kind.UINT8:
                exact.setdefault(name, operation)
    stored = []
    for operation in program.operations:
        for name, writes in operation.writes():
            if not writes.kind & Kind.UINT8:
                continue
            if name not in exact:
                stored.append(name)
                continue
            integers = whole.get(name, operation if writes.kind is Kind.UINT8 else None)
            if integers is not None:
                raise ConfigError(
                    f"{name} cannot be stored: {exact[name].title} reads it in float32, and "
                    f"{integers.title} has it in integers"
                )
    return stored
