from lbwdet.studies.post_training_report import markdown, short


def row(bits, code, draw, area, **more):
    return dict(
        model="YOLOX-Nano",
        bits=bits,
        code=code,
        granularity="channel",
        solver="data",
        activation_bits=32,
        images=64,
        draw=draw,
        ingredients="all",
        engine="lbwdet",
        mAP_area=area,
        mAP_11point=area - 1,
        threads=2,
        commit="0123456789abcdef",
    ) | dict(more)


def content(*rows):
    return dict(torch="2", machine="x86_64", rows=list(rows))


def cells(text):
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if "|" in line
    ]


def test_draws_are_one_line_with_their_spread():
    text = markdown(
        content(
            row(4, "dense", 0, 68.0, seconds=40.0, peak_mb=1500, used=48),
            row(6, "two-term", 0, 71.0, used=57),
            row(4, "dense", 1, 70.0, seconds=50.0, peak_mb=1700, used=64),
            row(4, "dense", 0, 1.0, solver="exact"),
            row(32, "float", 0, 73.0, solver=""),
            row(8, "int8", 0, 60.0, solver="", engine="OpenVINO", activation_bits=8),
            row(4, "dense", 0, 69.0, ingredients="refined"),
        )
    )
    assert cells(text)[2:] == [
        [
            "4 bits dense, per channel",
            "float",
            "images",
            "69.0 ± 1.4",
            "68.0 ± 1.4",
            "2",
            "48 to 64",
            "45",
            "1,700",
        ],
        [
            "6 bits two-term, per channel",
            "float",
            "images",
            "71.0",
            "70.0",
            "1",
            "57",
            "",
            "not measured",
        ],
        ["4 bits dense, per channel", "float", "nearest level", "1.0", "0.0", "1", "", "", ""],
        ["float", "float", "", "73.0", "72.0", "1", "", "", ""],
        ["8 bits int8, per channel", "8 bits", "OpenVINO", "60.0", "59.0", "1", "", "", ""],
        [
            "4 bits dense, per channel",
            "float",
            "images, refined",
            "69.0",
            "68.0",
            "1",
            "",
            "",
            "not measured",
        ],
    ]
    assert "draws of 64 training images" in text
    assert "2 threads, torch 2, x86_64, beside other work; commit 0123456789ab." in text
    assert "Each ingredient" not in text


def test_ingredients_stand_beside_the_whole_of_the_same_draw():
    text = markdown(
        content(
            row(4, "dense", 0, 68.0),
            row(4, "dense", 1, 60.0),
            row(6, "two-term", 0, 71.0),
            row(4, "dense", 0, 50.0, ingredients="no descent"),
        )
    )
    ablation = text[text.index("Each ingredient") :]
    assert [line[:2] for line in cells(ablation)[2:]] == [["all", "68.0"], ["no descent", "50.0"]]


def test_each_detector_has_a_table_and_seeds_are_one_line():
    other = dict(model="Another", config="other.py")
    text = markdown(
        content(
            row(4, "dense", 0, 68.0),
            row(4, "dense", 0, 80.0, seed=0, **other),
            row(4, "dense", 0, 84.0, seed=1, **other),
            row(6, "dense", 0, 90.0, seed=1, **other),
        )
    )
    first, second = text.split("Another:")
    assert first.startswith("YOLOX-Nano:")
    assert [line[3] for line in cells(first)[2:]] == ["68.0"]
    assert [line[3] for line in cells(second)[2:]] == ["82.0 ± 2.8", "90.0"]


def test_the_short_form_has_what_images_made_of_the_float_model():
    text = short(
        content(
            row(32, "float", 0, 73.0, solver="", images=0),
            row(4, "dense", 0, 68.0, seconds=40.0),
            row(4, "dense", 0, 1.0, solver="exact"),
            row(4, "dense", 0, 69.0, ingredients="refined"),
            row(4, "dense", 0, 50.0, ingredients="no descent"),
            row(4, "dense", 0, 69.5, activation_bits=8),
            row(4, "dense", 0, 99.0, model="Another"),
        )
    )
    assert cells(text)[2:] == [
        ["float", "float", "", "73.0", ""],
        ["4 bits dense, per channel", "float", "images", "68.0", "40"],
        ["4 bits dense, per channel", "8 bits", "images", "69.5", ""],
    ]
    assert "64 training photographs without their labels" in text
