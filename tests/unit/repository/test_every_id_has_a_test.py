"""Each kind of bad input has a test with its id in front of its name: `test_k31_...`.

K: records and rows; H: requests; B: bodies; F: files; S: settings.
"""

import re
from pathlib import Path

TESTS = Path(__file__).parents[2]
IDS = """
    K1 K2 K3 K4 K5 K6 K7 K8 K9 K10 K11 K12 K13 K14 K15 K16 K17 K18 K19 K20 K21 K22 K23 K24
    K25 K26 K27 K28 K29 K30 K31 K32 K33 K34 K35 K36 K37 K38 K39 K40 K41 K42 K43 K44 K45 K46
    K47 K48 K49 K50 K54 K55 K56 K61 K69 K71 K72 K73 K74 K75 K76 K77 K78 K79 K80
    H1 H2 H3 H4 H5 H6 H7 H8 H9 H10 H11 H12 H13 H14 H15 H16 H17 H18 H19 H20 H21 H22 H26 H27
    H28 H29 H30 H31 H32 H33 H34 H35 H36 H37 H38 H39 H40 H41 H42 H44 H46 H47 H49 H53 H54
    B1 B2 B3 B4 B5 B6 B7 B9 B10 B11 B12 B13 B14 B15 B16 B17 B19 B20 B21 B22 B23 B25 B26 B27
    F1 F2 F3 F4 F5 F6 F8 F9 F10 F11 F12 F13 F15 F16 F18 F21 F22
    S1 S2 S3 S4 S5 S6 S7 S9 S10 S11 S12 S14 S15 S16 S20 S21
"""
#: Still to be written; none may be added.
UNTESTED: set[str] = set()


def ids_in_names() -> set[str]:
    found = set()
    for path in TESTS.rglob("test_*.py"):
        for prefix in re.findall(r"def test_((?:[a-z]\d+_)+)", path.read_text(encoding="utf-8")):
            found |= set(prefix.upper().strip("_").split("_"))
    return found


def test_every_id_has_a_test() -> None:
    ids = set(IDS.split())
    assert len(ids) == 167
    assert ids - ids_in_names() == UNTESTED
