from lbwdet.studies.docker_report import markdown


def test_layers_and_containers():
    steps = [
        dict(instruction="WORKDIR /work", seconds=0.04, layer_bytes=0, kept=False),
        dict(instruction="RUN " + "x" * 200, seconds=203.6, layer_bytes=114_000_000, kept=True),
    ]
    image = dict(base_bytes=200_000_000, image_bytes=314_000_000, steps=steps, cpu="Some CPU")
    runs = [dict(command="a.jpg", seconds=1.04, last_line="dog 0.9 | <b>")]
    runs.append(dict(command="--help", seconds=2.0, last_line=""))
    text = markdown(
        dict(images={"Dockerfile.deploy": image | dict(commit="0" * 40, containers=runs)})
    )
    lines = text.splitlines()
    assert lines[0].startswith("`docker/Dockerfile.deploy`: 314 MB, of which 200 MB are Debian")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    assert rows[2] == ["WORKDIR /work", "0 B", "no", "0"]
    assert rows[3][0].endswith("xxx...") and rows[3][1:] == ["114 MB", "yes", "204"]
    assert "- `a.jpg`: 1.0 s; its last line: dog 0.9 \\| &lt;b&gt;" in lines
    assert "- `--help`: 2.0 s; its last line: nothing" in lines
    assert "commit 000000000000." in lines[-1]
