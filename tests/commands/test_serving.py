import pytest

from lbwdet.cli import main
from lbwdet.serving.settings import ServingSettings

SERVE = "lbwdet.serving.serve:serve"


def test_serve(asked):
    call = asked(SERVE, None, "serve", "m.lbw")
    assert (call["artifact"], call["host"], call["port"]) == ("m.lbw", "127.0.0.1", 8000)
    assert (call["page"], call["with_page"]) == (None, True)
    assert call["settings"] == ServingSettings()
    line = "serve m.lbw --host ::1 --port 0 --threads 1 --queue 0 --max-bytes 9 --max-pixels 8"
    line += " --timeout 2.5 --score-thr 0.5 --no-page"
    call = asked(SERVE, None, *line.split())
    assert (call["host"], call["port"], call["with_page"]) == ("::1", 0, False)
    assert call["settings"] == ServingSettings(1, 1, 0, 9, 8, 2.5, 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "http"], "'http' is not a whole number"),
        (["--workers", "0"], "'0' is not a whole number of 1 or more"),
        (["--no-page", "--page", "web"], "not allowed with"),
    ],
)
def test_usage_errors(options, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["serve", "m.lbw", *options])
    assert stop.value.code == 2 and message in capsys.readouterr().err
