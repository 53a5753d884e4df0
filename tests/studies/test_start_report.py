from lbwdet.studies.start_report import markdown


def test_a_row_for_each_detector():
    steps = {name: dict(median_s=0.0412) for name in ("import", "load", "first_image")}
    steps["import_and_load"] = dict(median_s=0.0824, p10_s=0.08, p90_s=0.0951, cpu_s=0.0756)
    memory = dict(weights=900_000, values=6_000_000, grown=7_900_000, ratio=1.1449)
    model = dict(file_bytes=865_000, steps=steps, memory=memory, python_s=0.012)
    content = dict(models={"nano": model}, load=[0.0, 0.011], image=[600, 1000], rounds=9)
    text = markdown(
        content
        | dict(threads=2, isa="avx2", python="3.11", numpy="2.4", cpu="Some CPU", commit="0" * 40)
    )
    lines = text.splitlines()
    cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert cells[:5] == ["nano", "865 kB", "41 ms", "41 ms", "82 ms (80-95)"]
    assert cells[5:] == ["76 ms", "41 ms", "900 kB", "6 MB", "7.9 MB (1.14x)"]
    assert "2 threads, avx2; Python 3.11 itself, 12 ms" in lines[-1]
    assert "0.00 CPUs busy before and 0.01 after. Some CPU; commit 000000000000." in lines[-1]
