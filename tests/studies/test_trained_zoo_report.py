from lbwdet.studies.trained_zoo_report import markdown


def row(kind, variant, area, **others):
    return dict(
        detector="mask_rcnn",
        variant=variant,
        kind=kind,
        title="Mask R-CNN",
        config="lbw_mask_rcnn_toy_fp32.py",
        mAP_area=area,
        mAP_11point=area - 0.04,
        box_AP=area - 0.3,
        num_images=150,
        test_set="toy annotations/test.json",
        bytes=1_234_567,
        epochs=10,
        seconds=None,
        commit="0123456789abcdef",
        cpu="some CPU",
    ) | dict(others)


def test_deployed_beside_fake_quantized():
    rows = [
        row("float", "fp32", 0.85, seconds=300.4, mask_AP50=0.8, mask_AP=0.6),
        row("fake-quantized", "w4a8", 0.84, mask_AP50=0.79, mask_AP=0.59),
        row("deployed", "w4a8", 0.8384, mask_AP50=0.791, mask_AP=0.59),
        row("float", "fp32", 0.7) | dict(detector="fcos", title="FCOS"),
    ]
    lines = markdown(dict(study="trained-zoo", rows=rows)).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:6]]
    size = "1.23 MB"
    assert cells == [
        ["Mask R-CNN", "float", "85.0", "81.0", "55.0", "80.0", "60.0", size, "300 s"],
        ["Mask R-CNN", "w4a8 fake-quantized", "84.0", "80.0", "54.0", "79.0", "59.0", size, ""],
        [
            *("Mask R-CNN", "w4a8 deployed", "83.8 (-0.16)", "79.8 (-0.16)", "53.8 (-0.16)"),
            *("79.1 (+0.10)", "59.0 (+0.00)", size, ""),
        ],
        ["FCOS", "float", "70.0", "66.0", "40.0", "", "", size, ""],
    ]
    assert "150 of toy annotations/test.json. " in lines[-1]
    assert lines[-1].endswith("CPU some CPU; commit 0123456789ab.")
