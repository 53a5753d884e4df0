"""Makes what the browser's package needs besides its own sources: make web.

Into ``web/built``: the engine as WebAssembly, one module for each instruction set, and what the
operations' own files say of their fields. Compiled files lie in ``build/web`` and are made anew
where their source or a header has changed.

Example:
    python web/build.py
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from declarations import module_text, operations_text

from lbwdet.errors import ConfigError, LBWError
from lbwdet.files import atomic_write, locked

WEB = Path(__file__).resolve().parent
CSRC = WEB.parent / "lbwdet" / "deploy" / "csrc"
OBJECTS = WEB.parent / "build" / "web"
BUILT = WEB / "built"
COMPILER = shutil.which("emcc")

# By name of the module: which file of csrc/isa it has. Browsers refuse a module with a single
# instruction that they do not know, so that there is one for each.
MODULES = {"portable": (), "simd128": ("-msimd128",)}
FLAGS = (
    *("-std=c++17", "-O3", "-ffp-contract=off", "-fwasm-exceptions"),
    *("-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"),
)
LINK_FLAGS = (
    *("-sSTANDALONE_WASM", "--no-entry"),  # no glue code: web/lbwdet/module.js is all there is
    *("-sALLOW_MEMORY_GROWTH", "-sMAXIMUM_MEMORY=2GB", "-sTOTAL_STACK=1MB"),
)


def main() -> int:
    try:
        BUILT.mkdir(parents=True, exist_ok=True)
        with locked(BUILT):  # others may be making it, too
            build()
    except LBWError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def build() -> None:
    """Makes or updates ``web/built``.

    Raises:
        ConfigError: there is no compiler, or it refuses a file.
    """
    for name, text in (("declarations.js", module_text()), ("operations.js", operations_text())):
        _write(name, text)
    for name, flags in MODULES.items():
        with ThreadPoolExecutor(2) as pool:
            objects = list(pool.map(partial(_object, name, flags), _sources(name)))
        target = BUILT / f"{name}.wasm"
        if not _is_newer(target, [*objects, Path(__file__)]):
            exported = ",".join(f"_{function}" for function in ("malloc", "free", *_functions()))
            with atomic_write(target) as temporary:
                linked = temporary.with_suffix(".wasm")  # emcc tells by the name what to make
                _compile(
                    *(*FLAGS, *flags, *LINK_FLAGS, f"-sEXPORTED_FUNCTIONS={exported}"),
                    *(*map(str, objects), "-o", str(linked)),
                )
                linked.replace(temporary)
    # What the page keeps to work without a network.
    kept = [path for folder in ("page", "lbwdet", "built") for path in (WEB / folder).rglob("*.*")]
    names = ["index.html", *sorted(path.relative_to(WEB).as_posix() for path in kept)]
    _write("files.json", json.dumps([name for name in names if not name.endswith(".d.ts")]))


def _write(name: str, text: str) -> None:
    with atomic_write(BUILT / name) as temporary:
        temporary.write_text(text)


def _functions() -> list[str]:
    """What lbw.h declares."""
    return re.findall(r"^LBW_API .*?\b(lbw_\w+)\(", (CSRC / "lbw.h").read_text(), re.M)


def _sources(module: str) -> list[Path]:
    others = {f"{name}.cpp" for name in MODULES} - {f"{module}.cpp"}
    return [
        path
        for path in sorted(CSRC.rglob("*.cpp"))
        if not {"tests", "bench"} & {*path.parts} and path.name not in others
    ]


def _object(module: str, flags: Sequence[str], source: Path) -> Path:
    target = OBJECTS / module / source.parent.name / f"{source.stem}.o"
    read = target.with_suffix(".d")  # what the compiler read, as a rule of make
    sources = read.read_text().replace("\\\n", "").split()[1:] if read.exists() else ()
    if not sources or not _is_newer(target, [Path(__file__), *map(Path, sources)]):
        with atomic_write(target) as temporary:
            _compile(
                *(*FLAGS, *flags, "-MMD", "-MF", str(read), "-c", str(source)),
                *("-o", str(temporary)),
            )
    return target


def _is_newer(target: Path, sources: Sequence[Path]) -> bool:
    if not all(path.exists() for path in (target, *sources)):
        return False
    return target.stat().st_mtime > max(source.stat().st_mtime for source in sources)


def _compile(*arguments: str) -> None:
    if COMPILER is None:
        raise ConfigError("emcc is not here: install emscripten (Debian: apt-get install it)")
    result = subprocess.run([COMPILER, *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise ConfigError(f"emcc {' '.join(arguments)}:\n{result.stderr}")


if __name__ == "__main__":
    sys.exit(main())
